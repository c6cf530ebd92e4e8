"""A run of nothing is no success: it publishes nothing, says why, and no command falls onto one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Home, Result

from curator.contract.homes import RUNS

Curate = Callable[..., Result]


def empty_run(curate: Curate, home: Home, *options: object) -> Result:
    """Run on the home; it must fail, publish nothing and say so."""
    before = set((home.profile / RUNS).glob("*/*/run-summary.json"))
    result = curate("run", "--username", "ann", "--home", home.folder, *options)
    assert result.status == 1, result.err
    assert set((home.profile / RUNS).glob("*/*/run-summary.json")) == before
    assert not list((home.profile / RUNS).glob("*/.tmp-*"))
    assert "nothing was published" in result.err
    assert "Traceback" not in result.err
    return result


def test_a_profile_without_memories(curate: Curate, home: Home) -> None:
    result = empty_run(curate, home)
    assert f"no memory was found in {home.profile / 'memory'}" in result.err
    assert "curate docs memories" in result.err
    assert result.out == ""


def test_a_dry_run_of_nothing_is_no_success_either(curate: Curate, home: Home) -> None:
    empty_run(curate, home, "--dry-run")


def test_a_source_of_another_shape(curate: Curate, home: Home, tmp_path: Path) -> None:
    home.memory("Is the pump dry?", response="Dry since noon.")
    source = tmp_path / "chat.jsonl"
    source.write_text('{"from": "Ann", "text": "hello"}\n[1, 2]\n"a line"\n')
    result = empty_run(curate, home, "--source", source)
    assert f"no sample came of 3 memories in {source}" in result.err
    assert "bad_shape" in result.err
    assert "for example chat.jsonl: line " in result.err
    assert "curate docs memories" in result.err


def test_a_source_of_chats_says_what_takes_it(curate: Curate, home: Home, tmp_path: Path) -> None:
    source = tmp_path / "chats.jsonl"
    row = {"messages": [{"role": "user", "content": "Is it dry?"}, {"role": "assistant", "content": "Since noon."}]}
    source.write_text(json.dumps(row) + "\n")
    result = empty_run(curate, home, "--source", source)
    assert "the file is messages format" in result.err
    assert f"finetune --data {source}" in result.err


def test_a_run_without_the_modes_is_told_so_in_one_line(curate: Curate, home: Home) -> None:
    home.memory("Is the pump dry?", response="Dry since noon.")
    result = curate("run", "--username", "ann", "--home", home.folder, "--no-plugin", "modes")
    assert result.status == 2
    assert "no plugin gives a mode\n  take 'modes' out of --no-plugin" in result.err


def test_an_empty_source(curate: Curate, home: Home, tmp_path: Path) -> None:
    source = tmp_path / "empty.jsonl"
    source.write_text("")
    assert f"no memory was found in {source}" in empty_run(curate, home, "--source", source).err


def test_a_plugin_that_fails_on_every_memory(curate: Curate, home: Home) -> None:
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    plugin = "from curator import hookimpl\n\n@hookimpl\ndef map_mode(event):\n    return evnt.type\n"
    (home.folder / "plugins" / "typo.py").write_text(plugin)
    home.memory("Is the pump dry?", response="Dry since noon.")
    result = empty_run(curate, home, "--keep-going")
    assert "plugin_error 1" in result.err
    assert "evnt" in result.err
    assert "--no-plugin typo" in result.err


def test_a_plugin_that_fails_on_some_memories_is_told_of(curate: Curate, home: Home) -> None:
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    plugin = (
        "from curator import hookimpl\n\n@hookimpl\ndef map_mode(event):\n"
        "    if 'pump' in event.content:\n        raise ValueError('no pumps')\n"
    )
    (home.folder / "plugins" / "half.py").write_text(plugin)
    home.memory("Is the pump dry?", response="Dry since noon.")
    home.memory("Is the sail dry?", response="Dry since the morning.")
    result = curate("run", "--username", "ann", "--home", home.folder, "--keep-going")
    assert result.status == 0, result.err
    (notice,) = [one for one in json.loads((result.run / "report.json").read_text())["warnings"] if "plugin" in one]
    assert notice.startswith("a plugin failed on 1 memory, which was dropped: plugin 'half'")


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (("--mode", "agent"), "--mode emulation (1)"),
        (("--mode", "emulation", "--days-recent", "0"), "take more days with --days-recent N"),
    ],
)
def test_the_remedy_fits_the_reason(curate: Curate, home: Home, options: tuple[str, ...], advice: str) -> None:
    home.memory("Is the pump dry?", response="Dry since noon.")
    home.memory("<thought>: gone", timestamp="2025-04-20T10:00:00Z", response="Quite wet by now.")
    assert advice in empty_run(curate, home, *options).err


def test_encrypted_memories(curate: Curate, home: Home) -> None:
    home.file("a.json.enc", b"\x00\x01")
    assert "decrypt the profile" in empty_run(curate, home).err


def test_json_holds_the_report_and_why(curate: Curate, home: Home) -> None:
    home.file("a.json", "[1]")
    result = empty_run(curate, home, "--json")
    told = json.loads(result.out)
    assert told["run"] is None
    assert told["report"]["memory_fates"] == {"read: bad_shape": 1, "used": 0}


def test_no_command_falls_onto_an_empty_run(curate: Curate, home: Home) -> None:
    """The good run stays the latest, even beside a younger empty one that an earlier version published."""
    home.memory("Is the pump dry?", response="Dry since noon.")
    good = curate("run", "--username", "ann", "--home", home.folder).run
    empty_run(curate, home, "--mode", "agent")
    empty = good.with_name("235959-agent-qwen")
    empty.mkdir()
    summary = json.loads((good / "run-summary.json").read_text())
    summary |= {"created": "2999-01-01T00:00:00+00:00", "counts": dict.fromkeys(summary["counts"], 0)}
    (empty / "run-summary.json").write_text(json.dumps(summary))
    assert curate("report", "--home", home.folder).run == good
    assert curate("explain", "evt-000001", "--home", home.folder, "--json").status == 0


def test_where_all_runs_are_empty_that_is_said(curate: Curate, home: Home) -> None:
    home.memory("Is the pump dry?", response="Dry since noon.")
    run = curate("run", "--username", "ann", "--home", home.folder).run
    summary = json.loads((run / "run-summary.json").read_text())
    summary["counts"]["samples"] = 0
    (run / "run-summary.json").write_text(json.dumps(summary))
    result = curate("report", "--home", home.folder)
    assert result.status == 2
    assert "no run that holds a sample of ann" in result.err
