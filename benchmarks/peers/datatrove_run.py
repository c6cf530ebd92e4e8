"""datatrove doing what it can of our work, to be timed beside `curate run` (benchmarks/scale.py --against).

    VENV/bin/python benchmarks/peers/datatrove_run.py TEXTS [--workers 2] [--out FOLDER]

To install it, away from our own packages (0.8 GB; spaCy cuts its words):

    python3 -m venv VENV && VENV/bin/pip install 'datatrove[processing,io]==0.10.1' spacy

TEXTS is a folder that benchmarks/peers/texts.py made, with a file for each worker. Read, length filter (two words, as
`reply.min_words`), Gopher's repetition filter, MinHash deduplication in datatrove's four steps, write; no pairs, modes,
cleaning, secrets, holdout or report. Shingles are of two words, as `near_duplicates.shingle_words`; bands are
datatrove's own, 14 of 8, which cut at about 0.72 (ours: 0.7, and candidates are then compared, which datatrove does
not). Of the repetition filter the most frequent n-gram is left out: it counts one that stands there once, and so every
text of a few words would be dropped before it is deduplicated.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter

CONFIG = MinhashConfig(n_grams=2, num_buckets=14, hashes_per_bucket=8)


def length_filter() -> GopherQualityFilter:
    others: dict[str, Any] = dict.fromkeys(
        (
            "max_doc_words",
            "min_avg_word_length",
            "max_avg_word_length",
            "max_symbol_word_ratio",
            "max_bullet_lines_ratio",
            "max_ellipsis_lines_ratio",
            "max_non_alpha_words_ratio",
            "min_stop_words",
        )
    )
    return GopherQualityFilter(min_doc_words=2, **others)


def steps(texts: Path, work: Path, tasks: int) -> list[tuple[int, list[Any]]]:
    """Return what runs one after the other: in how many tasks, and the pipeline."""
    filtered, signatures, buckets, removed, kept = (
        str(work / name) for name in ("filtered", "signatures", "buckets", "removed", "kept")
    )
    first = [
        JsonlReader(str(texts)),
        length_filter(),
        GopherRepetitionFilter(top_n_grams=()),
        JsonlWriter(filtered, compression=None),
        MinhashDedupSignature(signatures, config=CONFIG),
    ]
    last = [JsonlReader(filtered), MinhashDedupFilter(removed), JsonlWriter(kept, compression=None)]
    return [
        (tasks, first),
        (CONFIG.num_buckets, [MinhashDedupBuckets(signatures, buckets, config=CONFIG)]),
        (1, [MinhashDedupCluster(buckets, removed, config=CONFIG)]),
        (tasks, last),
    ]


def lines(folder: Path) -> int:
    count = 0
    for path in folder.glob("*.jsonl"):
        with path.open("rb") as file:
            count += sum(1 for _ in file)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="keep what it writes here; else it goes to a temporary folder")
    options = parser.parse_args()
    work = options.out or Path(tempfile.mkdtemp())
    tasks = len(list(options.texts.glob("*.jsonl")))
    for number, (count, pipeline) in enumerate(steps(options.texts, work, tasks)):
        LocalPipelineExecutor(
            pipeline=pipeline, tasks=count, workers=options.workers, logging_dir=str(work / "logs" / str(number))
        ).run()
    print(f"texts: {lines(options.texts)}, after the filters: {lines(work / 'filtered')}")
    print(f"pairs: {lines(work / 'kept')}")
    if not options.out:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
