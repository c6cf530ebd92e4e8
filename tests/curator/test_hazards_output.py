"""What reaches a terminal (hazards D, row 31), and what must not change a byte of a run (row 39)."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Home, Result, rows

Curate = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
STEERING = [
    "\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "\x1bc", "\x9b31m",
    "\x9d0;x\x9c",
    "\x90q\x9c", "over\rwritten", "back\b\b\b\bspace", "\x00", "\x07", "\x7f", "\x85", "\x0b\x0c",
]  # fmt: skip
MARKUP = ["[red]", "[/user]", "[/]", "[link=http://evil.example]x[/link]", ":bomb:", "[bold red on white]", "\\[x]"]


def harmless(text: str) -> bool:
    """Tell whether a text holds no control character but newline."""
    return all(c == "\n" or (ord(c) >= 0x20 and not 0x7F <= ord(c) <= 0x9F) for c in text)


@pytest.mark.parametrize("text", [*STEERING, *MARKUP, "".join(STEERING)], ids=ascii)
@pytest.mark.parametrize("place", ["content", "response", "diary", "id", "type", "mode", "tag", "dropped", "tool"])
def test_nothing_of_a_memory_steers_the_terminal(home: Home, curate: Curate, text: str, place: str) -> None:
    """Row 31: in whatever key it stands, in the report of a run, shown again, and in one memory's whole way."""
    places: dict[str, dict[str, object]] = {
        "content": {"content": f"Is {text} here?"},
        "response": {"response": f"It was {text} of the neighbour."},
        "diary": {"type": "journal", "content": f"Today {text} came by.", "response": None},
        "id": {"id": f"i{text}".replace("/", "_")},
        "type": {"type": f"t{text}"},
        "mode": {"metadata": {"cognitiveMode": f"m{text}"}},
        "tag": {"tags": [text]},
        "dropped": {"validation": {"status": "rejected", "by": text}},
        "tool": {"type": "tool_invocation", "metadata": {"toolName": f"x{text}", "toolInputs": {text: text}}},
    }
    data: dict[str, object] = {"id": "m", "timestamp": "2025-03-01T00:00:00Z", "type": "conversation"}
    data = {**data, "content": "What was it?", "response": "It was a ladder of the neighbour.", **places[place]}
    home.file("m.json", json.dumps(data))
    home.memory("Who keeps the key?", response="The harbour master keeps it.")  # a run of nothing is no run
    outputs = [curate("run", "--username", "ann", "--home", home.folder)]
    outputs.append(curate("report", "--username", "ann", "--home", home.folder))
    outputs.append(curate("explain", "m.json", "--username", "ann", "--home", home.folder))
    for result in outputs:
        assert result.status == 0, result.err
        assert harmless(result.out), ascii(result.out)
    if text in MARKUP and place in ("content", "response", "diary"):
        assert all(text in result.out for result in outputs)


def test_what_a_memory_says_is_safe_in_an_error_too(home: Home, curate: Curate) -> None:
    """Row 31: a plugin that puts the text into its exception."""
    home.memory("What was it?", response="".join(STEERING) + " of the neighbour.")
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "loud.py").write_text(
        "from curator import Filter, hookimpl\n"
        "def check(event):\n    raise ValueError(event.response)\n"
        "@hookimpl\ndef register_filters():\n    return [Filter('loudly', check, on='memory')]\n"
    )
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status == 1 and harmless(result.err), ascii(result.err)
    result = curate("run", "--username", "ann", "--home", home.folder, "--keep-going")
    assert result.status == 1 and harmless(result.err), ascii(result.err)


def test_an_unknown_name_to_explain_is_shown_without_harm(home: Home, curate: Curate) -> None:
    """Row 31."""
    home.memory("What was it?", response="It was a ladder of the neighbour.")
    curate("run", "--username", "ann", "--home", home.folder)
    result = curate("explain", "no\x1b[31m\x9b\r[red]", "--username", "ann", "--home", home.folder)
    assert result.status == 2 and harmless(result.err), ascii(result.err)


@pytest.mark.parametrize(
    "option", ["--family", "--mode", "--base-model", "--source", "--schema", "--no-plugin", "--out"]
)
def test_a_wrong_option_is_shown_without_harm(home: Home, curate: Curate, option: str) -> None:
    """Row 31: a value may come from a script that took it from anywhere."""
    home.memory("What was it?", response="It was a ladder of the neighbour.")
    value = "/dev/null/\x1b[31m\x9b\r[red]"
    result = curate("run", "--username", "ann", "--home", home.folder, option, value)
    assert result.status in (2, 3) and harmless(result.err), ascii(result.err)


