"""trainer models: what a person's checkpoints are worth, which is in use, and the way back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from core_fixtures import trainer
from use_fixtures import save, says

from trainer.model.checkpoint import GateResult

PASSED = GateResult(passed=True, accepted_degraded=False, alpha=1.0)
DEGRADED = GateResult(passed=False, accepted_degraded=True, alpha=1.0, broken=["it recites"])
FIGURES = {
    "health_reply_perplexity": 64.9, "health_base_perplexity": 28.1, "health_oov_rate": 0.0042, "health_eos_rate": 0.95,
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "profiles" / "ann" / "out" / "checkpoints"
    folder.mkdir(parents=True)
    for day, name, gate in ((1, "monday", PASSED), (2, "tuesday", PASSED), (3, "wednesday", DEGRADED)):
        save(folder / name, says(" bako"), gate=gate, metrics=FIGURES, created=f"2026-11-0{day}T10:00:00+00:00")
    (folder / "thursday" / "training").mkdir(parents=True)
    return tmp_path


def names_in_use(home: Path) -> list[str]:
    rows = json.loads(trainer("models", "--home", home, "--json").out)
    return [row["name"] for row in rows if row["in_use"]]


def test_every_checkpoint_is_listed_with_its_figures(home: Path) -> None:
    done = trainer("models", "--home", home)
    assert done.status == 0, done.err
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.out.splitlines() if "│" in line]
    figures = ["64.9", "28.1", "0.4%", "95.0%"]
    assert rows == [
        ["thursday", "", "", "", "", "", "unfinished", ""],
        ["monday", "2026-11-01", *figures, "passed", ""],
        ["tuesday", "2026-11-02", *figures, "passed", "●"],
        ["wednesday", "2026-11-03", *figures, "degraded", ""],
    ]
    assert f"next: trainer chat {home / 'profiles' / 'ann' / 'out' / 'checkpoints' / 'tuesday'}\n" in done.err


def test_without_a_word_the_newest_that_passed_is_in_use(home: Path) -> None:
    assert names_in_use(home) == ["tuesday"]


def test_one_is_put_to_use_and_back_again(home: Path) -> None:
    for step, now in (("monday", "monday"), ("wednesday", "wednesday"), ("wednesday", "wednesday")):
        assert trainer("models", "--home", home, "--username", "ann", "--use", step).status == 0
        assert names_in_use(home) == [now]
    assert "monday is in use again" in trainer("models", "--home", home, "--back").err
    assert "tuesday is in use again" in trainer("models", "--home", home, "--back").err
    done = trainer("models", "--home", home, "--back")
    assert done.status == 2 and "no other checkpoint was in use before this one" in done.err
    assert names_in_use(home) == ["tuesday"]


def test_one_that_is_deleted_is_no_longer_in_use(home: Path) -> None:
    trainer("models", "--home", home, "--use", "wednesday")
    shutil.rmtree(home / "profiles" / "ann" / "out" / "checkpoints" / "wednesday")
    assert names_in_use(home) == ["tuesday"]


def test_mistakes_are_named(home: Path) -> None:
    done = trainer("models", "--home", home, "--use", "tusday")
    assert done.status == 2 and "unknown checkpoint 'tusday'" in done.err and "Did you mean 'tuesday'" in done.err
    unfinished = trainer("models", "--home", home, "--use", "thursday")
    assert unfinished.status == 2 and "unknown checkpoint 'thursday'" in unfinished.err
    place = home / "profiles" / "ann" / "out" / "checkpoints" / "in-use.json"
    place.write_text('{"names": 5}')
    done = trainer("models", "--home", home)
    assert done.status == 2 and f"{place} is not in its form" in done.err


def test_a_person_without_any_is_told_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "profiles" / "bea").mkdir(parents=True)
    done = trainer("models", "--home", tmp_path)
    assert done.status == 0 and done.out == ""
    assert "there is no checkpoint that passed in" in done.err and "next: trainer finetune --profile bea" in done.err
    chat = trainer("chat", "--home", tmp_path)
    assert chat.status == 2 and "make one with: trainer finetune --profile bea" in chat.err


def test_chat_talks_with_the_one_in_use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.StringIO("ti\n"))
    done = trainer("chat", "--home", home, "--temperature", 0)
    assert done.status == 0 and done.out == "bako\n\n" and "tuesday: the one in use" in done.err
