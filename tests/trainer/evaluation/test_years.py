"""The loss on what is held out, by year: from the timestamps of memories to health.json, the page and the terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Home, curate_once
from core_fixtures import WIDE_OPEN, trainer
from health_fixtures import base, model_with, samples, tuned
from use_fixtures import roomy_base

from trainer.data.batches import PackedDataset
from trainer.data.dialogues import Samples, read_run
from trainer.evaluation.perplexity import losses_by_year, mean_loss
from trainer.model.checkpoint import load_checkpoint

FAST = "--steps 2 --eval-steps 2 --save-steps 2 --precision fp32 --threads 1 --compile never".split()


def in_years(*years: str) -> Samples:
    """The four held-out samples of the tiny language, each of a year."""
    told = [replace(one, year=year) for one, year in zip(samples().holdout_dialogues, years, strict=True)]
    return replace(samples(), holdout_dialogues=told)


def test_each_year_has_its_own_samples_tokens_and_losses() -> None:
    before, after = load_checkpoint(base()).model(), model_with(tuned())
    found = losses_by_year(in_years("2024", "2023", "", "2024"), before, after)
    assert [(one.year, one.samples) for one in found] == [("", 1), ("2023", 1), ("2024", 2)]
    held = samples().holdout
    assert [one.tokens for one in found] == [
        sum(sum(weight > 0 for weight in held[place].weights) for place in places) for places in ((2,), (1,), (0, 3))
    ]
    alone = PackedDataset([], [held[1]], 1, 64, 0).validation()
    assert alone is not None
    assert found[1].base == pytest.approx(mean_loss(before, alone, 1), rel=1e-5)
    assert found[1].tuned == pytest.approx(mean_loss(after, alone, 1), rel=1e-5) and found[1].tuned > found[1].base


def test_one_year_is_no_comparison() -> None:
    model = load_checkpoint(base()).model()
    assert losses_by_year(in_years("2024", "2024", "", ""), model, model) == []
    assert losses_by_year(samples(), model, model) == [], "a file of dialogues has no years"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home with memories of three years, one of them without a timestamp, and a run that holds out a part of each."""
    folder = tmp_path_factory.mktemp("years")
    home = Home(folder / "home")
    letters = "abcdefghij"
    for number in range(30):
        own = [f"w{letter}{letters[number % 10]}{letters[number // 10]}" for letter in letters]
        time = f"{2022 + number // 10}-05-01T10:{number:02}:00Z"
        home.memory(f"Which {own[0]} of {own[1]}?", response=f"{' '.join(own[2:8])}.", timestamp=time)
    home.config("trainer.json", WIDE_OPEN)
    done = curate_once("run", "--username", "ann", "--home", home.folder, "--holdout", 0.4)
    return home.folder, done.run


def test_the_year_of_a_dialogue_is_that_of_its_memory(place: tuple[Path, Path]) -> None:
    dialogues = read_run(place[1]).dialogues
    assert sorted({one.year for one in dialogues}) == ["2022", "2023", "2024"] and len(dialogues) == 30


def test_health_tells_the_loss_of_each_year(place: tuple[Path, Path]) -> None:
    home, run = place
    out = home / "tuned"
    command = ("finetune", "--run", run, "--base", roomy_base(home / "base"), "--home", home, "--out", out)
    done = trainer(*command, *FAST)
    assert done.status == 0, done.err
    report = json.loads((out / "training" / "health.json").read_text("utf-8"))
    held = [one.year for one in read_run(run).dialogues if one.split == "holdout"]
    years = sorted(set(held))
    assert len(years) > 1 and [row["year"] for row in report["years"]] == years
    assert [row["samples"] for row in report["years"]] == [held.count(year) for year in years]
    page = (out / "training" / "health.html").read_text("utf-8")
    assert "<h2>Held-out replies, by year</h2>" in page and f"<tr><td>{years[0]}</td>" in page
    shown = trainer("health", out, "--home", home, "--threads", 1, "--replies", 8)
    line = next(line for line in shown.out.splitlines() if line.startswith("loss on held-out replies by year"))
    first = report["years"][0]
    assert f"{years[0]} {first['base']:.2f} -> {first['tuned']:.2f} ({first['samples']} sample" in line
