"""How far does a fine-tune come towards the person? Floor, base, tuned and ceiling of several people and seeds.

    python benchmarks/voice_tuned.py --work DIR --runs NAME=RUN ... [--seeds 0 1 2] [--threads N]
        [--json FILE] [--accept]

RUN is a curated run that has a voice-reference.npz: best of a profile with more memories than --max takes, so that many
of the person's words are in no training sample. `trainer finetune` runs as a process of its own with the shipped
settings; what its gate refuses is kept and counts as refused. The scores are those of its health.json: *others* and
*the person* are every other document that was left out, on the scale that the rest sets, so that 0 and 100 are right
within 10, or the reference tells too little. Each task leaves its checkpoint in DIR, so that a benchmark that was
stopped goes on. --accept exits with 1 where an end is more than 10 off.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from curator.contract.files import pretty_json, read_json

OFF = 10  # points that an end may be off


def report_of(name: str, run: Path, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Fine-tune with one seed, unless that is done, and return its health report."""
    out = options.work / f"{name}-{seed}"
    found = out / "training" / "health.json"
    if not (out / "trainer.json").is_file():
        words = ["finetune", "--run", str(run), "--out", str(out), "--seed", str(seed), "--accept-degraded"]
        begun = ["resume", str(out), "--accept-degraded"] if (out / "training").is_dir() else words
        threads = ["--threads", str(options.threads)] if options.threads else []
        done = subprocess.run([sys.executable, "-m", "trainer", *begun, *threads], capture_output=True)
        if done.returncode:
            sys.exit(f"{name}, seed {seed}:\n{done.stderr.decode(errors='replace')[-2000:]}")
    report = read_json(found)
    assert isinstance(report, dict)
    return report


def shown(place: dict[str, Any]) -> str:
    if place["score"] is None:
        return str(place["why"])
    return f"{place['score']:.0f} ({place['low']:.0f} to {place['high']:.0f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--runs", nargs="+", required=True, metavar="NAME=RUN")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--accept", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    out, missed = [], []
    for name, run in (text.split("=", 1) for text in options.runs):
        tuned = []
        for seed in options.seeds:
            report = report_of(name, Path(run), seed, options)
            voice = report["voice"]
            if not voice or voice["why"]:
                sys.exit(f"{name}: {voice['why'] if voice else 'the run has no voice-reference.npz'}")
            ways = {way: {row["name"]: row[way] for row in voice["rows"]} for way in ("topic_free", "full")}
            for way, rows in ways.items():
                says = ", ".join(f"{who} {shown(place)}" for who, place in rows.items())
                more = f"recited {voice['recited']:.2%}; {report['verdict']}"
                print(f"{name}, seed {seed}, {way}: {says}; {more}", flush=True)
            tuned.append(ways["topic_free"]["tuned"]["score"])
            out.append({"name": name, "seed": seed, "verdict": report["verdict"], "voice": voice})
            ends = {"others": 0, "person": 100}
            missed += [
                f"{name}: {who} at {ways['topic_free'][who]['score']:.0f}" for who, right in ends.items()
                if seed == options.seeds[0] and abs(ways["topic_free"][who]["score"] - right) > OFF
            ]  # fmt: skip
        spread = f" ± {statistics.stdev(tuned):.0f}" if len(tuned) > 1 else ""
        print(f"{name}: tuned {statistics.mean(tuned):.0f}{spread} over {len(tuned)} seeds", flush=True)
    if options.json:
        options.json.write_text(pretty_json(out), "utf-8")
    print("\n".join(f"missed: {line}" for line in missed) or "both ends are within 10 of where they should be")
    return int(options.accept and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
