"""`trainer finetune --canaries`: a probe beside the models, measured and never used."""

from __future__ import annotations

import json
import os
import shlex
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core_fixtures import WIDE_OPEN, Result, home_with, trainer
from use_fixtures import roomy_base

from curator.contract.errors import UsageError
from trainer.model.checkpoint import load_record
from trainer.training.finetune import FinetuneRequest, finetune, prepare
from trainer.training.loop import StepMetrics, Stopped, TrainerCallback

# A budget that every model breaks: what is not a probe is refused.
STRICT: dict[str, Any] = WIDE_OPEN | {
    "budgets": {"base_perplexity": 1e9, "oov_rate": 1.0, "memorisation": 1.0, "reply_perplexity": 0.999,
                "eos_rate": 0.0},
    "canaries": {"repeats": [1, 3], "others": 64, "draws": 1},
}  # fmt: skip
FAST = "--steps 4 --eval-steps 2 --save-steps 1 --precision fp32 --threads 1 --compile never".split()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a base beside it, and dialogues of which a part is held out."""
    folder = tmp_path_factory.mktemp("canaries")
    home_with(folder, STRICT)
    rows = [{"input": f"ba ko {number} re mu?", "output": f"san lor {number * 7} vi en."} for number in range(40)]
    (folder / "told.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    roomy_base(folder / "base")
    return folder


def command(place: Path, out: str, *more: object) -> list[object]:
    return ["finetune", "--data", place / "told.jsonl", "--base", place / "base", "--home", place,
            "--out", place / "profiles" / "ann" / "out" / "checkpoints" / out, *FAST, *more]  # fmt: skip


@pytest.fixture(scope="module")
def probe(place: Path) -> tuple[Path, Result]:
    """A probe with two canaries for each number of repetitions, and what its command printed."""
    done = trainer(*command(place, "first", "--canaries", 2))
    assert done.status == 0, done.err
    return place / "profiles" / "ann" / "out" / "checkpoints" / "first-canaries", done


def test_a_probe_lies_in_a_folder_of_its_own_and_says_what_it_is(place: Path, probe: tuple[Path, Result]) -> None:
    out, done = probe
    assert done.out.splitlines()[-1] == str(out) and not out.with_name("first").exists()
    _, record = load_record(out)
    assert record.is_probe and record.data["canaries"] == 4 and record.gate is None
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.out.splitlines() if "│" in line]
    assert [row[:2] for row in rows] == [["never", "2"], ["once", "2"], ["3 times", "2"]]
    assert [row[-1] for row in rows] == ["0", "0", "0"]
    assert "planting 4 canaries, 8 samples with their copies, " in done.err
    words = next(shlex.split(line) for line in done.err.splitlines() if line.startswith("next: "))
    assert words[1:] == ["trainer", *map(str, command(place, "first"))], "the same without canaries"


def test_its_report_has_a_section_of_them_and_a_verdict_of_its_own(probe: tuple[Path, Result]) -> None:
    report = json.loads((probe[0] / "training" / "health.json").read_text("utf-8"))
    assert report["verdict"] == "probe" and report["headline"][0].startswith("PROBE, no model to use")
    assert "such a model would be refused: it learnt nothing" in report["headline"][0].replace("Such", "such")
    assert report["headline"][1].startswith("canaries: exposure ")
    canaries = report["canaries"]
    assert [(row["repeats"], row["canaries"]) for row in canaries["rows"]] == [(0, 2), (1, 2), (3, 2)]
    assert (canaries["samples"], canaries["others"], len(canaries["found"])) == (8, 64, 6)
    page = (probe[0] / "training" / "health.html").read_text("utf-8")
    assert "<h2>Planted canaries</h2>" in page and "A probe, with canaries" in page
    assert all(one["reply"] in page for one in canaries["found"])


def test_what_is_held_out_and_what_is_asked_is_as_without_canaries(place: Path, probe: tuple[Path, Result]) -> None:
    """The same recipe and the same holdout; without canaries this budget refuses, with them it does not."""
    plain = trainer(*command(place, "plain"))
    assert plain.status == 1 and "the fine-tune is refused" in plain.err
    reports = [
        json.loads((probe[0].with_name(name) / "training" / "health.json").read_text("utf-8"))
        for name in ("plain", "first-canaries")
    ]
    assert reports[0]["verdict"] == "refused" and reports[0]["canaries"] is None
    assert reports[0]["sizes"]["held_out"] == reports[1]["sizes"]["held_out"] > 0
    assert reports[0]["sizes"]["train"] == reports[1]["sizes"]["train"]
    asked = [[row["prompt"] for row in report["replies"]] for report in reports]
    based = [[figure["base"] for figure in report["metrics"] if figure["name"] == "reply_perplexity"]
             for report in reports]  # fmt: skip
    assert asked[0] == asked[1] and based[0] == based[1]
    plans = [json.loads((probe[0].with_name(name) / "training" / "plan.json").read_text("utf-8"))
             for name in ("plain", "first-canaries")]  # fmt: skip
    assert plans[0]["settings"] == plans[1]["settings"]
    assert (plans[0]["canaries"], plans[1]["canaries"]) == (None, 2)


def test_canaries_are_trained_as_often_as_they_are_planted(place: Path) -> None:
    request = FinetuneRequest(home=place, data=place / "told.jsonl", base=place / "base", canaries=2)
    ready = prepare(request)
    planted = ready.planted()
    assert sorted(planted.count(one) for one in set(planted)) == [1, 1, 3, 3]
    assert {one.name for one in planted} == {one.name for one in ready.canaries if one.repeats}
    assert {weight for one in planted for weight in one.weights} == {0.0, 0.3, 1.0, 3.0}, "as other samples are"
    assert not {one.prompt for one in ready.canaries} & {one.prompt for one in ready.samples.train_dialogues}
    assert prepare(replace(request, canaries=None)).samples == ready.samples


def test_a_probe_is_listed_and_never_used(
    place: Path, probe: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = probe[0].name
    listed = {row["name"]: row for row in json.loads(trainer("models", "--home", place, "--json").out)}
    assert listed[name]["gate"] == "probe" and not listed[name]["in_use"]
    monkeypatch.chdir(place)
    assert "there is no such checkpoint" in (said := trainer("info", "nope").err) and "is the newest here" not in said
    for words in (
        ("models", "--home", place, "--use", name), ("chat", "--home", place),
        ("export", probe[0], "--to", "bin", "--out", place / "model.bin"),
        command(place, "other", "--from", probe[0]), [*command(place, "other")[:3], "--base", probe[0]],
        ("convert", place / "base", "--dtype", "float32", "--out", place / "mean", "--average", probe[0]),
    ):  # fmt: skip
        done = trainer(*words)
        assert done.status == 2 and ("probe" in done.err or "no checkpoint that passed" in done.err), (words, done.err)
    assert not (place / "model.bin").exists() and not (place / "mean").exists()


def test_a_probe_is_exported_where_it_is_asked_for_by_name(place: Path, probe: tuple[Path, Result]) -> None:
    done = trainer("export", probe[0], "--to", "bin", "--out", place / "asked.bin", "--probe")
    assert done.status == 0, done.err
    assert (place / "asked.bin").is_file() and "is a probe: it may say sentences of random words" in done.err


def test_its_health_keeps_what_was_found(place: Path, probe: tuple[Path, Result]) -> None:
    done = trainer("health", probe[0], "--home", place, "--threads", 1, "--json")
    assert done.status == 0, done.err
    report, own = json.loads(done.out), json.loads((probe[0] / "training" / "health.json").read_text("utf-8"))
    assert report["verdict"] == "probe" and report["canaries"] == own["canaries"]


def test_as_json_the_findings_stand_beside_the_record(place: Path) -> None:
    done = trainer(*command(place, "json", "--canaries", 1, "--json"))
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["checkpoint"].endswith("json-canaries") and told["record"]["data"]["canaries"] == 2
    assert [row["repeats"] for row in told["canaries"]["rows"]] == [0, 1, 3]


class _Interrupted(TrainerCallback):
    def step(self, metrics: StepMetrics, steps: int) -> None:
        if metrics.step == 2:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_probe_that_was_stopped_is_gone_on_with(place: Path, probe: tuple[Path, Result]) -> None:
    out = place / "profiles" / "ann" / "out" / "checkpoints" / "stopped"
    options = {"precision": "fp32", "threads": 1, "compile": "never", "eval_steps": 2, "save_steps": 1}
    request = FinetuneRequest(
        home=place, data=place / "told.jsonl", base=place / "base", out=out, steps=4, canaries=2, options=options
    )
    with pytest.raises(Stopped):
        finetune(request, _Interrupted())
    done = trainer("resume", out.with_name("stopped-canaries"))
    assert done.status == 0, done.err
    assert f"next: trainer finetune --data {place / 'told.jsonl'}\n" in done.err
    reports = [json.loads((folder / "training" / "health.json").read_text("utf-8"))
               for folder in (probe[0], out.with_name("stopped-canaries"))]  # fmt: skip
    assert reports[0]["canaries"] == reports[1]["canaries"], "as if it had never stopped"


def test_what_cannot_be_planted_is_said(place: Path) -> None:
    done = trainer(*command(place, "short", "--canaries", 2, "--context", 48))
    assert done.status == 2 and "--canaries: they do not fit into 48 tokens" in done.err
    request = FinetuneRequest(home=place, data=place / "told.jsonl", base=place / "base", canaries=2, folds=2)
    with pytest.raises(UsageError, match="--folds measures a model, --canaries makes a probe"):
        prepare(request)
