"""The built-in base and the demo's person: a recipe that ruins the base is refused, the default one passes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT
from core_fixtures import trainer
from health_fixtures import file_hashes

from curator.cli import run_command
from curator.contract.homes import shipped_etc
from trainer.names import builtin_base


def home_of(folder: Path) -> Path:
    """A home with the demo's person and a curated run of theirs."""
    person = folder / "profiles" / "greggles"
    shutil.copytree(ROOT / "profiles" / "greggles", person, ignore=shutil.ignore_patterns("out"))
    run = ["run", "--username", "greggles", "--mode", "dual", "--max", "3000", "--home", str(folder)]
    assert run_command(run) == 0
    return folder


@pytest.mark.verify
def test_what_would_ruin_the_built_in_base_is_refused_and_the_default_recipe_passes(tmp_path: Path) -> None:
    before = file_hashes(builtin_base())
    home, bad, good = home_of(tmp_path / "home"), tmp_path / "bad", tmp_path / "good"
    command = ("finetune", "--profile", "greggles", "--home", home)

    own = home / "etc" / "trainer.json"
    own.parent.mkdir()
    settings = json.loads((shipped_etc() / "trainer.json").read_text("utf-8"))
    settings["finetune"]["replay_ratio"] = 0.0
    own.write_text(json.dumps(settings), "utf-8")
    done = trainer(*command, "--out", bad, "--epochs", 30, "--learning-rate", 5e-4)
    assert done.status == 1, done.err
    assert "the fine-tune is refused, the base is kept: " in done.err
    assert not (bad / "trainer.json").exists() and (bad / "training" / "health.html").is_file()
    report = json.loads((bad / "training" / "health.json").read_text("utf-8"))
    assert report["verdict"] == "refused" and report["headline"][0].startswith("REFUSED, weak evidence: 6 held out. ")

    own.unlink()
    done = trainer(*command, "--out", good)
    assert done.status == 0, done.err
    record = json.loads((good / "trainer.json").read_text("utf-8"))
    assert record["gate"]["passed"] and not record["gate"]["accepted_degraded"] and record["gate"]["broken"] == []
    assert json.loads((good / "training" / "health.json").read_text("utf-8"))["verdict"] == "passed"
    assert file_hashes(builtin_base()) == before, "the base was changed"
