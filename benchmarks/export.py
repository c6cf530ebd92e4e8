"""How fast `curate export` is and how much memory it takes, for each tool, at 10,000 and at 100,000 samples.

    python benchmarks/export.py [--samples 10000 100000] [--to TOOL ...] [--runs 3]

The samples are those of a run of the demo profile, repeated under other ids. Each export is a whole process, its start
included; the least wall time counts. Prints a table: samples a second, the greatest resident memory, and its ratio
between the two sizes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("llama-factory", "axolotl", "trl", "unsloth", "mlx", "torchtune", "openai")
MODELS = {"openai": "gpt-4.1-mini-2025-04-14", "torchtune": "meta-llama/Llama-3.1-8B-Instruct"}


def demo_run(folder: Path) -> Path:
    home = folder / "home"
    shutil.copytree(ROOT / "profiles/greggles", home / "profiles/greggles", ignore=shutil.ignore_patterns("out"))
    command = [sys.executable, "-m", "curator", "run", "--home", str(home), "--username", "greggles"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return Path(done.stdout.strip().splitlines()[-1])


def repeated_run(run: Path, count: int, folder: Path) -> Path:
    """A run folder of `count` samples: the lines of `run` again and again, the summary's hashes made to fit."""
    folder.mkdir()
    summary = json.loads((run / "run-summary.json").read_text("utf-8"))
    shutil.copy(run / "report.json", folder)
    for name in ("formatted_samples.json", "curated_memories.json"):
        rows = json.loads((run / name).read_text("utf-8"))
        with (folder / name).open("w", encoding="utf-8") as file:
            file.write("[\n")
            for number in range(count):
                row = rows[number % len(rows)]
                row["metadata"]["sample_id"] = f"{number:016x}-0"
                text = json.dumps(row, ensure_ascii=False)
                file.write(text + (",\n" if number < count - 1 else "\n]\n"))
        with (folder / name).open("rb") as file:
            summary["files"][name] = hashlib.file_digest(file, "sha256").hexdigest()
    summary["counts"]["samples"] = count
    (folder / "run-summary.json").write_text(json.dumps(summary), "utf-8")
    return folder


def timed(run: Path, tool: str, out: Path) -> tuple[float, float]:
    """Return (seconds, MiB at most) of one export in a process of its own."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "curator", "export", str(run), "--to", tool, "--method", "lora",
               "--base-model", MODELS.get(tool, "Qwen/Qwen3-4B-Instruct-2507"), "--out", str(out)]  # fmt: skip
    if tool == "openai":
        command += ["--family", "qwen"]
    begun = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)
    assert child.stderr
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begun
    if os.waitstatus_to_exitcode(status):
        sys.exit(said.decode())
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--to", nargs="+", default=TOOLS)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run = demo_run(folder)
        runs = {count: repeated_run(run, count, folder / f"run-{count}") for count in options.samples}
        print(f"{'tool':<14} {'samples':>8} {'seconds':>8} {'a second':>9} {'MiB':>6}")
        for tool in options.to:
            memory = []
            for count in options.samples:
                found = [timed(runs[count], tool, folder / "out") for _ in range(options.runs)]
                seconds, most = min(one[0] for one in found), max(one[1] for one in found)
                memory.append(most)
                print(f"{tool:<14} {count:>8,} {seconds:>8.2f} {count / seconds:>9,.0f} {most:>6.0f}")
            print(
                f"{'':<14} memory at {options.samples[-1]:,} / at {options.samples[0]:,}: {memory[-1] / memory[0]:.2f}"
            )


if __name__ == "__main__":
    main()
