"""The recipe of `trainer finetune` on several datasets and seeds, one setting for all, beside an earlier version's.

    python benchmarks/recipe.py --work DIR --runs NAME=RUN ... [--seeds 0 1 2] [--train 171] [--held-out 100]
        [--against OLD] [--unread NAME ...] [--base CHECKPOINT] [--threads N] [--replies 400] [--json FILE] [--accept]

RUN is a curated run. Of each, and for each seed, near-duplicates are gathered into clusters, these are shuffled, and
whole clusters are held out, then trained on (as in smalldata.py): what is measured here, no fine-tune has seen, not
even for choosing its step. `trainer finetune` runs as a process of its own with the shipped settings; what its gate
refuses is kept all the same, to be measured, and counts as refused. OLD is a checkout of an earlier version, which
fine-tunes its own base on the same dialogues with its own settings; its checkpoint is read by this version's code.

Bits a byte are those of held-out replies and their end marks, by each model's own tokenizer and template. A dataset
that OLD's base was trained on is named with --unread: its bits are shown and judged by nothing. Each task leaves its
figures in DIR, so that two processes with different --seeds can share it, and one that was stopped goes on. --accept
exits with 1 where a bound of docs/experiments.md is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from smalldata import Clusters, RunPool, Task, _encoded, ours, probes_of, say  # benchmarks/smalldata.py

from curator.contract.files import pretty_json, read_json
from trainer.data.batches import PackedDataset
from trainer.data.dialogues import Dialogue, without_secrets
from trainer.evaluation.perplexity import mean_loss
from trainer.evaluation.probes import perplexity
from trainer.model.checkpoint import Checkpoint, load_checkpoint
from trainer.names import builtin_base
from trainer.settings import load_settings
from trainer.training.speed import threads

BITS, TEXT, POINTS, INVENTED, VERBATIM, STOPS, REFUSED = 0.95, 0.01, 0.2, 0.006, 0.02, 0.92, 1 / 12


@dataclass
class Row:
    """The figures of one task: shares but for bits a byte, points and seconds."""

    dataset: str
    seed: int
    bits: float
    base_bits: float
    old_bits: float | None
    replies: float
    text: float
    invented: float
    points: float
    verbatim: float
    stops: float
    seconds: float
    passed: bool
    says: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """Return its bits a byte as a share of the other's."""
        return self.bits / self.old_bits if self.old_bits else None


def bits_a_byte(checkpoint: Checkpoint, template: Checkpoint, dialogues: list[Dialogue]) -> float:
    """Return how a checkpoint reads the replies of dialogues, end marks included, in the template of another."""
    kept, samples = _encoded(dialogues, template.record.template, checkpoint)
    assert len(kept) == len(dialogues), "a dialogue does not fit the context: the sides would differ"
    batch = PackedDataset([], samples, 1, checkpoint.config.max_seq_len, 0).validation()
    assert batch
    nats = mean_loss(checkpoint.model(), batch, 8) * float(batch.weights.sum())
    return nats / math.log(2) / sum(len(one.reply.encode()) for one in dialogues)


def earlier(task: Task, options: argparse.Namespace) -> Checkpoint:
    """Fine-tune with the earlier version on the same dialogues; what it refuses is kept all the same."""
    out = task.folder / "earlier"
    if not (out / "trainer.json").is_file():
        name, path = next(iter(task.given.items()))
        words = ["finetune", f"--{name}", str(path), "--out", str(out), "--seed", str(task.seed), "--accept-degraded",
                 "--threads", str(options.threads)]  # fmt: skip
        done = subprocess.run([sys.executable, "-m", "trainer", *words], cwd=options.against, capture_output=True)
        if done.returncode:
            sys.exit(f"the earlier version failed:\n{done.stderr.decode(errors='replace')}")
    return load_checkpoint(out)


def row_of(name: str, task: Task, base: Checkpoint, options: argparse.Namespace) -> Row:
    """Fine-tune on one task and measure."""
    options.quick = False
    begun = time.perf_counter()
    made = ours(task, options)
    say(f"{name}, seed {task.seed}: {time.perf_counter() - begun:.0f} s; {'; '.join(made.notes)}")
    tuned = load_checkpoint(task.folder / "ours")
    suite = probes_of(task, base, load_settings(None), options.replies)
    before = suite.measure(base.model(), options.replies, 0, 0)
    after = suite.measure(made.model, options.replies, 0, 0)
    beside = suite.beside(before, after)
    old = earlier(task, options) if options.against else None
    held = task.samples.holdout_dialogues
    if old is not None:  # only what fits the context of all
        held = _encoded(held, old.record.template, old)[0]
    assert before.text_loss and after.text_loss and after.unseen and made.seconds is not None
    reply = [perplexity(one.reply_loss) or math.inf for one in (before, after)]
    return Row(
        dataset=name, seed=task.seed, bits=bits_a_byte(tuned, tuned, held), base_bits=bits_a_byte(base, tuned, held),
        old_bits=None if old is None else bits_a_byte(old, old, held), replies=reply[1] / reply[0] - 1,
        text=math.exp(after.text_loss - before.text_loss) - 1, invented=after.oov.rate,
        points=100 * (after.oov.rate - beside.oov.rate), verbatim=after.unseen.share, stops=after.eos_rate,
        seconds=made.seconds, passed=not any("refused" in note for note in made.notes),
        says=[*made.notes, ", ".join(word for word, _ in after.oov.oov.most_common(8))],
    )  # fmt: skip


