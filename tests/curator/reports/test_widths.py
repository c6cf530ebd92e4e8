"""Shown at 60, 80 and 120 columns: names whole, bars in proportion, paths in one piece, counts with their nouns."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import ROOT, Home, Result, curate_once, rows
from rich.cells import cell_len

from curator.config import load_settings
from curator.contract.errors import counted
from curator.reports.build import fitness

SLOW: Final = """
import time
from curator import Filter, hookimpl


@hookimpl
def register_filters():
    return [Filter("slow", lambda event: time.sleep(1.2), "memory")]
"""
Curate = Callable[..., Result]
WIDTHS: Final = (60, 80, 120)
LONG: Final = "a-memory-whose-file-has-a-name-that-is-longer-than-any-line-of-a-terminal-of-eighty-columns"
TYPE: Final = "an_uncommonly_long_type_of_memory_that_somebody_made_up_for_his_own_home_and_never_shortened"
EIGHTHS: Final = dict(zip("▏▎▍▌▋▊▉█", range(1, 9), strict=True))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the demo profile."""
    out = tmp_path_factory.mktemp("demo")
    return curate_once(
        "run", "--username", "greggles", "--home", ROOT, "--mode", "dual", "--max", 3000, "--out", out
    ).run


def at(width: int, monkeypatch: pytest.MonkeyPatch, curate: Curate, *arguments: object) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    shown = curate(*arguments)
    assert shown.status == 0, shown.err
    return shown.out


SILENCES = "Silences between messages of one conversation"


def bars(shown: str) -> dict[str, list[tuple[int, int]]]:
    """Under each title, the count and the length in eighths of each bar."""
    found: dict[str, list[tuple[int, int]]] = {}
    title = ""
    for line in shown.splitlines():
        if line in ("From memories to samples", "Samples by memory type", SILENCES):
            title = line
        elif bar := re.search(r"([\d,]+)  ([▏▎▍▌▋▊▉█]+)", line):
            found.setdefault(title, []).append((int(bar[1].replace(",", "")), sum(map(EIGHTHS.__getitem__, bar[2]))))
    return found


# --- the report ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_names_are_whole_and_nothing_but_a_path_goes_over_the_edge(
    width: int, monkeypatch: pytest.MonkeyPatch, curate: Curate, demo: Path
) -> None:
    shown = at(width, monkeypatch, curate, "report", demo)
    report = json.loads((demo / "report.json").read_text("utf-8"))
    words = set(shown.split())
    for name in (*report["types"], *(drop["reason"] for drop in report["drops"]), *report["modes"]):
        assert name in words, name
    for drop in report["drops"]:
        assert drop["path"].rpartition("/")[2] in words
    for card in report["cards"]:
        assert card["source"] in words
    for line in shown.splitlines()[:-1]:
        assert cell_len(line) <= width or re.search(r"evt-\d+", line), line


@pytest.mark.parametrize("width", WIDTHS)
def test_bars_are_in_proportion_and_as_long_as_there_is_room(
    width: int, monkeypatch: pytest.MonkeyPatch, curate: Curate, demo: Path
) -> None:
    found = bars(at(width, monkeypatch, curate, "report", demo))
    funnel, types = found["From memories to samples"], found["Samples by memory type"]
    assert len(funnel) == 11 and len(types) == 9
    for group, most in ((funnel[:3], 393), (funnel[3:], 509), (types, 32)):
        longest = max(length for _, length in group)
        assert 8 * 8 <= longest <= 30 * 8
        for count, length in group:
            assert abs(length - longest * count / most) <= 1, (count, length, longest)


def test_any_name_and_any_count_fit(home: Home, monkeypatch: pytest.MonkeyPatch, curate: Curate) -> None:
    things = "boats gulls masts ropes sails nets oars pumps lamps tides clouds stones waves"
    for number, what in enumerate(things.split()):
        text = f"Today it was all {what}: {what} on the quay, {what} in the yard, and nobody but me to count {what}."
        home.memory(text, type=TYPE if number else "日記")
    home.file(f"2025/03/01/{LONG}.json", "{")
    done = at(60, monkeypatch, curate, "run", "--username", "ann", "--home", home.folder)
    assert TYPE in done.split() and "日記" in done.split()
    assert f"{LONG}.json" in done.split()
    lengths = dict(bars(done)["Samples by memory type"])
    assert abs(lengths[1] - lengths[12] / 12) <= 1


def test_terminal_and_page_name_stages_steps_and_facts_alike(
    monkeypatch: pytest.MonkeyPatch, curate: Curate, demo: Path
) -> None:
    shown = at(120, monkeypatch, curate, "report", demo)
    page = unescape((demo / "report.html").read_text("utf-8"))
    table = shown[shown.index("Turned down") : shown.index("Samples by memory type")]
    on_terminal = re.findall(r"^  (\w+) +(\w+) +([\d,]+)  ", table, re.MULTILINE)
    on_page = re.findall(r'<tr><td>(\w+)</td><td>(\w+)</td><td class="n">([\d,]+)</td><td class="path">', page)
    assert on_terminal == on_page and len(on_page) == 24
    assert {stage for stage, _, _ in on_page} <= {drop["stage"] for drop in rows(demo / "dropped.jsonl")}
    for name in ("found", "fit to learn from", "stand alone", "cleaned", "screened", "unique", "chosen", "training"):
        assert f">{name}</text>" in page and re.search(rf"^{name} +\d", shown, re.MULTILINE)
    for fact in ("119 samples (113 training, 6 held out) from 138 of 393 memories (35.1%)",
                 "Modes of the memories decided by: agent_talk 4, mapping 3, metadata 169, type 187"):  # fmt: skip
        assert fact in page and fact in shown


