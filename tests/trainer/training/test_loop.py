"""The loop: a step that does not hang on how its rows are cut, and that stands NaN, divergence and short memory."""

from __future__ import annotations

import json
import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from core_fixtures import CONFIGS, SETTINGS, TINY, document, model_of, no_waiting_for_the_disk, shared_place, trainer

from curator.contract.errors import HostError, JobError
from trainer.data.batches import Batch, PackedDataset, SequenceDataset, TokenisedExample, TrainingData
from trainer.evaluation.perplexity import mean_loss
from trainer.model.llama import Llama
from trainer.settings import PretrainSettings
from trainer.training import loop
from trainer.training.loop import (
    Outcome,
    StepMetrics,
    TrainerCallback,
    TrainingRun,
    gradients,
)
from trainer.training.optimizer import learning_rate, make_optimizer
from trainer.training.run_dir import RunDir, TrainState
from trainer.training.speed import out_of_memory

Weights = dict[str, torch.Tensor]


def weights_of(model: Llama) -> Weights:
    return {name: one.detach().clone() for name, one in model.state_dict().items()}


def same(a: Weights, b: Weights) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def apart(a: Weights, b: Weights) -> float:
    """The largest difference of two models' weights."""
    return max(float((a[name] - b[name]).abs().max()) for name in a)


class Notes(TrainerCallback):
    """A callback that keeps everything, the weights after every step too."""

    def __init__(self, model: Llama) -> None:
        self.model, self.said, self.steps = model, list[str](), list[StepMetrics]()
        self.after: dict[int, Weights] = {0: weights_of(model)}

    def log(self, text: str) -> None:
        self.said.append(text)

    def step(self, metrics: StepMetrics, steps: int) -> None:
        self.steps.append(metrics)
        self.after[metrics.step] = weights_of(self.model)


def uneven(held: int = 0, rows: int = 32) -> PackedDataset:
    """Rows of which some have one trained token, others thirty: the mean of means is not the mean."""
    rng = np.random.default_rng(1)
    out = []
    for index in range(80):
        length = 31 if index % 2 else 20
        tokens = (1, *rng.integers(3, 400, length).tolist(), 1)
        trained = length if index % 4 == 1 else 1
        out.append(TokenisedExample(f"sample {index}", tokens, (0.0,) * (length + 2 - trained) + (1.0,) * trained))
    return PackedDataset(out[held:], out[:held], rows, 32, 1)


def windows(held: int = 0, rows: int = 4, documents: int = 20) -> SequenceDataset:
    stream = np.concatenate([document(seed, 50) for seed in range(documents)])
    out = np.concatenate([np.zeros(0, np.uint16), *[document(1000 + seed, 50) for seed in range(held)]])
    return SequenceDataset({"books": stream}, out, {"books": 1.0}, rows=rows, length=32, seed=1)


def run(
    folder: Path, model: Llama, data: TrainingData, steps: int = 6, **settings: Any
) -> tuple[Outcome, Notes, RunDir]:  # fmt: skip
    """Train in a folder; the settings are the tiny ones with those named changed."""
    run_dir, notes = RunDir(folder), Notes(model)
    run_dir.folder.mkdir(parents=True, exist_ok=True)
    chosen = PretrainSettings.model_validate(SETTINGS.model_dump() | settings)
    with no_waiting_for_the_disk():
        return loop.train(TrainingRun(model, data, chosen, steps, callback=notes), run_dir), notes, run_dir


# --- one step, however its rows are cut ---

CUTS = {"8x4": 8, "16x2": 16, "4x8": 4, "32x1": 32, "5 at a time": 5}


def gradients_of(model: Llama) -> Weights:
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


