"""The training loop of pretraining and fine-tuning, flat so that it can be read from top to bottom.

A step is a pure function of the weights, the optimizer's state, the settings and its number: batches and dropout are
drawn from (seed, step). So a run that was killed and resumed from its last saved state ends in the same bytes (fp32,
one thread).
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType

import torch

from curator.contract.cli_frame import command_line
from curator.contract.errors import HostError, JobError, counted
from trainer.data.batches import Batch, TrainingData
from trainer.evaluation.perplexity import mean_loss
from trainer.model.llama import Llama
from trainer.model.lora import merged_state
from trainer.settings import TrainSettings
from trainer.training.kl import KLRegulariser
from trainer.training.optimizer import learning_rate, make_optimizer
from trainer.training.run_dir import RunDir, TrainState
from trainer.training.speed import (
    LossSum,
    backward,
    choose_compile,
    choose_precision,
    compiled,
    memory_mb,
    out_of_memory,
)

MAX_SKIPPED = 3  # steps in a row without a finite gradient before we give up
RISE = 1.5  # nats by which the smoothed training loss may rise above its lowest before we call it diverged


@dataclass
class StepMetrics:
    """One line of metrics.jsonl. Losses are nats a token; seconds are of this session."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    tokens_per_second: float
    seconds: float
    memory_mb: float
    epoch: float | None = None
    validation_loss: float | None = None
    best_validation_loss: float | None = None
    score: float | None = None
    base_perplexity: float | None = None
    oov_rate: float | None = None
    memorisation: float | None = None
    eos_rate: float | None = None
    voice: float | None = None
    skipped: bool = False


@dataclass
class Outcome:
    """The result of a training: its best step, that step's validation loss, and why it ended."""

    step: int
    best_step: int
    best_loss: float | None
    first_loss: float | None
    ended: str
    seconds: float
    tokens: int
    precision: str
    compiled: bool
    notes: list[str] = field(default_factory=list)


# (model, step, validation loss, precision) -> (score in nats, lower is better; the figures behind it). The score
# decides which step is best; the figures are fields of StepMetrics.
ScoreFn = Callable[[Llama, int, float, str], tuple[float, dict[str, float]]]


class Stopped(KeyboardInterrupt):
    """Raised after Ctrl-C or SIGTERM once the state is saved; carries the exit status."""


class TrainerCallback:
    """Receives the events of the loop; a subclass shows them, this one does nothing.

    `closing` is how long what follows the last step takes, in evaluations.
    """

    sampler: Callable[[Llama, int], list[tuple[str, str, str]]] | None = None
    closing: int = 0

    def log(self, text: str) -> None:
        """Receive a message for a person."""

    def detail(self, text: str) -> None:
        """Receive a message for whoever wants to know how it is done."""

    def measuring(self, done: int, total: int) -> None:
        """Receive how much is done of what follows the last step, in evaluations."""

    def begin(self, folder: Path) -> None:
        """Receive the folder of the training once it exists."""

    def step(self, metrics: StepMetrics, steps: int) -> None:
        """Receive the figures of a step."""

    def evaluated(self, model: Llama, step: int) -> None:
        """Receive the model at an evaluation, to sample from it."""


def validation_loss(model: Llama, batch: Batch, rows: int, precision: str) -> tuple[float, int]:
    """Return (mean loss, rows at a time). While memory is short, the rows are halved.

    The batch has the shape (rows,T). Raises HostError where one row is too many.
    """
    while True:
        try:
            return mean_loss(model, batch, rows, precision), rows
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if rows == 1:
                raise _too_long(batch) from None
            rows //= 2


def gradients(
    model: Llama, loss_sum: LossSum, batch: Batch, size: int, precision: str, *, device: str = "cpu",
    kl: KLRegulariser | None = None,
) -> float:  # fmt: skip
    """Set the model's gradients to those of the mean loss over all trained tokens of a step; return that loss, nats.

    The step does not depend on `size`, the rows of a micro-batch: each micro-batch counts by its trained tokens. With
    `kl`, the gradient of the divergence from the base is added; the loss returned is without it.

    The batch has the shape (rows,T).
    """
    model.zero_grad(set_to_none=True)
    total = float(batch.weights.sum()) or 1.0  # a batch of padding alone must not divide by 0
    parts = (part.to(device) for part in batch.micro_batches(size))
    if kl is not None and batch.kl_mask is not None:
        kl_total = float(batch.kl_mask.sum()) or 1.0
        return sum(kl.backward(model, part, total, kl_total, precision) for part in parts)
    return sum(backward(loss_sum, part, total, precision) for part in parts)


