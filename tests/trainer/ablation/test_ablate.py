"""`trainer ablate`: the table, what it names, what it takes again, and sets that `curate run` makes anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ablation_fixtures import curated, person
from conftest import Home, rows
from core_fixtures import Result, trainer
from health_fixtures import base
from jsonschema import Draft202012Validator

from trainer.ablation.ablate import AblationRequest, AblationResult, Comparison, _result
from trainer.ablation.parts import BASE, WHOLE, Bench, filtered, hold_out, judged_by
from trainer.ablation.trials import Trial
from trainer.schema_files import all_schemas
from trainer.training.finetune import FinetuneRequest, prepare

FEW = ("--seeds", 2, "--replies", 8, "--epochs", 1, "--least", 5)
SHAPE = {"diary": (36, 1), "letters": (16, 1), "attic": (20, -1)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = person(tmp_path_factory.mktemp("ablation") / "home", SHAPE)
    curated(home)
    return home


def asked(home: Home, *options: object) -> Result:
    return trainer("ablate", "--profile", "ann", "--home", home.folder, "--base", base(), *FEW, *options)


@pytest.fixture(scope="module")
def first(made: Home) -> Result:
    done = asked(made, "--by", "source")
    assert done.status == 0, done.err
    return done


def folder_of(home: Home, by: str = "source") -> Path:
    (found,) = (home.profile / "out" / "ablations").glob(f"*-{by}")
    return found


def test_every_part_has_its_row_and_the_eta_comes_first(first: Result, made: Home) -> None:
    for name in ("base", "all", "without episodic/diary", "without episodic/letters", "without episodic/attic"):
        assert name in first.out
    assert "recited" in first.out and "harm the set, more than noise: " in first.out
    lines = first.err.splitlines()
    begun = next(place for place, line in enumerate(lines) if line.startswith("9 trainings of "))
    assert "8 replies behind each: about" in lines[begun] and "the same command goes on" in lines[begun]
    assert lines[begun + 1].startswith("2 of 9: all, seed 42: ") and "ETA " in lines[begun + 1]
    assert f"made {folder_of(made) / 'result.json'}" in first.err and "next: " in first.err
    assert not (folder_of(made) / ".lock").exists()


def test_its_files_fit_their_schemas(first: Result, made: Home) -> None:
    schemas = all_schemas()
    result = json.loads((folder_of(made) / "result.json").read_text("utf-8"))
    Draft202012Validator(schemas["ablation.schema.json"]).validate(result)
    trials = rows(folder_of(made) / "trials.jsonl")
    for trial in trials:
        Draft202012Validator(schemas["ablation_trial.schema.json"]).validate(trial)
    assert [(one["arm"], one["seed"]) for one in trials[:3]] == [
        ("base", 42), ("all", 42), ("without episodic/diary", 42)
    ]  # fmt: skip
    assert len(trials) == 9 and {len(one["losses"]) for one in trials} == {result["held_out"]}
    assert {len(one["replies"]) for one in trials} == {8} == {len(one["recited"]) for one in trials}
    whole = next(one for one in trials if one["arm"] == WHOLE)
    assert next(row for row in result["rows"] if row["name"] == WHOLE)["samples"] == whole["samples"]


def test_what_was_trained_is_not_trained_again(first: Result, made: Home, tmp_path: Path) -> None:
    """Stopped in the middle of a line: the lines before it are taken, the rest is trained; the result is the same."""
    home = Home(tmp_path / "copy")
    home.take(made)
    (run,) = (made.profile / "out" / "fine-tuned-models").glob("*/*")
    path = folder_of(home) / "trials.jsonl"
    whole = path.read_text("utf-8")
    lines = whole.splitlines(keepends=True)
    path.write_text("".join(lines[:5]) + lines[5][:100], "utf-8")
    again = asked(home, "--by", "source")
    assert again.status == 0, again.err
    assert f"5 of 9 trainings are in {path} already" in again.err and "4 trainings of " in again.err
    assert [without_clock(one) for one in rows(path)] == [without_clock(json.loads(line)) for line in lines]
    assert figures(again) == figures(first)
    once_more = asked(home, "--by", "source", "--json")
    assert once_more.status == 0 and "9 of 9 trainings" in once_more.err and "ETA" not in once_more.err
    told = AblationResult.model_validate_json(once_more.out)
    assert told.run.endswith(run.name) and told.by == "source" and told.seeds == [42, 43]


def without_clock(trial: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in trial.items() if name != "seconds"}


def figures(done: Result) -> list[str]:
    return [line for line in done.out.splitlines() if "without" in line or "all" in line]


def test_other_settings_are_trained_anew(first: Result, made: Home, tmp_path: Path) -> None:
    home = Home(tmp_path / "copy")
    home.take(made)
    done = asked(home, "--by", "source", "--epochs", 0.5)
    assert done.status == 0 and "already" not in done.err, done.err
    more = asked(home, "--by", "source", "--seeds", 3, "--alone")
    assert more.status == 0 and "9 of 22 trainings" in more.err, more.err
    assert "episodic/attic alone" in more.out


def test_a_line_that_is_no_trial_is_named(first: Result, made: Home, tmp_path: Path) -> None:
    home = Home(tmp_path / "copy")
    home.take(made)
    (folder_of(home) / "trials.jsonl").write_text('{"arm": "all"}\n', "utf-8")
    done = asked(home, "--by", "source")
    assert done.status == 2 and "trials.jsonl:1 is no trial of an ablation" in done.err


# --- what is named, of losses that are known ---


def told_by(bench: Bench, shifts: dict[str, dict[str, float]], by: str = "source") -> AblationResult:
    """The result of trials in which the replies of each source are read so much worse, or better, without a part."""
    arms, untried = filtered(bench, by, 5, alone=False)
    dice, trials = np.random.default_rng(1), {}
    own = [one.dialogue.source.removeprefix("episodic/") for one in bench.held]
    for name in (BASE, WHOLE, *(arm.name for arm in arms)):
        part = name.removeprefix("without episodic/")
        for seed in (42, 43, 44):
            nats = [(3 + shifts.get(part, {}).get(of, 0.0) + dice.normal(0, 0.01)) for of in own]
            losses = [one.tokens * nat for one, nat in zip(bench.held, nats, strict=True)]
            trials[name, seed] = Trial(
                key="", arm=name, seed=seed, samples=9, steps=1, seconds=1.0, losses=losses, replies=["Ba ko."],
                invented=[(0, 2)], recited=[(0, 0)],
            )  # fmt: skip
    request = AblationRequest(FinetuneRequest(home=None), by)
    return _result(request, bench, arms, untried, seeds=[42, 43, 44], trials=trials)


@pytest.fixture(scope="module")
def bench(made: Home) -> Bench:
    (run,) = (made.profile / "out" / "fine-tuned-models").glob("*/*")
    return hold_out(prepare(FinetuneRequest(home=None, run=run, base=base(), options={})))


def test_a_bad_source_is_named_and_the_command_that_takes_the_advice_works(bench: Bench, made: Home) -> None:
    """Without the attic the others are read better; its own replies, read far worse, say nothing. The diary does the
    attic's replies no good, which is not held against it."""
    told = told_by(bench, {
        "attic": {"attic": 2.0, "diary": -0.05, "letters": -0.04},
        "diary": {"diary": 1.0, "letters": 0.1, "attic": -0.3},
    })  # fmt: skip
    assert told.harmful == ["episodic/attic"]
    says = {row.part: row.says for row in told.rows if row.part}
    assert says["episodic/attic"] == "harms" and says["episodic/letters"] == "no difference"
    assert told.useless == ["episodic/letters"]
    row = next(row for row in told.rows if row.part == "episodic/attic")
    assert row.difference is not None and row.margin is not None and row.p is not None
    assert -0.06 < row.difference < -0.04 and row.margin < 0.02 and row.p < 1e-3
    assert row.judged_by == sum(one.dialogue.source != "episodic/attic" for one in bench.held)
    assert told.advice is not None and told.advice.endswith("--exclude source=episodic/attic")
    from conftest import curate_once

    done = curate_once(*told.advice.split()[1:], "--dry-run", "--json")
    fates = json.loads(done.out)["report"]["memory_fates"]
    assert fates["read: excluded"] == SHAPE["attic"][0]


