"""The batch of a step, as a pure function of (seed, step): a resumed run needs only its step number.

Rows are packed: several documents lie end to end in one row of `length` tokens, and `documents` numbers them, so that
attention stays within each. Positions need no reset, since rotary attention sees only distances.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.token_shards import Tokens
from trainer.model.llama import attention_mask
from trainer.model.precision import dtype_of
from trainer.model.tokenizer import BOS

_PATTERN = 1000  # rows after which the mix of shards repeats, each with its exact share


@dataclass(frozen=True)
class Batch:
    """Rows to train on or to measure, each part (rows, T): tokens, targets (int64), weights (fp32) and documents.

    `weights` weigh the cross entropy of the targets. `kl_mask`, where there is one, weighs the divergence from the base
    at the same places: rows of replay have only that.
    """

    tokens: Tensor
    targets: Tensor
    weights: Tensor
    documents: Tensor
    kl_mask: Tensor | None = None

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tokens, targets, weights, documents = map(change, (self.tokens, self.targets, self.weights, self.documents))
        return Batch(tokens, targets, weights, documents, None if self.kl_mask is None else change(self.kl_mask))

    def micro_batches(self, size: int) -> Iterator[Batch]:
        """Yield parts of at most `size` sequences: tokens (size,T), and so on."""
        for at in range(0, len(self.tokens), size):
            yield self._each(lambda part, at=at: part[at : at + size])  # type: ignore[misc]

    def mask(self, precision: str) -> Tensor:
        """Return the attention mask, (rows or 1, 1, T, T), in the type of a precision."""
        return attention_mask(self.tokens.shape[1], self.documents, dtype_of(precision), self.tokens.device)

    def to(self, device: str) -> Batch:
        """Return this batch on a device; shapes stay."""
        return self._each(lambda part: part.to(device))


class TrainingData(Protocol):
    """What the training loop asks of its data."""

    def batch(self, step: int) -> Batch:
        """Return all sequences of a step, (rows,T), a pure function of the seed and the step."""

    def validation(self) -> Batch | None:
        """Return the sequences that are held out, (rows,T), or None where nothing is."""

    def fingerprint(self) -> str:
        """Return a sha256 that changes with the data, its split or its order."""

    def origin(self, step: int) -> list[str]:
        """Return the names of the samples or shards in a step, for error messages."""


def rows_of(stream: Tokens, starts: NDArray[np.int64], length: int) -> Batch:
    """Return one row of `length` tokens from each start; tokens past the end of the stream weigh 0.

    `starts` has the shape (rows,), the batch the shape (rows,length).
    """
    places = starts[:, None] + np.arange(length + 1)
    inside = places < len(stream)
    tokens = np.where(inside, stream[np.minimum(places, len(stream) - 1)], BOS).astype(np.int64)
    documents = np.cumsum(tokens[:, :-1] == BOS, axis=1)
    weights = inside[:, 1:].astype(np.float32)
    return Batch(*map(torch.from_numpy, (tokens[:, :-1].copy(), tokens[:, 1:].copy(), weights, documents)))


class SequenceDataset:
    """Running text in windows of `length` tokens. Each comes once an epoch; from epoch to epoch they are shifted.

    The end of a document is trained as `<s>`, which begins the next: the only end mark that llama2.c's run.c knows.
    """

    def __init__(
        self, train: dict[str, Tokens], holdout: Tokens, shares: dict[str, float], *, rows: int, length: int,
        seed: int, validation_rows: int = 128,
    ) -> None:  # fmt: skip
        self._streams, self._holdout, self._rows, self._length, self._seed = train, holdout, rows, length, seed
        self._validation_rows = validation_rows
        self._names = sorted(shares)
        counts = _apportion([shares[name] for name in self._names], _PATTERN)
        pattern = np.repeat(np.arange(len(counts)), counts)
        self._pattern = np.random.default_rng([seed, 1]).permutation(pattern)
        self._before = np.stack(
            [np.cumsum(self._pattern == shard) - (self._pattern == shard) for shard in range(len(counts))]
        )
        self._counts = counts
        self._orders: dict[tuple[int, int], NDArray[np.int64]] = {}

    def batch(self, step: int) -> Batch:
        """Return all sequences of a step, (rows,length)."""
        parts = []
        first = step * self._rows
        for row in range(first, first + self._rows):
            shard = int(self._pattern[row % _PATTERN])
            index = row // _PATTERN * self._counts[shard] + int(self._before[shard][row % _PATTERN])
            parts.append((shard, self._start(shard, index)))
        batches = [rows_of(self._streams[self._names[m]], np.array([at]), self._length) for m, at in parts]
        return _stack(batches)

    def _start(self, shard: int, index: int) -> int:
        room = len(self._streams[self._names[shard]]) - 1
        windows = max(1, room // self._length - 1)
        epoch, place = divmod(index, windows)
        if (shard, epoch) not in self._orders:
            self._orders = {key: order for key, order in self._orders.items() if key[0] != shard}
            rng = np.random.default_rng([self._seed, 2, shard, epoch])
            shift = rng.integers(0, max(1, room - windows * self._length + 1))
            self._orders[shard, epoch] = rng.permutation(windows) * self._length + shift
        return int(self._orders[shard, epoch][place])

    def validation(self) -> Batch | None:
        """Return sequences (rows,length) of the held-out documents: all, or `validation_rows` spread evenly."""
        if len(self._holdout) < 2:
            return None
        starts = np.arange(0, len(self._holdout) - 1, self._length)
        if len(starts) > self._validation_rows:
            starts = starts[np.linspace(0, len(starts) - 1, self._validation_rows).round().astype(int)]
        return rows_of(self._holdout, starts, self._length)

    def fingerprint(self) -> str:
        """Return the sha256 of all streams and of how they are mixed."""
        sizes = [len(self._streams[name]) for name in self._names]
        digest = hashlib.sha256(repr((self._names, sizes, self._counts, self._rows, self._length, self._seed)).encode())
        for name in self._names:
            digest.update(self._streams[name].tobytes())
        digest.update(b"held" + self._holdout.tobytes())
        return digest.hexdigest()

    def origin(self, step: int) -> list[str]:
        """Return the shards that a step's rows came from."""
        first = step * self._rows
        used = {int(self._pattern[row % _PATTERN]) for row in range(first, first + self._rows)}
        return [f"shard {self._names[shard]}" for shard in sorted(used)]


