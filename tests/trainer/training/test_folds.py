"""Cross-validation of a fine-tune: every conversation held out once, near-duplicates together, and what it decides."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path

import pytest
from core_fixtures import WIDE_OPEN, home_with, tokenizer, trainer, words
from test_finetune import base, dialogues, finetune  # noqa: F401 - base is a fixture

from curator.contract.errors import UsageError
from trainer.data.dialogues import Dialogue
from trainer.training.folds import fold_of


def talk(number: int, conversation: str, text: str = "") -> Dialogue:
    dice = random.Random(number)
    return Dialogue(
        f"d{number}", " ".join(words(dice, 9)), text or " ".join(words(dice, 15)), conversation=conversation
    )


def test_conversations_and_near_duplicates_stay_together() -> None:
    same = " ".join(["gor pel da en vi lor san mu re ti ko ba"] * 3)
    many = [talk(number, f"c{number // 3}") for number in range(40)]
    twins = [talk(100, "left", same), talk(101, "right", same + " ba")]
    places = fold_of([*many, *twins], tokenizer(), 4, seed=1)
    by_talk: dict[str, set[int]] = {}
    for one, place in zip([*many, *twins], places, strict=True):
        by_talk.setdefault(one.conversation, set()).add(place)
    assert all(len(found) == 1 for found in by_talk.values())
    assert by_talk["left"] == by_talk["right"]
    sizes = Counter(places)
    assert set(sizes) == {0, 1, 2, 3} and max(sizes.values()) - min(sizes.values()) <= 4
    assert places == fold_of([*many, *twins], tokenizer(), 4, seed=1)


def test_more_folds_than_conversations_are_refused() -> None:
    with pytest.raises(UsageError, match="there are 2 conversations that are not alike"):
        fold_of([talk(0, "a"), talk(1, "a"), talk(2, "b")], tokenizer(), 3, seed=1)


def report(out: Path) -> dict:
    return json.loads((out / "training" / "health.json").read_text("utf-8"))


def test_all_conversations_count_and_the_evidence_is_no_longer_weak(base: Path, tmp_path: Path) -> None:  # noqa: F811
    data = dialogues(tmp_path, 40)
    plain = finetune(base, data, tmp_path / "plain", "--steps", 20)
    done = finetune(base, data, tmp_path / "out", "--steps", 20, "--folds", 4)
    assert plain.status == done.status == 0, done.err
    assert "weak evidence" in plain.err and "weak evidence" not in done.err
    assert "cross-validation: 4 trainings of" in done.err
    assert "each of 40 samples held out once, in 4 folds" in " ".join(done.err.split())
    told = report(tmp_path / "out")
    assert len(told["folds"]) == 4 and told["sizes"]["cross_validated"] == 40
    (replies,) = (one for one in told["metrics"] if one["name"] == "reply_perplexity")
    # The figure is that of all folds: it lies between the best and the worst of them.
    assert min(tuned for _, tuned in told["folds"]) <= replies["tuned"] <= max(tuned for _, tuned in told["folds"])
    assert replies["tuned"] < replies["base"]
    (before,) = (one for one in report(tmp_path / "plain")["metrics"] if one["name"] == "reply_perplexity")
    assert not math.isclose(before["tuned"], replies["tuned"], rel_tol=1e-6)


def test_the_folds_decide_whether_it_learnt_anything(base: Path, tmp_path: Path) -> None:  # noqa: F811
    """A budget that only the folds can break: nothing improves by 99.9%, and the gate says by what it was judged."""
    strict = WIDE_OPEN | {"budgets": {**WIDE_OPEN["budgets"], "reply_perplexity": 0.999}}
    home = home_with(tmp_path / "strict", strict)
    done = finetune(base, dialogues(tmp_path, 40), tmp_path / "out", "--steps", 20, "--folds", 2, home=home)
    assert done.status == 1 and "in 2 folds" in " ".join(done.err.split()), done.err
    assert report(tmp_path / "out")["verdict"] == "refused"


@pytest.mark.parametrize("number", ["1", "21", "x"])
def test_a_number_of_folds_that_makes_no_sense_is_refused(base: Path, tmp_path: Path, number: str) -> None:  # noqa: F811
    assert trainer("finetune", "--data", dialogues(tmp_path, 5), "--base", base, "--folds", number).status == 2
