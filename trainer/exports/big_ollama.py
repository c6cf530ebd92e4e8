"""A Modelfile for a model that was trained elsewhere: the family's template and stops, checked before it appears.

Facts of Ollama (its template.go, parser.go, server/images.go and convert.go, up to 0.33, and its import page since):

- A template that names `.Messages` runs once; any other runs for each exchange, `.System` only in the first that has
  it, and last without all that stands behind `.Response`.
- The BOS is added from the GGUF: a template that begins with one makes two.
- Since 0.30 a chat template in the GGUF with tools or thinking counts before TEMPLATE, unless a PARSER is named.
- ADAPTER is gone since 0.34.1. Before, since 0.12.11, a folder's weights are found only under `model*.safetensors`.
"""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import JobError, UsageError
from trainer.exports.chat_templates import UnrenderableError, render
from trainer.exports.foreign import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MERGE, Chat, Foreign, read_foreign
from trainer.exports.ollama import quoted
from trainer.exports.placing import planned
from trainer.exports.reading import MODELFILE, read_modelfile, rendered
from trainer.families import NO_TAGS, Family, Tags, fitting, load_families, named_family
from trainer.files import pretty_json, whole_folder, write_whole

Say = Callable[[str], None]
MODES: dict[str, Tags] = {
    "dual": ("<thought>: ", "<world>: "),
    "emulation": ("<user>: ", "<assistant>: "),
    "agent": ("<instruction>: ", "<action>: "),
}
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
class Wish:
    """What the command line says of the model, beside where it is."""

    family: str | None = None
    base: str | None = None
    mode: str | None = None
    system: str | None = None


def export_foreign(source: Path, out: Path, wish: Wish, home: Path | None, say: Say = lambda text: None) -> Path:
    """Write a Modelfile for a model trained elsewhere into the folder `out`, checked, and return `out`.

    It appears whole or not at all. `say` gets lines for a person: what Ollama will and will not do with it. Raises
    UsageError for a model that Ollama cannot use, an unknown family or mode and a place that is taken.
    """
    planned(out, ".gguf", only_folder=True)
    tags = _tags(wish.mode)
    families = load_families(home)
    foreign = read_foreign(source, wish.base)
    family = _family(foreign, families, wish.family)
    text = modelfile(foreign, family, tags, wish.system)
    with whole_folder(out) as folder:
        if foreign.adapter and foreign.adapter.is_dir():
            _copy_adapter(foreign, folder / "adapter")
        write_whole(folder / MODELFILE, text)
        _check(folder / MODELFILE, family, tags)
    say(f"family {family.family}; checked: read back, the template makes the family's prompts, one to three exchanges")
    for note in (*_about_adapter(foreign), *_about_weights(foreign), *_about_template(foreign, family)):
        say(note)
    say(f"run it: ollama create NAME -f {shlex.quote(str(out / MODELFILE))} && ollama run NAME")
    return out


def _tags(mode: str | None) -> Tags:
    if mode is not None and mode not in MODES:
        raise UsageError(
            f"unknown mode {mode!r}: expected one of {', '.join(MODES)}",
            "leave --mode out for the model of another mode, and put its tag before what you ask",
        )
    return MODES[mode] if mode else NO_TAGS


def _family(foreign: Foreign, families: dict[str, Family], name: str | None) -> Family:
    """Return the family of a model: as named, else by its base's name, else the one whose template it carries."""
    if name:
        return named_family(name, families)
    names = (*foreign.names, *foreign.base.names)
    for one in names:
        found = fitting(one, families)
        if len(found) > 1:
            both = " and ".join(family.family for family in found)
            raise UsageError(f"the model {one!r} fits {both}", "name one of them with --family")
        if found:
            return found[0]
    same = [family for family in families.values() if _speaks(foreign, family)]
    if len(same) == 1:
        return same[0]
    known = ", ".join(sorted(one.family for one in same) or sorted(families))
    raise UsageError(
        f"{foreign.source}: neither its name ({', '.join(names)}) nor its chat template tells its family",
        f"name one with --family: {known}",
    )


def _speaks(foreign: Foreign, family: Family) -> bool:
    try:
        return bool(foreign.chat.template) and _difference(foreign.chat, family) is None
    except UnrenderableError:
        return False


# --- the Modelfile -------------------------------------------------------------------------------------------------


def modelfile(foreign: Foreign, family: Family, tags: Tags = NO_TAGS, system: str | None = None) -> str:
    """Return a Modelfile. Raises UsageError for texts that it cannot hold."""
    told = system or _default(family)
    context = min(foreign.base.context or CONTEXT, MOST_CONTEXT)
    lines = [f"FROM {_path(foreign.base.line)}"]
    if foreign.adapter:
        lines.append(f"ADAPTER {'./adapter' if foreign.adapter.is_dir() else _path(str(foreign.adapter))}")
    lines += ["PARSER passthrough", f"TEMPLATE {quoted(go_template(family, tags), _PLAIN)}"]
    lines += [f"SYSTEM {quoted(told, _PLAIN)}"] if told else []
    lines += [f"PARAMETER stop {quoted(stop, _PLAIN)}" for stop in stops(family, tags)]
    lines.append(f"PARAMETER num_ctx {context}")
    lines += [f"PARAMETER {name} {value}" for name, value in _sampling(foreign.sampling)]
    return "\n".join(lines) + "\n"