@contextmanager
def memory_watched() -> Iterator[None]:
    """Turn every out-of-memory error of PyTorch and Python into one: raises HostError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise HostError(
            "memory is short", "use a smaller --per-device-batch-size, a shorter --context, or a smaller model"
        ) from None


@contextmanager
def stop_flag() -> Iterator[Callable[[], int]]:
    """Give a function that returns 0, or the exit status once Ctrl-C or SIGTERM came; a second one stops at once."""
    statuses: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        if statuses:
            raise KeyboardInterrupt(128 + number)
        statuses.append(128 + number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(number, handler) for number in numbers]
    except ValueError:  # not in the main thread, which alone may handle signals
        yield lambda: 0
        return
    try:
        yield lambda: statuses[0] if statuses else 0
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


@dataclass(frozen=True)
class TrainingRun:
    """The inputs of one training. `settings` are resolved; `epoch` converts steps to epochs.

    With `kl` the model is kept near its base. `score` decides which step is best; without it, the validation loss.
    """

    model: Llama
    data: TrainingData
    settings: TrainSettings
    steps: int
    device: str = "cpu"
    callback: TrainerCallback = field(default_factory=TrainerCallback)
    epoch: Callable[[int], float] | None = None
    kl: KLRegulariser | None = None
    score: ScoreFn | None = None


def train(run: TrainingRun, run_dir: RunDir) -> Outcome:
    """Train a model, from the last state saved in `run_dir` if there is one.

    Raises JobError where it diverges, HostError where memory is short, Stopped after Ctrl-C or SIGTERM once the state
    is saved.
    """
    model, data, settings, steps, callback = run.model, run.data, run.settings, run.steps, run.callback
    model.to(run.device).train()
    optimizer = make_optimizer(model, settings)
    state = run_dir.latest(model, optimizer)
    micro = state.micro_batch or settings.per_device_batch_size
    holdout = data.validation()
    holdout = holdout.to(run.device) if holdout is not None else None
    loss_sum: LossSum = model.sparse_loss
    with memory_watched():
        micro = _begin(run, run_dir, state, holdout, micro)
    precision = state.precision
    begun, session_tokens, skipped = time.monotonic(), 0, 0
    step_seconds: list[float] = []
    with stop_flag() as stop:
        while state.step < steps and not (settings.patience and state.waited >= settings.patience):
            step = state.step
            if state.compiled is None and step == 3:
                state.compiled, why = choose_compile("auto", steps - step, min(step_seconds, default=0.0))
                callback.detail(f"{'compiling' if state.compiled else 'not compiling'}: {why}")
            if state.compiled and loss_sum == model.sparse_loss:
                loss_sum = compiled(model)
            start = time.monotonic()
            rate = learning_rate(step, steps, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["scale"]
            torch.manual_seed((settings.seed * 1_000_003 + step) % 2**63)  # dropout is a function of the step too
            batch = data.batch(step)
            try:
                loss = gradients(model, loss_sum, batch, micro, precision, device=run.device, kl=run.kl)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if micro == 1:
                    run_dir.save(model, optimizer, state)
                    raise _too_long(batch) from None
                micro = state.micro_batch = max(1, micro // 2)
                callback.log(
                    f"memory is short: from here on {counted(micro, 'row')} at a time; a step still takes as many as "
                    "before"
                )
                continue
            norm = float(torch.nn.utils.clip_grad_norm_(
                [weight for weight in model.parameters() if weight.requires_grad], settings.max_grad_norm, foreach=True
            ))  # fmt: skip
            tokens = int((batch.weights > 0).sum())
            fine = math.isfinite(loss) and math.isfinite(norm) and tokens > 0
            if fine:
                optimizer.step()
                skipped = 0
                state.smooth(loss)
            else:
                skipped += 1
                callback.log(f"step {step}: the gradient is not finite; the step is skipped")
            state.step += 1
            state.tokens += tokens
            session_tokens += tokens
            step_seconds.append(time.monotonic() - start)
            elapsed = time.monotonic() - begun
            metrics = StepMetrics(
                step=state.step, loss=loss if fine else float("nan"), learning_rate=rate,
                gradient_norm=norm if fine else float("nan"), tokens=state.tokens,
                tokens_per_second=session_tokens / max(elapsed, 1e-9), seconds=elapsed, memory_mb=memory_mb(),
                epoch=run.epoch(state.step) if run.epoch else None, skipped=not fine,
            )  # fmt: skip
            if skipped >= MAX_SKIPPED or (state.risen() > RISE and fine):
                run_dir.log.add_metrics(asdict(metrics))
                raise _diverged(run, run_dir, state, rate, skipped)
            last = state.step == steps
            if holdout is not None and (state.step % settings.eval_steps == 0 or last):
                metrics, micro = _evaluated(run, run_dir, state, holdout, metrics, micro)
            run_dir.log.add_metrics(asdict(metrics))
            callback.step(metrics, steps)
            if state.step % settings.eval_steps == 0 or last:
                callback.evaluated(model, state.step)
            early = bool(settings.patience and state.waited >= settings.patience)
            if state.step % settings.save_steps == 0 or last or early or stop():
                run_dir.save(model, optimizer, state)
            if stop() and not last and not early:
                resume = command_line("trainer", "resume", run_dir.out)
                callback.log(f"stopped after step {state.step}, all of it saved; go on with: {resume}")
                raise Stopped(stop())
    ended = "all steps done"
    if state.step < steps:
        measure = "the score" if run.score else "validation loss"
        ended = f"{measure} has not fallen for {counted(state.waited, 'evaluation')}"
    if holdout is None:
        run_dir.save_best(merged_state(model), state.step, None)
        state.best_step = state.step
    return Outcome(
        step=state.step, best_step=state.best_step, best_loss=state.best_loss, first_loss=state.first_loss,
        ended=ended, seconds=time.monotonic() - begun, tokens=state.tokens, precision=precision,
        compiled=bool(state.compiled),
    )  # fmt: skip


def _begin(run: TrainingRun, run_dir: RunDir, state: TrainState, holdout: Batch | None, micro: int) -> int:
    """Settle precision and compilation, and measure the model before its first step; return the micro-batch's size."""
    model, settings, callback = run.model, run.settings, run.callback
    first = run.data.batch(state.step).to(run.device)
    why = "as before"
    if not state.precision:
        part = next(first.micro_batches(micro))
        state.precision, why = choose_precision(model, part, settings.precision, run.device)
    callback.detail(f"precision {state.precision}: {why}")
    if state.step == 0 and state.first_loss is None and holdout is not None:
        state.first_loss, micro = validation_loss(model, holdout, micro, state.precision)
        score = run.score(model, 0, state.first_loss, state.precision)[0] if run.score else state.first_loss
        state.better(score, state.first_loss)
        run_dir.save_best(merged_state(model), 0, state.best_loss)
    if settings.compile != "auto" or run.kl is not None:  # compiled is the loss without a KL term
        state.compiled = settings.compile == "always" and run.kl is None
        if settings.compile == "always" and not state.compiled:
            callback.detail("not compiling: the loss that holds a model to its base is not compiled yet")
    return micro


