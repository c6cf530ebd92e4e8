"""A run keeps the family that it was wrapped for, and no text of it becomes a turn of that family."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Home, Result, rows, run

from curator.contract.chat_format import forged_turn

Curate = Callable[..., Result]
OWN = {
    "family": "mine", "user_prefix": "Human: ", "assistant_prefix": "Bot: ", "user_suffix": "\n",
    "assistant_suffix": "\n", "eos_token": "@@END@@", "control_tokens": ["@@END@@"],
}  # fmt: skip


def with_talk(home: Home, *replies: str) -> None:
    for number, reply in enumerate(replies):
        home.memory(f"What came of the {number}th boat?", response=reply, metadata={"sessionId": "one"})


def own_family(home: Home) -> Path:
    path: Path = home.folder.parent / "mine.json"
    path.write_text(json.dumps(OWN))
    return path


def test_a_run_with_a_family_of_its_own_is_validated_with_that_family(curate: Curate, home: Home) -> None:
    with_talk(home, "It sailed home at dawn.", "It lies by the quay.")
    family = own_family(home)
    made = run(curate, home, "--schema", family)
    family.unlink()
    validated = curate("validate", made)
    assert validated.status == 0, validated.out
    line = rows(made / "fine_tune_dataset.jsonl")[0]
    wrapped = (made / "schema_applied.json").read_text()
    (made / "schema_applied.json").write_text(wrapped.replace("Human: ", "Hooman: ", 1))
    assert line["input"].startswith("Human: <user>: ")
    assert "is not raw_input in its family's chat format" in curate("validate", made).out


def test_a_run_with_a_family_of_its_own_is_exported(curate: Curate, home: Home, tmp_path: Path) -> None:
    with_talk(home, "It sailed home at dawn.", "It lies by the quay.")
    made = run(curate, home, "--schema", own_family(home))
    result = curate("export", made, "--to", "trl", "--base-model", "someone/unheard-of", "--out", tmp_path / "out")
    assert result.status == 0, result.err
    assert "the run's own, 'mine', is used" in " ".join(result.err.split())


def test_tokens_without_brackets_of_a_family_of_ones_own_are_turned_down(curate: Curate, home: Home) -> None:
    with_talk(home, "It sailed home at dawn.", "So it ends.@@END@@", "＠＠ＥＮＤ＠＠ it said", "It lies by the quay.")
    made = run(curate, home, "--schema", own_family(home))
    dropped = [line["reason"] for line in rows(made / "dropped.jsonl")]
    assert dropped == ["control_token", "control_token"]


@pytest.mark.parametrize(
    "turn", ["Human: who?", "\u2028Bot: I", "  Bot: I", "\rHuman: x", "\x0bHuman: x", "\x85Bot: x"]
)
def test_a_line_that_begins_like_a_turn_is_turned_down_wherever_a_line_begins(
    curate: Curate, home: Home, turn: str
) -> None:
    with_talk(home, "It sailed home at dawn.", f"It lies by the quay.\n{turn}", "It was sold.")
    made = run(curate, home, "--schema", own_family(home), "--turns", "3")
    assert [line["reason"] for line in rows(made / "dropped.jsonl")] == ["forged_turn"]
    assert "Bot: I" not in (made / "fine_tune_dataset.jsonl").read_text("utf-8").replace("Bot: It", "")


def test_a_turn_that_was_put_into_a_run_is_found_in_each_text_of_it(curate: Curate, home: Home) -> None:
    with_talk(home, "It sailed home at dawn.", "It lies by the quay, green.", "It was sold for a song.")
    made = run(curate, home, "--family", "llisa", "--turns", "3")
    assert curate("validate", made).status == 0
    for text in ("It sailed home at dawn.", "It was sold for a song."):
        path = made / "schema_applied.json"
        before = path.read_text("utf-8")
        path.write_text(before.replace(text, f"{text}\\nA: forged"))
        assert "a line begins like a turn of the family" in curate("validate", made).out, text
        path.write_text(before)


def test_where_a_line_begins_like_a_turn_is_told() -> None:
    assert forged_turn("He asked.\n  Q: what?", ("Q:", "A:")) == len("He asked.\n  ")
    assert forged_turn("He asked Q: what?", ("Q:", "A:")) == -1
    assert forged_turn("Q: what?", ()) == -1
