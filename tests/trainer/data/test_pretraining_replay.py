"""Replay: what a step shows of the base's text, drawn from (seed, step) alone, and where that text is from."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import use_fixtures
from core_fixtures import TINY, Place, model_of, place_in, tokenizer, tokenizer_bytes
from health_fixtures import base, dialogues, text_modules

from curator.contract.errors import UsageError
from trainer.data.batches import Batch, PackedDataset, ReplayDataset, TokenisedExample
from trainer.data.pretraining_replay import WRITTEN, BaseText, base_text, written
from trainer.data.token_shards import Tokens, list_shards, split_documents
from trainer.model.checkpoint import Checkpoint, Record, load_checkpoint
from trainer.model.tokenizer import BOS, Tokenizer, train_tokenizer
from trainer.names import builtin_base
from trainer.training.finetune import FinetuneRequest, _data, prepare
from trainer.training.kl import KLRegulariser

LENGTH = 16
COUNTING = np.arange(3, 203).astype(np.uint16)  # a token is its own place: no mark, no token twice
NAMES = ("tokens", "targets", "weights", "documents", "kl_mask")


def packed(rows: int = 3, seed: int = 1, shift: int = 0) -> PackedDataset:
    samples = [TokenisedExample(f"s{one}", (1, 300 + one + shift, 350, 1), (0.0, 0.0, 1.0, 3.0)) for one in range(20)]
    return PackedDataset(samples, samples[:2], rows, LENGTH, seed)


def replayed(
    text: Tokens = COUNTING, rows: int = 2, seed: int = 1, dialogues: PackedDataset | None = None
) -> ReplayDataset:
    return ReplayDataset(dialogues or packed(seed=seed), text, rows, LENGTH, seed)


def equal(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in NAMES)


# --- the rows of a step ---


def test_a_step_is_its_dialogues_then_its_rows_of_replay() -> None:
    batch, own = replayed().batch(0), packed().batch(0)
    assert batch.tokens.shape == (5, LENGTH) and batch.kl_mask is not None
    for name in ("tokens", "targets", "weights", "documents"):
        assert torch.equal(getattr(batch, name)[:3], getattr(own, name))
        assert getattr(batch, name).dtype == getattr(own, name).dtype
    for row in (3, 4):
        first = int(batch.tokens[row, 0])
        assert batch.tokens[row].tolist() == list(range(first, first + LENGTH))
        assert batch.targets[row].tolist() == list(range(first + 1, first + LENGTH + 1))


def test_anchors_are_on_replay_alone_and_weights_on_dialogues_alone() -> None:
    batch, own = replayed().batch(7), packed().batch(7)
    assert batch.kl_mask is not None and batch.kl_mask.dtype == batch.weights.dtype
    assert torch.equal(batch.weights[:3], own.weights) and bool(own.weights.any(dim=1).all())
    assert batch.weights[3:].tolist() == [[0.0] * LENGTH] * 2
    assert batch.kl_mask[:3].tolist() == [[0.0] * LENGTH] * 3
    assert batch.kl_mask[3:].tolist() == [[1.0] * LENGTH] * 2


def test_a_step_is_a_function_of_seed_and_step_alone() -> None:
    one, other = replayed(), replayed()
    backwards = {step: other.batch(step) for step in (9, 3, 0, 3)}
    for step in range(10):
        batch = one.batch(step)
        assert step not in backwards or equal(batch, backwards[step])
    assert not equal(one.batch(3), one.batch(0))
    assert not torch.equal(one.batch(3).tokens[3:], replayed(seed=2).batch(3).tokens[3:])


def test_the_whole_text_comes_and_nothing_past_its_end() -> None:
    """Of 25 tokens in rows of 16, a row begins at one of the first nine: each has a target for its last token."""
    text = COUNTING[: LENGTH + 9]
    data = replayed(text)
    rows = torch.cat([data.batch(step).tokens[3:] for step in range(100)])
    assert sorted(set((rows[:, 0] - 3).tolist())) == list(range(9))
    batch = data.batch(0)
    assert batch.kl_mask is not None and bool(batch.kl_mask[3:].all())
    assert int(max(data.batch(step).targets[3:].max() for step in range(100))) == int(text[-1])


@pytest.mark.parametrize("tokens", [2, 5, LENGTH, LENGTH + 1])
def test_a_text_shorter_than_a_row_is_a_row_with_fewer_anchors(tokens: int) -> None:
    batch = replayed(COUNTING[:tokens], rows=1).batch(0)
    assert batch.kl_mask is not None
    assert batch.kl_mask[3].tolist() == [1.0] * (tokens - 1) + [0.0] * (LENGTH + 1 - tokens)
    assert batch.tokens[3, : tokens - 1].tolist() == COUNTING[: tokens - 1].tolist()


def test_documents_of_replay_do_not_look_into_each_other() -> None:
    text = np.array([5, 6, 1, 7, 8, 9, 1, 10], np.uint16)
    batch = ReplayDataset(packed(), text, 1, LENGTH, 1).batch(0)
    assert batch.tokens[3, :7].tolist() == [5, 6, 1, 7, 8, 9, 1]
    assert batch.documents[3, :7].tolist() == [0, 0, 1, 1, 1, 1, 2]


def test_parts_of_a_step_keep_their_anchors() -> None:
    batch = replayed().batch(0)
    for size in (1, 2, 4, 100):
        parts = list(batch.micro_batches(size))
        assert equal(Batch(*(torch.cat([getattr(part, name) for part in parts]) for name in NAMES)), batch)
    assert equal(batch.to("cpu"), batch)
    assert next(packed().batch(0).micro_batches(2)).kl_mask is None


def test_all_else_is_the_dialogues_own() -> None:
    own, data = packed(), replayed()
    found, expected = data.validation(), own.validation()
    assert found is not None and expected is not None and torch.equal(found.tokens, expected.tokens)
    assert found.kl_mask is None
    assert data.origin(4) == own.origin(4) and data.epoch(10) == own.epoch(10)


def test_the_fingerprint_changes_with_text_rows_seed_and_dialogues() -> None:
    other = COUNTING.copy()
    other[-1] += 1
    found = [
        replayed(), replayed(other), replayed(COUNTING[:-1]), replayed(rows=3), replayed(seed=2),
        replayed(dialogues=packed(shift=1)), replayed(dialogues=packed(rows=4)),
    ]  # fmt: skip
    marks = [one.fingerprint() for one in found] + [packed().fingerprint()]
    assert len(set(marks)) == len(marks)
    assert replayed().fingerprint() == marks[0]
    used = replayed()
    used.batch(30)
    assert used.fingerprint() == marks[0]


# --- how much of it a fine-tune shows ---


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"replay_ratio": 1.0}, 4),
        ({"replay_ratio": 0.5}, 2),
        ({"replay_ratio": 3.0, "per_device_batch_size": 2, "gradient_accumulation_steps": 3}, 18),
        ({"replay_ratio": 0.0}, 0),
        ({"kl_weight": 0.0}, 0),
    ],
)
def test_rows_of_replay_come_on_top_of_those_of_dialogues(tmp_path: Path, options: dict[str, float], rows: int) -> None:
    ready = prepare(FinetuneRequest(home=None, data=dialogues(tmp_path, 12), base=base(), options=options))
    data, own = _data(ready, base_text(ready.base, None), ready.settings)
    each = ready.settings.per_device_batch_size * ready.settings.gradient_accumulation_steps
    batch = data.batch(0)
    assert len(batch.tokens) == each + rows and len(own.batch(0).tokens) == each
    assert (batch.kl_mask is None) == (rows == 0) == (data is own)


# --- where the text is from ---


def checkpoint(folder: Path, known: Tokenizer | None = None) -> Checkpoint:
    """A tiny model with a tokenizer, in a folder that may hold text."""
    known = known or tokenizer()
    config = replace(TINY, vocab_size=known.vocab_size)
    state = model_of(config, scale=6.0).state_dict()
    return Checkpoint(folder, config, state, known, Record(made_by="pretrain"))


def whole(folder: Path) -> Tokens:
    """All tokens of a folder of modules as they stand in its files, by name."""
    return np.concatenate([np.fromfile(path, "<u2") for path in sorted(folder.glob("*.bin"))])


def as_set(tokens: Tokens) -> set[bytes]:
    return {one.tobytes() for one in split_documents(tokens)}


def same(a: BaseText, b: BaseText) -> bool:
    return np.array_equal(a.replay, b.replay) and np.array_equal(a.held, b.held) and a.origin == b.origin


def test_named_modules_are_parted_into_what_is_replayed_and_what_is_measured(tmp_path: Path) -> None:
    modules = tmp_path / "texts"
    for number in range(2):
        text_modules(place_in(tmp_path), modules, f"module{number}", 20, number)
    found = base_text(checkpoint(tmp_path), modules)
    assert found.origin == "shards of texts"
    replay, held = as_set(found.replay), as_set(found.held)
    assert replay | held == as_set(whole(modules)) and not replay & held
    assert len(held) >= 1 and len(replay) > 3 * len(held)
    assert len(found.replay) + len(found.held) == len(whole(modules))
    assert same(base_text(checkpoint(tmp_path), modules), found)


def test_named_modules_come_before_the_text_beside_the_base(tmp_path: Path) -> None:
    modules = text_modules(place_in(tmp_path), tmp_path / "texts", "own", 20, 3)
    found = base_text(load_checkpoint(base()), modules)
    assert as_set(found.replay) | as_set(found.held) == as_set(whole(modules))


def test_text_beside_the_base_is_taken_as_it_lies_there() -> None:
    found = base_text(load_checkpoint(base()), None)
    assert found.origin == "text that came with tiny-base"
    assert np.array_equal(found.replay, whole(base() / "replay"))
    assert np.array_equal(found.held, whole(base() / "held-out"))


def test_a_fine_tune_of_the_built_in_base_takes_its_text(tmp_path: Path) -> None:
    """It is known by the tokenizer: neither name nor weights matter."""
    found = base_text(checkpoint(tmp_path, Tokenizer.load(builtin_base() / "tokenizer.model")), None)
    assert found.origin == f"text that came with {builtin_base().name}"
    assert np.array_equal(found.replay, whole(builtin_base() / "replay"))
    assert np.array_equal(found.held, whole(builtin_base() / "held-out"))
    assert not as_set(found.replay) & as_set(found.held)


def test_text_beside_a_fine_tune_of_the_built_in_base_comes_before_that_base_s(tmp_path: Path) -> None:
    known = (builtin_base() / "tokenizer.model").read_bytes()
    here = Place(tmp_path)
    here.tokenizer.write_bytes(known)
    for name in ("replay", "held-out"):
        text_modules(here, tmp_path / name, name, 3, 1)
    found = base_text(checkpoint(tmp_path, Tokenizer(known)), None)
    assert found.origin == f"text that came with {tmp_path.name}"
    assert np.array_equal(found.replay, whole(tmp_path / "replay"))


def test_the_built_in_base_comes_with_whole_modules_of_its_own_tokenizer() -> None:
    sha = Tokenizer.load(builtin_base() / "tokenizer.model").sha256
    for name in ("replay", "held-out"):
        for one in list_shards(builtin_base() / name):
            assert one.read(4096, sha)[0] == BOS


@pytest.mark.parametrize("missing", ["replay", "held-out"])
def test_one_of_the_two_folders_is_not_enough(tmp_path: Path, missing: str) -> None:
    there = ({"replay", "held-out"} - {missing}).pop()
    text_modules(place_in(tmp_path), tmp_path / there, "text", 3, 1)
    assert base_text(checkpoint(tmp_path), None).origin == "text that the base wrote"


def test_text_of_another_tokenizer_beside_the_base_is_passed_over(tmp_path: Path) -> None:
    for name in ("replay", "held-out"):
        text_modules(place_in(tmp_path), tmp_path / name, name, 3, 1)
    rng = random.Random(3)
    other = Tokenizer(train_tokenizer([" ".join(rng.choices(("sun", "moon", "stars"), k=8)) for _ in range(50)], 275))
    assert other.sha256 != tokenizer().sha256
    found = base_text(checkpoint(tmp_path, other), None)
    assert found.origin == "text that the base wrote"
    assert int(found.replay.max()) < 275


# --- what a base writes ---


def test_a_base_without_text_writes_it(tmp_path: Path) -> None:
    one = checkpoint(tmp_path)
    found = base_text(one, None)
    assert found.origin == "text that the base wrote"
    rows = WRITTEN // 2
    for part in (found.replay, found.held):
        assert part.dtype == np.uint16 and part.shape == (rows * TINY.max_seq_len,)
        assert (part.reshape(rows, -1)[:, 0] == BOS).all()
    both = np.concatenate((found.replay, found.held)).reshape(WRITTEN, -1)
    assert len({row.tobytes() for row in both}) == WRITTEN, "each has a seed of its own"
    assert same(base_text(one, None), found), "the same text each time"
    assert not same(written(one, seed=1000), found)


def test_what_it_writes_is_what_it_takes_its_language_to_be(tmp_path: Path) -> None:
    """A base that knows one sentence writes that, from the mark that begins a document and on beyond its end."""
    words = use_fixtures.after(" ba ko ti.")
    model = use_fixtures.scripted([BOS, *words, BOS])
    made = Checkpoint(tmp_path, model.config, model.state_dict(), use_fixtures.tokenizer(), Record(made_by="pretrain"))
    found = written(made)
    sentence = [BOS, *words]
    expected = (sentence * 100)[: model.config.max_seq_len]
    rows = np.concatenate((found.replay, found.held)).reshape(WRITTEN, -1)
    assert (rows == expected).all(axis=1).mean() > 0.9


def test_a_fine_tune_at_its_base_has_nothing_to_mend_on_what_the_base_wrote(tmp_path: Path) -> None:
    one = checkpoint(tmp_path)
    data = ReplayDataset(packed(rows=1), written(one).replay, 4, LENGTH, 1)
    batch = data.batch(0)
    model = one.model()
    still = replace(batch, weights=torch.zeros_like(batch.weights))
    assert still.kl_mask is not None
    KLRegulariser(one.model(), 8.0).backward(model, still, 1.0, float(still.kl_mask.sum()), "fp32")
    assert max(float(each.grad.abs().max()) for each in model.parameters() if each.grad is not None) < 1e-6


# --- errors ---


def test_modules_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    modules = text_modules(place_in(tmp_path), tmp_path / "texts", "own", 20, 3)
    known = Tokenizer.load(builtin_base() / "tokenizer.model")
    with pytest.raises(UsageError, match="was made with another tokenizer"):
        base_text(checkpoint(tmp_path, known), modules)


def test_a_folder_without_modules_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="there is no shard in"):
        base_text(checkpoint(tmp_path), tmp_path / "empty")
    with pytest.raises(UsageError, match="is no folder of shards"):
        base_text(checkpoint(tmp_path), tmp_path / "nowhere")


def test_one_document_cannot_be_parted(tmp_path: Path) -> None:
    modules = text_modules(place_in(tmp_path), tmp_path / "texts", "one", 1, 3)
    with pytest.raises(UsageError, match="cannot be parted into replay and held-out text") as error:
        base_text(checkpoint(tmp_path), modules)
    assert "leave out --replay" in str(error.value)


def test_a_module_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    for name in ("replay", "held-out"):
        text_modules(place_in(tmp_path), tmp_path / name, "text", 3, 1)
    path = tmp_path / "replay" / "text.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UsageError, match="is not the file that its manifest describes"):
        base_text(checkpoint(tmp_path), None)


def test_the_tiny_tokenizer_is_that_of_the_tiny_base() -> None:
    """What the tests above rest on."""
    assert (base() / "tokenizer.model").read_bytes() == tokenizer_bytes()
    record = json.loads((base() / "trainer.json").read_text("utf-8"))
    assert record["metrics"]["validation_loss"] < record["metrics"]["validation_loss_at_start"] - 1.5
