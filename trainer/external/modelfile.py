"""A Modelfile for a model that was trained elsewhere: the family's template and stops, checked before it appears.

Facts of Ollama (its template.go, parser.go, server/images.go and convert.go, up to 0.33, and its import page since):

- A template that names `.Messages` runs once. Any other runs for each exchange: `.System` is set only in the first
  that has it, and the last run ends at `.Response`.
- The BOS is added from the GGUF: a template that begins with one makes two.
- Since 0.30 a chat template in the GGUF with tools or thinking counts before TEMPLATE, unless a PARSER is named.
- ADAPTER is gone since 0.34.1. Before, since 0.12.11, a folder's weights are found only under `model*.safetensors`.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator.contract.chat_format import ChatFormat, fitting_families, load_families, named_family
from curator.contract.errors import JobError, UsageError
from curator.contract.files import open_file, pretty_json, whole_folder, write_whole
from curator.contract.jinja_chat import UnrenderableError, render
from curator.contract.modes import BUILT_IN_MODES, NO_TAGS, Tags, modes_of, named_mode
from curator.contract.records import Family, Message, read_summary
from trainer.exports.go_template import (
    MODELFILE,
    go_each,
    go_if,
    missing_blank,
    read_modelfile,
    rendered,
    role_is,
)
from trainer.exports.ollama import quoted
from trainer.exports.paths import planned
from trainer.external.model import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MERGE, Chat, ExternalModel, read_external

Log = Callable[[str], None]
CONTEXT, MOST_CONTEXT = 4096, 8192
# Ends of a whole text, which a model may write in place of its family's end of a turn.
_ENDS = ("<|endoftext|>", "<|end_of_text|>", "<eos>")
_SAMPLING = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "repetition_penalty": "repeat_penalty"}
# What `ollama create` converts from safetensors by itself, in 0.33; MistralForCausalLM was among them until 0.6.4.
_CONVERTED = frozenset(
    "LlamaForCausalLM MixtralForCausalLM Mistral3ForConditionalGeneration Ministral3ForCausalLM GemmaForCausalLM "
    "Gemma2ForCausalLM Gemma3ForCausalLM Gemma3ForConditionalGeneration Gemma3nForConditionalGeneration "
    "Gemma4ForCausalLM Gemma4ForConditionalGeneration Phi3ForCausalLM Qwen2ForCausalLM Qwen3NextForCausalLM "
    "Qwen3_5ForConditionalGeneration Qwen3_5MoeForConditionalGeneration Llama4ForConditionalGeneration "
    "Olmo3ForCausalLM CohereForCausalLM GptOssForCausalLM DeepseekV3ForCausalLM Lfm2ForCausalLM".split()
)
# Whose adapters it converts: bases of the architectures llama (Mistral is one for llama.cpp) and gemma2.
_ADAPTED = frozenset(("LlamaForCausalLM", "MistralForCausalLM", "Gemma2ForCausalLM", "llama", "gemma2"))
_NEW = "MODEL.gguf"
_PLAIN = "write it without them"
_RENDERED = ("gemma4", "Gemma4ForCausalLM", "Gemma4ForConditionalGeneration")


@dataclass(frozen=True)
class ModelfileRequest:
    """What the command line says about the model. `run` is the run that it was trained on."""

    family: str | None = None
    base: str | None = None
    mode: str | None = None
    system: str | None = None
    run: Path | None = None


def export_external(
    source: Path, out: Path, request: ModelfileRequest, home: Path | None, log: Log = lambda text: None
) -> Path:
    """Write a Modelfile for a model trained elsewhere into the folder `out`, checked, and return `out`.

    It appears whole or not at all. `log` gets lines for a person: what Ollama will and will not do with it. Raises
    UsageError for a model that Ollama cannot use, an unknown family or mode and a place that is taken.
    """
    planned(out, ".gguf", only_folder=True)
    tags = _tags(request)
    families = load_families(home)
    external = read_external(source, request.base)
    family = _family(external, families, request.family)
    text = modelfile(external, family, tags, request.system)
    with whole_folder(out) as folder:
        if external.adapter and external.adapter.is_dir():
            _copy_adapter(external, folder / "adapter")
        write_whole(folder / MODELFILE, text)
        _check(folder / MODELFILE, family, tags)
    log(
        f"family {family.family}; checked: the Modelfile was read back, and its template writes the prompts "
        "of that family"
    )
    for note in (*_about_adapter(external), *_about_weights(external), *_about_template(external, family)):
        log(note)
    return out


def _tags(request: ModelfileRequest) -> Tags:
    if request.mode is None:
        return NO_TAGS
    return named_mode(request.mode, modes_of(read_summary(request.run)) if request.run else BUILT_IN_MODES)


def _family(external: ExternalModel, families: dict[str, Family], name: str | None) -> Family:
    """Return the family of a model: as named, else by its base's name, else the one whose template it carries."""
    if name:
        return named_family(name, families)
    names = (*external.names, *external.base.names)
    for model_name in names:
        matches = fitting_families(model_name, families)
        if len(matches) > 1:
            choices = " and ".join(family.family for family in matches)
            raise UsageError(f"the model {model_name!r} fits {choices}", "name one of them with --family")
        if matches:
            return matches[0]
    same = [family for family in families.values() if _speaks(external, family)]
    if len(same) == 1:
        return same[0]
    known = ", ".join(sorted(family.family for family in same) or sorted(families))
    raise UsageError(
        f"{external.source}: neither its name ({', '.join(names)}) nor its chat template tells its family",
        f"name one with --family: {known}",
    )