def test_where_no_part_differs_none_is_named_and_there_is_no_advice(bench: Bench) -> None:
    told = told_by(bench, {})
    assert told.harmful == [] and told.advice is None
    assert {row.says for row in told.rows if row.part} == {"no difference"}


def test_the_base_is_compared_with_a_part_alone(bench: Bench) -> None:
    arms, _ = filtered(bench, "source", 5, alone=True)
    alone = next(arm for arm in arms if arm.alone and arm.part == "episodic/diary")
    many = len(bench.held)

    def trial(name: str, seed: int, nats: float) -> Trial:
        losses = [nats * one.tokens + 0.001 * ((seed + place) % 7) for place, one in enumerate(bench.held)]
        return Trial(
            key="", arm=name, seed=seed, samples=1, steps=1, seconds=0.0, losses=losses, replies=[], invented=[],
            recited=[],
        )  # fmt: skip

    trials = {(BASE, 42): trial(BASE, 42, 3.0)} | {
        (alone.name, seed): trial(alone.name, seed, 2.0) for seed in (42, 43)
    }
    found = Comparison(bench, trials, [42, 43], judged_by(bench, "source")).of(alone)
    assert found is not None and found.difference == pytest.approx(-1.0, abs=0.01) and found.replies < many


# --- sets that are made anew ---


