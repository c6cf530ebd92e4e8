"""data-juicer doing what it can of our work, to be timed beside `curate run` (benchmarks/scale.py --against).

    VENV/bin/python benchmarks/peers/data_juicer_run.py TEXTS [--workers 2] [--out FOLDER]

To install it, away from our own packages (6.2 GB: it imports torch and ray, and fetches them while it runs):

    python3 -m venv VENV && VENV/bin/pip install py-data-juicer==1.6.1 aiohttp ray scipy torch

TEXTS is a folder that benchmarks/peers/texts.py made. Read, length filter (two words, as `reply.min_words`), filter of
repeated words, MinHash deduplication, write; no pairs, modes, cleaning, secrets, holdout or report. Shingles are of two
words, as `near_duplicates.shingle_words`; the threshold is 0.7, which is data-juicer's and ours; the rest is as it
comes. Its cache of the data set is in the temporary folder, so that no run finds what an earlier one left.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from data_juicer.config import init_configs
from data_juicer.core import DefaultExecutor

STEPS = [
    {"words_num_filter": {"min_num": 2}},
    {"word_repetition_filter": {}},
    {"document_minhash_deduplicator": {"window_size": 2, "jaccard_threshold": 0.7}},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="keep what it writes here; else it goes to a temporary folder")
    options = parser.parse_args()
    work = options.out or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    recipe = work / "recipe.json"
    recipe.write_text(
        json.dumps(
            {
                "project_name": "peer",
                "dataset_path": str(options.texts.resolve()),
                "export_path": str(work / "kept.jsonl"),
                "work_dir": str(work),
                "ds_cache_dir": str(work / "cache"),
                "np": options.workers,
                "process": STEPS,
            }
        ),
        "utf-8",
    )
    DefaultExecutor(init_configs(["--config", str(recipe)])).run(skip_return=True)
    with (work / "kept.jsonl").open("rb") as kept:
        print(f"pairs: {sum(1 for _ in kept)}", file=sys.__stdout__)  # its logger has taken sys.stdout
    if not options.out:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