def _speaks(external: ExternalModel, family: Family) -> bool:
    try:
        return bool(external.chat.template) and _difference(external.chat, family) is None
    except UnrenderableError:
        return False


# --- the Modelfile -------------------------------------------------------------------------------------------------


def modelfile(external: ExternalModel, family: Family, tags: Tags = NO_TAGS, system: str | None = None) -> str:
    """Return a Modelfile. Raises UsageError for texts that it cannot hold."""
    system_text = system or _default(family)
    context = min(external.base.context or CONTEXT, MOST_CONTEXT)
    lines = [f"FROM {_path(external.base.line)}"]
    if external.adapter:
        lines.append(f"ADAPTER {'./adapter' if external.adapter.is_dir() else _path(str(external.adapter))}")
    lines += ["PARSER passthrough", f"TEMPLATE {quoted(go_template(family, tags), _PLAIN)}"]
    lines += [f"SYSTEM {quoted(system_text, _PLAIN)}"] if system_text else []
    lines += [f"PARAMETER stop {quoted(stop, _PLAIN)}" for stop in stops(family, tags)]
    lines.append(f"PARAMETER num_ctx {context}")
    lines += [f"PARAMETER {name} {value}" for name, value in _sampling(external.sampling)]
    return "\n".join(lines) + "\n"


def _default(family: Family) -> str:
    return "" if ChatFormat(family).empty_system else family.default_system


def go_template(family: Family, tags: Tags = NO_TAGS) -> str:
    """Return Ollama's template of a family, with a mode's tags before what is asked and answered."""
    by_messages = ChatFormat(family).empty_system or family.system_place == "last_user"
    return _by_messages(family, tags) if by_messages else _by_exchange(family, tags)


def _by_exchange(family: Family, tags: Tags) -> str:
    chat = ChatFormat(family)
    before, behind = map(_text, (chat.system_prefix, chat.system_suffix))
    system = go_if(".System", f"{before}{{{{ .System }}}}{behind}")
    opening = _text(family.user_prefix)
    shared, past, last, blank = _closings(family, tags)
    # Nothing is in `.Response` yet where the model is to write.
    closing = go_if(".Response", past + missing_blank(blank, ".Response"), last)
    return (
        (system + opening if family.system_place == "turn" else opening + system)
        + f"{_text(tags.user)}{{{{ .Prompt }}}}{shared}{closing}"
        + f"{{{{ .Response }}}}{_text(chat.end + family.turn_separator)}"
    )


