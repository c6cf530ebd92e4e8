"""The parts of a set: which replies are held out, which sets are trained on, and by which replies a part is judged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from ablation_fixtures import curated, person
from health_fixtures import base

from trainer.ablation.parts import FILTERED, MOST, Bench, Held, filtered, hold_out, judged_by, memory_of
from trainer.data.batches import TokenisedExample
from trainer.data.dialogues import Dialogue, read_run
from trainer.training.finetune import FinetuneRequest, prepare

SHAPE = {"diary": (40, 1), "letters": (25, 1), "attic": (30, -1), "scraps": (3, 1)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curated(person(tmp_path_factory.mktemp("parts"), SHAPE))


@pytest.fixture(scope="module")
def bench(run: Path) -> Bench:
    return hold_out(prepare(FinetuneRequest(home=None, run=run, base=base(), options={})))


def test_a_run_says_of_each_sample_where_it_comes_from(run: Path) -> None:
    found = read_run(run).dialogues
    assert Counter(one.source for one in found) == {f"episodic/{name}": count for name, (count, _) in SHAPE.items()}
    assert {one.type for one in found} == {"conversation"} and {one.year for one in found} == {"2024", "2025"}
    assert {one.question for one in found} == {""}


def test_what_is_held_out_is_the_runs_and_a_quarter_of_each_part(bench: Bench, run: Path) -> None:
    held = [one.dialogue for one in bench.held]
    everything = [*bench.ready.samples.train_dialogues, *bench.ready.samples.holdout_dialogues]
    of_run = [one for one in everything if one.split == "holdout"]
    assert of_run and {one.name for one in of_run} <= {one.name for one in held}
    assert sorted(one.name for one in (*held, *bench.train)) == sorted(one.name for one in everything)
    assert 0.2 * len(everything) <= len(held) <= MOST * len(everything) + len(of_run)
    for name, (count, _) in SHAPE.items():
        share = sum(one.source == f"episodic/{name}" for one in held) / count
        assert share == pytest.approx(MOST, abs=0.12), name
    again = hold_out(bench.ready)
    assert [one.dialogue.name for one in again.held] == [one.name for one in held]


def test_no_memory_and_no_near_copy_is_on_both_sides(bench: Bench) -> None:
    near = {one.cluster for one in bench.held if one.dialogue.split != "holdout"}
    assert len(near) > 5
    assert not {memory_of(one.dialogue) for one in bench.held} & {memory_of(one) for one in bench.train}


@pytest.mark.parametrize("by", FILTERED)
def test_a_part_is_left_out_whole_and_nothing_else_is(bench: Bench, by: str) -> None:
    arms, untried = filtered(bench, by, 5, alone=True)
    if by == "type":  # there is one type: without it nothing is left
        assert not arms and untried[0].why.startswith("nearly all of the set")
        return
    assert {arm.part for arm in arms} == ({"2024", "2025"} if by == "year" else {
        "episodic/diary", "episodic/letters", "episodic/attic"
    })  # fmt: skip
    for arm in arms:
        wanted = [one for one in bench.train if (getattr(one, by) == arm.part) == arm.alone]
        assert [one.name for one in arm.dialogues] == [one.name for one in wanted] == [one.name for one in arm.samples]
        assert arm.words == ("--exclude", f"{by}={arm.part}")
    names = [arm.name for arm in arms]
    assert len(set(names)) == len(names) == 2 * len({arm.part for arm in arms})
    if by == "source":
        assert [(one.part, one.why) for one in untried] == [
            ("episodic/scraps", "fewer than 5 training samples: too few to tell")
        ]


def test_samples_weigh_as_a_fine_tune_weighs_them(bench: Bench) -> None:
    dialogues, samples = bench.examples(bench.train)
    assert dialogues == bench.train
    known = dict(zip([one.name for one in bench.ready.samples.train], bench.ready.weighted(), strict=True))
    assert all(known[one.name] == one for one in samples if one.name in known) and len(known) > len(samples) / 2


def held(name: str, source: str = "", question: str = "") -> Held:
    sample = TokenisedExample(name, (1, 5, 6, 1), (0.0, 0.0, 1.0, 1.0))
    return Held(Dialogue(name, "Ba?", "Ko.", conversation=name, source=source, question=question), sample, hash(name))


def test_a_part_is_judged_by_the_replies_of_the_others_but_harmful_ones(bench: Bench) -> None:
    rows = [held("1", "a"), held("2", "b", "passage"), held("3", "c"), held("4", "b")]
    some = Bench(bench.ready, bench.train, rows)
    by_source = judged_by(some, "source")
    assert by_source("a", frozenset()) == [1, 2, 3]
    assert by_source("b", frozenset({"c"})) == [0]
    assert judged_by(some, "cleaner")("fillers", frozenset({"trim"})) == [0, 1, 2, 3]
    assert judged_by(some, "questions")("passage", frozenset()) == [0, 2, 3]
    assert judged_by(Bench(bench.ready, [], rows[1:2]), "questions")("passage", frozenset()) == [0]
    assert [one.tokens for one in rows] == [2, 2, 2, 2]


def test_another_run_of_the_same_person_loses_what_is_held_out_and_near_copies_of_it(bench: Bench) -> None:
    one = bench.held[0].dialogue
    copy = Dialogue("new", one.prompt, one.reply + " Ba.", conversation="ffffffffffffffff-0")
    fresh = Dialogue("other", "Vi en da?", "Pel gor da vi en ba ko san.", conversation="eeeeeeeeeeeeeeee-0")
    kept = bench.apart([*bench.train, one, copy, fresh])
    assert [each.name for each in kept] == [*(each.name for each in bench.train), "other"]