def test_enough_says_how_many_there_are_and_how_many_are_needed() -> None:
    targets = load_settings(None).targets
    assert fitness(47_628, targets)["LoRA"] == "enough: 47,628 training samples, at least 1,000 are needed"
    assert fitness(999, targets)["LoRA"] == "too few: 999 of 1,000 training samples; 1 more is needed"


# --- how wide --------------------------------------------------------------------------------------------------------


def widest(home: Home, **options: Any) -> int:
    """The width of the frame of a report that is piped."""
    command = [sys.executable, "-m", "curator", "run", "--username", "ann", "--home", home.folder, "--dry-run"]
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"} | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True, text=True, **options)
    return len(done.stdout.splitlines()[0])


@pytest.fixture
def terminal() -> Iterator[int]:
    """The far end of a terminal that is 67 columns wide."""
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 67, 0, 0))
    yield theirs
    os.close(theirs)
    os.close(ours)


def test_piped_the_width_is_that_of_the_terminal_or_80(home: Home, terminal: int) -> None:
    home.memory("Where is the harbour?", response="Behind the old mill.")
    assert widest(home, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 80
    assert widest(home, stdin=subprocess.DEVNULL, stderr=terminal) == 67


def test_a_run_that_draws_a_bar_still_has_its_result_on_stdout(home: Home, terminal: int) -> None:
    """The bar puts stdout aside while it draws, and must put back the true one, not the one that plugins print to."""
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "slow.py").write_text(SLOW)
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    home.memory("Where is the harbour?", response="Behind the old mill.")
    assert widest(home, stdin=subprocess.DEVNULL, stderr=terminal) == 67


# --- explain, and tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_explain_keeps_labels_apart_and_paths_in_one_piece(
    width: int, monkeypatch: pytest.MonkeyPatch, curate: Curate, demo: Path
) -> None:
    shown = at(width, monkeypatch, curate, "explain", "evt-202408301825396", "--run", demo, "--home", ROOT)
    assert re.search(r"^response  No\. Wash the salt off", shown, re.MULTILINE)
    (path,) = {drop["path"] for drop in rows(demo / "dropped.jsonl") if drop.get("memory_id") == "evt-202408301825396"}
    assert f"file      {path}\n" in shown
    assert shown.splitlines()[-1] == f"run       {demo}"
    for line in shown.splitlines():
        assert cell_len(line) <= width or path in line or str(demo) in line


def test_a_path_with_blanks_and_a_text_with_lines_are_explained(home: Home, curate: Curate) -> None:
    home.file(
        f"2025/03/01/the harbour and {LONG} on Sunday.json",
        '{"id": "evt-1", "timestamp": "2025-03-01T10:00:00Z", "type": "conversation", "content": "Where\\n\\nis it?", '
        f'"response": "{"It is by the old mill. " * 12}"}}',
    )
    done = curate("run", "--username", "ann", "--home", home.folder)
    shown = curate("explain", "evt-1", "--run", done.run, "--home", home.folder).out
    assert f"the harbour and {LONG} on Sunday.json\n" in shown
    assert "content   Where\n\n          is it?\n" in shown
    assert max(len(line) for line in shown.splitlines() if "old mill" in line) <= 80


def test_tables_cut_no_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from curator.contract.cli_frame import print_table

    monkeypatch.setenv("COLUMNS", "60")
    print_table(("what", "where"), [("one and another and a third of many things", LONG), (LONG, "there")])
    shown = capsys.readouterr().out
    assert shown.count(LONG) == 2 and "…" not in shown


def test_plugins_are_named_whole(monkeypatch: pytest.MonkeyPatch, curate: Curate) -> None:
    shown = at(60, monkeypatch, curate, "plugins", "--home", ROOT)
    assert {"llama_factory", "control_token,", "mode_mappers"} & set(shown.split()) and "…" not in shown


# --- one noun for one thing ------------------------------------------------------------------------------------------


def test_one_sample_of_one_memory_is_one_of_each(home: Home, curate: Curate) -> None:
    home.memory("Where is the harbour?", response="Behind the old mill, where the river bends.")
    done = curate("run", "--username", "ann", "--home", home.folder)
    assert "1 sample (1 training, 0 held out) from 1 of 1 memory (100.0%)" in done.out
    assert "1 sample (1 training, 0 held out) from 1 of 1 memory" in (done.run / "report.html").read_text("utf-8")
    assert curate("validate", done.run).last_line == "1 sample (emulation 1): clean"
    assert not re.search(r"\b1 (samples|memories|rows|pairs|tokens|files)\b", done.out)


@pytest.mark.parametrize(
    ("count", "noun", "wanted"),
    [(0, ("row",), "0 rows"), (1, ("row",), "1 row"), (2000, ("row",), "2,000 rows"),
     (1, ("memory", "memories"), "1 memory"), (3, ("memory", "memories"), "3 memories")],
)  # fmt: skip
def test_counted(count: int, noun: tuple[str, ...], wanted: str) -> None:
    assert counted(count, *noun) == wanted
