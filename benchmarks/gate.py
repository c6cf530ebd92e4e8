"""The gate's verdict on one checkpoint, repeated with other dice: how often does it change its mind?

    python benchmarks/gate.py CHECKPOINT... [--seeds 20] [--threads N] [--json FILE] [--accept]

Each checkpoint is a fine-tune whose dialogues and base are where its training left them. `trainer health` judges it
with so many seeds: as many replies as it takes, each time anew. The minority's size is what is told, with the figure
that was nearest to its budget. --accept exits with 1 where it is more than one in twenty for a checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from trainer.evaluation.evaluate_checkpoint import CheckpointRequest, evaluate_checkpoint
from trainer.settings import load_settings
from trainer.training.speed import threads


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--accept", action="store_true")
    options = parser.parse_args()
    settings, out, worst = load_settings(None), [], 0.0
    for checkpoint in options.checkpoints:
        verdicts, replies, figures = Counter[str](), list[int](), list[dict[str, float]]()
        for seed in range(options.seeds):
            with threads(options.threads):
                report, _ = evaluate_checkpoint(CheckpointRequest(checkpoint, seed=1000 * (seed + 1)), settings)
            judged = [one for one in report["metrics"] if one["margin"] is not None and one["limit"] is not None]
            broken = [one["name"] for one in report["metrics"] if one["ok"] is False]
            # What was accepted in training counts here by its budgets alone.
            verdicts["refused" if broken else "passed"] += 1
            replies.append(report["sizes"]["replies"])
            figures.append({one["name"]: one["tuned"] - one["limit"] for one in judged})
            nearest = min(judged, key=lambda one: abs(one["tuned"] - one["limit"]) / max(one["margin"], 1e-9))
            print(
                f"{checkpoint.name}, seed {seed}: {'refused: ' + ', '.join(broken) if broken else 'passed'}; "
                f"{replies[-1]} replies; {nearest['label']} {nearest['tuned']:.2%} ±{nearest['margin']:.2%}, limit "
                f"{nearest['limit']:.2%}",
                flush=True,
            )
        minority = options.seeds - max(verdicts.values())
        worst = max(worst, minority / options.seeds)
        print(f"{checkpoint}: {dict(verdicts)}; it changes its mind in {minority} of {options.seeds}; "
              f"{sum(replies) / len(replies):.0f} replies on average\n", flush=True)  # fmt: skip
        out.append({"checkpoint": str(checkpoint), "verdicts": verdicts, "replies": replies, "past_limit": figures})
    if options.json:
        options.json.write_text(json.dumps(out, indent=1) + "\n", "utf-8")
    return 1 if options.accept and worst > 1 / 20 else 0


if __name__ == "__main__":
    sys.exit(main())