def _by_messages(family: Family, tags: Tags) -> str:
    chat = ChatFormat(family)
    before, behind = map(_text, (chat.system_prefix, chat.system_suffix))
    system = go_if("$.System", f"{before}{{{{ $.System }}}}{behind}", before + behind if chat.empty_system else "")
    find, top, inside = "", system, ""
    if family.system_place != "turn":
        at = "{{ $at = $i }}" if family.system_place == "last_user" else go_if("eq $at -1", "{{ $at = $i }}")
        find = f"{{{{ $at := -1 }}}}{go_each(go_if(role_is('user'), at))}"
        top, inside = "", go_if("eq $i $at", system)
    shared, past, last, blank = _closings(family, tags)
    # The model is to write where no message follows.
    closing = go_if("gt (len (slice $.Messages $i)) 1", past, last)
    asked = f"{_text(family.user_prefix)}{inside}{_text(tags.user)}{{{{ $m.Content }}}}{shared}{closing}"
    answered = go_if("$m.Content", missing_blank(blank, "$m.Content"))
    answered += f"{{{{ $m.Content }}}}{_text(chat.end + family.turn_separator)}"
    return find + top + go_each(go_if(role_is("user"), asked, go_if(role_is("assistant"), answered)))


def _closings(family: Family, tags: Tags) -> tuple[str, str, str, str]:
    """Return the text before an answer in parts: shared, only before earlier answers, only before the next, the blank.

    The blank belongs to the answer: a prompt never ends in one.
    """
    closing = ChatFormat(family).before_response
    past, last = closing + tags.assistant, closing + family.reply_lead + tags.assistant
    blank = past[len(past.rstrip(" ")) :]
    past, last = past.rstrip(" "), last.rstrip(" ")
    shared = closing if past.startswith(closing) else closing.rstrip(" ")
    shared = shared if last.startswith(shared) else shared.rstrip(" ")
    return _text(shared), _text(past[len(shared) :]), _text(last[len(shared) :]), blank


def _text(text: str) -> str:
    if "{{" in text or "}}" in text or text.endswith("{"):
        raise UsageError(f"the family's text {text!r} holds braces, which Ollama takes as its own")
    return text


def stops(family: Family, tags: Tags = NO_TAGS) -> list[str]:
    """Return the stop texts: the end of a turn, the opening of the next, and the end marks of a whole text.

    Where a family's turns are plain text, the first line of the next turn's opening is the stop text.
    """
    opening = family.user_prefix.strip() or tags.user.strip()
    marks = sorted((token for token in family.control_tokens if token and opening.startswith(token)), key=len)
    if opening:
        marks = marks[-1:] or ["\n" + opening.splitlines()[0].rstrip()]
    ends = [token for token in _ENDS if token in family.control_tokens]
    return list(dict.fromkeys(token for token in (family.eos_token, *marks, *ends) if token))


_MOST = 1e9  # of a setting of sampling; Python's json also reads NaN, infinity and integers past every float


