"""How long `curate run` takes on a large profile: with workers, beside other programs, and again on the same memories.

    python benchmarks/scale.py --home HOME --username NAME [--workers 1 2] [--runs 3] [--again]
        [--against 'COMMAND with {home} and {username}' ...] [--work DIR] [--json FILE] [--accept]

Every command is a whole process, `--runs` times, in turn, so that what else the machine does hits all alike; the least
wall time and the least CPU time count. CPU is that of the whole tree of processes: also of those that outlive their
parent, which a benchmark that waits for one process misses. Memory is the highest resident size of the process itself
and of the largest one below it, where /proc or psutil tells it; pages that two share count for both.

Ours runs with --no-cache, so that each is the first. A peer's command (benchmarks/peers/) prints `pairs: N` as its last
line; ours counts the samples that are kept, so that what it drops counts for nothing. Bounds, which --accept holds:

    two workers against one         wall at most 0.60
    against a peer                  wall at most 1.00 with the most workers, CPU a pair at most 1.00 with the fewest
    --again: nothing has changed    wall at most 0.10 of the first run
    --again: 1% new or changed      wall at most 0.25 of the first run
    --again: against a cold run     every file the same, byte for byte, that does not tell when it was made

--again works on a copy of the profile in --work (by default the temporary folder); the profile itself is never written
to. Options that this `curate run` does not know are left out, and it says so.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import os
import random
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TWO_WORKERS, PEER, AGAIN, CHANGED = 0.60, 1.00, 0.10, 0.25
SETTLED = 4  # seconds after which a file counts as one that may be kept: nobody runs in the second of a memory
SHARE_CHANGED = 0.01
NOT_COMPARED = {"report.html"}  # tells the time
CURATE = [sys.executable, "-m", "curator", "run"]
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h


@dataclass
class Cost:
    """What one command took. Seconds and megabytes; a peak is None where nothing tells it."""

    wall: float
    cpu: float
    own_peak: float | None
    child_peak: float | None
    pairs: int = 0

    @property
    def cpu_a_pair(self) -> float:
        return self.cpu / max(1, self.pairs)


@dataclass
class Bound:
    """A ratio of two figures that may be `most`, and that of the CPU time, which other work hardly moves."""

    what: str
    value: float
    most: float
    cpu: float

    @property
    def holds(self) -> bool:
        return self.value <= self.most


def adopt_orphans() -> None:
    """Make this process the parent of what a command leaves behind, where the system can, so that it is counted."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def megabytes_of(pid: int) -> dict[int, float]:
    """Return the highest resident size so far of a process and of each one below it, by process id."""
    if Path("/proc/self/status").exists():
        return dict(_from_proc(pid))
    if importlib.util.find_spec("psutil"):
        import psutil

        with suppress(psutil.Error):
            tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            return {process.pid: process.memory_info().rss / 1e6 for process in tree}
    return {}


def _from_proc(pid: int) -> Iterator[tuple[int, float]]:
    with suppress(OSError):  # it may end at any moment
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                yield pid, int(line.split()[1]) * 1024 / 1e6
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from _from_proc(int(child))


@contextmanager
def watched(pid: int) -> Iterator[dict[int, float]]:
    """Look at the memory of a tree of processes ten times a second while the block runs."""
    peaks: dict[int, float] = {}
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for number, size in megabytes_of(pid).items():
                peaks[number] = max(size, peaks.get(number, 0.0))
            over.wait(0.1)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()