def _evaluated(
    run: TrainingRun, run_dir: RunDir, state: TrainState, holdout: Batch, metrics: StepMetrics, micro: int
) -> tuple[StepMetrics, int]:
    """Measure the model on the holdout and save its weights if they are the best; return metrics and micro-batch."""
    loss, micro = validation_loss(run.model, holdout, micro, state.precision)
    score, figures = loss, dict[str, float]()
    if run.score is not None:
        score, figures = run.score(run.model, state.step, loss, state.precision)
        metrics = replace(metrics, score=score, **figures)  # type: ignore[arg-type]
    if state.better(score, loss):
        run_dir.save_best(merged_state(run.model), state.step, loss)
    return replace(metrics, validation_loss=loss, best_validation_loss=state.best_loss), micro


def _too_long(batch: Batch) -> HostError:
    return HostError(f"memory is short for one row of {batch.tokens.shape[1]} tokens", "use a shorter --context")


def _diverged(run: TrainingRun, run_dir: RunDir, state: TrainState, rate: float, skipped: int) -> JobError:
    reason = "the loss is not a number" if skipped else f"the loss rose by {state.risen():.1f} nats"
    step = state.step - 1
    names, good = ", ".join(run.data.origin(step)[:5]), run_dir.last_good()
    where = f"the last good weights (step {good}) are in {run_dir.folder}; " if good else ""
    return JobError(
        f"step {step}: {reason} (learning rate {rate:.2e}; trained on {names})",
        f"{where}begin again with a lower --learning-rate",
    )
