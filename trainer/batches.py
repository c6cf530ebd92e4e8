"""What a step trains on, as a pure function of (seed, step): a resumed run needs no cursor beyond its step number.

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

from trainer.modules import Tokens
from trainer.tokenizer import BOS

_PATTERN = 1000  # rows after which the mix of modules repeats, each with its exact share


@dataclass(frozen=True)
class Batch:
    """Rows to train on or to measure, each part (rows, T): tokens, targets (int64), weights (fp32) and documents.

    `weights` are of the targets' cross entropy. `anchors`, where there are any, are of the divergence from the base at
    the same places: rows of replay have those alone.
    """

    tokens: Tensor
    targets: Tensor
    weights: Tensor
    documents: Tensor
    anchors: Tensor | None = None

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tokens, targets, weights, documents = map(change, (self.tokens, self.targets, self.weights, self.documents))
        return Batch(tokens, targets, weights, documents, None if self.anchors is None else change(self.anchors))

    def micro(self, rows: int) -> Iterator[Batch]:
        """Yield parts of at most `rows` rows."""
        for at in range(0, len(self.tokens), rows):
            yield self._each(lambda part, at=at: part[at : at + rows])  # type: ignore[misc]

    def to(self, device: str) -> Batch:
        """Return this batch on a device."""
        return self._each(lambda part: part.to(device))


class Data(Protocol):
    """What the training loop asks of its data."""

    def batch(self, step: int) -> Batch:
        """Return all rows of a step, a pure function of the seed and the step."""

    def validation(self) -> Batch | None:
        """Return the rows that are held out, or None where nothing is."""

    def fingerprint(self) -> str:
        """Return a sha256 that changes with the data, its split or its order."""

    def origin(self, step: int) -> list[str]:
        """Return names of what the rows of a step were made from, for error messages."""


def rows_of(stream: Tokens, starts: NDArray[np.int64], length: int) -> Batch:
    """Return one row of `length` tokens from each start; past the end of the stream nothing is trained."""
    places = starts[:, None] + np.arange(length + 1)
    inside = places < len(stream)
    tokens = np.where(inside, stream[np.minimum(places, len(stream) - 1)], BOS).astype(np.int64)
    documents = np.cumsum(tokens[:, :-1] == BOS, axis=1)
    weights = inside[:, 1:].astype(np.float32)
    return Batch(*map(torch.from_numpy, (tokens[:, :-1].copy(), tokens[:, 1:].copy(), weights, documents)))


class Windows:
    """Running text: windows of `length` tokens, every one once an epoch, the windows shifted from epoch to epoch.

    The end of a document is trained as `<s>`, which begins the next: the only end mark that llama2.c's run.c knows.
    """

    def __init__(
        self, train: dict[str, Tokens], held: Tokens, shares: dict[str, float], rows: int, length: int, seed: int,
        validation_rows: int = 128,
    ) -> None:  # fmt: skip
        self._streams, self._held, self._rows, self._length, self._seed = train, held, rows, length, seed
        self._validation_rows = validation_rows
        self._names = sorted(shares)
        counts = _apportion([shares[name] for name in self._names], _PATTERN)
        pattern = np.repeat(np.arange(len(counts)), counts)
        self._pattern = np.random.default_rng([seed, 1]).permutation(pattern)
        self._before = np.stack(
            [np.cumsum(self._pattern == one) - (self._pattern == one) for one in range(len(counts))]
        )
        self._counts = counts
        self._orders: dict[tuple[int, int], NDArray[np.int64]] = {}

    def batch(self, step: int) -> Batch:
        """Return all rows of a step."""
        parts = []
        first = step * self._rows
        for row in range(first, first + self._rows):
            module = int(self._pattern[row % _PATTERN])
            index = row // _PATTERN * self._counts[module] + int(self._before[module][row % _PATTERN])
            parts.append((module, self._start(module, index)))
        batches = [rows_of(self._streams[self._names[m]], np.array([at]), self._length) for m, at in parts]
        return _stack(batches)

    def _start(self, module: int, index: int) -> int:
        room = len(self._streams[self._names[module]]) - 1
        windows = max(1, room // self._length - 1)
        epoch, place = divmod(index, windows)
        if (module, epoch) not in self._orders:
            self._orders = {key: order for key, order in self._orders.items() if key[0] != module}
            rng = np.random.default_rng([self._seed, 2, module, epoch])
            shift = rng.integers(0, max(1, room - windows * self._length + 1))
            self._orders[module, epoch] = rng.permutation(windows) * self._length + shift
        return int(self._orders[module, epoch][place])

    def validation(self) -> Batch | None:
        """Return rows over the held-out documents: all, or so many spread evenly."""
        if len(self._held) < 2:
            return None
        starts = np.arange(0, len(self._held) - 1, self._length)
        if len(starts) > self._validation_rows:
            starts = starts[np.linspace(0, len(starts) - 1, self._validation_rows).round().astype(int)]
        return rows_of(self._held, starts, self._length)

    def fingerprint(self) -> str:
        """Return the sha256 of all streams and of how they are mixed."""
        sizes = [len(self._streams[name]) for name in self._names]
        digest = hashlib.sha256(repr((self._names, sizes, self._counts, self._rows, self._length, self._seed)).encode())
        for name in self._names:
            digest.update(self._streams[name].tobytes())
        digest.update(b"held" + self._held.tobytes())
        return digest.hexdigest()

    def origin(self, step: int) -> list[str]:
        """Return the modules that a step's rows came from."""
        first = step * self._rows
        used = {int(self._pattern[row % _PATTERN]) for row in range(first, first + self._rows)}
        return [f"module {self._names[one]}" for one in sorted(used)]