def test_every_cut_of_the_rows_has_the_same_gradients():
    model, batch = model_of(scale=4.0), uneven().batch(0)
    trained = batch.weights.sum(1)
    assert len(batch.tokens) == 32 and trained.max() >= 10 * trained.min()  # the trap: uneven rows
    model((batch.tokens), batch.targets, batch.weights, batch.mask("fp32")).backward()
    expected = {name: one / float(batch.weights.sum()) for name, one in gradients_of(model).items()}
    largest = max(float(one.abs().max()) for one in expected.values())
    losses = set()
    for rows in CUTS.values():
        losses.add(round(gradients(model, model.sparse_loss, batch, rows, "fp32"), 5))
        assert apart(gradients_of(model), expected) < 1e-6 * largest, rows
    assert losses == {round(mean_loss(model, batch, 8), 5)}

    # What the seeds did, the mean of the parts' means, is another step.
    model.zero_grad()
    for part in batch.micro_batches(8):
        loss = model.sparse_loss(part.tokens, part.targets, part.weights, part.mask("fp32"))
        (loss / part.weights.sum() / 4).backward()
    assert apart(gradients_of(model), expected) > 0.01 * largest


def test_every_cut_of_the_rows_has_the_same_weights_after_3_steps(tmp_path: Path):
    found = {}
    for name in ("8x4", "16x2", "4x8", "32x1"):
        rows, times = map(int, name.split("x"))
        model = model_of(scale=4.0)
        cut = {"per_device_batch_size": rows, "gradient_accumulation_steps": times}
        run(tmp_path / name, model, uneven(), 3, learning_rate=1e-3, **cut)
        found[name] = weights_of(model)
    assert all(apart(one, found["8x4"]) < 1e-5 for one in found.values())
    assert apart(weights_of(model_of(scale=4.0)), found["8x4"]) > 1e-3


def test_gradients_are_finite_and_close_in_bf16():
    model, batch = model_of(scale=4.0), uneven().batch(0)
    exact = gradients(model, model.sparse_loss, batch, 8, "fp32")
    expected = torch.cat([one.flatten() for one in gradients_of(model).values()])
    half = gradients(model, model.sparse_loss, batch, 8, "bf16")
    found = torch.cat([one.flatten() for one in gradients_of(model).values()])
    assert half == pytest.approx(exact, rel=0.01)
    assert found.dtype == torch.float32  # the gradients themselves are kept whole
    assert float((found - expected).norm() / expected.norm()) < 0.03


# --- the schedule and the optimizer ---


def test_the_learning_rate_rises_then_falls_by_a_cosine():
    settings = SETTINGS.model_copy(update={"learning_rate": 1.0, "warmup_steps": 4, "min_lr_ratio": 0.2})
    found = [learning_rate(step, 12, settings) for step in range(14)]
    # A quarter a step, then 0.2 + 0.8 (1 + cos(pi k / 8)) / 2 for k = 0..8; past the end it stays.
    assert found == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 0.96955, 0.88284, 0.75307, 0.6, 0.44693, 0.31716, 0.23045, 0.2, 0.2], abs=1e-5
    )


@pytest.mark.parametrize(
    ("steps", "warmup", "expected"),
    [
        (1, 100, [1]),
        (2, 100, [1, 1]),  # half of all steps at most
        (4, 100, [0.5, 1, 1, 0.5]),
        (3, 0, [1, 0.75, 0.25]),
    ],
)
def test_the_learning_rate_of_short_trainings(steps: int, warmup: int, expected: list[float]):
    settings = SETTINGS.model_copy(update={"learning_rate": 1.0, "warmup_steps": warmup, "min_lr_ratio": 0.0})
    assert [learning_rate(step, steps, settings) for step in range(steps)] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["tied", "untied"])
def test_matrices_are_decayed_norms_are_not_and_the_embedding_has_a_rate_of_its_own(name: str):
    model = model_of(CONFIGS[name])
    optimizer = make_optimizer(model, SETTINGS.model_copy(update={"weight_decay": 0.3, "embedding_lr_scale": 2.5}))
    told = {one: (group["weight_decay"], group["scale"]) for group in optimizer.param_groups for one in group["params"]}
    found = {name: told[one] for name, one in model.named_parameters()}
    norms = {name for name in found if "norm" in name}
    expected = {name: (0.0 if name in norms else 0.3, 1.0) for name in found} | {"embedding.weight": (0.3, 2.5)}
    assert found == expected and len(norms) == 5  # two a layer and the last
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(found)
    assert (optimizer.defaults["betas"], optimizer.defaults["fused"]) == ((0.9, 0.95), True)