def _default(family: Family) -> str:
    return "" if family.empty_system else family.default_system


def go_template(family: Family, tags: Tags = NO_TAGS) -> str:
    """Return Ollama's template of a family, with a mode's tags before what is asked and answered."""
    by_messages = family.empty_system or family.system_place == "last_user"
    return _by_messages(family, tags) if by_messages else _by_exchange(family, tags)


def _by_exchange(family: Family, tags: Tags) -> str:
    before, behind = map(_text, family.around_system)
    system = _if(".System", f"{before}{{{{ .System }}}}{behind}")
    opening = _text(family.user_prefix)
    shared, past, last, blank = _closings(family, tags)
    # Nothing is in `.Response` yet where the model is to write.
    closing = _if(".Response", past + _missing(blank, ".Response"), last)
    return (
        (system + opening if family.system_place == "turn" else opening + system)
        + f"{_text(tags[0])}{{{{ .Prompt }}}}{shared}{closing}"
        + f"{{{{ .Response }}}}{_text(family.end + family.turn_separator)}"
    )


def _by_messages(family: Family, tags: Tags) -> str:
    before, behind = map(_text, family.around_system)
    system = _if("$.System", f"{before}{{{{ $.System }}}}{behind}", before + behind if family.empty_system else "")
    find, top, inside = "", system, ""
    if family.system_place != "turn":
        at = "{{ $at = $i }}" if family.system_place == "last_user" else _if("eq $at -1", "{{ $at = $i }}")
        find = f"{{{{ $at := -1 }}}}{_each(_if(_ROLE.format('user'), at))}"
        top, inside = "", _if("eq $i $at", system)
    shared, past, last, blank = _closings(family, tags)
    # The model is to write where no message follows.
    closing = _if("gt (len (slice $.Messages $i)) 1", past, last)
    asked = f"{_text(family.user_prefix)}{inside}{_text(tags[0])}{{{{ $m.Content }}}}{shared}{closing}"
    answered = _if("$m.Content", _missing(blank, "$m.Content"))
    answered += f"{{{{ $m.Content }}}}{_text(family.end + family.turn_separator)}"
    return find + top + _each(_if(_ROLE.format("user"), asked, _if(_ROLE.format("assistant"), answered)))


_ROLE = 'eq $m.Role "{}"'


def _each(body: str) -> str:
    return f"{{{{ range $i, $m := .Messages }}}}{body}{{{{ end }}}}"


def _if(condition: str, then: str, other: str = "") -> str:
    if then == other:
        return then
    if not then:
        return _if(f"not ({condition})" if " " in condition else f"not {condition}", other)
    return f"{{{{ if {condition} }}}}{then}{f'{{{{ else }}}}{other}' if other else ''}{{{{ end }}}}"


def _closings(family: Family, tags: Tags) -> tuple[str, str, str, str]:
    """Return what stands before an answer: what all share, the rest of an earlier one's, of that to come, the blank.

    The blank goes with the answer: a prompt never ends in one.
    """
    past, last = family.closing + tags[1], family.closing + family.reply_lead + tags[1]
    blank = past[len(past.rstrip(" ")) :]
    past, last = past.rstrip(" "), last.rstrip(" ")
    shared = family.closing if past.startswith(family.closing) else family.closing.rstrip(" ")
    shared = shared if last.startswith(shared) else shared.rstrip(" ")
    return _text(shared), _text(past[len(shared) :]), _text(last[len(shared) :]), blank


def _missing(blank: str, name: str) -> str:
    """Return what puts the blank before an answer where a client has cut it off: the model wrote it."""
    return _if(f'ne (slice {name} 0 1) " "', blank)


def _text(text: str) -> str:
    if "{{" in text or "}}" in text or text.endswith("{"):
        raise UsageError(f"the family's text {text!r} holds braces, which Ollama takes as its own")
    return text


def stops(family: Family, tags: Tags = NO_TAGS) -> list[str]:
    """Return the texts at which a reply is over: the end of a turn, what opens the next, and ends of a whole text.

    Where a family's turns are plain text, the next one is known by the beginning of its line.
    """
    opening = family.user_prefix.strip() or tags[0].strip()
    marks = sorted((one for one in family.control_tokens if one and opening.startswith(one)), key=len)
    if opening:
        marks = marks[-1:] or ["\n" + opening.splitlines()[0].rstrip()]
    ends = [one for one in _ENDS if one in family.control_tokens]
    return list(dict.fromkeys(one for one in (family.eos_token, *marks, *ends) if one))