def _apportion(shares: list[float], total: int) -> list[int]:
    """Return whole numbers that sum to `total` and are at least 1, near to the shares (largest remainder)."""
    counts = [max(1, int(share * total)) for share in shares]
    remainders = sorted(range(len(shares)), key=lambda one: counts[one] - shares[one] * total)
    for step in range(total - sum(counts)):
        counts[remainders[step % len(remainders)]] += 1
    while sum(counts) > total:
        counts[counts.index(max(counts))] -= 1
    return counts


def _stack(batches: list[Batch]) -> Batch:
    return Batch(
        torch.cat([one.tokens for one in batches]),
        torch.cat([one.targets for one in batches]),
        torch.cat([one.weights for one in batches]),
        torch.cat([one.documents for one in batches]),
    )


@dataclass(frozen=True)
class Encoded:
    """A sample as tokens: `ids` with `<s>` at both ends, and the weight of each id as a target (0 for the first)."""

    name: str
    ids: tuple[int, ...]
    weights: tuple[float, ...]


class Packed:
    """Dialogue samples, packed into rows; every sample once an epoch, in an order drawn anew each time."""

    def __init__(self, train: list[Encoded], held: list[Encoded], rows: int, length: int, seed: int) -> None:
        self._train, self._held, self._rows, self._length, self._seed = train, held, rows, length, seed
        self._epochs: list[list[list[int]]] = []
        self._ends: list[int] = []

    def batch(self, step: int) -> Batch:
        """Return all rows of a step."""
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
            packed = pack([len(self._train[one].ids) - 1 for one in order], self._length)
            self._epochs.append([[order[one] for one in row] for row in packed])
            self._ends.append((self._ends[-1] if self._ends else 0) + len(packed))
        epoch = next(number for number, end in enumerate(self._ends) if row < end)
        return self._epochs[epoch][row - (self._ends[epoch - 1] if epoch else 0)]

    def validation(self) -> Batch | None:
        """Return the held-out samples, packed."""
        if not self._held:
            return None
        return self._fill(self._held, pack([len(one.ids) - 1 for one in self._held], self._length))

    def _fill(self, samples: list[Encoded], rows: list[list[int]]) -> Batch:
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
        for part in (self._train, self._held):
            digest.update(repr([(one.ids, one.weights) for one in part]).encode())
        return digest.hexdigest()

    def origin(self, step: int) -> list[str]:
        """Return the names of the samples that a step trains on."""
        rows = range(step * self._rows, (step + 1) * self._rows)
        return [self._train[one].name for row in rows for one in self._row(row)]


class Replayed:
    """Dialogues with text of the base's beside them: `rows` rows of each step, where the model stays near the base."""

    def __init__(self, dialogues: Packed, replay: Tokens, rows: int, length: int, seed: int) -> None:
        self._dialogues, self._replay, self._rows, self._length, self._seed = dialogues, replay, rows, length, seed
        self.epoch = dialogues.epoch

    def batch(self, step: int) -> Batch:
        """Return the dialogues of a step, then its rows of replay, which have anchors and no weights."""
        own = self._dialogues.batch(step)
        last = max(1, len(self._replay) - self._length)
        starts = np.random.default_rng([self._seed, 4, step]).integers(0, last, self._rows)
        more = rows_of(self._replay, starts, self._length)
        parts = _stack([own, Batch(more.tokens, more.targets, torch.zeros_like(more.weights), more.documents)])
        return replace(parts, anchors=torch.cat([torch.zeros_like(own.weights), more.weights]))

    def validation(self) -> Batch | None:
        """Return the held-out samples, packed."""
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
    left: list[int] = []
    for index, length in enumerate(lengths):
        for row in range(max(0, len(rows) - open_rows), len(rows)):
            if left[row] >= length:
                rows[row].append(index)
                left[row] -= length
                break
        else:
            rows.append([index])
            left.append(room - length)
    return rows
