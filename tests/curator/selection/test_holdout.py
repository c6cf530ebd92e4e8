"""How much is held out, and what is said where it is less than was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Home, Result, rows

from curator.config import HoldoutConfig
from curator.selection.holdout import Candidates, hold_out
from curator.selection.near_duplicates import shingle_sets

Curate = Callable[..., Result]
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")


def different(home: Home, count: int, **keys: Any) -> None:
    """Add conversations of which no two are alike."""
    for n in range(count):
        name, other = WORDS[n % 12], WORDS[(n * 5 + 1) % 12]
        home.memory(f"Which sail is {name} {n}?", response=f"Sail {name} hangs by hook {other} {n} today.", **keys)


def holdout_of(curate: Curate, home: Home, share: float) -> tuple[dict[str, Any], list[str]]:
    """Run, and return the holdout of the report and the warnings that speak of it."""
    result = curate("run", "--username", "ann", "--home", home.folder, "--holdout", share)
    assert result.status == 0, result.err
    report = json.loads((result.run / "report.json").read_text("utf-8"))
    assert len(rows(result.run / "fine_tune_holdout.jsonl")) == report["holdout"]["samples"]
    assert report["train"] >= 1
    return report["holdout"], [warning for warning in report["warnings"] if "holdout" in warning]


@pytest.mark.parametrize(("share", "held"), [(0.6, 7), (0.5, 6), (0.9, 11), (0.99, 11), (0.05, 1), (0.0, 0)])
def test_a_share_is_held_out_as_asked(curate: Curate, home: Home, share: float, held: int) -> None:
    different(home, 12)
    told, notices = holdout_of(curate, home, share)
    assert (told["wanted"], told["samples"], notices) == (held, held, [])


def test_one_sample_is_never_held_out(curate: Curate, home: Home) -> None:
    different(home, 1)
    assert holdout_of(curate, home, 0.9)[0]["samples"] == 0


def test_large_conversations_are_blamed_only_where_they_are(curate: Curate, home: Home) -> None:
    different(home, 12, metadata={"sessionId": "one long evening"})
    told, (notice,) = holdout_of(curate, home, 0.5)
    assert told["samples"] == 0
    assert "12 samples in conversations that are larger than the room left" in notice
    assert "too near" not in notice


def test_nearness_is_blamed_where_it_is_the_reason() -> None:
    """Ten texts of one conversation each, every one near the next below the threshold of a duplicate."""
    words = [f"w{n}" for n in range(200)]
    texts = [" ".join(words[start : start + 40]) for start in range(0, 60, 6)]
    sets = shingle_sets(texts, 2)
    count = len(texts)
    all_of = Candidates(np.zeros(count, dtype=np.int16), np.arange(count), np.arange(count), np.arange(count), sets)
    held = hold_out(all_of, HoldoutConfig(share=0.3, minimum=0), 0.6, seed=42)
    assert held.wanted == 3
    assert len(held.rows) == 0
    assert held.too_near == count
    assert held.too_large == 0


WELL = ("Who dug the old well behind the chapel?", "Two sisters from the valley dug it in a single dry summer.")


def test_what_stands_in_a_conversation_is_in_no_other_part(curate: Curate, home: Home) -> None:
    """Each second memory tells of the well again, in a conversation whose other exchanges are its own."""
    for n in range(40):
        name, other = WORDS[n % 12], WORDS[(n * 5 + 1) % 12]
        own = [(f"Which sail is {name} {n}?", f"Sail {name} hangs by hook {other} {n} today.")]
        own += [(f"Who sewed sail {name} {n}?", f"Aunt {other} sewed it with {n} yards of twine.")] * (n % 2)
        told = [*own, (WELL[0], f"{WELL[1]} So {other} said.")] if n % 2 else own
        messages = [
            ({"role": "user", "content": asked}, {"role": "assistant", "content": said}) for asked, said in told
        ]
        home.memory(messages=[message for both in messages for message in both], tags=["multi_turn"])
    result = curate("run", "--username", "ann", "--home", home.folder, "--holdout", 0.3)
    assert result.status == 0, result.err
    sides: dict[str, set[bool]] = {"train": set(), "holdout": set()}
    for sample in rows(result.run / "curated_memories.json"):
        sides[sample["metadata"].get("split", "train")].add(sample["user_text"] == WELL[0])
    assert True in sides["train"] and sides["holdout"] == {False}


def test_so_is_what_stands_there_as_context_alone() -> None:
    """Sample 0 has a text of its own, and in its context the text of sample 3; so with 1 and 2 nothing is wrong."""
    texts = ["a b c d e f g", "h i j k l m n", "o p q r s t u", "v w x y z aa bb", "v w x y z aa bb"]
    numbers, owners = np.arange(5), np.array([0, 1, 2, 3, 0])
    modes, every = np.zeros(4, dtype=np.int16), np.arange(4)
    sets = shingle_sets(texts, 2)
    for seed in range(20):
        candidates = Candidates(modes, every, every, numbers, sets, owners)
        held = hold_out(candidates, HoldoutConfig(share=0.25, minimum=0), 0.7, seed).rows.tolist()
        assert held in ([1], [2])