# --- row 39 ---------------------------------------------------------------------------------------------------------


def build(folder: Path, backwards: bool) -> Home:
    """Write a home of memories of all sorts, its files in one order or the other."""
    home = Home(folder)
    words = (
        "river",
        "stone",
        "ladder",
        "garden",
        "window",
        "kettle",
        "letter",
        "engine",
        "harbour",
        "basket",
        "oar",
        "lamp",
    )
    for number in range(120):
        some = " ".join(words[(number * k + k) % 12] + str(number % (k + 2)) for k in range(1, 12))
        keys: dict[str, object] = {"response": f"Certainly! It was the {some}."}
        if number % 3 == 1:
            keys = {"type": "journal"}
        if number % 3 == 2:
            keys = {"type": "reflection", "metadata": {"cognitiveMode": "dual"}}
        home.memory(f"I saw the {some} on day {number}.", **keys)
    home.file("broken.json", "{")
    home.file("ünï.json", "[]")
    if backwards:
        for path in sorted(home.episodic.rglob("*.json"), reverse=True):
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)
    return home


def made(home: Home, out: Path, environment: dict[str, str] | None = None, umask: int = 0o022) -> dict[str, bytes]:
    """Run as a process of its own and return the bytes of the run's files, but for the summary."""
    command = [sys.executable, "-m", "curator", "run", "--username", "ann", "--home", str(home.folder)]
    done = subprocess.run(
        [*command, "--out", str(out), "--max", "70"],
        capture_output=True,
        cwd=ROOT,
        umask=umask,
        env=dict(os.environ) | (environment or {}),
    )
    assert done.returncode == 0, done.stderr
    (summary,) = out.glob("*/*/run-summary.json")
    return {path.name: path.read_bytes() for path in summary.parent.iterdir() if path != summary}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("reference")
    home = build(folder / "home", backwards=False)
    return home, made(home, folder / "out", {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"})


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati"},
        {"PYTHONHASHSEED": "4242", "TZ": "America/New_York", "LC_ALL": "C", "LANG": "C"},
        {"PYTHONUTF8": "0", "LC_ALL": "POSIX", "COLUMNS": "20", "TERM": "dumb"},
        {"LC_ALL": "tr_TR.UTF-8", "COLUMNS": "400", "FORCE_COLOR": "1"},
        {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"},
    ],
    ids=lambda one: "-".join(one),
)
def test_the_environment_changes_no_byte(
    reference: tuple[Home, dict[str, bytes]], tmp_path: Path, environment: dict[str, str]
) -> None:
    """Row 39: hash seed, time zone, locale, terminal and number of threads."""
    home, wanted = reference
    assert made(home, tmp_path / "out", environment) == wanted


def test_the_order_in_which_files_were_made_changes_no_byte(
    reference: tuple[Home, dict[str, bytes]], tmp_path: Path
) -> None:
    """Row 39: nor does the place where the home lies."""
    assert made(build(tmp_path / "elsewhere", backwards=True), tmp_path / "out") == reference[1]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_umask_changes_no_byte_and_a_run_is_private(
    reference: tuple[Home, dict[str, bytes]], tmp_path: Path, umask: int
) -> None:
    """Row 39: memories are nobody else's business."""
    home, wanted = reference
    assert made(home, tmp_path / "out", umask=umask) == wanted
    (summary,) = (tmp_path / "out").glob("*/*/run-summary.json")
    assert stat.S_IMODE(summary.parent.stat().st_mode) & 0o077 == 0


def test_no_file_of_a_run_but_the_summary_holds_the_clock_or_the_place(
    reference: tuple[Home, dict[str, bytes]],
) -> None:
    """Row 39."""
    home, wanted = reference
    for name, data in wanted.items():
        assert str(home.folder).encode() not in data, name


def test_two_runs_in_one_process_are_the_same(home: Home, curate: Curate, tmp_path: Path) -> None:
    """Row 39: a second run of the very same second gets a folder of its own."""
    for number in range(20):
        home.memory(f"Who came by at {number}?", response=f"Number {number * 31} came to lend us {number} ladders.")
    first, second = (curate("run", "--username", "ann", "--home", home.folder).run for _ in range(2))
    assert first != second
    names = {path.name for path in first.iterdir()} - {"run-summary.json"}
    assert {name: (first / name).read_bytes() for name in names} == {
        name: (second / name).read_bytes() for name in names
    }
    assert rows(first / "curated_memories.json")
