"""The command that a run and an export name makes the same bytes again."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Home, Result

Curate = Callable[..., Result]
CLOCK = {"run-summary.json"}


def contents(folder: Path, without: set[str]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name not in without}


def filled(home: Home) -> None:
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    for n in range(40):
        name = " ".join(words[int(digit)] for digit in f"{n:03}")
        home.memory(f"Which sail is {name}?", response=f"Okay, sail {name} hangs by hook {name} today.")
    home.memory("Which key is it?", response="The key is sk_live_4eC39HqLyjWDarjtT1zdp7dc, by the door.")
    home.memory("Did he?", response="Yes.")
    home.memory("Did she?", response="She did, a year ago.", timestamp="2024-05-01T10:00:00Z")
    home.memory("The sail was mended at last, and the wind came round.", type="journal")


def source_file(home: Home) -> Path:
    path = home.folder / "a source.jsonl"
    lines = [memory.read_text() for memory in sorted(home.episodic.rglob("*.json"))]
    path.write_text("\n".join(" ".join(line.split()) for line in lines[5:]) + "\n")
    return path


OPTIONS = [
    (),
    ("--mode", "emulation", "--max", "20", "--seed", "7", "--holdout", "0.2"),
    ("--no-plugin", "fillers", "--no-plugin", "too_short", "--keep-secrets", "--keep-going"),
    ("--source", "a source.jsonl", "--base-model", "mistralai/Mistral-7B-Instruct-v0.3"),
    ("--schema", "own.json", "--context", "keep", "--mode-from", "type", "--dual-direction", "thought-is-assistant"),
    ("--exclude", "year=2024", "--exclude", "type=journal"),
    ("--holdout-by", "time", "--holdout", "0.2"),
    ("--days-recent", "0", "--old-samples", "9", "--max-file-bytes", "200"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options) or "none")
def test_the_command_of_a_run_makes_the_same_bytes(
    curate: Curate, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Relative paths are given from one folder, and the command is run in another."""
    filled(home)
    source_file(home)
    family = json.loads((ROOT / "etc" / "schemas" / "phi3.json").read_text()) | {"family": "own"}
    (home.folder / "own.json").write_text(json.dumps(family))
    monkeypatch.chdir(home.folder)
    first = curate("run", "--username", "ann", *options)
    assert first.status == 0, first.err
    command = json.loads((first.run / "run-summary.json").read_text())["command"]
    assert command[:2] == ["curate", "run"]
    monkeypatch.chdir(tmp_path)
    again = curate(*command[1:])
    assert again.status == 0, again.err
    assert again.run != first.run
    assert contents(again.run, CLOCK) == contents(first.run, CLOCK)


def test_every_option_that_shapes_the_set_stands_in_the_command(curate: Curate) -> None:
    """A new option of `curate run` is in the command, or is known to leave the set alone."""
    help_text = curate("run", "--help").out
    known = set(re.findall(r"--[a-z-]+", help_text)) - {"--help"}
    source = (ROOT / "curator" / "run.py").read_text()
    named = set(re.findall(r'"(--[a-z-]+)"', source))
    assert known - named <= {"--all", "--out", "--dry-run", "--json", "--debug", "--workers", "--no-cache"}


def test_the_commands_of_the_card_make_the_same_export(curate: Curate, home: Home, tmp_path: Path) -> None:
    """The card's own two lines, in a shell, in an empty folder."""
    filled(home)
    run = curate(
        "run", "--username", "ann", "--home", home.folder, "--no-plugin", "fillers", "--out", tmp_path / "r"
    ).run
    first = tmp_path / "first" / "set"
    first.parent.mkdir()
    exported = curate("export", run, "--home", home.folder, "--to", "trl", "--method", "lora", "--out", first)
    assert exported.status == 0, exported.err
    section = (first / "README.md").read_text().partition("## How to rebuild it")[2]
    (block,) = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    script = f'curate() {{ {shlex.quote(sys.executable)} -m curator "$@"; }}\nset -e\n{block}'
    done = subprocess.run(["bash", "-c", script], cwd=elsewhere, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    clock = {"export.json", "README.md"}
    assert contents(elsewhere / "set", clock) == contents(first, clock)
