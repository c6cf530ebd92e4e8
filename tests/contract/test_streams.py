"""stdout that is full, closed or left by its reader, and stderr likewise, in every command of both programs; --json."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Home
from every_command_fixtures import COMMANDS, MODULES, SLOW, WORDS, Place, called, few, has, line_of, parsers, small_home

QUICK = [words for words in COMMANDS if words[0] == "curate" or words[1] == "info"]
WORKING = [words for words in COMMANDS if words not in QUICK and words[1] not in SLOW]
JSON = [words for program in MODULES for words, parser in parsers(program) if has(parser, "--json")]
# A plugin that prints wherever it can.
LOUD = """
import atexit, os, subprocess, sys, threading
from curator import hookimpl, Cleaner

def shout(where):
    print("LOUD", where)
    print("LOUD", where, file=sys.__stdout__)
    os.write(1, b"LOUD " + where.encode() + b"\\n")
    subprocess.run([sys.executable, "-c", "print('LOUD child')"], check=True)

shout("import")
atexit.register(shout, "exit")
threading.Thread(target=shout, args=("thread",)).start()

def clean(reply, event):
    shout("cleaner")
    return reply

@hookimpl
def register_cleaners():
    shout("hook")
    return [Cleaner("loudly", clean)]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    return small_home(tmp_path_factory.mktemp("streams") / "home")


@pytest.fixture
def place(made: tuple[Home, Path], tmp_path: Path) -> Place:
    return Place(*made, tmp_path)