def test_the_rate_of_the_embedding_follows_the_schedule(tmp_path: Path):
    # A first step of Adam's moves every weight that has a gradient by the learning rate, whatever the gradient is.
    moved = {}
    for rate in (1.0, 2.5):
        model = model_of(CONFIGS["untied"])
        more = {
            "embedding_lr_scale": rate, "weight_decay": 0.0, "learning_rate": 1e-3, "warmup_steps": 2, "eval_steps": 99,
        }  # fmt: skip
        _, notes, _ = run(tmp_path / str(rate), model, windows(), 4, **more)
        moved[rate] = {name: float((notes.after[1][name] - one).abs().max()) for name, one in notes.after[0].items()}
    assert moved[1.0]["embedding.weight"] == pytest.approx(0.5e-3, rel=1e-2)
    assert moved[2.5] == pytest.approx(moved[1.0] | {"embedding.weight": 1.25e-3}, rel=1e-2)


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 2e-2}, {"min_lr_ratio": 0.9}, {"warmup_steps": 0}, {"weight_decay": 1.0}, {"beta1": 0.5},
        {"beta2": 0.5}, {"max_grad_norm": 0.01}, {"seed": 43, "dropout": 0.2}, {"embedding_lr_scale": 3.0},
    ],
    ids=str,
)  # fmt: skip
def test_a_setting_that_should_change_the_weights_does(tmp_path: Path, change: dict[str, Any]):
    found = []
    for number, settings in enumerate(({"dropout": change.get("dropout", 0.0)}, change)):
        model = model_of(dropout=change.get("dropout", 0.0))
        run(tmp_path / str(number), model, windows(), 5, **settings)
        found.append(weights_of(model))
    assert apart(*found) > 1e-4


@pytest.mark.parametrize("change", [{"eval_steps": 1, "patience": 9}, {"save_steps": 1}, {"eval_steps": 100}], ids=str)
def test_a_setting_that_must_not_change_the_weights_does_not(tmp_path: Path, change: dict[str, Any]):
    # With dropout: neither an evaluation nor a saved state may draw from what the next step draws from.
    found = []
    for number, settings in enumerate(({}, change)):
        model = model_of(dropout=0.2)
        run(tmp_path / str(number), model, windows(held=3), 5, **settings)
        found.append(weights_of(model))
    assert same(*found)


def test_dropout_is_drawn_anew_at_every_step(tmp_path: Path):
    # One row that is always the same, and a learning rate that changes nothing.
    stream = document(1, 33)
    data = SequenceDataset({"books": stream}, stream[:0], {"books": 1.0}, rows=4, length=32, seed=1)
    _, notes, _ = run(tmp_path, model_of(dropout=0.5, scale=4.0), data, 4, learning_rate=1e-30)
    assert len({round(one.loss, 4) for one in notes.steps}) == 4


# --- measuring ---


def test_measuring_touches_neither_gradients_nor_mode_and_leaves_out_dropout():
    data = windows(held=6)
    model, batch = model_of(dropout=0.5).train(), data.validation()
    assert batch is not None
    gradients(model, model.sparse_loss, data.batch(0), 4, "fp32")
    before, state = gradients_of(model), torch.get_rng_state()
    found = {mean_loss(model, batch, rows) for rows in (1, 3, 100)}
    assert max(found) - min(found) < 1e-6
    assert model.training and same(gradients_of(model), before) and torch.equal(torch.get_rng_state(), state)
    model.eval()
    with torch.no_grad():
        expected = model(batch.tokens, batch.targets, batch.weights, batch.mask("fp32"))
    assert mean_loss(model, batch, 3) == pytest.approx(float(expected / batch.weights.sum()), rel=1e-6)
    assert not model.training