def wait_for_orphans(seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    with suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
        print("note: processes of the command still run; their CPU time is not counted", file=sys.stderr)


def measured(command: Sequence[str]) -> tuple[Cost, str]:
    """Return what a command took, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as errors:
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=printed, stderr=errors)
        with watched(process.pid) as peaks:
            status = process.wait()
            wall = time.monotonic() - begun
        wait_for_orphans()
        printed.seek(0)
        errors.seek(0)
        text = printed.read().decode(errors="replace")
        if status:
            sys.exit(f"{shlex.join(command)} failed:\n{errors.read().decode(errors='replace')}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    own = peaks.pop(process.pid, None)
    return Cost(wall, cpu, own, max(peaks.values(), default=None)), text


def supported(*options: str) -> list[str]:
    """Return those of the options that `curate run` knows."""
    text = subprocess.run([*CURATE, "--help"], capture_output=True, text=True, check=True).stdout
    return [option for option in options if option in text.replace("[", " ").replace("]", " ").split()]


@dataclass
class Curate:
    """`curate run` for one person. `known` are the options that this version of it has."""

    username: str
    known: list[str]

    def run(self, home: Path, *, out: Path | None = None, workers: int | None = None, cold: bool) -> tuple[Cost, Path]:
        """Return what a run took and its folder, which the caller removes."""
        command = [*CURATE, "--home", str(home), "--username", self.username]
        command += ["--out", str(out)] if out else []
        command += ["--workers", str(workers)] if workers and "--workers" in self.known else []
        command += ["--no-cache"] if cold and "--no-cache" in self.known else []
        cost, printed = measured(command)
        folder = Path(printed.rstrip().splitlines()[-1])
        cost.pairs = summary(folder)["counts"]["samples"]
        return cost, folder


def summary(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "run-summary.json").read_text("utf-8"))
    return data


def peer(command: str, home: Path, username: str) -> Cost:
    cost, printed = measured(shlex.split(command.format(home=home, username=username)))
    lines = printed.rstrip().splitlines() or [""]
    name, _, count = lines[-1].partition(": ")
    if name != "pairs" or not count.isdigit():
        sys.exit(f"The last line of a peer's command is to be 'pairs: N'; it was {lines[-1]!r}: {command}")
    cost.pairs = int(count)
    return cost


def least(costs: Sequence[Cost]) -> Cost:
    """Return the least wall and the least CPU time, and the largest peaks."""
    own = [cost.own_peak for cost in costs if cost.own_peak is not None]
    child = [cost.child_peak for cost in costs if cost.child_peak is not None]
    return Cost(
        min(cost.wall for cost in costs),
        min(cost.cpu for cost in costs),
        max(own, default=None),
        max(child, default=None),
        costs[0].pairs,
    )


def copied(home: Path, username: str, target: Path) -> Path:
    """Return a home with a copy of a profile, without what earlier runs left in out/."""
    source = home / "profiles" / username
    shutil.copytree(
        source,
        target / "profiles" / username,
        ignore=lambda folder, _: {"out"} if Path(folder) == source else set(),
    )
    for name in ("etc", "plugins"):
        if (home / name).is_dir():
            shutil.copytree(home / name, target / name)
    return target


def change(root: Path, dice: random.Random) -> int:
    """Draw 1% of the memories; rewrite one half of them, write a new one beside each of the other; return how many."""
    files = sorted(root.rglob("*.json"))
    drawn = dice.sample(files, max(1, round(SHARE_CHANGED * len(files))))
    for number, path in enumerate(drawn):
        memory = json.loads(path.read_text("utf-8"))
        key = "response" if memory.get("response") else "content"
        memory[key] = f"{memory.get(key, '')} And so it was, time and again: {number + 1}."
        if number % 2:
            memory["id"] = f"{memory['id']}-new-{number}"
            path = path.with_name(f"{memory['id']}.json")
        path.write_text(json.dumps(memory, indent=2, ensure_ascii=False), "utf-8")
    return len(drawn)


def differing(folder: Path, cold: Path) -> list[str]:
    """Return the names of the files that differ between two run folders."""
    ours, theirs = summary(folder)["files"], summary(cold)["files"]
    return [name for name in sorted({*ours, *theirs} - NOT_COMPARED) if ours.get(name) != theirs.get(name)]


def again(curate: Curate, home: Path, work: Path, workers: int | None) -> tuple[dict[str, Cost], list[str]]:
    """Run four times on a copy: first, again, with 1% changed, cold; return the costs and the files that differ."""
    copy = copied(home, curate.username, work / "home")
    time.sleep(SETTLED)
    costs, different = {}, []
    costs["first"], first = curate.run(copy, workers=workers, cold=False)
    costs["again"], second = curate.run(copy, workers=workers, cold=False)
    different += [f"again: {name}" for name in differing(second, first)]
    change(copy / "profiles" / curate.username / "memory" / "episodic", random.Random(0))
    time.sleep(SETTLED)
    costs["1% changed"], changed = curate.run(copy, workers=workers, cold=False)
    costs["cold"], cold = curate.run(copy, workers=workers, cold=True)
    different += [f"1% changed: {name}" for name in differing(changed, cold)]
    shutil.rmtree(copy)
    return costs, different


def table(costs: dict[str, Cost]) -> None:
    def size(peak: float | None) -> str:
        return "-" if peak is None else f"{peak:.0f}"

    width = max(map(len, costs))
    print(f"{'':{width}} {'wall s':>8} {'CPU s':>8} {'pairs':>9} {'us a pair':>10} {'peak MB':>8} {'child MB':>9}")
    for name, cost in costs.items():
        print(
            f"{name:{width}} {cost.wall:8.2f} {cost.cpu:8.2f} {cost.pairs:9,} {1e6 * cost.cpu_a_pair:10.1f}"
            f" {size(cost.own_peak):>8} {size(cost.child_peak):>9}"
        )


def bounds_of(costs: dict[str, Cost], workers: Sequence[int], peers: Sequence[str]) -> list[Bound]:
    def walls(title: str, one: str, other: str, most: float) -> Bound:
        first, second = costs[one], costs[other]
        return Bound(f"wall, {title}", first.wall / second.wall, most, first.cpu / second.cpu)

    fewest, most = ours(min(workers)), ours(max(workers))
    found = [walls("2 workers against 1", ours(2), ours(1), TWO_WORKERS)] if {1, 2} <= set(workers) else []
    for name in peers:
        found.append(walls(f"{most} against {name}", most, name, PEER))
        a_pair = costs[fewest].cpu_a_pair / costs[name].cpu_a_pair
        whole = costs[fewest].cpu / costs[name].cpu
        found.append(Bound(f"CPU a pair, {fewest} against {name}", a_pair, PEER, whole))
    if "first" in costs:
        found.append(walls("again", "again", "first", AGAIN))
        found.append(walls("1% changed", "1% changed", "first", CHANGED))
    return found


def ours(workers: int) -> str:
    return f"curate run, workers: {workers}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--username", required=True)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--against", action="append", default=[], help="a peer's command; may be given several times")
    parser.add_argument("--again", action="store_true", help="again on the same memories, and with 1% of them changed")
    parser.add_argument("--work", type=Path, help="where runs and copies go, best on the disk of the profile")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--accept", action="store_true", help="exit with 1 where a bound is missed")
    return parser.parse_args()


def rounds(
    options: argparse.Namespace, curate: Curate, peers: dict[str, str]
) -> tuple[dict[str, list[Cost]], set[str]]:
    """Run everything in turn, `--runs` times; return the costs by name, and what --again found to differ."""
    taken: dict[str, list[Cost]] = {}
    different: set[str] = set()
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory(dir=options.work) as name:
            for number in options.workers:
                cost, folder = curate.run(options.home, out=Path(name), workers=number, cold=True)
                taken.setdefault(ours(number), []).append(cost)
                shutil.rmtree(folder)
            for title, command in peers.items():
                taken.setdefault(title, []).append(peer(command, options.home, options.username))
            if options.again:
                costs, found = again(curate, options.home, Path(name), max(options.workers))
                different.update(found)
                for title, cost in costs.items():
                    taken.setdefault(title, []).append(cost)
    return taken, different


def main() -> int:
    options = arguments()
    adopt_orphans()
    curate = Curate(options.username, supported("--workers", "--no-cache"))
    for option in {"--workers", "--no-cache"} - set(curate.known):
        print(f"note: this `curate run` has no {option}; it is left out")
    options.workers = sorted(set(options.workers)) if "--workers" in curate.known else [1]
    peers = {f"peer {number}": command for number, command in enumerate(options.against, 1)}
    load = os.getloadavg()[0]
    taken, different = rounds(options, curate, peers)
    costs = {title: least(several) for title, several in taken.items()}
    bounds = bounds_of(costs, options.workers, list(peers))
    print(f"{options.runs} runs each; load {load:.1f} before, {os.getloadavg()[0]:.1f} after, {os.cpu_count()} cores")
    for name, command in peers.items():
        print(f"{name}: {command}")
    table(costs)
    for bound in bounds:
        mark = "ok  " if bound.holds else "MISS"
        print(f"{mark} {bound.what}: {bound.value:.2f}, at most {bound.most:.2f} (all CPU: {bound.cpu:.2f})")
    if options.again:
        print(f"MISS other bytes: {', '.join(sorted(different))}" if different else "ok   every file as in a cold run")
    if options.json:
        data = {
            "peers": peers,
            "runs": {title: [asdict(cost) for cost in several] for title, several in taken.items()},
            "bounds": [{**asdict(bound), "holds": bound.holds} for bound in bounds],
            "different": sorted(different),
        }
        options.json.write_text(json.dumps(data, indent=2) + "\n", "utf-8")
    return int(options.accept and (bool(different) or not all(bound.holds for bound in bounds)))


if __name__ == "__main__":
    sys.exit(main())
