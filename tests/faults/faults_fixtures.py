"""A world for commands to write in, a way to run them on a failing disk, and what must be true afterwards.

FAULTS_SEED chooses which points are drawn where not all are tried; it is told with every failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

HOOK = Path(__file__).parent / "hook"
SEED = int(os.environ.get("FAULTS_SEED", "19"))
ERRORS = ("ENOSPC", "EIO", "EROFS")
FAULTS = [(what, once) for what in ERRORS for once in (True, False)]
FIGURES: Counter[tuple[str, str, str]] = Counter()  # (command, kind of fault, tried or failed)

# What differs from run to run: times, labels made of them, process numbers, and hashes of what holds those.
_VARIES = [
    (re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?"), b"TIME"),
    (re.compile(rb"\b\d{4}-\d\d-\d\d\b"), b"DAY"),
    (re.compile(rb"\b\d{6}-(all|dual|[a-z_]+)-([a-z0-9_]+)(-\d+)?\b"), rb"LABEL-\1-\2"),
    (re.compile(rb'"seconds": ?[\d.e-]+'), b"SECONDS"),
    (re.compile(rb'"number": ?\d+'), b"NUMBER"),  # of a run among all that there are
    (re.compile(rb"\b[0-9a-f]{64}\b"), b"SHA"),
    (re.compile(rb"\b[0-9a-f]{12}\b"), b"SHA"),
]
_HARMLESS = (".lock", ".lock.pid")
_TORCH = "tmp/torchinductor_"  # torch's own cache
_CACHE = re.compile(r"(^|/)cache(/|$)|\.sqlite")


def steady(data: bytes) -> bytes:
    """The bytes without what differs from run to run."""
    for pattern, stands in _VARIES:
        data = pattern.sub(stands, data)
    return data


def _is_probe(path: Path) -> bool:
    """Whether a file is what Python's `tempfile` tries a folder with; killed in that moment, it stays, empty of us."""
    return path.parent.name == "tmp" and path.is_file() and path.read_bytes() in (b"", b"bl", b"blat")


def is_leftover(name: str) -> bool:
    """Whether a path is of something half-made."""
    return bool(re.search(r"(^|/)\.[^/]*(tmp-|old-|source-)|^tmp/.", name))


@dataclass(frozen=True)
class Outcome:
    """What a command left: its status ("hangs" where it was given up), stdout, stderr."""

    status: str
    out: str
    err: str


class Server:
    """Runs commands of a program, each in a fork of one process that has loaded it."""

    def __init__(self, program: str) -> None:
        self.program = program
        environment = os.environ | {"PYTHONPATH": f"{HOOK}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, HOOK / "server.py", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment, cwd=ROOT,
        )  # fmt: skip
        assert self._process.stdout and self._process.stdout.readline() == "ready\n"

    def run(
        self, world: World, words: Sequence[str], plan: dict[str, Any] | None = None, *, stdin: str = "",
        signals: tuple[int, float] | None = None, here: bool = False, timeout: float = 20,
    ) -> Outcome:  # fmt: skip
        """Run a command in the world; `here` in the process that all others are forks of, which loads what it needs."""
        out, err, said = (world.folder.parent / name for name in ("stdout", "stderr", "stdin"))
        said.write_text(stdin.replace("{out}", str(world.folder / "out")))
        if plan is not None:
            plan = {"roots": [str(world.folder)], **plan}
        job = {
            "program": self.program, "words": list(words), "plan": plan, "out": str(out), "err": str(err),
            "stdin": str(said), "folder": str(world.folder), "environment": {"TMPDIR": str(world.folder / "tmp")},
            "timeout": timeout, "signals": signals, "here": here,
        }  # fmt: skip
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        status = self._process.stdout.readline().strip()
        return Outcome(status, out.read_text("utf-8", "replace"), err.read_text("utf-8", "replace"))

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


class World:
    """home/, src/ (what commands read), out/ (what they make) and tmp/ ($TMPDIR), put back as they were before a try.

    It stands at one path always, as files name paths.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._kept = folder, folder.with_name(f"{folder.name}-kept")
        for name in ("home", "src", "out", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def keep(self) -> None:
        """Take what is there as the beginning of every try."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self.folder, self._kept, symlinks=True)

    def restore(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder, symlinks=True)

    def state(self) -> dict[str, str]:
        """A hash of every file by its path, and "" for folders that are leftovers; without locks and caches."""
        found: dict[str, str] = {}
        for path in sorted(self.folder.rglob("*")):
            name = str(path.relative_to(self.folder))
            if path.name in _HARMLESS or _CACHE.search(name) or _is_probe(path) or _TORCH in name:
                continue
            if path.is_file():
                shown = name if is_leftover(name) else steady(name.encode()).decode()
                found[shown] = hashlib.sha256(steady(path.read_bytes())).hexdigest()
            elif is_leftover(name):
                found[name] = ""
        return found


