"""What we wrap is what each family's published chat template renders, and so is what the template we write renders."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from curator.contract.chat_format import ChatFormat, load_family
from curator.contract.homes import shipped_etc
from curator.contract.jinja_chat import family_template
from curator.contract.records import Exchange, Family, Message

FAMILIES: Final = {path.stem: load_family(path) for path in sorted((shipped_etc() / "schemas").glob("*.json"))}
PUBLISHED: Final = Path(__file__).with_name("chat_templates")
# Each published template (chat_templates/README.md names their sources) and the family that stands for it.
TEMPLATES: Final = {
    "gemma2": "gemma", "gemma3": "gemma", "gemma4": "gemma4", "llama2": "llama2", "llama3": "llama3",
    "llama3.1": "llama3.1", "llama3.2": "llama3.1", "mistral-v0.2": "mistral1", "mistral-v0.3": "mistral",
    "phi3": "phi3", "phi3.5": "phi3", "phi4": "phi4", "phi4mini": "phi4mini", "qwen": "qwen", "qwen2-vl": "qwen2",
    "qwen2.5": "qwen2.5", "qwen3": "qwen3", "qwen3-vl": "qwen", "qwen3.5-nothink": "qwen3", "qwen3.5-think": "qwen3",
    "qwen3.6": "qwen3", "smollm2": "smollm2", "tinyllama": "tinyllama",
}  # fmt: skip
WITHOUT: Final = {"gptj", "llisa"}  # families that have no published template
# What Microsoft's tokenizers call their eos_token: the templates write it once, behind a whole conversation.
DOCUMENT_END: Final = dict.fromkeys(("phi3", "phi3.5", "phi4mini"), "<|endoftext|>")
NO_SYSTEM: Final = {"gemma2"}
DROPS_SYSTEM: Final = {"mistral-v0.3"}  # where a reply comes last
TEXTS: Final = (
    "Où est le chat ? 猫 🐈 – там", "He said:\n\n  \"it's\there\"\nand went.", "<thought>: {{ x }} {% if y %} {# z #}",
    "<world>: {\"a\": [1, 2]} \\n $1 %s", "a", "<user>: <b>&amp;</b> | ~",
)  # fmt: skip
SYSTEM: Final = "You are Ann.\nYou mend {boats}; \"well\", 'so' <em>you</em> say."
Messages = list[Message]


@lru_cache
def environment(like: str = "transformers") -> Environment:
    """A Jinja environment as transformers sets it up for chat templates, or a bare one."""

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "extensions": ["jinja2.ext.loopcontrols"]}
    made = ImmutableSandboxedEnvironment(**options) if like == "transformers" else Environment(autoescape=False)
    made.globals |= {"raise_exception": raise_exception, "strftime_now": lambda form: "26 Jul 2024"}
    made.filters["tojson"] = tojson
    return made


@lru_cache
def compiled(template: str, like: str) -> Template:
    return environment(like).from_string(template)


def render(template: str, messages: Messages, prompt: bool = False, like: str = "transformers", **tokens: str) -> str:
    plain = [{"role": one.role, "content": one.content} for one in messages]
    return compiled(template, like).render(messages=plain, add_generation_prompt=prompt, **tokens)


def published(name: str, messages: Messages, prompt: bool = False) -> str:
    family = FAMILIES[TEMPLATES[name]]
    template = (PUBLISHED / f"{name}.jinja").read_bytes().decode()
    eos = DOCUMENT_END.get(name, family.eos_token)
    return render(template, messages, prompt, bos_token=family.bos_token, eos_token=eos)


def conversation(turns: int, system: str = "") -> Messages:
    texts = (TEXTS * turns)[: 2 * turns]
    first = [Message("system", system)] if system else []
    return first + [Message(("user", "assistant")[n % 2], text) for n, text in enumerate(texts)]  # type: ignore[arg-type]


def halves(family: Family, messages: Messages) -> tuple[str, str]:
    system = messages[0].content if messages[0].role == "system" else ""
    texts = [one.content for one in messages[bool(system) :]]
    context = tuple(Exchange(*texts[n : n + 2]) for n in range(0, len(texts) - 2, 2))
    return ChatFormat(family).prompt_and_completion(texts[-2], texts[-1], context, system)


def whole(family: Family, messages: Messages) -> str:
    return family.bos_token + "".join(piece.text for piece in ChatFormat(family).segments(messages))


cases = pytest.mark.parametrize(("turns", "system"), [(1, ""), (3, ""), (1, SYSTEM), (3, SYSTEM)])
every_family = pytest.mark.parametrize("name", FAMILIES)


# --- the published templates -----------------------------------------------------------------------------------------


def test_every_family_has_a_published_template_and_every_template_a_source() -> None:
    assert set(TEMPLATES.values()) == set(FAMILIES) - WITHOUT
    assert sorted(TEMPLATES) == sorted(path.stem for path in PUBLISHED.glob("*.jinja"))
    sources = (PUBLISHED / "README.md").read_text("utf-8")
    assert [name for name in TEMPLATES if f"| `{name}.jinja` |" not in sources] == []


@cases
@pytest.mark.parametrize("name", TEMPLATES)
def test_what_we_wrap_is_what_the_published_template_renders(name: str, turns: int, system: str) -> None:
    family, messages = FAMILIES[TEMPLATES[name]], conversation(turns, system)
    if system and name in NO_SYSTEM:
        with pytest.raises(TemplateError, match="System role not supported"):
            published(name, messages)
        return
    rendered = published(name, messages)
    if system and name in DROPS_SYSTEM:
        assert rendered == whole(family, messages[1:])
        rendered = published(name, messages[:-1]) + halves(family, messages)[1]
    assert rendered == whole(family, messages)
    assert whole(family, messages) == family.bos_token + "".join(halves(family, messages))


@cases
@pytest.mark.parametrize("name", sorted(set(TEMPLATES) - NO_SYSTEM))
def test_a_prompt_is_what_the_published_template_renders_for_one(name: str, turns: int, system: str) -> None:
    family, messages = FAMILIES[TEMPLATES[name]], conversation(turns, system)
    prompt, (asked, answered) = published(name, messages[:-1], prompt=True), halves(family, messages)
    if name.startswith("qwen3.5") or name == "qwen3.6":  # the prompt begins the thoughts, which here the reply does
        assert prompt.startswith(asked + "<think>")
        assert (asked + answered).startswith(prompt)
    else:
        assert prompt == family.bos_token + asked


@cases
def test_gptj_has_no_template_and_gets_plain_text(turns: int, system: str) -> None:
    texts = (TEXTS * turns)[: 2 * turns]
    exchanges = [f"{texts[n]}\n{texts[n + 1]}<|endoftext|>" for n in range(0, len(texts), 2)]
    expected = (f"{system}\n\n" if system else "") + "\n".join(exchanges)
    assert whole(FAMILIES["gptj"], conversation(turns, system)) == expected


# --- the templates that we write -------------------------------------------------------------------------------------


def check_template(family: Family, messages: Messages) -> None:
    template = family_template(family)
    pieces = ChatFormat(family).segments(messages)
    last = len(messages) - 1
    prompt = family.bos_token + "".join(one.text for one in pieces if one.message != last or one.part == "before")
    for like in ("transformers", "bare"):
        assert render(template, messages, like=like, bos_token=family.bos_token) == whole(family, messages)
        assert render(template, messages[:-1], prompt=True, like=like, bos_token=family.bos_token) == prompt


@cases
@every_family
def test_our_template_renders_what_we_wrap(name: str, turns: int, system: str) -> None:
    check_template(FAMILIES[name], conversation(turns, system))
    assert not halves(FAMILIES[name], conversation(turns, system))[0].endswith((" ", "\t"))


@every_family
@pytest.mark.parametrize("roles", ["assistant user", "user user", "system system", "user system", "user tool"])
def test_our_template_refuses_roles_out_of_turn(name: str, roles: str) -> None:
    messages = [{"role": role, "content": "x"} for role in roles.split()]
    with pytest.raises(TemplateError, match="roles must alternate"):
        environment().from_string(family_template(FAMILIES[name])).render(messages=messages, bos_token="")


# Marks of Jinja and of its strings among ordinary text, and the blanks that wrappers are made of.
odd: Final = st.lists(st.sampled_from([*"ab \n\r\t\\\"'é猫", "{{", "}}", "{%", "%}", "{#", "\\n", "<s>"]), max_size=5)
texts: Final = odd.map("".join)
own: Final = st.builds(
    Family, st.just("own"), texts, texts, user_suffix=texts, separator=texts, assistant_suffix=texts, eos_token=texts,
    turn_separator=texts, bos_token=texts, system_prefix=texts, system_suffix=texts, default_system=texts,
    system_place=st.sampled_from(["turn", "first_user", "last_user"]), reply_lead=texts,
)  # fmt: skip


@settings(max_examples=200, derandomize=True, deadline=None)
@given(own, st.lists(st.tuples(texts, texts), min_size=1, max_size=3), st.none() | texts)
def test_any_familys_template_and_halves_are_its_pieces(
    family: Family, exchanges: list[tuple[str, str]], system: str | None
) -> None:
    messages = [] if system is None else [Message("system", system)]
    for asked, answered in exchanges:
        messages += [Message("user", asked), Message("assistant", answered)]
    check_template(family, messages)
    if system != "":
        assert "".join(halves(family, messages)) == "".join(one.text for one in ChatFormat(family).segments(messages))


# --- pieces ----------------------------------------------------------------------------------------------------------


@cases
@every_family
def test_the_pieces_of_a_conversation_are_told_apart(name: str, turns: int, system: str) -> None:
    family, messages = FAMILIES[name], conversation(turns, system)
    pieces = ChatFormat(family).segments(messages)
    for index, message in enumerate(messages):
        parts = [piece for piece in pieces if piece.message == index]
        assert [piece.text for piece in parts if piece.part == "content"] == [message.content]
        ends = [piece.text for piece in parts if piece.part == "end"]
        assert ends == ([family.eos_token] if message.role == "assistant" and family.eos_token else [])
        assert message.role == "assistant" or {piece.part for piece in parts} <= {"before", "content", "after"}
    last = "".join(piece.text for piece in parts if piece.part != "before")
    assert last == halves(family, messages)[1]
    alone = [piece for piece in pieces if piece.message is None]
    assert bool(alone) == bool(family.default_system and not system)


def test_pieces_say_what_of_a_llama_2_reply_is_learnt() -> None:
    pieces = ChatFormat(FAMILIES["llama2"]).segments(
        [Message("system", "S"), Message("user", "X"), Message("assistant", "Y")]
    )
    assert [(piece.text, piece.message, piece.part) for piece in pieces] == [
        ("[INST] ", 1, "before"), ("<<SYS>>\n", 0, "before"), ("S", 0, "content"), ("\n<</SYS>>\n\n", 0, "after"),
        ("X", 1, "content"), (" [/INST]", 1, "after"),
        (" ", 2, "lead"), ("Y", 2, "content"), (" ", 2, "lead"), ("</s>", 2, "end"),
    ]  # fmt: skip


def test_pieces_of_qwen3_have_thoughts_before_the_last_reply_alone() -> None:
    pieces = ChatFormat(FAMILIES["qwen3"]).segments(conversation(2))
    assert [(piece.message, piece.text) for piece in pieces if piece.part == "lead"] == [(3, "<think>\n\n</think>\n\n")]
    assert [piece.text for piece in pieces if piece.message == 3] == [
        "<|im_start|>assistant\n", "<think>\n\n</think>\n\n", TEXTS[3], "<|im_end|>", "\n",
    ]  # fmt: skip


def test_a_family_that_says_nothing_of_system_texts_gets_a_paragraph_and_one_without_an_end_mark_its_suffix() -> None:
    pieces = ChatFormat(Family("own", "U:", "A:", assistant_suffix="#\n")).segments(
        [Message("system", "S"), Message("user", "X"), Message("assistant", "Y")]
    )
    assert "".join(piece.text for piece in pieces) == "S\n\nU:XA:Y#\n"
    assert (pieces[-1].text, pieces[-1].part) == ("#\n", "end")


# --- tokens ----------------------------------------------------------------------------------------------------------


@lru_cache
def tokenizer(name: str) -> Tokenizer:
    """A small byte-level BPE with a family's control tokens, which adds its BOS as the family's own tokenizer does."""
    family = FAMILIES[name]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    made.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )  # type: ignore[call-arg]
    made.train_from_iterator([*TEXTS, SYSTEM, "<thought>: The pump again. <world>: I fixed the bilge pump."], trainer)
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in family.control_tokens])
    if bos := family.bos_token:
        made.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
            single=f"{bos} $A", special_tokens=[(bos, made.token_to_id(bos))]
        )
    return made


@cases
@every_family
def test_a_rendering_begins_with_its_only_bos(name: str, turns: int, system: str) -> None:
    family, messages = FAMILIES[name], conversation(turns, system)
    rendered = render(family_template(family), messages, bos_token=family.bos_token)
    ids: list[int] = tokenizer(name).encode(rendered, add_special_tokens=False).ids
    assert ids == tokenizer(name).encode("".join(halves(family, messages)), add_special_tokens=True).ids
    if bos := family.bos_token:
        begins = tokenizer(name).token_to_id(bos)
        assert ids[0] == begins
        # Llama 2 begins each exchange with one, as published.
        assert ids.count(begins) == (turns if name == "llama2" else 1)


@cases
@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"llisa"}))
def test_a_trained_reply_ends_in_its_end_mark_and_has_no_other(name: str, turns: int, system: str) -> None:
    family, messages = FAMILIES[name], conversation(turns, system)
    code = tokenizer(name)
    end = code.token_to_id(family.eos_token)
    assert code.encode(family.eos_token, add_special_tokens=False).ids == [end]
    assert code.encode(halves(family, messages)[1], add_special_tokens=False).ids.count(end) == 1
    for index, message in enumerate(messages):
        learnt = [one for one in ChatFormat(family).segments(messages) if one.message == index and one.part in LEARNT]
        ids = code.encode("".join(one.text for one in learnt), add_special_tokens=False).ids
        if message.role == "assistant":
            assert ids[-1] == end
            assert ids.count(end) == 1


LEARNT: Final = ("lead", "content", "end")


@every_family
def test_what_is_said_holds_no_special_token_and_a_wrapper_nothing_else_in_brackets(name: str) -> None:
    code, family = tokenizer(name), FAMILIES[name]
    special = {code.token_to_id(token) for token in family.control_tokens}
    for text in (*TEXTS, SYSTEM, "<thought>: x", "<action>: y"):
        assert not special & set(code.encode(text, add_special_tokens=False).ids)
    around = [one.text for one in ChatFormat(family).segments(conversation(3, SYSTEM)) if one.part != "content"]
    assert set(re.findall(r"<+[^<>\n]+>+|\[/?[A-Z]+\]", "".join(around))) <= set(family.control_tokens)