def _apportion(shares: list[float], total: int) -> list[int]:
    """Return integers near to the shares of `total`, at least 1 each, that sum to it (largest remainder)."""
    counts = [max(1, int(share * total)) for share in shares]
    remainders = sorted(range(len(shares)), key=lambda index: counts[index] - shares[index] * total)
    for step in range(total - sum(counts)):
        counts[remainders[step % len(remainders)]] += 1
    while sum(counts) > total:
        counts[counts.index(max(counts))] -= 1
    return counts


def _stack(batches: list[Batch]) -> Batch:
    return Batch(
        torch.cat([batch.tokens for batch in batches]),
        torch.cat([batch.targets for batch in batches]),
        torch.cat([batch.weights for batch in batches]),
        torch.cat([batch.documents for batch in batches]),
    )


@dataclass(frozen=True)
class TokenisedExample:
    """A sample as tokens: `ids` with `<s>` at both ends, and the weight of each id as a target (0 for the first)."""

    name: str
    ids: tuple[int, ...]
    weights: tuple[float, ...]


class PackedDataset:
    """Dialogue samples, packed into rows; every sample once an epoch, in an order drawn anew each time."""

    def __init__(
        self, train: list[TokenisedExample], holdout: list[TokenisedExample], rows: int, length: int, seed: int
    ) -> None:
        self._train, self._holdout, self._rows, self._length, self._seed = train, holdout, rows, length, seed
        self._epochs: list[list[list[int]]] = []
        self._ends: list[int] = []

    def batch(self, step: int) -> Batch:
        """Return all sequences of a step, (rows,length)."""
        return self._fill(self._train, [self._row(row) for row in range(step * self._rows, (step + 1) * self._rows)])

    def epoch_rows(self) -> int:
        """Return the number of rows of the first epoch."""
        self._row(0)
        return len(self._epochs[0])

    def epoch(self, step: int) -> float:
        """Return how many epochs the steps before `step` have trained on."""
        return step * self._rows / self.epoch_rows()

    def _row(self, row: int) -> list[int]:
        assert self._train, "there is nothing to pack"
        while not self._ends or self._ends[-1] <= row:
            rng = np.random.default_rng([self._seed, 3, len(self._epochs)])
            order = rng.permutation(len(self._train)).tolist()
            packed = pack([len(self._train[index].ids) - 1 for index in order], self._length)
            self._epochs.append([[order[index] for index in row] for row in packed])
            self._ends.append((self._ends[-1] if self._ends else 0) + len(packed))
        epoch = next(number for number, end in enumerate(self._ends) if row < end)
        return self._epochs[epoch][row - (self._ends[epoch - 1] if epoch else 0)]

    def validation(self) -> Batch | None:
        """Return the held-out samples, packed, (rows,length)."""
        if not self._holdout:
            return None
        return self._fill(self._holdout, pack([len(sample.ids) - 1 for sample in self._holdout], self._length))

    def _fill(self, samples: list[TokenisedExample], rows: list[list[int]]) -> Batch:
        shape = (len(rows), self._length)
        tokens, targets = np.full(shape, BOS, np.int64), np.full(shape, BOS, np.int64)
        weights, documents = np.zeros(shape, np.float32), np.zeros(shape, np.int64)
        for number, row in enumerate(rows):
            at = 0
            for place, index in enumerate(row, 1):
                ids, weight = samples[index].ids, samples[index].weights
                end = at + len(ids) - 1
                tokens[number, at:end], targets[number, at:end] = ids[:-1], ids[1:]
                weights[number, at:end], documents[number, at:end] = weight[1:], place
                at = end
        return Batch(*map(torch.from_numpy, (tokens, targets, weights, documents)))

    def fingerprint(self) -> str:
        """Return the sha256 of all samples, their split, the packing and the seed."""
        digest = hashlib.sha256(repr((self._rows, self._length, self._seed)).encode())
        for part in (self._train, self._holdout):
            digest.update(repr([(sample.ids, sample.weights) for sample in part]).encode())
        return digest.hexdigest()

    def origin(self, step: int) -> list[str]:
        """Return the names of the samples that a step trains on."""
        rows = range(step * self._rows, (step + 1) * self._rows)
        return [self._train[index].name for row in rows for index in self._row(row)]


