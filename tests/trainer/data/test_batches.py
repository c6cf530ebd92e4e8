"""Batches: every token and every sample in its turn, from (seed, step) alone, with the loss at the right places."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from core_fixtures import at_most, document, ids

from trainer.data.batches import Batch, PackedDataset, SequenceDataset, TokenisedExample, _apportion, pack, rows_of

NONE = np.zeros(0, np.uint16)
NAMES = ("tokens", "targets", "weights", "documents")
# A stream in which a token is its own place: 5,000 tokens, no mark.
COUNTING = np.arange(3, 5003).astype(np.uint16)


def windows(
    train: dict[str, np.ndarray], shares: dict[str, float] | None = None, held: np.ndarray = NONE, rows: int = 4,
    length: int = 32, seed: int = 1, validation_rows: int = 128,
) -> SequenceDataset:  # fmt: skip
    shares = shares or dict.fromkeys(train, 1 / len(train))
    return SequenceDataset(train, held, shares, rows=rows, length=length, seed=seed, validation_rows=validation_rows)


def rows(data: SequenceDataset | PackedDataset, number: int, per_step: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """The first rows one by one: tokens, targets, weights, documents."""
    for step in range(-(-number // per_step)):
        batch = data.batch(step)
        for row in range(min(per_step, number - step * per_step)):
            yield batch.tokens[row], batch.targets[row], batch.weights[row], batch.documents[row]


def equal(a: Batch, b: Batch) -> bool:
    return all(
        torch.equal(getattr(a, name), getattr(b, name)) for name in ("tokens", "targets", "weights", "documents")
    )


# --- rows of a stream ---


def test_rows_by_hand():
    stream = np.array([1, 5, 6, 1, 7, 8], np.uint16)
    batch = rows_of(stream, np.array([0, 3]), 4)
    assert batch.tokens.tolist() == [[1, 5, 6, 1], [1, 7, 8, 1]]
    # A document's last token learns the mark that begins the next one. Past the end of the stream nothing is trained.
    assert batch.targets.tolist() == [[5, 6, 1, 7], [7, 8, 1, 1]]
    assert batch.weights.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch.documents.tolist() == [[1, 1, 1, 2], [1, 1, 1, 2]]
    assert {str(one.dtype) for one in (batch.tokens, batch.targets, batch.documents)} == {"torch.int64"}


def test_a_batch_in_parts_is_the_batch():
    batch = windows({"a": COUNTING}, rows=7).batch(3)
    for size in (1, 2, 3, 7, 100):
        parts = list(batch.micro_batches(size))
        assert all(len(part.tokens) <= size for part in parts) and len(parts) == -(-7 // size)
        assert equal(Batch(*(torch.cat([getattr(part, name) for part in parts]) for name in NAMES)), batch)


# --- windows over modules ---


@pytest.mark.parametrize("length", [16, 32, 100])
@pytest.mark.parametrize("tokens", [330, 1000, 5000])
def test_every_window_comes_once_an_epoch(length: int, tokens: int):
    stream = COUNTING[:tokens]
    number = max(1, (tokens - 1) // length - 1)
    found = [int(row[0]) - 3 for row, *_ in rows(windows({"a": stream}, length=length), 40 * number, 4)]
    seen = np.zeros(tokens, int)
    for epoch in range(40):
        starts = sorted(found[epoch * number : (epoch + 1) * number])
        # Every window once, end to end, and from place to place: a different shift, a different order.
        assert starts == list(range(starts[0], starts[0] + number * length, length))
        for start in starts:
            seen[start : start + length] += 1
    assert len({found[epoch * number] for epoch in range(40)}) > 1
    assert (seen[2 * length : -2 * length] == 40).all()  # all but the ends, which the shift leaves out now and then
    assert seen[:-1].sum() == 40 * number * length and seen[length // 2] > 0 and seen[-length // 2] > 0


def test_a_batch_is_a_function_of_seed_and_step_alone():
    streams = {"a": COUNTING[:700], "b": COUNTING[700:1300]}
    shares = {"a": 0.7, "b": 0.3}
    data = windows(streams, shares)
    expected = [data.batch(step) for step in range(60)]
    order = list(range(60)) * 2
    random.Random(1).shuffle(order)
    again = windows(streams, shares)
    assert all(equal(again.batch(step), expected[step]) for step in order)
    assert all(equal(windows(streams, shares).batch(step), expected[step]) for step in (59, 31, 0))
    assert not equal(windows(streams, shares, seed=2).batch(0), expected[0])
    assert not equal(expected[0], expected[1])


@pytest.mark.parametrize(
    ("shares", "counts"),
    [
        ({"a": 0.7, "b": 0.3}, {"a": 700, "b": 300}),
        ({"a": 1 / 3, "b": 2 / 3}, {"a": 333, "b": 667}),
        ({"a": 0.999_99, "b": 0.000_01}, {"a": 999, "b": 1}),  # one of a thousand at the least
        ({"a": 1.0}, {"a": 1000}),
    ],
)
def test_modules_are_mixed_by_exact_shares(shares: dict[str, float], counts: dict[str, int]):
    streams = {"a": ids(1, 900, low=3, high=200), "b": ids(2, 400, low=200, high=400)}
    data = windows({name: streams[name] for name in shares}, shares, rows=8)
    for begin in (0, 1000):  # each thousand of rows
        found = ["a" if int(row[0]) < 200 else "b" for row, *_ in list(rows(data, begin + 1000, 8))[begin:]]
        assert Counter(found) == counts
        assert len(set(found[:60])) == len(shares) or min(counts.values()) < 20  # and mixed throughout
    assert data.origin(0) == [f"shard {name}" for name in sorted(set(found[:8]))] or len(shares) > 1


def test_shares_become_whole_numbers():
    rng = np.random.default_rng(1)
    for number in (1, 2, 3, 7, 50):
        shares = rng.dirichlet(np.full(number, 0.5)).tolist()
        counts = _apportion(shares, 1000)
        assert sum(counts) == 1000 and min(counts) >= 1
        assert max(abs(count - 1000 * share) for count, share in zip(counts, shares, strict=True)) < 1 + number / 2


def test_targets_are_the_next_tokens():
    for tokens, targets, weights, documents in rows(windows({"a": COUNTING}), 200, 4):
        assert torch.equal(targets, tokens + 1)
        assert weights.tolist() == [1] * 32
        assert len(set(documents.tolist())) == 1


@pytest.mark.parametrize("length", [2, 3, 20, 31, 32, 33])
def test_a_stream_shorter_than_the_context_is_trained_once_a_row_and_its_padding_never(length: int):
    stream = document(1, length)
    for step, (tokens, targets, weights, _) in enumerate(rows(windows({"a": stream}), 12, 4)):
        kept = min(32, length - 1)
        assert int(weights.sum()) == kept, step
        assert tokens[:kept].tolist() == stream[:kept].tolist()
        assert targets[:kept].tolist() == stream[1 : kept + 1].tolist()
        assert weights[kept:].sum() == 0


def test_documents_in_a_row_are_numbered_at_their_marks():
    stream = np.concatenate([document(seed, 7) for seed in range(40)])
    for tokens, _, _, documents in rows(windows({"a": stream}), 40, 4):
        assert torch.equal(documents.diff(), (tokens[1:] == 1).long())


def test_all_that_is_held_out_is_measured_once_or_a_part_spread_over_all():
    held = COUNTING[:1000]
    batch = windows({"a": COUNTING}, held=held).validation()
    assert batch is not None
    assert sorted(batch.targets[batch.weights > 0].tolist()) == held[1:].tolist()  # each but the first, once
    few = windows({"a": COUNTING}, held=held, validation_rows=5).validation()
    assert few is not None
    starts = (few.tokens[:, 0] - 3).tolist()
    assert starts == sorted(set(starts)) and (len(starts), starts[0]) == (5, 0)
    assert starts[-1] == 992  # the last row: 999 targets begin rows at 0, 32, ..., 992
    assert max(np.diff(starts)) - min(np.diff(starts)) <= 32


@pytest.mark.parametrize("held", [NONE, np.array([1], np.uint16)])
def test_nothing_held_out_is_none(held: np.ndarray):
    assert windows({"a": COUNTING}, held=held).validation() is None


def test_a_fingerprint_tells_data_from_data():
    a, b, held = document(1, 100), document(2, 90), document(3, 50)
    plain = {"train": {"a": a, "b": b}, "shares": {"a": 0.5, "b": 0.5}, "held": held}
    changes = [
        {"seed": 2},
        {"rows": 8},
        {"length": 16},
        {"shares": {"a": 0.6, "b": 0.4}},
        {"train": {"a": a, "c": b}, "shares": {"a": 0.5, "c": 0.5}},
        {"train": {"a": b, "b": a}},
        {"train": {"a": np.where(np.arange(100) == 50, 7, a).astype(np.uint16), "b": b}},
        {"held": document(4, 50)},
        {"held": NONE, "train": {"a": a, "b": np.concatenate([b, held])}},  # another split
    ]
    found = [windows(**(plain | change)).fingerprint() for change in ({}, *changes)]  # type: ignore[arg-type]
    assert found[0] == windows(**plain).fingerprint()  # type: ignore[arg-type]
    same = [changes[at - 1] for at, one in enumerate(found) if at and found.index(one) != at]
    assert same == []


def test_a_fingerprint_tells_where_one_module_ends_and_the_next_begins():
    tokens = document(1, 100)
    found = [windows({"a": tokens[:at], "b": tokens[at:]}).fingerprint() for at in (40, 50)]
    assert found[0] != found[1]


# --- packed samples ---


def samples(seed: int, number: int, longest: int = 32) -> list[TokenisedExample]:
    """Samples whose tokens tell them apart, as fine-tuning makes them: a mark at both ends, the reply weighted."""
    rng = np.random.default_rng(seed)
    out = []
    for index in range(number):
        length = int(rng.integers(3, longest + 1))
        tokens = (1, 3 + index, *rng.integers(3, 400, length - 2).tolist(), 1)  # longest + 1 ids fill a row
        trained = int(rng.integers(1, length))
        out.append(
            TokenisedExample(
                f"sample {index}", tokens, (0.0,) * (length + 1 - trained) + (1.0,) * (trained - 1) + (0.5,)
            )
        )
    return out


def pieces(batch: Batch) -> Iterator[tuple[list[int], list[int], list[float]]]:
    """The documents of all rows: tokens, targets, weights. Padding is document 0."""
    for tokens, targets, weights, documents in zip(
        batch.tokens, batch.targets, batch.weights, batch.documents, strict=True
    ):
        for number in range(1, int(documents.max()) + 1):
            at = documents == number
            yield tokens[at].tolist(), targets[at].tolist(), weights[at].tolist()
        assert weights[documents == 0].sum() == 0


@pytest.mark.parametrize("number", [1, 3, 50])
@pytest.mark.parametrize("per_step", [1, 4, 16])
def test_every_sample_comes_once_an_epoch_whole_and_with_its_weights(number: int, per_step: int):
    train = samples(1, number)
    data = PackedDataset(train, [], per_step, 32, 1)
    expected = Counter((one.ids[:-1], one.ids[1:], one.weights[1:]) for one in train)
    steps = -(-3 * data.epoch_rows() // per_step) + 3
    found = [(tuple(a), tuple(b), tuple(c)) for step in range(steps) for a, b, c in pieces(data.batch(step))]
    names = [name for step in range(steps) for name in data.origin(step)]
    assert len(found) == len(names) > 2 * number
    for epoch in range(2):
        assert Counter(found[epoch * number : (epoch + 1) * number]) == expected
        assert Counter(names[epoch * number : (epoch + 1) * number]) == Counter(one.name for one in train)
    if number == 50:
        assert names[:50] != names[50:100]  # drawn anew
    assert data.epoch(steps) == steps * per_step / data.epoch_rows()


def test_packed_batches_are_a_function_of_seed_and_step_alone():
    train, held = samples(1, 40), samples(2, 10)
    expected = [PackedDataset(train, held, 3, 32, 1).batch(step) for step in range(25)]
    data = PackedDataset(train, held, 3, 32, 1)
    order = list(range(25)) * 2
    random.Random(1).shuffle(order)
    assert all(equal(data.batch(step), expected[step]) for step in order)
    assert not equal(PackedDataset(train, held, 3, 32, 2).batch(0), expected[0])


def test_packed_validation_holds_every_sample_once():
    held = samples(2, 23)
    batch = PackedDataset(samples(1, 40), held, 3, 32, 1).validation()
    assert batch is not None
    assert Counter(tuple(tokens) for tokens, _, _ in pieces(batch)) == Counter(one.ids[:-1] for one in held)
    assert PackedDataset(samples(1, 40), [], 3, 32, 1).validation() is None


def test_first_fit_loses_none_never_overflows_and_packs_well():
    rng = random.Random(1)
    for room in (10, 32, 256):
        for number in (0, 1, 10, 500):
            lengths = [rng.randint(0, room) for _ in range(number)]
            found = pack(lengths, room)
            assert sorted(one for row in found for one in row) == list(range(number))
            assert all(sum(lengths[one] for one in row) <= room for row in found)
            assert len(found) <= 1.2 * sum(lengths) / room + 2
    assert pack([5, 6, 4, 3, 1], 10) == [[0, 2, 4], [1, 3]]


def test_a_packed_fingerprint_tells_data_from_data():
    train, held = samples(1, 10), samples(2, 4)
    heavier = [TokenisedExample(train[0].name, train[0].ids, (*train[0].weights[:-1], 0.25)), *train[1:]]
    found = [
        PackedDataset(*arguments).fingerprint()
        for arguments in (
            (train, held, 4, 32, 1), (train, held, 4, 32, 2), (train, held, 8, 32, 1), (train, held, 4, 64, 1),
            (train[1:], held, 4, 32, 1), (train, held[1:], 4, 32, 1), (train[1:], [train[0], *held], 4, 32, 1),
            (heavier, held, 4, 32, 1), (train[::-1], held, 4, 32, 1),
        )
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    assert found[0] == PackedDataset(train, held, 4, 32, 1).fingerprint()


def test_a_mistake_of_the_caller_neither_hangs_nor_trains():
    # No sample at all, and one longer than the context: both are refused or cut before they come here.
    (sample,) = samples(1, 1)
    long = TokenisedExample("long", (1, *range(3, 60), 1), (0.0, *[1.0] * 58))
    for train in ([sample, long], []):
        with at_most(2), pytest.raises((AssertionError, ValueError)):
            PackedDataset(train, [], 4, 32, 1).batch(0)
