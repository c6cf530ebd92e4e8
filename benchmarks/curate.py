"""How fast `curate run` is and how much memory it takes, for 5,000, 50,000 and 200,000 memories.

    python benchmarks/curate.py [--events 5000 50000 200000] [--runs 3] [--data FILE.jsonl ...] [--against 'COMMAND']

The memories are those of FILE (JSONL, one memory a line, .gz allowed), by default the demo profile's, repeated with
other times, ids and a few other words, so that they are near-duplicates as in real profiles. Each size is run as a
whole process, `--runs` times; the least CPU time counts. `--against` times another command in turn, at 50,000 memories;
{home} in it is the home. Prints a table, and the ratios that matter.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import itertools
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def memories(files: list[Path]) -> list[dict[str, Any]]:
    if files:
        found = []
        for path in files:
            with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
                found += [json.loads(line) for line in lines]
        return found
    found = []
    for path in sorted((ROOT / "profiles/greggles/memory/episodic").rglob("*.json")):
        try:
            data = json.loads(path.read_text("utf-8"))
        except ValueError:
            continue
        if isinstance(data, dict) and str(data.get("timestamp", "")).startswith("202"):
            found.append(data)
    return found


def varied(text: str, dice: random.Random) -> str:
    words = text.split(" ")
    for _ in range(max(1, len(words) // 25)):
        words[dice.randrange(len(words))] = dice.choice(("indeed", "perhaps", "truly", "again", "now"))
    return " ".join(words)


def repeated(base: list[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    dice = random.Random(0)
    for number in range(count):
        event, lap = base[number % len(base)], number // len(base)
        if lap:
            event = json.loads(json.dumps(event))
            when = dt.datetime.fromisoformat(event["timestamp"]).replace(tzinfo=None)
            when += dt.timedelta(days=lap, minutes=number % 1440)
            event["timestamp"], event["id"] = when.isoformat(timespec="milliseconds") + "Z", f"{event['id']}-{lap}"
            for key in ("content", "response"):
                if event.get(key):
                    event[key] = varied(event[key], dice)
            for message in event.get("messages", []):
                message["content"] = varied(message["content"], dice)
        yield event


def lay_out(base: list[dict[str, Any]], count: int, home: Path) -> None:
    root = home / "profiles" / "bench" / "memory" / "episodic"
    for number, event in enumerate(repeated(base, count)):
        folder = root / event["timestamp"][:10].replace("-", "/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:07}.json").write_text(json.dumps(event, indent=2, ensure_ascii=False), "utf-8")


def timed(command: list[str]) -> tuple[float, float, float]:
    """Return (CPU seconds, wall seconds, peak megabytes) of a command and its children."""
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{shlex.join(command)} failed:\n{errors.decode()}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - begun, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[5_000, 50_000, 200_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--data", type=Path, nargs="*", default=[])
    parser.add_argument("--against", help="a command to time in turn; {home} is the home of 50,000 memories")
    options = parser.parse_args()
    base = memories(options.data)
    cost: dict[int, float] = {}
    print(f"{'memories':>9} {'CPU s':>7} {'wall s':>7} {'memories/s':>11} {'us each':>8} {'peak MB':>8}")
    for count in options.events:
        with tempfile.TemporaryDirectory() as name:
            home, out = Path(name) / "home", Path(name) / "out"
            lay_out(base, count, home)
            ours = [
                sys.executable,
                "-m",
                "curator",
                "run",
                "--username",
                "bench",
                "--home",
                str(home),
                "--out",
                str(out),
            ]
            other = shlex.split(options.against.format(home=home)) if options.against and count == 50_000 else None
            runs, others = [], []
            for _ in range(options.runs):
                runs.append(timed(ours))
                shutil.rmtree(out)
                if other:
                    others.append(timed(other))
            cpu, wall, peak = min(runs)
            cost[count] = cpu / count
            print(
                f"{count:9,} {cpu:7.2f} {wall:7.2f} {count / wall:11,.0f} {1e6 * cpu / count:8.1f} {peak:8.0f}",
                flush=True,
            )
            if others:
                print(f"          against: {min(others)[0]:.2f} s of CPU; ratio {cpu / min(others)[0]:.2f}")
    sizes = sorted(cost)
    for small, large in itertools.pairwise(sizes):
        print(f"CPU a memory, {large:,} against {small:,}: {cost[large] / cost[small]:.2f}")


if __name__ == "__main__":
    main()