class ReplayDataset:
    """Dialogues and replay: `rows` rows of each step are the base's own text, where the model stays near it."""

    def __init__(self, dialogues: PackedDataset, replay: Tokens, rows: int, length: int, seed: int) -> None:
        self._dialogues, self._replay, self._rows, self._length, self._seed = dialogues, replay, rows, length, seed
        self.epoch = dialogues.epoch

    def batch(self, step: int) -> Batch:
        """Return the dialogues of a step, then its replay, which has a KL mask and no weights; (rows,length)."""
        dialogues = self._dialogues.batch(step)
        last = max(1, len(self._replay) - self._length)
        starts = np.random.default_rng([self._seed, 4, step]).integers(0, last, self._rows)
        replay = rows_of(self._replay, starts, self._length)
        parts = _stack(
            [dialogues, Batch(replay.tokens, replay.targets, torch.zeros_like(replay.weights), replay.documents)]
        )
        return replace(parts, kl_mask=torch.cat([torch.zeros_like(dialogues.weights), replay.weights]))

    def validation(self) -> Batch | None:
        """Return the held-out samples, packed, (rows,length)."""
        return self._dialogues.validation()

    def fingerprint(self) -> str:
        """Return the sha256 of the dialogues' fingerprint, the replayed text and the rows of it."""
        digest = hashlib.sha256(repr((self._dialogues.fingerprint(), self._rows)).encode())
        digest.update(self._replay.tobytes())
        return digest.hexdigest()

    def origin(self, step: int) -> list[str]:
        """Return the names of the samples that a step trains on."""
        return self._dialogues.origin(step)


def pack(lengths: list[int], room: int, open_rows: int = 32) -> list[list[int]]:
    """Return rows of indices whose lengths sum to at most `room`: first fit, looking back at the last rows only."""
    rows: list[list[int]] = []
    free: list[int] = []
    for index, length in enumerate(lengths):
        for row in range(max(0, len(rows) - open_rows), len(rows)):
            if free[row] >= length:
                rows[row].append(index)
                free[row] -= length
                break
        else:
            rows.append([index])
            free.append(room - length)
    return rows
