"""How much is held out, and what is said where it is less than was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Home, Result, rows, run, samples
from test_near_duplicates import close_files, signed  # noqa: F401 - a fixture

from curator.config import HoldoutConfig
from curator.selection.holdout import Candidates, Fixed, Nearness, hold_out
from curator.selection.shingles import ShingleSets, shingle_sets

NO_PARTS = (shingle_sets([], 2), np.zeros(0, dtype=np.int64))
NO_REPLIES = ShingleSets(np.zeros(0, dtype=np.uint32), np.zeros(5, dtype=np.int64))

Curate = Callable[..., Result]
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")


def different(home: Home, count: int, **keys: Any) -> None:
    """Add conversations of which no two are alike."""
    for n in range(count):
        name, other = WORDS[n % 12], WORDS[(n * 5 + 1) % 12]
        home.memory(f"Which sail is {name} {n}?", response=f"Sail {name} hangs by hook {other} {n} today.", **keys)


def holdout_of(curate: Curate, home: Home, share: float, *more: object) -> tuple[dict[str, Any], list[str]]:
    """Run, and return the holdout of the report and the warnings that speak of it."""
    result = curate("run", "--username", "ann", "--home", home.folder, "--holdout", share, *more)
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
    modes, numbers = np.zeros(count, dtype=np.int16), np.arange(count)
    all_of = Candidates(modes, numbers, numbers, numbers, sets, sets, signed(sets), *NO_PARTS)
    nearness = Nearness(0.6, 2, lambda place: ("", texts[place]))
    held = hold_out(
        all_of, HoldoutConfig(share=0.3, minimum=0), nearness, seed=42, fixed=Fixed.nothing(len(all_of.rows))
    )
    assert held.wanted == 3
    assert len(held.rows) == 0
    assert held.too_near == count
    assert held.too_large == 0


LONG = "It lies by the harbour under a green cover since the storm of last winter"


def test_a_long_reply_stands_on_one_side_whatever_was_asked(curate: Curate, home: Home) -> None:
    for n in range(12):
        home.memory(
            f"Which {WORDS[n]} thing did {WORDS[(n * 5 + 1) % 12]} see there?", response=f"{LONG}{'.' * (n % 2)}"
        )
    different(home, 12)
    held, trained = sides(curate, home)
    assert held
    assert not [reply for reply in held if reply.startswith(LONG)]
    assert sum(reply.startswith(LONG) for reply in trained) == 12


def test_short_replies_may_stand_on_both_sides(curate: Curate, home: Home) -> None:
    for n in range(24):
        home.memory(f"Does sail {WORDS[n % 12]} {n} hang by hook {WORDS[(n * 5 + 1) % 12]}?", response="Yes it does.")
    held, trained = sides(curate, home)
    assert set(held) == set(trained) == {"Yes it does."}


def test_a_correction_is_kept_on_the_side_of_what_it_corrects(curate: Curate, home: Home) -> None:
    common = "Dentist with the red door near the old mill, take the papers of last year along"
    for n in range(12):
        for hour in ("four", "five"):
            own = " ".join(f"{WORDS[n]}{letter}" for letter in "abcdefghij")
            home.memory(f"{own} {common} by {hour}.", type="journal")
    held, trained = sides(curate, home, 0.3)
    assert held
    assert len(held) + len(trained) == 24
    for reply in held:
        other = (
            reply.removesuffix("four.") + "five." if reply.endswith("four.") else reply.removesuffix("five.") + "four."
        )
        assert other in held, reply


def test_where_no_text_is_long_enough_to_be_compared_nothing_is_held_out(curate: Curate, home: Home) -> None:
    for n in range(12):
        home.memory(WORDS[n], response=f"{WORDS[(n * 5 + 1) % 12]} {n}")
    told, (warning,) = holdout_of(curate, home, 0.5)
    assert told["samples"] == 0
    assert "too few words to be compared" in warning


def test_samples_that_cannot_be_measured_are_counted() -> None:
    texts = ["yes", "no", *(" ".join(f"w{n}x{k}" for k in range(20)) for n in range(2))]
    sets = shingle_sets(texts, 2)
    numbers = np.arange(4)
    all_of = Candidates(np.zeros(4, dtype=np.int16), numbers, numbers, numbers, sets, sets, signed(sets), *NO_PARTS)
    held = hold_out(
        all_of,
        HoldoutConfig(share=0.75, minimum=0),
        Nearness(0.7, 2, lambda n: ("", texts[n])),
        1,
        Fixed.nothing(len(all_of.rows)),
    )
    assert len(held.rows) == 3
    assert held.not_measured == sum(len(texts[row].split()) == 1 for row in held.rows.tolist()) > 0


def sides(curate: Curate, home: Home, share: float = 0.25) -> tuple[list[str], list[str]]:
    """Run, and return the replies held out and those left to train on."""
    result = curate("run", "--username", "ann", "--home", home.folder, "--holdout", share)
    assert result.status == 0, result.err
    found: tuple[list[str], list[str]] = ([], [])
    for sample in json.loads((result.run / "curated_memories.json").read_text("utf-8")):
        found[sample["metadata"].get("split") != "holdout"].append(sample["assistant_text"])
    return found


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
    modes, every = np.zeros(4, dtype=np.int16), np.arange(4)
    sets, none, parts = shingle_sets(texts[:4], 2), NO_REPLIES, shingle_sets(texts[4:], 2)
    for seed in range(20):
        candidates = Candidates(modes, every, every, every, sets, none, signed(none), parts, np.array([0]))
        nearness = Nearness(0.7, 2, lambda place: ("", texts[place]))
        held = hold_out(
            candidates, HoldoutConfig(share=0.25, minimum=0), nearness, seed, Fixed.nothing(len(candidates.rows))
        ).rows.tolist()
        assert held in ([1], [2])


def test_the_share_of_a_mode_goes_by_what_is_new() -> None:
    """A thousand samples that an earlier run learnt leave the new ones of another mode their whole share."""
    rng = np.random.default_rng(3)
    texts = [" ".join(f"w{word}" for word in rng.integers(0, 100_000, 14)) for _ in range(300)]
    numbers, modes = np.arange(300), np.array([0] * 200 + [1] * 100, dtype=np.int16)
    sets = shingle_sets(texts, 2)
    learnt = np.arange(300) < 200
    fixed = replace(Fixed.nothing(300), learnt=learnt)
    all_of = Candidates(modes, numbers, numbers, numbers, sets, sets, signed(sets), *NO_PARTS)
    nearness = Nearness(0.6, 2, lambda place: ("", texts[place]))
    held = hold_out(all_of, HoldoutConfig(share=0.1, minimum=0), nearness, seed=1, fixed=fixed)
    assert held.wanted == len(held.rows) == 10 and not learnt[held.rows].any()


# --- by time ---


def apart(home: Home, count: int, first: int = 0, **keys: Any) -> None:
    """Add conversations that have hardly a word in common."""
    for n in range(first, first + count):
        own = [f"{WORDS[n % 12]}{chr(97 + n // 12)}{letter}" for letter in "abcdefghij"]
        home.memory(f"Which {own[0]} of {own[1]} is it?", response=f"{' '.join(own[2:])}.", **keys)


def times_of(folder: Path) -> tuple[list[str], list[str]]:
    """The times of the samples that are held out, and of those that are trained on, each in order."""
    found: tuple[list[str], list[str]] = ([], [])
    for sample in samples(folder):
        found[sample["metadata"].get("split") != "holdout"].append(sample["metadata"]["timestamp"])
    return sorted(found[0]), sorted(found[1])


def test_by_time_the_newest_conversations_are_held_out(curate: Curate, home: Home) -> None:
    apart(home, 40)
    drawn, newest = (run(curate, home, "--holdout", 0.2, *more) for more in ((), ("--holdout-by", "time")))
    held, trained = times_of(newest)
    assert len(held) == 8 and trained[-1] < held[0]
    assert times_of(drawn)[1][-1] > times_of(drawn)[0][0], "by chance they are not"
    report = json.loads((newest / "report.json").read_text("utf-8"))
    assert report["holdout"]["by"] == "time" and report["holdout"]["highest_similarity"] < 0.7
    summary = json.loads((newest / "run-summary.json").read_text("utf-8"))
    assert summary["config"]["holdout"]["by"] == "time"
    assert summary["command"][summary["command"].index("--holdout-by") + 1] == "time"
    assert json.loads((drawn / "run-summary.json").read_text("utf-8"))["config"]["holdout"]["by"] == "random"


def test_by_time_a_conversation_is_as_new_as_its_newest_sample_and_stays_whole(curate: Curate, home: Home) -> None:
    apart(home, 2, metadata={"sessionId": "from the first day on"})
    apart(home, 36, first=2)
    apart(home, 1, first=40, metadata={"sessionId": "from the first day on"})
    held, trained = times_of(run(curate, home, "--holdout", 0.1, "--holdout-by", "time"))
    assert len(held) == 4 and len(trained) == 35
    assert held[0] < held[1] < trained[0] < trained[-1] < held[-1], "its first two are the oldest of all"


def test_by_time_a_twin_of_what_is_newest_is_held_out_with_it(curate: Curate, home: Home) -> None:
    home.memory("Which thing did the other one see in the yard?", response=f"{LONG}.")
    apart(home, 38)
    home.memory("What lies over there by the wall, do you know?", response=f"{LONG}!")
    held, trained = times_of(run(curate, home, "--holdout", 0.1, "--holdout-by", "time"))
    assert len(held) == 4 and held[0] < trained[0] and held[-1] > trained[-1]


def test_by_time_what_has_no_date_to_be_believed_is_never_the_newest(curate: Curate, home: Home) -> None:
    apart(home, 20)
    for number in range(4):
        name = f"Which lamp burns in cabin {WORDS[number]} of the ship?"
        path = home.memory(name, response=f"Lamp {WORDS[number + 5]} burns there since {number}.", id=f"x{number}")
        told = json.loads(path.read_text("utf-8")) | {"timestamp": "9000-01-01T00:00:00Z"}
        path.unlink()
        home.file(f"lamp{number}.json", json.dumps(told))
    folder = run(curate, home, "--holdout", 0.2, "--holdout-by", "time")
    held, trained = times_of(folder)
    assert len(held) == 5 and all(time.startswith("2025") for time in held)
    assert [time for time in trained if time.startswith("9000")] == ["9000-01-01T00:00:00Z"] * 4
    told, (notice,) = holdout_of(curate, home, 0.95, "--holdout-by", "time")
    assert told["samples"] == 20 and "4 samples in conversations without a date to be believed" in notice


def test_the_holdout_of_an_earlier_run_stays_and_the_newest_of_what_is_new_join_it(curate: Curate, home: Home) -> None:
    apart(home, 20)
    first = run(curate, home, "--holdout", 0.2)
    apart(home, 20, first=20)
    second = run(curate, home, "--holdout", 0.2, "--holdout-by", "time", "--since", first)
    kept, held = times_of(first)[0], times_of(second)[0]
    assert set(kept) < set(held) and len(held) == 8
    assert min(set(held) - set(kept)) > times_of(second)[1][-1]