def split(state: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """A state without its leftovers, and these."""
    return {name: sha for name, sha in state.items() if not is_leftover(name)}, sorted(filter(is_leftover, state))


@dataclass(frozen=True)
class Case:
    """A command that writes. `made` prepares the world; `words` may name {home}, {src}, {out}.

    `level` is what appears whole: "all" at once, or every one of the "files" by itself. "training" goes on where it was
    stopped: what it left is not looked at, but what it ends in is. `again` is the words of the next run, where not the
    same; `taken` whether the next run is refused (status 2) once the result is there.
    """

    words: str
    made: str
    level: str = "all"
    taken: bool = False
    stdin: str = ""
    again: str = ""
    goes_on: bool = False  # a dialogue: what failed is told, and the next command of it is asked for
    ignored: str = "$^"  # files whose bytes differ from run to run
    most: int = 10_000  # points of a full run, for what takes seconds
    few: int = 4  # points where a share is tried
    name: str = ""
    early: str = "$^"  # files that a kill between two renames leaves without the last one, till the next start

    @property
    def shown(self) -> str:
        """What the case is called."""
        return self.name or self.command_name

    @property
    def command_name(self) -> str:
        """The command, as the parser has it."""
        first, second, *_ = [*self.words.split(), ""]
        return f"{first} {second}" if first in ("modules", "tokenizer") else first

    def command(self, world: World, words: str = "") -> list[str]:
        places = {name: str(world.folder / name) for name in ("home", "src", "out")}
        return [word.format(**places) for word in (words or self.words).split()]


@dataclass
class Trial:
    """All tries of a case: its world, the states before and after, and what failed."""

    case: Case
    server: Server
    world: World
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world.restore()
        self.before = self.state()
        log = self.world.folder.parent / "log"
        log.unlink(missing_ok=True)
        begun = time.monotonic()
        self.clean = self.run({"log": str(log)})
        self.seconds = time.monotonic() - begun
        assert self.clean.status == "0", self.clean
        self.after = self.state()
        assert not split(self.after)[1], f"a clean run leaves {split(self.after)[1]}"
        self.steps = log.read_text(errors="replace").splitlines()
        assert self.steps, "it writes nothing: is it one of those that only read?"

    def state(self) -> dict[str, str]:
        ignored = re.compile(self.case.ignored)
        return {name: "" if ignored.search(name) else sha for name, sha in self.world.state().items()}

    def run(self, plan: dict[str, Any] | None = None, **how: Any) -> Outcome:
        return self.server.run(self.world, self.case.command(self.world), plan, stdin=self.case.stdin, **how)

    def points(self, share: float, spread: random.Random) -> list[int]:
        """The operations to fail at: all, or a share of them, one at least and at most a few."""
        every = range(1, len(self.steps) + 1)
        number = min(self.case.most if share == 1 else self.case.few, max(1, round(len(every) * share)))
        return sorted(spread.sample(every, number)) if number < len(every) else list(every)

    def try_one(self, kind: str, plan: dict[str, Any] | None, **how: Any) -> None:
        """Let the command meet a fault, look at what it left, and run it again."""
        self.world.restore()
        met = self.run(plan, **how)
        problems = [*self._wrong(met, kind), *self._wrong_after(kind)]
        name = f"{self.server.program} {self.case.shown}"
        FIGURES[name, kind.split()[0], "tried"] += 1
        if problems:
            FIGURES[name, kind.split()[0], "failed"] += 1
            at = plan["at"] if plan and "at" in plan else how
            step = self.steps[at - 1] if isinstance(at, int) and at <= len(self.steps) else at
            self.failures.append(f"{kind} at {step}: status {met.status}; {'; '.join(problems)}\n    {met.err[-500:]}")

    def _wrong(self, met: Outcome, kind: str) -> list[str]:
        problems = []
        state, left = split(self.state())
        new = self._is(state, self.after)
        if not new and kind.startswith(("kill", "E")):
            early = re.compile(self.case.early)
            state = {name: sha for name, sha in state.items() if not early.search(name) or name in self.before}
        old = self._is(state, self.before)
        if kind.startswith("kill"):
            if met.status not in ("-9", "0"):
                problems.append("expected to be killed")
        elif kind.startswith("stop"):
            if met.status not in ("-15", "143", "130", "0"):
                problems.append("expected status 143")
        elif met.status not in ("0", "3"):
            problems.append("expected status 3")
        problems += said_wrong(met)
        if self.case.level == "all" and not (new or old):
            problems.append(f"half a state: {differing(state, self.before)[:4]} / {differing(state, self.after)[:4]}")
        elif self.case.level == "files":
            whole = (
                all(sha in (self.before.get(name), self.after.get(name)) for name, sha in state.items())
                and self.before.keys() & self.after.keys() <= state.keys()
            )
            if not whole:
                problems.append(f"a file is half made: {differing(state, self.after)[:4]}")
        elif any(state.get(name) != sha for name, sha in self.before.items() if name.startswith("src/")):
            problems.append("a source was changed")
        told = self.case.goes_on and "cannot write" in met.err
        if met.status == "0" and not new and self.case.level != "training" and not told:
            problems.append("status 0 without the result")
        if met.status != "0" and new and not old and re.search("nothing was|what was there before", met.err):
            problems.append("it says that nothing was done, and the result is there")
        if left and not kind.startswith("kill") and not kind.endswith("good"):
            problems.append(f"left {left[:4]}")
        return problems

    def _is(self, state: dict[str, str], other: dict[str, str]) -> bool:
        return state == other

    def _wrong_after(self, kind: str) -> list[str]:
        new = self._is(split(self.state())[0], self.after)
        again = self.run()
        if again.status == "2" and self.case.again:
            again = self.server.run(self.world, self.case.command(self.world, self.case.again), stdin=self.case.stdin)
        problems = []
        if again.status != "0" and not (self.case.taken and new and again.status == "2"):
            problems.append(f"the next run: status {again.status}: {again.err[-300:]}")
        state, left = split(self.state())
        if left:
            problems.append(f"the next run leaves {left[:4]}")
        if not problems and state != self.after:
            problems.append(f"after the next run: {differing(state, self.after)[:4]}")
        return problems

    def done(self) -> None:
        """Fail with everything that was found."""
        assert not self.failures, f"{len(self.failures)} failed (FAULTS_SEED={SEED}):\n" + "\n".join(self.failures)


def said_wrong(met: Outcome) -> list[str]:
    """What is wrong with the words of a command that failed: it must be told in a line, never in a traceback."""
    problems = []
    if met.status == "hangs":
        problems.append("hangs")
    if re.search(r"Traceback|Exception ignored|^\w*Error:", met.err, re.MULTILINE):
        problems.append("a traceback")
    told = [line for line in met.err.splitlines() if re.match(r"(curate|trainer): ", line)]
    if met.status in ("1", "2", "3") and len(told) != 1 and "usage:" not in met.err:
        problems.append(f"{len(told)} messages")
    return problems


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The names of what is not the same in both."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def kill_points(trial: Trial, share: float) -> None:
    """Kill at write operations."""
    for at in trial.points(share, random.Random(SEED)):
        trial.try_one("kill", {"at": at, "what": "kill"})


def fault_points(trial: Trial, share: float) -> None:
    """Refuse write operations, each with every error, once and for good; of a share, one of these."""
    spread = random.Random(SEED)
    for at in trial.points(share, spread):
        for what, once in FAULTS if share == 1 else [spread.choice(FAULTS)]:
            trial.try_one(f"{what} {'once' if once else 'for good'}", {"at": at, "what": what, "once": once})


def moments(trial: Trial, number: int, seconds: float) -> None:
    """Send SIGKILL and SIGTERM at random moments of a run that takes so long."""
    spread = random.Random(SEED)
    for count in range(number):
        name, signum = (("kill", signal.SIGKILL), ("stop", signal.SIGTERM))[count % 2]
        trial.try_one(f"{name} moment", None, signals=(signum, spread.uniform(0.0, seconds)))


def tell_figures(config: pytest.Config, program: str) -> None:
    """Print what was tried and what failed, per command."""
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    names = sorted({name for name, _, _ in FIGURES if name.startswith(program)})
    if reporter is None or not names:
        return
    reporter.ensure_newline()
    reporter.write_line(f"faults of {program} (FAULTS_SEED={SEED}): tried/failed")
    for name in names:
        kinds = sorted({kind for one, kind, _ in FIGURES if one == name})
        told = [f"{kind} {FIGURES[name, kind, 'tried']}/{FIGURES[name, kind, 'failed']}" for kind in kinds]
        reporter.write_line(f"  {name}: {', '.join(told)}")