def _sampling(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what generation_config.json says of drawing, under Ollama's names."""
    for theirs, ours in _SAMPLING.items():
        value = told.get(theirs)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
            yield ours, str(int(value)) if theirs == "top_k" else f"{value:g}"


def _path(line: str) -> str:
    if not line.isprintable() or line != line.strip() or line.startswith('"'):
        raise UsageError(f"a Modelfile cannot name {line!r}", "give it a plain name")
    return line


def _copy_adapter(foreign: Foreign, folder: Path) -> None:
    """Copy an adapter under the name that Ollama finds, its alpha as the whole number that it reads."""
    assert foreign.adapter
    folder.mkdir()
    shutil.copyfile(foreign.adapter / ADAPTER_WEIGHTS, folder / "model.safetensors")
    config = foreign.config | {"lora_alpha": int(foreign.config["lora_alpha"])}
    write_whole(folder / ADAPTER_CONFIG, pretty_json(config))


_ASKED, _ANSWERED = ["How are you?", "And the sea?", "Why?"], ["Fine.", " It was grey."]


def _check(path: Path, family: Family, tags: Tags) -> None:
    """Read the Modelfile as Ollama does. Raises JobError unless it makes the family's prompts.

    Where a blank belongs to the reply, some clients send it back without.
    """
    template = dict(read_modelfile(path))["TEMPLATE"]
    answered = [answer.strip() for answer in _ANSWERED]
    for count in (1, 2, 3):
        for system in ("", "You are Ann."):
            asked = _ASKED[:count]
            found = rendered(template, asked, _ANSWERED[: count - 1], system or _default(family))
            blank = family.closing.endswith(" ") or tags[1].endswith(" ")
            replies = answered if blank else _ANSWERED
            expected = family.prompt(asked, replies[: count - 1], system, tags)
            if found != expected:
                raise JobError(
                    f"the Modelfile did not pass its check: it makes {found!r}; the family's prompt is {expected!r}",
                    "nothing was written; please report this as a bug",
                )


# --- what a person should know -------------------------------------------------------------------------------------


def _about_adapter(foreign: Foreign) -> Iterator[str]:
    """Yield what Ollama does with an adapter."""
    if not foreign.adapter:
        return
    yield f"Ollama takes an adapter up to version 0.34.0 only; for a later one, {MERGE}"
    base = foreign.base
    if foreign.adapter.is_dir() and base.architecture not in _ADAPTED:
        yield (
            "it converts adapters of Llama, Mistral and Gemma 2 and calls others an unsupported architecture: for "
            "those make a .gguf of the adapter with llama.cpp's convert_lora_to_gguf.py, and export that with --base"
        )
    if base.folder is None and not base.line.endswith(".gguf"):
        yield (
            f"{base.line} must be the very model that the adapter was trained on; where `ollama show --modelfile "
            f"{base.line}` has a RENDERER line, Ollama makes the prompts with that and not with this template"
        )


def _about_weights(foreign: Foreign) -> Iterator[str]:
    """Yield what Ollama does with a model's weights."""
    base = foreign.base
    if base.architecture in _RENDERED:
        yield f"Ollama makes the prompts of {base.architecture} with a renderer of its own, whatever TEMPLATE says"
    if not base.folder:
        return
    then = f"name that: --base {_NEW}" if foreign.adapter else f"export {_NEW}"
    gguf = f"the sure way: llama.cpp's convert_hf_to_gguf.py {shlex.quote(base.line)} --outfile {_NEW}, then {then}"
    if base.architecture not in _CONVERTED:
        yield f"Ollama up to 0.34.0 does not import {base.architecture or 'a model without architectures'}; {gguf}"
    elif base.rope_elsewhere:
        yield (
            "config.json has rope_parameters and no rope_theta, as transformers 5 writes it: Ollama up to 0.34.0 would "
            f"take another rotary base, and the model write gibberish; {gguf}"
        )
    else:
        yield f"Ollama up to 0.34.0 converts this folder itself, a later one only for its MLX engine; {gguf}"


def _about_template(foreign: Foreign, family: Family) -> Iterator[str]:
    """Yield how the model's own chat template differs from the family's: it may have been trained with that."""
    if not foreign.chat.template:
        return
    try:
        difference = _difference(foreign.chat, family)
    except UnrenderableError as error:
        yield f"the model's own chat template was not compared with the family's: {error}"
        return
    if difference:
        found, ours = (json.dumps(text, ensure_ascii=False) for text in difference)
        yield (
            f"the model's own chat template is not that of the family {family.family}: what it was trained with is "
            f"right, and --family names another\n  its own:       {found}\n  the Modelfile: {ours}"
        )


def _difference(chat: Chat, family: Family) -> tuple[str, str] | None:
    """Return the first prompt that a model's own chat template makes otherwise than its family, BOS apart, and both.

    A template that refuses a system text (Gemma 2's) is compared without one. Raises UnrenderableError.
    """
    asked, answered = _ASKED[:2], _ANSWERED[:1]
    bos, eos = chat.bos or family.bos_token, chat.eos or family.eos_token
    for system in ("", "You are Ann."):
        try:
            found = render(chat.template, asked, answered, system, bos, eos)
        except UnrenderableError:
            if not system:
                raise
            continue
        found, ours = found.removeprefix(bos).rstrip(" "), family.prompt(asked, answered, system)
        if found != ours:
            return found, ours
    return None
