"""The 18,933 real events: a run stands up to the independent check, and is the same however it is made."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, rows
from independent_check import check

FILES = [SHARED / "data" / f"{name}.jsonl.gz" for name in ("sgd", "topical_chat", "pepys", "barbellion")]
TOOL = SHARED / "tools" / "make_profile.py"
EVENTS = 18_933


def run(home: Path, out: Path, *options: object) -> Path:
    """Run on a home and return the run's folder."""
    command = ["run", "--username", "greggles", "--home", home, "--out", out, *options]
    done = subprocess.run(
        [sys.executable, "-m", "curator", *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the real events laid down by make_profile.py."""
    if missing := [path.name for path in (*FILES, TOOL) if not path.is_file()]:
        pytest.skip(f"needs {', '.join(missing)} in {SHARED.name}/ beside the checkout, which are not there")
    home = tmp_path_factory.mktemp("real")
    subprocess.run(
        [sys.executable, str(TOOL), *map(str, FILES), "--home", str(home)], check=True, stdout=subprocess.DEVNULL
    )
    return home


@pytest.fixture(scope="module")
def whole(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over all of it."""
    return run(home, tmp_path_factory.mktemp("whole"))


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a run but the one that carries the clock."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "run-summary.json"
    }


def samples(folder: Path) -> list[Any]:
    return rows(folder / "curated_memories.json")


def test_the_independent_check_finds_nothing(home: Path, whole: Path) -> None:
    started = time.process_time()
    verdict = check(whole, home / "profiles" / "greggles")
    shown = "\n".join(f"{one.rule}: {one.where}: {one.detail}" for one in verdict.findings[:60])
    assert not verdict.findings, f"{dict(verdict.rules)}\n{shown}"
    assert verdict.facts["memories"] == EVENTS == verdict.facts["used"] + verdict.facts["dropped"]
    assert time.process_time() - started < 60


def test_one_seed_gives_the_same_bytes(home: Path, whole: Path, tmp_path: Path) -> None:
    assert digests(run(home, tmp_path)) == digests(whole)


def test_the_order_of_the_files_does_not_matter(home: Path, whole: Path, tmp_path: Path) -> None:
    for path in sorted(home.rglob("*.json"), reverse=True):
        copy = tmp_path / "home" / path.relative_to(home)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    assert digests(run(tmp_path / "home", tmp_path / "out")) == digests(whole)


def test_three_thousand_of_one_mode(home: Path, tmp_path: Path) -> None:
    folder = run(home, tmp_path, "--mode", "dual", "--max", 3000)
    found = samples(folder)
    assert Counter(one["mode"] for one in found) == {"dual": 3000}
    years = Counter(one["metadata"]["timestamp"][:4] for one in found)
    assert {str(year) for year in range(1660, 1670)} <= years.keys()
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert sum(report["memory_fates"].values()) == EVENTS


def test_recent_days_are_counted_from_the_newest_memory(home: Path, whole: Path, tmp_path: Path) -> None:
    def day(one: Any) -> str:
        return str(one["metadata"]["timestamp"])

    everything = samples(whole)
    newest = max(map(day, everything))
    recent = samples(run(home, tmp_path / "recent", "--days-recent", 14))
    assert newest in map(day, recent)
    first = min(map(day, recent))
    assert first[:7] in ("2024-06", "2024-07")
    whole_ids = {one["metadata"]["sample_id"] for one in everything if day(one) >= first}
    ids = {one["metadata"]["sample_id"] for one in recent}
    assert whole_ids <= ids
    older = samples(run(home, tmp_path / "older", "--days-recent", 14, "--old-samples", 500))
    assert len([one for one in older if day(one) < first]) == 500


def test_the_run_validates(whole: Path) -> None:
    for path in (whole, whole / "fine_tune_dataset.jsonl"):
        done = subprocess.run(
            [sys.executable, "-m", "curator", "validate", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
