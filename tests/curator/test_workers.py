"""A run by worker processes: the same bytes as by one process, and plugins that hang, crash or eat memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Home, Result, run

Curate = Callable[..., Result]
SAME = "curated_memories.json dropped.jsonl lineage.jsonl report.json schema_applied.json voice-reference.npz".split()
DEEDS = """
import ctypes, os, time
from curator import Cleaner, Filter, Mode, hookimpl

def do(text):
    if "[exit]" in text:
        os._exit(0)
    if "[crash]" in text:
        ctypes.string_at(0)
    if "[sleep]" in text:
        time.sleep(600)
    if "[loop]" in text:
        sum(range(10**12))
    if "[eat]" in text:
        b"x" * (10 << 30)
    if "[fork]" in text:
        os.fork()
    return None

@hookimpl
def register_filters():
    return [Filter("doer", lambda event: do(event.content), "memory")]
"""


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in SAME if (folder / name).exists()}


@pytest.mark.parametrize("options", [(), ("--turns", "3", "--mode", "emulation", "--max", "40")], ids=["all", "turns"])
def test_any_number_of_workers_writes_the_same_bytes(curate: Curate, tmp_path: Path, options: tuple[str, ...]) -> None:
    found = []
    for workers in (1, 3):
        arguments = ("--username", "greggles", "--home", ROOT, "--no-cache", "--out", tmp_path / str(workers))
        result = curate("run", *arguments, "--workers", workers, *options)
        assert result.status == 0, result.err
        found.append(bytes_of(result.run))
    assert len(found[0]) >= 5
    assert found[0] == found[1]


def doing(home: Home, *deeds: str) -> None:
    """Fill a home with memories of which some make the plugin do what it must not."""
    for number in range(6):
        home.memory(f"How was day {number}?", response=f"It rained on the garden of number {number}.")
    for deed in deeds:
        home.memory(f"Was it good? [{deed}]", response=f"It was as good as a {deed} can be in the rain.")
    seconds = 3 if {"sleep", "loop"} & set(deeds) else 60  # a machine may be busy
    settings = {"plugins": {"home_plugins": True}, "limits": {"memory_seconds": seconds, "memory_megabytes": 400}}
    (home.folder / "etc").mkdir()
    (home.folder / "etc" / "curate.json").write_text(json.dumps(settings))
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "deeds.py").write_text(DEEDS)


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        ("exit", "it ended with status 0"),
        ("crash", "it was ended by SIGSEGV"),
        ("sleep", "it took more than 3 s"),
        ("loop", "it took more than 3 s"),
        ("eat", "it took more than 400 MB"),
    ],
)
def test_a_plugin_that_ends_its_worker_is_named_and_stops_the_run(
    home: Home, curate: Curate, deed: str, why: str
) -> None:
    """Hazards 19 and 20."""
    doing(home, deed)
    result = curate("run", "--username", "ann", "--home", home.folder, "--workers", 1)
    assert result.status == 1
    assert "plugin 'deeds'" in result.err
    assert f"evt-000007.json: {why}\n" in result.err
    assert "--keep-going" in result.err
    assert not list(home.profile.glob("out/fine-tuned-models/*/*"))


def test_where_the_run_keeps_going_it_costs_its_memory_alone(home: Home, curate: Curate) -> None:
    doing(home, "exit", "eat", "fork")
    folder = run(curate, home, "--keep-going")
    drops = [json.loads(line) for line in (folder / "dropped.jsonl").read_text().splitlines()]
    failed = {drop["memory_id"]: drop["detail"] for drop in drops if drop["reason"] == "plugin_error"}
    assert set(failed) == {"evt-000007", "evt-000008"}
    assert "it ended with status 0" in failed["evt-000007"]
    assert "it took more than 400 MB" in failed["evt-000008"]
    report = json.loads((folder / "report.json").read_bytes())
    assert (report["memories"], report["samples"]) == (9, 7)


def test_a_plugin_that_fails_so_three_times_is_put_aside_and_named(home: Home, curate: Curate) -> None:
    doing(home, "exit", "crash", "eat", "fork")
    folder = run(curate, home, "--keep-going")
    report = json.loads((folder / "report.json").read_bytes())
    assert report["samples"] == 10
    told = next(warning for warning in report["warnings"] if "put aside" in warning)
    assert "plugin 'deeds' was put aside" in told
    assert "3 memories" in told
    assert "evt-0000" in told
    summary = json.loads((folder / "run-summary.json").read_bytes())
    assert "deeds" not in summary["plugins"]
    assert summary["command"][-3:] == ["--no-plugin", "deeds", "--keep-going"]