def test_a_cleaner_is_left_out_by_a_run_of_its_own(tmp_path: Path) -> None:
    """The fillers stand in replies that are not the person's: without their cleaner the set is another one."""
    home = person(tmp_path / "home", {"diary": (40, 1)})
    for path in sorted((home.episodic / "diary").rglob("*.json"))[::2]:
        data = json.loads(path.read_text())
        path.write_text(json.dumps(data | {"response": f"Okay, {data['response']}"}))
    run = curated(home)
    done = asked(home, "--by", "cleaner")
    assert done.status == 0, done.err
    result = json.loads((folder_of(home, "cleaner") / "result.json").read_text())
    assert [row["part"] for row in result["rows"] if row["part"]] == ["fillers"]
    assert result["untried"]["whitespace"] == "the set is the same without it"
    assert all(row["judged_by"] == result["held_out"] for row in result["rows"])
    (anew,) = (folder_of(home, "cleaner") / "sets" / "fillers").glob("*/*/schema_applied.json")
    assert anew.read_text().count("Okay, ") > (run / "schema_applied.json").read_text().count("Okay, ")
    home.memory("Ba ko ti re?", response="Mu san lor vi en da gor pel ba ko ti re.")
    shutil.rmtree(folder_of(home, "cleaner") / "sets")
    changed = asked(home, "--by", "cleaner")
    assert changed.status == 2 and "does not come out the same" in changed.err and "curate run" in changed.err


def test_the_other_kind_of_question_takes_the_place_of_the_runs_own(tmp_path: Path) -> None:
    home = person(tmp_path / "home", {"diary": (30, 1)})
    for path in sorted((home.episodic / "diary").rglob("*.json"))[::2]:
        data = json.loads(path.read_text())
        kept = {name: data[name] for name in ("id", "timestamp")}
        path.write_text(json.dumps(kept | {"type": "journal", "content": data["response"]}))
    curated(home)
    done = asked(home, "--by", "questions", "--context", 64)
    assert done.status == 0, done.err
    result = json.loads((folder_of(home, "questions") / "result.json").read_text())
    (row,) = (row for row in result["rows"] if row["part"])
    assert row["name"] == "stock instead of passage" and row["samples"] > 0


def test_a_run_without_questions_of_ours_has_none_to_leave_out(made: Home) -> None:
    done = asked(made, "--by", "questions", "--out", made.folder / "none")
    assert done.status == 2 and "no sample answers a question of ours" in done.err


def test_a_set_of_one_part_cannot_be_taken_apart(made: Home) -> None:
    done = asked(made, "--by", "type", "--out", made.folder / "one")
    assert done.status == 2 and "no type can be left out: conversation: nearly all of the set" in done.err


def test_it_needs_a_run(made: Home, tmp_path: Path) -> None:
    assert trainer("ablate", "--by", "source", "--home", made.folder, "--profile", "bob").status == 2
    assert trainer("ablate", "--by", "mood", "--home", made.folder).status == 2
    assert trainer("ablate", "--by", "source", "--home", made.folder, "--seeds", 1).status == 2
