"""Perplexity of a model on token shards and on dialogues, held out and trained on.

Perplexity is exp of the mean loss in nats a token: the model is as unsure as if it chose among so many equally likely
tokens. Shards are split and measured as in pretraining, so that the held-out loss of a base is the one it recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curator.contract.records import UNKNOWN_YEAR
from trainer.data.batches import Batch, PackedDataset, TokenisedExample, rows_of
from trainer.data.dialogues import Dataset, Samples, encode_dataset
from trainer.data.token_shards import Progress, Tokens, list_shards, shard_streams
from trainer.model.checkpoint import Checkpoint, Record
from trainer.model.llama import Llama
from trainer.model.precision import autocast

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
    """What was measured: a shard or a dataset, and which side of its split ('held out' or 'training')."""

    name: str
    split: str
    measured: Measured


@dataclass(frozen=True)
class YearLoss:
    """The mean losses of the held-out replies of a year ('': it is not known), nats a token: of base and fine-tune."""

    year: str
    samples: int
    tokens: int
    base: float
    tuned: float


def losses_by_year(samples: Samples, base: Llama, tuned: Llama) -> list[YearLoss]:
    """Return the losses of each year of what is held out, in order; none where fewer than two years are known."""
    by_year: dict[str, list[TokenisedExample]] = {}
    for sample, dialogue in zip(samples.holdout, samples.holdout_dialogues, strict=True):
        by_year.setdefault(dialogue.year, []).append(sample)
    if len(by_year.keys() - {"", UNKNOWN_YEAR}) < 2:
        return []
    found = []
    for year, part in sorted(by_year.items()):
        batch = PackedDataset([], part, 1, base.config.max_seq_len, 0).validation()
        assert batch is not None
        losses = [mean_loss(model, batch, _MICRO) for model in (base, tuned)]
        found.append(YearLoss(year, len(part), int((batch.weights > 0).sum()), losses[0], losses[1]))
    return found


@torch.no_grad()
def mean_loss(
    model: Llama, batch: Batch, rows: int, precision: str = "fp32", tick: Callable[[int, int], None] | None = None
) -> float:
    """Return the mean loss of a batch, nats a trained token; the model is left in the mode it was in.

    `tick` is told (rows done, all rows) as it goes.
    """
    was_training = model.training
    model.eval()
    total = 0.0
    for number, part in enumerate(batch.micro_batches(rows)):
        if tick:
            tick(number * rows, len(batch.tokens))
        with autocast(part.tokens.device.type, precision):
            total += float(model.sparse_loss(part.tokens, part.targets, part.weights, part.mask(precision)))
    model.train(was_training)
    return total / max(1e-9, float(batch.weights.sum()))


def reply_perplexity(model: Llama, batch: Batch, tick: Callable[[int, int], None] | None = None) -> Measured:
    """Measure the tokens of a batch that have a weight: for dialogues, the replies' tokens and their end marks.

    The batch has the shape (rows,T).
    """
    nats = mean_loss(model, batch, _MICRO, tick=tick)
    return Measured(nats, math.exp(min(nats, 700.0)), int((batch.weights > 0).sum()))


def windows(stream: Tokens, length: int, rows: int) -> Batch | None:
    """Return rows of `length` tokens over a stream, so many spread evenly (0: all); None where it is too short.

    `stream` (n,); the batch (rows,length).
    """
    if len(stream) < 2:
        return None
    starts = np.arange(0, len(stream) - 1, length)
    if 0 < rows < len(starts):
        starts = starts[np.linspace(0, len(starts) - 1, rows).round().astype(int)]
    return rows_of(stream, starts, length)


def recorded_share(record: Record, kind: str, default: float) -> float:
    """Return the share that a 'pretrain' held out of documents, a 'finetune' of dialogues, where the record says so.

    The record of a pretraining says nothing about dialogues, that of a fine-tune nothing about documents.
    """
    share = (
        record.settings.get("holdout_share", record.settings.get("validation_share"))
        if record.made_by == kind
        else None
    )
    return share if isinstance(share, float) else default


def measure_shards(
    checkpoint: Checkpoint, folder: Path, share: float, rows: int = ROWS, progress: Progress = lambda *done: None
) -> list[Line]:
    """Measure every shard of a folder, and what is held out of all of them together.

    Raises UsageError where a shard was made with another tokenizer or is not whole.
    """
    train, held, _ = shard_streams(list_shards(folder), checkpoint.tokenizer, share)
    streams = [("all shards", "held out", np.concatenate(list(held.values())))] if len(held) > 1 else []
    for name in train:
        streams += [(name, "held out", held[name]), (name, "training" if share else "whole", train[name])]
    model, length = checkpoint.model(), checkpoint.config.max_seq_len
    batches = [(name, split, windows(stream, length, rows)) for name, split, stream in streams]
    lines = []
    for name, split, batch in batches:
        if batch is not None:
            tick = partial(progress, f"{name}, {split}")
            lines.append(Line(name, split, reply_perplexity(model, batch, tick)))
    return lines


def measure_dialogues(checkpoint: Checkpoint, dataset: Dataset, share: float) -> list[Line]:
    """Measure the replies of dialogues, without the prompts' tokens. They are split as fine-tuning splits them."""
    context = checkpoint.config.max_seq_len
    samples = encode_dataset(dataset, checkpoint.record.template, checkpoint.tokenizer, context, share)
    model, lines = checkpoint.model(), []
    for split, part in (("held out", samples.holdout), ("training", samples.train)):
        batch = PackedDataset([], part, 1, context, 0).validation()
        if batch is not None:
            lines.append(Line(dataset.source.name, split, reply_perplexity(model, batch)))
    return lines


def as_json(lines: list[Line]) -> list[dict[str, Any]]:
    """Return what was measured as JSON has it."""
    return [{"name": line.name, "part": line.split, **asdict(line.measured)} for line in lines]
