"""Plugins that hang, end the process or eat memory where no memory is worked on: in every command that calls them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Home, curate_once

BAD = {
    "exits": ("import os; os._exit(0)", "it ended the process with status 0"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "it ended the process by SIGSEGV"),
    "is-killed": ("import os; os.kill(os.getpid(), 9)", "it ended the process by SIGKILL"),
    "loops": ("while True: pass", "it took longer than the 1 s of limits.call_seconds"),
    "loops-in-c": ("sum(range(10**13))", "it took longer than the 1 s of limits.call_seconds"),
    "sleeps": ("import time; time.sleep(1000)", "it took longer than the 1 s of limits.call_seconds"),
    "eats": (
        "eaten = []\nwhile True: eaten.append(bytes(10_000_000))",
        "it took more than the 300 MB of limits.memory_megabytes",
    ),
}  # fmt: skip
HARMLESS = {
    "thread": "import threading, time; threading.Thread(target=time.sleep, args=(1000,)).start()",
    "forks": "import os; os.fork()",
}
PLUGIN = """
from pathlib import Path
from curator import Cleaner, Exporter, MemorySource, Recipe, hookimpl

def bad():
{bad}

def row(conversation, job):
    {row}
    return {{"text": "x"}}

def read(path, settings):
    {read}
    yield from ()

{load}

@hookimpl
def register_cleaners():
    {hook}
    return []

@hookimpl
def register_exporters():
    return [Exporter("ours", "ours", row=row, recipe=lambda job: Recipe({{}}, ()))]

@hookimpl
def register_sources():
    return [MemorySource("mine", lambda path: path.suffix == ".mine", read)]
"""
WHERE = ("load", "hook", "row", "read")
COMMANDS = {
    "run": ("run", "--username", "ann", "--home", "{home}"),
    "validate": ("validate", "{run}", "--home", "{home}"),
    "export": ("export", "{run}", "--to", "trl", "--home", "{home}", "--out", "{out}"),
    "preview": ("preview", "{run}", "--to", "trl", "--home", "{home}"),
    "report": ("doctor", "--home", "{home}"),
    "import": ("import", "{home}/chat.txt", "--username", "ann", "--home", "{home}", "--owner", "Ann", "--dry-run"),
    "row": ("export", "{run}", "--to", "ours", "--home", "{home}", "--out", "{out}"),
    "read": ("run", "--username", "ann", "--home", "{home}", "--source", "{home}/x.mine"),
}
QUICK = {("exits", "hook", "export"), ("loops-in-c", "load", "preview"), ("eats", "hook", "validate")}


def cases() -> list[object]:
    """(what, where, command): each of what is bad in a hook of each command; while it loads, and in what it gives."""
    found = [
        (what, "hook", command) for what in BAD for command in COMMANDS if command not in ("row", "read", "import")
    ]
    found += [(what, "load", command) for what in BAD for command in ("preview", "import")]
    found += [(what, where, where) for what in BAD for where in ("row", "read")]
    marks = {True: (), False: pytest.mark.verify}
    return [pytest.param(*case, marks=marks[case in QUICK], id=" ".join(case)) for case in found]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    """A home, and a run of it that was made before the plugin came."""
    home = Home(tmp_path_factory.mktemp("watched") / "home")
    for number in range(4):
        home.memory(f"Where is pump {number}?", response=f"It stands on shelf {number} of the barn.")
    run = curate_once("run", "--username", "ann", "--home", home.folder).run
    lines = [f"1/{13 + day}/25, 09:00 - {who}: It runs since day {day}." for day in range(4) for who in ("Jon", "Ann")]
    (home.folder / "chat.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (home.folder / "x.mine").write_text("")
    return home, run


def put(home: Home, code: str, where: str, seconds: float = 60) -> None:
    """Let the home's plugin do so there, and a call of it take so long."""
    limits = {"call_seconds": seconds, "memory_megabytes": 300}
    home.config("curate.json", {"plugins": {"home_plugins": True}, "limits": limits})
    bad = "\n".join(f"    {line}" for line in code.splitlines())
    calls = {one: "bad()" if one == where else "pass" for one in WHERE}
    (home.folder / "plugins").mkdir(exist_ok=True)
    (home.folder / "plugins" / "evil.py").write_text(PLUGIN.format(bad=bad, **calls), "utf-8")


def line_of(command: str, made: tuple[Home, Path], out: Path) -> list[str]:
    home, run = made
    words = [word.format(home=home.folder, run=run, out=out) for word in COMMANDS[command]]
    return [sys.executable, "-m", "curator", *words]


def called(line: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(("what", "where", "command"), cases())
def test_a_plugin_that_is_bad(what: str, where: str, command: str, made: tuple[Home, Path], tmp_path: Path) -> None:
    """Status 1, and one message that names the plugin; nothing is made, and nothing goes on for ever."""
    code, problem = BAD[what]
    put(made[0], code, where, 1 if "call_seconds" in problem else 60)
    before = {*made[0].folder.rglob("*")}
    done = called(line_of(command, made, tmp_path / "out"))
    assert done.returncode == 1, done
    assert done.stdout == ""
    told = [line for line in done.stderr.splitlines() if line.startswith("curate: ")]
    assert len(told) == 1 and "Traceback" not in done.stderr, done.stderr
    assert told[0].startswith("curate: plugin 'evil': ") and told[0].endswith(problem)
    assert not (tmp_path / "out").exists()
    left = {path for path in {*made[0].folder.rglob("*")} - before if path.name not in (".lock", "__pycache__")}
    assert not [path for path in left if "run-summary" in path.name]


@pytest.mark.verify
@pytest.mark.parametrize("what", HARMLESS)
@pytest.mark.parametrize("command", ["run", "validate", "export", "preview"])
def test_what_a_plugin_leaves_behind(what: str, command: str, made: tuple[Home, Path], tmp_path: Path) -> None:
    """A thread that lives on, and a process that it forked: the command does its work once, and ends."""
    put(made[0], HARMLESS[what], "hook")
    done = called(line_of(command, made, tmp_path / "out"))
    assert done.returncode == 0, done
    assert "Traceback" not in done.stderr
    if command == "export":
        assert done.stdout.count(str(tmp_path / "out")) == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_watched_command_is_stopped_as_any(
    number: signal.Signals, status: int, made: tuple[Home, Path], tmp_path: Path
) -> None:
    home = made[0]
    put(home, "import time; Path('{}').write_text(''); time.sleep(60)".format(tmp_path / "there"), "hook")
    line = line_of("preview", made, tmp_path / "out")
    # In the background of a shell Ctrl-C is ignored, by whatever is started there too: then these tests as well.
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        while not (tmp_path / "there").exists():
            time.sleep(0.05)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert out == b"" and err.decode().count("curate: stopped") == 1 and b"Traceback" not in err
