"""A model of several modes: exported to Hugging Face, GGUF and Ollama, it is asked in the trained text, by tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from curator.contract.jinja_chat import render
from curator.contract.records import Message
from trainer.data.dialogues import Dialogue, encode
from trainer.exports import export
from trainer.exports.gguf_file import load_gguf
from trainer.exports.go_template import read_modelfile, rendered
from trainer.model.checkpoint import Checkpoint, chat_template, load_checkpoint
from trainer.names import builtin_base

TAGS = {
    "dual": ["<thought>: ", "<world>: "], "emulation": ["<user>: ", "<assistant>: "], "quiz": ["<q1>: ", "<a_2>: "],
}  # fmt: skip
HISTORY = (("I said “yes” to ‘her’, didn’t I?", "She said “no”."),)
ASKED, REPLY = "Why “not” then?", "Because it’s late."


@pytest.fixture(scope="module")
def tuned() -> Checkpoint:
    """The base with the template of a fine-tune on three modes."""
    base = load_checkpoint(builtin_base())
    assert base.record.template.plain_quotes, "the test is about straight quotes too"
    template = base.record.template.model_copy(update={"tags": TAGS})
    return replace(base, record=base.record.model_copy(update={"template": template}))


def conversation(system: str = "", reply: str = "") -> list[Message]:
    """The messages of HISTORY and ASKED, with a system text and a last reply where they are given."""
    messages = [Message("system", system)] if system else []
    for asked, answered in HISTORY:
        messages += [Message("user", asked), Message("assistant", answered)]
    return [*messages, Message("user", ASKED), *([Message("assistant", reply)] if reply else [])]


@pytest.mark.parametrize("mode", TAGS)
@pytest.mark.parametrize("named_by", ["variable", "system text"])
def test_the_jinja_template_gives_the_trained_tokens(tuned: Checkpoint, mode: str, named_by: str) -> None:
    template, tokenizer = tuned.record.template, tuned.tokenizer
    values = {"mode": mode} if named_by == "variable" else {}
    system = mode if named_by == "system text" else ""
    text = chat_template(template)
    prompt = render(text, conversation(system), generation_prompt=True, bos_token="", **values)
    assert tokenizer.encode(prompt) == tokenizer.encode(template.wrap(ASKED, HISTORY, mode))
    whole = render(text, conversation(system, REPLY), generation_prompt=False, bos_token="<s>", **values)
    trained, _ = encode(Dialogue("one", ASKED, REPLY, HISTORY, mode), template, tokenizer, 256)
    assert trained is not None
    body = whole.removeprefix("<s>").removesuffix("<s>")
    assert [*tokenizer.encode(body), tokenizer.encode("")[0]] == list(trained.ids)


def test_without_a_mode_the_first_one_counts(tuned: Checkpoint) -> None:
    template = tuned.record.template
    text = render(chat_template(template), conversation(), generation_prompt=True, bos_token="")
    assert text == template.wrap(ASKED, HISTORY, "dual")
    other = render(chat_template(template), conversation("You are Ann."), generation_prompt=True, bos_token="")
    assert other == text, "a system text that names no mode is none of the trained text"


def test_a_model_of_one_mode_keeps_its_plain_template(tuned: Checkpoint) -> None:
    plain = tuned.record.template.model_copy(update={"tags": {}})
    text = render(chat_template(plain), conversation(reply=REPLY), generation_prompt=False, bos_token="<s>")
    assert text == "<s>" + plain.wrap(ASKED, HISTORY) + plain.after_prompt(REPLY) + "<s>"
    assert "“" not in text and "mode" not in chat_template(plain)


@pytest.mark.parametrize("mode", TAGS)
def test_the_modelfile_and_the_gguf_give_the_trained_prompt(tuned: Checkpoint, mode: str, tmp_path: Path) -> None:
    said: list[str] = []
    folder = export(tuned, "ollama", tmp_path / "model", log=said.append)
    template, trained = dict(read_modelfile(folder / "Modelfile"))["TEMPLATE"], tuned.record.template
    straight = ASKED.replace("“", '"').replace("”", '"')  # Ollama's templates cannot replace them, and it is said
    asked, answered = [text.translate(str.maketrans("“”‘’", "\"\"''")) for text in HISTORY[0]]
    for back in (f" {answered}", answered):  # a client may cut the blank off that the model wrote
        found = rendered(template, [asked, straight], [back], mode)
        assert found == trained.wrap(ASKED, HISTORY, mode)
    assert any("curly" in line for line in said) and any("system text" in line for line in said)
    fields = load_gguf().GGUFReader(folder / "model.gguf").fields
    assert fields["tokenizer.chat_template"].contents() == chat_template(trained)
