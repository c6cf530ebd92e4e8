"""Does the voice score know an author? Documents that were never seen, of 26 authors, each against the others.

    python benchmarks/voice.py --data DIR [--seeds 3] [--json FILE] [--accept]
    python benchmarks/voice.py --table curator/contract/voice/english.npz

DIR holds corpus/*.txt.gz, pepys.jsonl.gz, barbellion.jsonl.gz and topical_chat.jsonl.gz (one side of its chats). The
first 40,000 words of each author are cut into documents of 250 words and drawn: so many words are known, 40 others are
judged. The others of an author are the 25 that are left. AUC is of an author's documents against all others' by the
author's reference, the mean of 26; the right author is the one whose reference gives most. *Later* is the harder
protocol: what is judged stands behind what is known in the author's own order. *One chat*: the two sides of the same
chats, which talk of the same things. --table counts the built-in base's replayed and held-out text, which comes with
it: the background of those whose memories hold no other side.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from curator.contract.files import pretty_json
from curator.contract.voice.grams import Masker, batch, common_words, documents_of, number_of_words, words_of
from curator.contract.voice.reference import Background, Judge, build_reference
from curator.contract.voice.stored import background_arrays
from trainer.data.pretraining_replay import base_text
from trainer.model.checkpoint import load_checkpoint
from trainer.model.tokenizer import BOS
from trainer.names import builtin_base

KEPT, JUDGED = 40_000, 40
CASES = (("topic-free", 5_000, False), ("full", 20_000, True), ("topic-free", 3_000, False), ("full", 3_000, True))
BOUNDS = {("topic-free", 5_000): (0.985, 0.92), ("full", 20_000): (0.997, 0.995)}


def rows(path: Path) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def authors(data: Path) -> dict[str, list[str]]:
    """Return the first words of each author, as documents of 250 words."""
    texts: dict[str, list[str]] = {}
    for path in sorted((data / "corpus").glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            parts = [part for part in file.read().split("\n\n") if part.strip()]
        texts.setdefault(path.name.partition("_")[0], []).extend(parts)
    for name in ("pepys", "barbellion"):
        texts[name] = [str(row["content"]) for row in rows(data / f"{name}.jsonl.gz")]
    texts["topical-chat"] = sides(data)[1]
    return {name: documents_of(_first(parts)) for name, parts in texts.items()}


def _first(parts: list[str]) -> Iterator[str]:
    held = 0
    for part in parts:
        if held >= KEPT:
            return
        yield part
        held += len(part.split())


def sides(data: Path) -> tuple[list[str], list[str]]:
    """Return the two sides of Topical-Chat."""
    found = list(rows(data / "topical_chat.jsonl.gz"))
    return [str(row["content"]) for row in found], [str(row["response"]) for row in found if row.get("response")]


def auc(own: np.ndarray, others: np.ndarray) -> float:
    """Return the chance that one of `own` is greater than one of `others`."""
    values = np.concatenate([own, others])
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(1, len(values) + 1)
    return float((ranks[: len(own)].sum() - len(own) * (len(own) + 1) / 2) / (len(own) * len(others)))


def measured(
    texts: dict[str, list[str]], known: int, seed: int, *, full: bool, later: bool
) -> tuple[float, float, float]:
    """Return the mean AUC, the least, and the share of documents whose author is found."""
    dice, taken, unseen = random.Random(seed), dict[str, list[str]](), dict[str, list[str]]()
    for name, documents in texts.items():
        order = list(documents)
        if not later:
            dice.shuffle(order)
        half = len(order) * 6 // 10
        first, last = order[:half], order[half:]
        if later:
            dice.shuffle(first)
            dice.shuffle(last)
        taken[name], unseen[name] = first[: known // 250], last[:JUDGED]
    found, judges = [], []
    common = common_words([[word for part in taken.values() for text in part for word in words_of(text)]])
    for name in taken:
        others = [text for other, documents in taken.items() if other != name for text in documents]
        judges.append(Judge(build_reference(taken[name], others, common), full=full))
    truth = [place for place, name in enumerate(unseen) for _ in unseen[name]]
    for name in unseen:
        read = map(judges[0].grams, unseen[name])  # all mask the same words
        found += [[judge.measure_grams(document) for judge in judges] for document in read]
    scores, whose = np.array(found), np.array(truth)
    each = [auc(scores[whose == place, place], scores[whose != place, place]) for place in range(len(judges))]
    return float(np.mean(each)), min(each), float((scores.argmax(1) == whose).mean())


def one_chat(data: Path) -> float:
    """Return the AUC of the two sides of the same chats: 5,000 words known of each, later documents judged."""
    others, own = (documents_of(_first(side)) for side in sides(data))
    judge = Judge(build_reference(own[:20], others[:20]))
    return auc(*(np.array([judge.measure(text) for text in side[20:120]]) for side in (own, others)))


def write_table(path: Path) -> int:
    """Write the background of the built-in base's text: every eighth document is kept as text, the others counted."""
    base = load_checkpoint(builtin_base())
    text = base_text(base, None)
    stream = np.concatenate([text.replay, text.held])
    begins = np.flatnonzero(stream == BOS)
    parts = (base.tokenizer.decode(part.tolist()) for part in np.split(stream, begins[1:]))
    documents = documents_of(re.sub(r"(?m)^[QA]: ?", "", part) for part in parts)
    kept, counted = documents[::8], [text for place, text in enumerate(documents) if place % 8]
    common = common_words([[word for text in counted for word in words_of(text)]])
    mask = Masker(common)
    free, full = (batch([read(text) for text in counted]).count() for read in (mask, str))
    words = sum(number_of_words(words_of(text)) for text in counted)
    arrays = background_arrays(Background(words, common, free, full, tuple(kept)))
    np.savez_compressed(path, allow_pickle=False, **arrays)
    print(f"{path}: {words:,} words counted, {len(kept)} documents kept, {path.stat().st_size:,} bytes")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR")
    parser.add_argument("--table", type=Path, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--accept", action="store_true")
    options = parser.parse_args()
    if options.table:
        return write_table(options.table)
    if options.data is None:
        parser.error("name --data or --table")
    texts, missed, out = authors(options.data), [], []
    for way, known, full in CASES:
        for later in (False, True):
            each = [measured(texts, known, seed, full=full, later=later) for seed in range(options.seeds)]
            mean, least, right = (float(value) for value in np.mean(each, axis=0))
            print(f"{way:10} {known:6,} words known, {'later' if later else 'drawn'}: AUC {mean:.4f} "
                  f"(least {least:.3f}), right author {right:.1%}", flush=True)  # fmt: skip
            out.append({"way": way, "known": known, "later": later, "auc": mean, "least": least, "right": right})
            bounds = BOUNDS.get((way, known)) if not later else None
            if bounds and (mean < bounds[0] or right < bounds[1]):
                missed.append(
                    f"{way}, {known:,} known: {mean:.4f} and {right:.1%}, bounds {bounds[0]} and {bounds[1]:.1%}"
                )
    print(f"one chat, topic-free, 5,000 words known: AUC {one_chat(options.data):.3f}")
    everything = [text for part in texts.values() for text in part]
    own, rest = everything[:400], everything[400:800]
    begun = time.perf_counter()
    build_reference(own, rest)
    print(f"a reference of {250 * len(own):,} words beside {250 * len(rest):,}: {time.perf_counter() - begun:.2f} s")
    if options.json:
        options.json.write_text(pretty_json({"cases": out}), "utf-8")
    print("\n".join(f"missed: {line}" for line in missed) or "all bounds hold")
    return int(options.accept and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