def test_a_training_learns_and_writes_a_line_a_step(tmp_path: Path):
    outcome, notes, run_dir = run(tmp_path, model_of(), windows(held=3, documents=2), 20, learning_rate=1e-2)
    assert notes.steps[-1].loss < 0.7 * notes.steps[0].loss
    lines = run_dir.log.metrics()
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert [line["tokens"] for line in lines] == [4 * 32 * step for step in range(1, 21)]
    assert [line["step"] for line in lines if "validation_loss" in line] == list(range(2, 21, 2))
    assert lines[0].keys() >= {"loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds", "memory_mb"}
    assert (outcome.step, outcome.tokens, outcome.ended) == (20, 20 * 128, "all steps done")


def test_the_best_weights_are_those_of_the_best_step(tmp_path: Path):
    # A few documents by heart: what is held out is worse from some step on.
    data = windows(held=4, documents=2)
    model = model_of()
    outcome, notes, run_dir = run(tmp_path, model, data, 40, eval_steps=1, learning_rate=3e-2)
    held = data.validation()
    assert held is not None
    losses = {}
    for step, state in notes.after.items():
        model.load_state_dict(state)
        losses[step] = mean_loss(model, held, 4)
    best = min(losses, key=lambda step: losses[step])
    assert 0 < best < 40  # else this says nothing
    assert outcome.best_step == best and same(run_dir.load_best(), notes.after[best])
    assert outcome.best_loss == pytest.approx(losses[best], rel=1e-6)
    assert outcome.first_loss == pytest.approx(losses[0], rel=1e-6)
    told = json.loads((run_dir.folder / "best" / "best.json").read_text())
    assert told["step"] == best and told["validation_loss"] == pytest.approx(losses[best], rel=1e-6)


def test_a_training_that_only_gets_worse_keeps_what_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scripted(monkeypatch, [1, 2, 3, 4])
    outcome, notes, run_dir = run(tmp_path, model_of(), windows(held=3), 6)
    assert outcome.best_step == 0 and same(run_dir.load_best(), notes.after[0])


def test_without_held_out_documents_the_last_weights_are_kept(tmp_path: Path):
    outcome, notes, run_dir = run(tmp_path, model_of(), windows(), 5)
    assert (outcome.best_step, outcome.best_loss) == (5, None) and same(run_dir.load_best(), notes.after[5])


