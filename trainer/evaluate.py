"""How well a model knows texts: perplexity on knowledge modules and on dialogues, held out and trained on.

Perplexity is exp of the mean loss in nats a token: out of so many tokens, equally likely, the model chooses. Modules
are split as pretraining splits them and measured as it measures them, so that the held-out loss of a base is the one it
recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainer.batches import Batch, Packed, rows_of
from trainer.checkpoint import Checkpoint, Record
from trainer.datasets import Dataset, encode_dataset
from trainer.model import Llama
from trainer.modules import Progress, Tokens, list_modules
from trainer.pretrain import module_streams
from trainer.training import mean_loss

ROWS = 128  # windows of the context's length that are measured of each text, as at an evaluation in training
_MICRO = 8  # rows in memory at a time


@dataclass(frozen=True)
class Measured:
    """The mean loss over `tokens`, nats a token, and exp of it."""

    nats: float
    perplexity: float
    tokens: int


@dataclass(frozen=True)
class Line:
    """What was measured: a module or a dataset, and which side of its split ('held out' or 'training')."""

    name: str
    split: str
    measured: Measured


def reply_perplexity(model: Llama, batch: Batch, tick: Callable[[int, int], None] | None = None) -> Measured:
    """Measure what a batch gives a weight; for dialogues those are the replies' tokens and their end marks."""
    nats = mean_loss(model, batch, _MICRO, tick=tick)
    return Measured(nats, math.exp(min(nats, 700.0)), int((batch.weights > 0).sum()))


def windows(stream: Tokens, length: int, rows: int) -> Batch | None:
    """Return rows of `length` tokens over a stream, so many spread evenly (0: all); None where it is too short."""
    if len(stream) < 2:
        return None
    starts = np.arange(0, len(stream) - 1, length)
    if 0 < rows < len(starts):
        starts = starts[np.linspace(0, len(starts) - 1, rows).round().astype(int)]
    return rows_of(stream, starts, length)


def recorded_share(record: Record, kind: str, default: float) -> float:
    """Return the share that a 'pretrain' held out of documents, a 'finetune' of dialogues, where the record says so.

    The record of the one says nothing about the data of the other.
    """
    share = record.settings.get("validation_share") if record.made_by == kind else None
    return share if isinstance(share, float) else default


def measure_modules(
    checkpoint: Checkpoint, folder: Path, share: float, rows: int = ROWS, progress: Progress = lambda *done: None
) -> list[Line]:
    """Measure every module of a folder, and what is held out of all of them together.

    Raises UsageError where a module was made with another tokenizer or is not whole.
    """
    train, held, _ = module_streams(list_modules(folder), checkpoint.tokenizer, share)
    streams = [("all modules", "held out", np.concatenate(list(held.values())))] if len(held) > 1 else []
    for name in train:
        streams += [(name, "held out", held[name]), (name, "training" if share else "whole", train[name])]
    model, length = checkpoint.model(), checkpoint.config.max_seq_len
    found = [(name, split, windows(stream, length, rows)) for name, split, stream in streams]
    lines = []
    for name, split, batch in found:
        if batch is not None:
            tick = partial(progress, f"{name}, {split}")
            lines.append(Line(name, split, reply_perplexity(model, batch, tick)))
    return lines


def measure_dialogues(checkpoint: Checkpoint, dataset: Dataset, share: float) -> list[Line]:
    """Measure the replies of dialogues: no token of a prompt counts. They are split as fine-tuning splits them."""
    context = checkpoint.config.max_seq_len
    samples = encode_dataset(dataset, checkpoint.record.template, checkpoint.tokenizer, context, share)
    model, lines = checkpoint.model(), []
    for split, part in (("held out", samples.held), ("training", samples.train)):
        batch = Packed([], part, 1, context, 0).validation()
        if batch is not None:
            lines.append(Line(dataset.source.name, split, reply_perplexity(model, batch)))
    return lines


def show(lines: list[Line]) -> None:
    """Print a table on stdout."""
    from trainer.shell import table

    table(
        ("what", "part", "nats a token", "perplexity", "tokens"),
        [(one.name, one.split, f"{one.measured.nats:.4f}", f"{one.measured.perplexity:,.2f}",
          f"{one.measured.tokens:,}") for one in lines],
    )  # fmt: skip


def as_json(lines: list[Line]) -> list[dict[str, Any]]:
    """Return what was measured as JSON has it."""
    return [{"name": one.name, "part": one.split, **asdict(one.measured)} for one in lines]