def _sampling(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what generation_config.json says of drawing, under Ollama's names."""
    for theirs, ours in _SAMPLING.items():
        value = config.get(theirs)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST:
            yield ours, str(int(value)) if theirs == "top_k" else f"{value:g}"


def _path(line: str) -> str:
    if not line.isprintable() or line != line.strip() or line.startswith('"'):
        raise UsageError(f"a Modelfile cannot name {line!r}", "give it a plain name")
    return line


def _copy_adapter(external: ExternalModel, folder: Path) -> None:
    """Copy an adapter under the name that Ollama looks for, with its alpha as an integer, which Ollama requires."""
    assert external.adapter
    folder.mkdir()
    place = folder / "model.safetensors"
    with open_file(external.adapter / ADAPTER_WEIGHTS) as source, open(place, "xb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    config = external.config | {"lora_alpha": int(external.config["lora_alpha"])}
    try:
        text = pretty_json(config)
    except ValueError:
        raise UsageError(
            f"{external.source / ADAPTER_CONFIG} holds Infinity or NaN, which Ollama does not read",
            "put a number there, or save the adapter again",
        ) from None
    write_whole(folder / ADAPTER_CONFIG, text)


_ASKED, _ANSWERED = ["How are you?", "And the sea?", "Why?"], ["Fine.", " It was grey."]


def _check(path: Path, family: Family, tags: Tags) -> None:
    """Read the Modelfile as Ollama does. Raises JobError unless it makes the family's prompts.

    Where a blank begins the reply, some clients send the reply back without it.
    """
    template, chat = dict(read_modelfile(path))["TEMPLATE"], ChatFormat(family)
    answered = [answer.strip() for answer in _ANSWERED]
    for count in (1, 2, 3):
        for system in ("", "You are Ann."):
            asked = _ASKED[:count]
            prompt = rendered(template, asked, _ANSWERED[: count - 1], system or _default(family))
            blank = chat.before_response.endswith(" ") or tags.assistant.endswith(" ")
            replies = answered if blank else _ANSWERED
            expected = chat.generation_prompt(asked, replies[: count - 1], system, tags)
            if prompt != expected:
                raise JobError(
                    f"the Modelfile did not pass its check: it makes {prompt!r}; the family's prompt is {expected!r}",
                    "nothing was written; please report this as a bug",
                )


# --- what a person should know -------------------------------------------------------------------------------------


def _about_adapter(external: ExternalModel) -> Iterator[str]:
    """Yield what Ollama does with an adapter."""
    if not external.adapter:
        return
    yield f"Ollama takes an adapter up to version 0.34.0 only; for a later one, {MERGE}"
    base = external.base
    if external.adapter.is_dir() and base.architecture not in _ADAPTED:
        yield (
            "Ollama reads adapters of Llama, Mistral and Gemma 2 only, and calls this one's architecture unsupported: "
            "make a .gguf of the adapter with llama.cpp's convert_lora_to_gguf.py, and export that with --base"
        )
    if base.folder is None and not base.line.endswith(".gguf"):
        yield (
            f"{base.line} must be the very model that the adapter was trained on; where `ollama show --modelfile "
            f"{base.line}` has a RENDERER line, Ollama makes the prompts with that and not with this template"
        )


def _about_weights(external: ExternalModel) -> Iterator[str]:
    """Yield what Ollama does with a model's weights."""
    base = external.base
    if base.architecture in _RENDERED:
        yield (
            f"Ollama has its own code for the prompts of {base.architecture} and does not use the Modelfile's TEMPLATE"
        )
    if not base.folder:
        return
    then = f"name that: --base {_NEW}" if external.adapter else f"export {_NEW}"
    gguf = (
        "the way that works with every version: llama.cpp's convert_hf_to_gguf.py "
        f"{shlex.quote(base.line)} --outfile {_NEW}, then {then}"
    )
    if base.architecture not in _CONVERTED:
        yield f"Ollama up to 0.34.0 does not import {base.architecture or 'a model without architectures'}; {gguf}"
    elif base.rope_elsewhere:
        yield (
            "transformers 5 wrote this config.json, with rope_parameters in place of rope_theta, which Ollama up to "
            f"0.34.0 does not know: the model would write gibberish; {gguf}"
        )
    else:
        yield f"Ollama up to 0.34.0 can read this folder, a later version can only for its MLX engine; {gguf}"


def _about_template(external: ExternalModel, family: Family) -> Iterator[str]:
    """Yield how the model's own chat template differs from the family's: it may have been trained with that."""
    if not external.chat.template:
        return
    try:
        difference = _difference(external.chat, family)
    except UnrenderableError as error:
        yield f"the model's own chat template could not be compared with the family's: {error}"
        return
    if difference:
        theirs, ours = (json.dumps(text, ensure_ascii=False) for text in difference)
        yield (
            f"the model's own chat template differs from that of the family {family.family}. The right one is that "
            f"which the model was trained with; --family names another family\n  its own:       {theirs}\n  "
            f"the Modelfile: {ours}"
        )


def _difference(chat: Chat, family: Family) -> tuple[str, str] | None:
    """Return the first prompt that a model's own chat template and its family's write differently, in both forms.

    A template that refuses a system text (Gemma 2's) is compared without one. Raises UnrenderableError.
    """
    asked, answered = _ASKED[:2], _ANSWERED[:1]
    bos, eos = chat.bos or family.bos_token, chat.eos or family.eos_token
    for system in ("", "You are Ann."):
        messages = [Message("system", system)] if system else []
        messages += [Message("user", asked[0]), Message("assistant", answered[0]), Message("user", asked[1])]
        marks = {"bos_token": bos, "eos_token": eos, "enable_thinking": False}
        try:
            theirs = render(chat.template, messages, generation_prompt=True, **marks)
        except UnrenderableError:
            if not system:
                raise
            continue
        theirs = theirs.removeprefix(bos).rstrip(" ")
        ours = ChatFormat(family).generation_prompt(asked, answered, system)
        if theirs != ours:
            return theirs, ours
    return None