def rows_of(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the row of every task, those that are there already as they are."""
    base, settings = load_checkpoint(options.base or builtin_base()), load_settings(None)
    for name, folder in options.runs:
        pool: RunPool | None = None
        for seed in options.seeds:
            place = options.work / f"{name}-{seed}"
            kept = place / "row.json"
            if not kept.is_file():
                if pool is None:
                    pool = RunPool(folder)
                    fitting, _ = _encoded(without_secrets(pool.dataset)[0].dialogues, base.record.template, base)
                    groups = Clusters.of(fitting, base, whole=False)
                for half in ("run", "ours"):  # of a task that was stopped; the earlier version's checkpoint stays
                    shutil.rmtree(place / half, ignore_errors=True)
                task = Task.of(seed, pool, groups, base, settings, folder=place, options=options)
                kept.write_text(pretty_json(asdict(row_of(name, task, base, options))), "utf-8")
            yield Row(**read_json(kept))


COLUMNS = (
    ("bits a byte", "bits", ".3f"), ("the earlier's", "old_bits", ".3f"), ("ratio", "ratio", ".3f"),
    ("the base's", "base_bits", ".3f"), ("replies", "replies", "+.0%"), ("base text", "text", "+.2%"),
    ("invented", "invented", ".2%"), ("points", "points", "+.2f"), ("verbatim", "verbatim", ".2%"),
    ("stop", "stops", ".1%"), ("seconds", "seconds", ".0f"),
)  # fmt: skip
WORST = {"ratio": max, "replies": max, "text": max, "invented": max, "points": max, "verbatim": max, "stops": min}


def table(rows: list[Row], unread: list[str]) -> Iterator[str]:
    """Yield a markdown table: each task, then mean and worst."""
    yield f"| dataset | seed | {' | '.join(head for head, _, _ in COLUMNS)} | gate |"
    yield f"| --- | --- | {' | '.join('---:' for _ in COLUMNS)} | --- |"
    for row in rows:
        cells = [_cell(getattr(row, key), how) for _, key, how in COLUMNS]
        yield f"| {row.dataset} | {row.seed} | {' | '.join(cells)} | {'passed' if row.passed else 'refused'} |"
    cells, worst = [], []
    for _, key, how in COLUMNS:
        values = [
            value
            for row in rows
            if (value := getattr(row, key)) is not None and not (key == "ratio" and row.dataset in unread)
        ]
        cells.append(_cell(statistics.mean(values) if values else None, how))
        worst.append(_cell(WORST[key](values) if values and key in WORST else None, how))
    passed = sum(row.passed for row in rows)
    yield f"| **mean** | | {' | '.join(cells)} | {passed}/{len(rows)} |"
    yield f"| **worst** | | {' | '.join(worst)} | |"


def _cell(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)


def goals(rows: list[Row], options: argparse.Namespace) -> list[tuple[str, bool]]:
    """Return each bound in words and whether every task keeps it."""
    judged = [row.ratio for row in rows if row.ratio is not None and row.dataset not in options.unread]
    worst = {key: WORST[key]([getattr(row, key) for row in rows]) for key in WORST if key != "ratio"}
    passed = sum(row.passed for row in rows)
    found = [
        (f"base text {worst['text']:+.2%} at worst, bound {TEXT:+.0%}", worst["text"] <= TEXT),
        (f"invented {worst['points']:+.2f} points over the base, bound {POINTS:+.1f}", worst["points"] <= POINTS),
        (f"invented {worst['invented']:.2%}, bound {INVENTED:.1%}", worst["invented"] <= INVENTED),
        (f"verbatim {worst['verbatim']:.2%}, bound {VERBATIM:.0%}", worst["verbatim"] <= VERBATIM),
        (f"stop {worst['stops']:.1%}, bound {STOPS:.0%}", worst["stops"] >= STOPS),
        (f"{passed} of {len(rows)} pass", len(rows) - passed <= len(rows) * REFUSED),
    ]
    if judged:
        found.insert(0, (f"bits a byte {max(judged):.3f} of the earlier's, bound {BITS}", max(judged) <= BITS))
    return found


def _named(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not path:
        raise argparse.ArgumentTypeError("expected NAME=RUN")
    return name, Path(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--runs", type=_named, nargs="+", required=True, metavar="NAME=RUN")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="S")
    parser.add_argument("--train", type=int, default=171, metavar="N")
    parser.add_argument("--held-out", type=int, default=100, metavar="N")
    parser.add_argument("--replies", type=int, default=400, metavar="N")
    parser.add_argument("--against", type=Path, metavar="OLD")
    parser.add_argument("--unread", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--base", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--threads", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--accept", action="store_true")
    options = parser.parse_args()
    options.work = options.work.resolve()
    with threads(options.threads):
        rows = list(rows_of(options))
    print("\n".join(table(rows, options.unread)), end="\n\n")
    for row in rows:
        print(f"- {row.dataset}, seed {row.seed}: {'; '.join(row.says)}")
    found = goals(rows, options)
    print("\n" + "\n".join(f"- {'kept' if ok else 'MISSED'}: {text}" for text, ok in found))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")
    return 1 if options.accept and not all(ok for _, ok in found) else 0


if __name__ == "__main__":
    sys.exit(main())