def reader_gone(line: list[str]) -> tuple[int, str]:
    """Run a command whose stdout is a pipe that nobody reads any more; return its status and stderr."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)
    return done.returncode, done.stderr


def test_every_command_is_tried() -> None:
    assert set(WORDS) == set(COMMANDS)


def refused(status: int, err: str, program: str, why: str) -> None:
    assert status == 3, err
    assert "Traceback" not in err and "Exception ignored" not in err
    lines = err.splitlines()
    assert lines[-2:] == [
        f"{program}: cannot write to stdout: {why}", "  send it to where there is space, and may be written",
    ]  # fmt: skip


@pytest.mark.parametrize("command", few(COMMANDS, "curate run", "trainer tokenizer train"))
def test_help_that_cannot_be_written(command: tuple[str, ...]) -> None:
    line = [sys.executable, "-m", MODULES[command[0]], *command[1:], "--help"]
    status, _, err = called(line, ">/dev/full")
    refused(status, err, command[0], "No space left on device")
    assert reader_gone(line) == (0, "")


@pytest.mark.parametrize("program", MODULES)
@pytest.mark.parametrize("words", few([(), ("--version",), ("--print-completion", "bash")], "--version"))
def test_what_argparse_prints(program: str, words: tuple[str, ...]) -> None:
    line = [sys.executable, "-m", MODULES[program], *words]
    for redirected, why in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
        status, _, err = called(line, redirected)
        refused(status, err, program, why)
    assert reader_gone(line) == (0, "")
    plain = called(line)
    assert plain[0] == 0 and plain[1]
    for redirected in ("2>/dev/full", "2>&-", "<&-", "<&- 2>&-"):
        assert called(line, redirected)[:2] == plain[:2]
    assert called(line, "<&- >&- 2>&-") == (3, "", "")


def result_of(command: tuple[str, ...], place: Place) -> None:
    """Try the streams of a command that does its work, each time in a folder of its own."""

    def line(name: str) -> list[str]:
        out = place.out / name
        out.mkdir()
        return line_of(command, Place(place.home, place.run, out))

    status, out, err = called(line("plain"))
    assert status in (0, 1, 2) and "Traceback" not in err
    told = {"no space": (">/dev/full", "No space left on device"), "closed": (">&-", "Bad file descriptor")}
    for name, (redirected, why) in told.items():
        lost, _, err = called(line(name), redirected)
        if status or not out:
            assert lost == status and "Traceback" not in err
        else:
            refused(lost, err, command[0], why)
    left, err = reader_gone(line("left"))
    assert left == status and "Broken pipe" not in err and "Traceback" not in err
    for name, redirected in (("unsaid", "2>/dev/full"), ("mute", "2>&-")):
        assert called(line(name), redirected)[::2] == (status, "")


@pytest.mark.parametrize("command", few(QUICK, "curate run", "curate report"))
def test_a_result_that_cannot_be_written(command: tuple[str, ...], place: Place) -> None:
    result_of(command, place)


@pytest.mark.verify
@pytest.mark.parametrize("command", WORKING, ids=" ".join)
def test_a_result_of_the_trainer_that_cannot_be_written(command: tuple[str, ...], place: Place) -> None:
    result_of(command, place)


def test_a_run_that_cannot_be_told_is_there(place: Place) -> None:
    """What a command makes is made whole, whether or not it could say so."""
    for name, redirected in (("full", ">/dev/full"), ("closed", ">&-"), ("left", "| true")):
        out = place.out / name
        line = [sys.executable, "-m", "curator", "run", "--username", "ann", "--home", str(place.home.folder)]
        called([*line, "--out", str(out), "--workers", "1"], redirected)
        assert len(list(out.glob("*/*/run-summary.json"))) == 1
        assert not list(out.glob("*/.tmp-*"))


@pytest.mark.verify
def test_a_chat_ends_when_nobody_listens() -> None:
    talk = f"yes | {sys.executable} -m trainer chat base --max-tokens 3"
    begun = time.monotonic()
    for end, status in (("| head -1", 0), (">/dev/full", 3)):
        script = f"{talk} {end}; exit ${{PIPESTATUS[1]}}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
        assert done.returncode == status and "Traceback" not in done.stderr, done.stderr
    assert time.monotonic() - begun < 100


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    """A home whose plugin prints to stdout by every way."""
    home, run = small_home(tmp_path_factory.mktemp("loud") / "home")
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "loud.py").write_text(LOUD)
    return home, run


@pytest.mark.parametrize("command", few(JSON, "curate export", "curate plugins", "trainer info"))
def test_json_is_json_alone(command: tuple[str, ...], loud: tuple[Home, Path], tmp_path: Path) -> None:
    if command[1] in ("finetune", "pretrain", "resume", "ablate", "mix", "compare", "health"):
        pytest.skip("trains or draws for long; it prints by print_json, as all do")
    status, out, err = called(line_of(command, Place(*loud, tmp_path), "--json"))
    assert "Traceback" not in err, err
    if status != 2:
        json.loads(out)
    else:
        assert out == ""
    assert "LOUD" not in out
    if command[0] == "curate" and command[1] in ("run", "plugins", "doctor", "export", "preview"):
        assert "LOUD import" in err and "LOUD exit" in err and "LOUD child" in err


def test_json_of_a_run_in_workers(loud: tuple[Home, Path], tmp_path: Path) -> None:
    line = line_of(("curate", "run"), Place(*loud, tmp_path), "--json")
    line[line.index("--workers") + 1] = "2"
    status, out, err = called(line)
    assert status == 0, err
    assert json.loads(out)["report"]["samples"] > 0 and "LOUD" not in out and "LOUD cleaner" in err


def test_a_bug_shows_its_traceback_without_the_words_of_the_user(tmp_path: Path) -> None:
    script = tmp_path / "bug.py"
    script.write_text(
        "from curator.contract.cli_frame import leave\n"
        "text = ' '.join(('my', 'secret', 'words'))\n"
        "def command():\n    try:\n        int(text)\n    except ValueError as error:\n"
        "        raise KeyError(text) from error\n"
        "leave('curate', command)\n"
    )
    line = [sys.executable, str(script)]
    status, out, err = called(line)
    assert (status, out) == (1, "") and "Traceback" in err
    assert "my secret words" not in err
    assert "ValueError" in err and "KeyError" in err and "CURATOR_DEBUG" in err
    assert called(line, env={**os.environ, "CURATOR_DEBUG": "1"})[2].count("my secret words") == 2


def test_a_pipe_that_is_full_and_does_not_block_is_waited_for(place: Place) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    line = [sys.executable, "-m", "curator", "plugins", "--json", "--home", str(place.home.folder)]
    with subprocess.Popen(line, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        time.sleep(1)
        with os.fdopen(reading, "rb") as file:
            json.loads(file.read())
        assert process.wait() == 0
    assert signal.getsignal(signal.SIGPIPE) is not signal.SIG_DFL