def scripted(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Let the evaluations find these losses, the one before the first step among them."""
    rest = iter(losses)
    monkeypatch.setattr(loop, "mean_loss", lambda *arguments: next(rest))


def test_patience_ends_a_training_early_and_keeps_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scripted(monkeypatch, [5.0, 4.0, 3.0, 3.5, 2.9, 2.9, 3.0, 3.1])
    outcome, notes, run_dir = run(tmp_path, model_of(), windows(held=3), 100, patience=2)
    # Evaluations at 2, 4, ...: the best at 8; an equal one is none better, so 10 and 12 count.
    assert (outcome.step, outcome.best_step, outcome.best_loss) == (12, 8, 2.9)
    assert "has not fallen for 2 evaluations" in outcome.ended
    assert same(run_dir.load_best(), notes.after[8])
    assert run_dir.last_good() == 12


def test_as_long_as_the_loss_falls_patience_does_not_count():
    # The score is of few replies and goes up and down; (score, loss) of each evaluation, and what is said of it.
    state = TrainState()
    told = []
    for step, (score, loss) in enumerate([(5.0, 5.0), (6.0, 4.0), (5.5, 4.5), (5.2, 4.0), (4.9, 4.2), (4.9, 3.9)]):
        state.step = step
        told.append((state.better(score, loss), state.waited, state.best_step))
    assert told == [(True, 0, 0), (False, 0, 0), (False, 1, 0), (False, 2, 0), (True, 0, 4), (False, 0, 4)]
    assert (state.best_score, state.best_loss, state.lowest_loss) == (4.9, 4.2, 3.9)


def test_with_a_score_function_the_score_decides_and_not_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Evaluations at 0, 2, 4, 6, 8: the loss falls up to 4, the score is lowest at 6.
    scripted(monkeypatch, [5.0, 4.0, 3.0, 3.5, 3.2])
    scores = iter([7.0, 8.0, 4.5, 2.5, 2.6])
    asked: list[tuple[int, float, str]] = []

    def score(model: Llama, step: int, loss: float, precision: str) -> tuple[float, dict[str, float]]:
        asked.append((step, loss, precision))
        return next(scores), {"eos_rate": 0.5, "oov_rate": 0.25}

    run_dir, notes = RunDir(tmp_path), Notes(model_of())
    run_dir.folder.mkdir(parents=True)
    with no_waiting_for_the_disk():
        settings = SETTINGS.model_copy(update={"patience": 1})
        asking = TrainingRun(notes.model, windows(held=3), settings, 100, callback=notes, score=score)
        outcome = loop.train(asking, run_dir)
    assert asked == [(step, loss, "fp32") for step, loss in ((0, 5.0), (2, 4.0), (4, 3.0), (6, 3.5), (8, 3.2))]
    assert (outcome.step, outcome.best_step, outcome.best_loss) == (8, 6, 3.5)
    assert outcome.ended == "the score has not fallen for 1 evaluation"
    assert same(run_dir.load_best(), notes.after[6])
    lines = {line["step"]: line for line in run_dir.log.metrics()}
    found = [(lines[step]["score"], lines[step]["eos_rate"], lines[step]["oov_rate"]) for step in (2, 4, 6, 8)]
    assert found == [(8.0, 0.5, 0.25), (4.5, 0.5, 0.25), (2.5, 0.5, 0.25), (2.6, 0.5, 0.25)]
    assert "score" not in lines[3] and lines[8]["best_validation_loss"] == 3.5


def test_a_training_that_ended_early_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Killed between its last state and its checkpoint it is resumed: to the same end, not to one more step.
    scripted(monkeypatch, [5.0, 4.0, 4.0, 4.0])
    outcome, _, run_dir = run(tmp_path, model_of(), windows(held=3), 100, patience=2)
    assert outcome.step == 6
    scripted(monkeypatch, [4.0, 4.0])
    again, notes, _ = run(tmp_path, model_of(), windows(held=3), 100, patience=2)
    assert (again.step, again.best_step, notes.steps) == (6, 2, [])
    assert len(run_dir.log.metrics()) == 6


# --- what goes wrong ---


class Faulty(Llama):
    """A model whose loss goes wrong in training: `spoil(call, rows)` gets the loss of the call-th part of a step."""

    def __init__(self, spoil: Callable[[int, int, torch.Tensor], torch.Tensor], always: bool = False) -> None:
        super().__init__(TINY)
        self.load_state_dict(model_of().state_dict())
        self._spoil, self._always, self.calls = spoil, always, 0

    def sparse_loss(self, tokens: Any, targets: Any, weights: Any, mask: Any) -> torch.Tensor:
        loss = super().sparse_loss(tokens, targets, weights, mask)
        if not self.training and not self._always:
            return loss
        self.calls += 1
        return self._spoil(self.calls, len(tokens), loss)


def nan_at(*calls: int) -> Faulty:
    return Faulty(lambda call, rows, loss: loss * float("nan") if call in calls else loss)


def test_a_step_without_a_finite_gradient_is_skipped(tmp_path: Path):
    _, notes, run_dir = run(tmp_path, nan_at(3, 4), windows(), 6)
    assert [one.skipped for one in notes.steps] == [False, False, True, True, False, False]
    assert same(notes.after[2], notes.after[3]) and same(notes.after[3], notes.after[4])
    assert not same(notes.after[4], notes.after[5])
    assert sum("not finite; the step is skipped" in text for text in notes.said) == 2
    lines = run_dir.log.metrics()
    assert [line["loss"] is None for line in lines] == [False, False, True, True, False, False]
    assert "NaN" not in (run_dir.folder / "metrics.jsonl").read_text()  # no JSON


def test_a_gradient_that_is_infinite_is_skipped_too(tmp_path: Path):
    _, notes, _ = run(tmp_path, Faulty(lambda call, rows, loss: loss * (1e39 if call == 3 else 1)), windows(), 5)
    assert [one.skipped for one in notes.steps] == [False, False, True, False, False]
    assert all(torch.isfinite(one).all() for one in notes.after[5].values())


def test_three_steps_in_a_row_without_a_finite_gradient_end_it_with_what_is_needed_to_go_on(tmp_path: Path):
    model = nan_at(2, 5, 6, 7)
    with pytest.raises(JobError) as caught:
        run(tmp_path, model, windows(), 20)
    assert caught.value.status == 1
    told = str(caught.value)
    assert all(one in told for one in ("step 6", "not a number", "shard books", "step 6)", str(tmp_path))), told
    run_dir = RunDir(tmp_path)
    fresh = model_of()
    state = run_dir.latest(fresh, make_optimizer(fresh, SETTINGS))
    assert state.step == run_dir.last_good() == 6  # saved at 2, 4, 6: the last of which is that of step 4, unchanged
    assert all(torch.isfinite(one).all() for one in fresh.state_dict().values())


def test_an_error_names_no_weights_that_were_never_saved(tmp_path: Path):
    with pytest.raises(JobError) as caught:
        run(tmp_path, nan_at(1, 2, 3), uneven(rows=4), 20, save_steps=100)
    assert "sample " in str(caught.value)
    assert not list(RunDir(tmp_path).folder.glob("step-*"))
    assert "last good weights (step 0)" not in str(caught.value)


def test_a_loss_that_rises_ends_it(tmp_path: Path):
    model = Faulty(lambda call, rows, loss: loss + 4 * 128 * max(0, call - 25))  # 4 nats a step more from step 26 on
    with pytest.raises(JobError, match=r"the loss rose by [12]\.\d nats") as caught:
        run(tmp_path, model, windows(), 60, save_steps=10)
    assert "step 20)" in str(caught.value)  # the last one saved
    assert [line["step"] for line in RunDir(tmp_path).log.metrics()][-1] < 35


def test_a_loss_that_swings_does_not_end_it(tmp_path: Path):
    model = Faulty(lambda call, rows, loss: loss + 128 * 3 * (call % 2))  # 3 nats up and down
    assert run(tmp_path, model, windows(), 60, save_steps=100)[0].step == 60


def test_a_step_without_a_trained_token_is_no_crash(tmp_path: Path):
    class Sometimes(SequenceDataset):
        def batch(self, step: int) -> Batch:
            batch = super().batch(step)
            if step == 2:
                batch.weights.zero_()
            return batch

    data = Sometimes({"books": document(1, 500)}, np.zeros(0, np.uint16), {"books": 1.0}, rows=4, length=32, seed=1)
    _, notes, _ = run(tmp_path, model_of(), data, 4)
    assert [one.skipped for one in notes.steps] == [False, False, True, False]


# --- memory ---


def short_above(rows: int, always: bool = False, error: Exception | None = None) -> Faulty:
    """A model that finds no memory for more than so many rows; the first row of a step still fits."""

    def spoil(call: int, found: int, loss: torch.Tensor) -> torch.Tensor:
        if found > rows:
            raise error or RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't "
                                        "allocate memory: you tried to allocate 1 bytes. Error code 12")  # fmt: skip
        return loss

    return Faulty(spoil, always)


@pytest.mark.parametrize("error", [None, MemoryError()], ids=["PyTorch's", "Python's"])
def test_short_memory_halves_the_rows_and_not_the_step(tmp_path: Path, error: Exception | None):
    model, plain = short_above(2, error=error), model_of()
    _, notes, run_dir = run(tmp_path / "short", model, uneven(rows=8), 4, per_device_batch_size=8)
    assert [text for text in notes.said if "memory" in text] == [
        "memory is short: from here on 4 rows at a time; a step still takes as many as before",
        "memory is short: from here on 2 rows at a time; a step still takes as many as before",
    ]
    run(tmp_path / "plain", plain, uneven(rows=8), 4, per_device_batch_size=2, gradient_accumulation_steps=4)
    assert same(weights_of(model), weights_of(plain))
    assert [line["step"] for line in run_dir.log.metrics()] == [1, 2, 3, 4]
    # A resumed training does not try again what did not fit.
    assert json.loads((run_dir.folder / "step-0000004" / "state.json").read_text())["state"]["micro_batch"] == 2


def test_memory_that_runs_short_within_a_step_leaves_no_half_of_its_gradients(tmp_path: Path):
    def spoil(call: int, rows: int, loss: torch.Tensor) -> torch.Tensor:
        if call == 4:  # the second of the two parts of the second step
            raise MemoryError
        return loss

    model, plain = Faulty(spoil), model_of()
    run(tmp_path / "short", model, uneven(rows=8), 3, per_device_batch_size=4, gradient_accumulation_steps=2)
    run(tmp_path / "plain", plain, uneven(rows=8), 3, per_device_batch_size=4, gradient_accumulation_steps=2)
    assert apart(weights_of(model), weights_of(plain)) < 1e-6


def test_short_memory_in_an_evaluation_halves_the_rows_too(tmp_path: Path):
    outcome, _, _ = run(tmp_path, short_above(2, always=True), windows(held=20, rows=8), 4, per_device_batch_size=8)
    assert outcome.step == 4 and outcome.best_loss is not None


def test_too_little_memory_for_one_row_is_one_clear_error_and_the_state_is_kept(tmp_path: Path):
    def spoil(call: int, rows: int, loss: torch.Tensor) -> torch.Tensor:
        if call > 3:
            raise MemoryError
        return loss

    with pytest.raises(HostError, match="one row of 32 tokens"):
        run(tmp_path, Faulty(spoil), windows(), 10)
    assert RunDir(tmp_path).last_good() == 3


def test_another_error_is_not_taken_for_short_memory(tmp_path: Path):
    with pytest.raises(RuntimeError, match="shape"):
        run(tmp_path, short_above(1, error=RuntimeError("shape mismatch")), windows(), 4)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("std::bad_alloc"), True),  # what PyTorch makes of C++'s own
        (RuntimeError("could not create a primitive"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_short_memory_looks_like(error: Exception, expected: bool):
    assert out_of_memory(error) is expected


# --- compiling, TensorBoard ---


def test_a_resumed_training_compiles_where_it_had_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Compiled steps have other last bits. Whether steps are compiled is a matter of time at first, and as before then:
    # else no resumed training with compile=auto ends with the same bytes.
    used: list[int] = []

    def compiled(model: Llama) -> Any:
        def loss_sum(*inputs: Any) -> torch.Tensor:
            used.append(1)
            return model(*inputs)

        return loss_sum

    monkeypatch.setattr(loop, "compiled", compiled)
    monkeypatch.setattr(loop, "choose_compile", lambda *arguments: (True, "a trial"))

    class Ends(Exception):
        pass

    class Until5(Notes):
        def step(self, metrics: StepMetrics, steps: int) -> None:
            if metrics.step == 5:
                raise Ends

    run_dir = RunDir(tmp_path)
    run_dir.folder.mkdir(parents=True)
    settings = SETTINGS.model_copy(update={"compile": "auto", "save_steps": 1})
    model = model_of()
    with pytest.raises(Ends):
        loop.train(TrainingRun(model, windows(), settings, 8, callback=Until5(model)), run_dir)
    assert len(used) == 2  # steps 4 and 5: after a trial of three
    used.clear()
    loop.train(TrainingRun(model_of(), windows(), settings, 8), run_dir)
    assert len(used) == 4  # steps 5 to 8: the fifth was not saved before the first training ended


def test_tensorboard_is_written_beside_the_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The writer makes its folder at once, as tensorboard's own does; the training's folder must still count as new.
    scalars: list[tuple[str, int]] = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            Path(folder).mkdir(parents=True, exist_ok=True)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            assert math.isfinite(value)
            scalars.append((name, step))

        def __getattr__(self, name: str) -> Any:
            return lambda *arguments: None

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    done = trainer(*shared_place().pretrain(tmp_path / "out", "--steps", 2, "--tensorboard"))
    assert done.status == 0, done.err
    assert {("loss", 1), ("loss", 2), ("learning_rate", 2), ("validation_loss", 2)} <= set(scalars)


def test_tensorboard_that_is_not_installed_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    done = trainer(*shared_place().pretrain(tmp_path / "out", "--steps", 2, "--tensorboard"))
    assert done.status == 2 and "pip install tensorboard" in done.err
    assert not (tmp_path / "out").exists()
