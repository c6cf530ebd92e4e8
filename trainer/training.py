"""The training loop, one for pretraining and fine-tuning, flat so that it can be read from top to bottom.

A step is a pure function of the weights, the optimizer's state, the settings and its number: batches and dropout are
drawn from (seed, step). So a run that was killed goes on from its last saved state to the same bytes (fp32, one
thread).
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

import torch

from trainer.anchor import Anchor
from trainer.batches import Batch, Data
from trainer.errors import HostError, JobError
from trainer.lora import merged_state
from trainer.model import Llama
from trainer.settings import TrainSettings
from trainer.speed import (
    LossSum,
    autocast,
    backward,
    choose_compile,
    choose_precision,
    compiled,
    mask_of,
    memory_mb,
    out_of_memory,
)
from trainer.work import Work

MAX_SKIPPED = 3  # steps in a row without a finite gradient before we give up
RISE = 1.5  # nats by which the smoothed training loss may rise above its lowest before we call it diverged


@dataclass
class Progress:
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
    invented: float | None = None
    verbatim: float | None = None
    stopped: float | None = None
    skipped: bool = False


@dataclass
class Outcome:
    """How a training ended: the step that is best and its validation loss, and why it ended."""

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


# Given (model, step, validation loss, precision): the score that decides what is best (lower is better), in nats, and
# the figures behind it, which are fields of Progress.
Judge = Callable[[Llama, int, float, str], tuple[float, dict[str, float]]]


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after the state was saved; carries the exit status."""


class Watcher:
    """What the loop tells the outside: overridden by the live display."""

    sampler: Callable[[Llama, int], list[tuple[str, str, str]]] | None = None

    def say(self, text: str) -> None:
        """Take a line of talk."""

    def begin(self, folder: Path) -> None:
        """Take the folder of the training, once it is there."""

    def step(self, progress: Progress, steps: int) -> None:
        """Take the figures of a step."""

    def evaluated(self, model: Llama, step: int) -> None:
        """Take the model as it is at an evaluation, to sample from it."""


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Return the learning rate of a step (from 0): linear warmup, then a cosine down to the final share."""
    warmup = min(settings.warmup_steps, steps // 2)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    low = settings.final_share
    return settings.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def make_optimizer(model: Llama, settings: TrainSettings) -> torch.optim.AdamW:
    """Return fused AdamW over what is trained: matrices decayed, norms not; the embedding at a rate of its own."""
    embedding = [one for one in (model.embedding.weight,) if one.requires_grad]
    matrices = [one for is_decayed, one in model.decayed() if is_decayed and one is not model.embedding.weight]
    norms = [one for is_decayed, one in model.decayed() if not is_decayed]
    groups = [
        {"params": embedding, "weight_decay": settings.weight_decay, "scale": settings.embedding_rate},
        {"params": matrices, "weight_decay": settings.weight_decay, "scale": 1.0},
        {"params": norms, "weight_decay": 0.0, "scale": 1.0},
    ]
    groups = [group for group in groups if group["params"]]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, eps=1e-8, fused=True)


@torch.no_grad()
def mean_loss(
    model: Llama, batch: Batch, rows: int, precision: str = "fp32", tick: Callable[[int, int], None] | None = None
) -> float:
    """Return the mean loss of a batch, nats a trained token; the model is left in the mode it was in.

    `tick` is told (rows done, all rows) as it goes.
    """
    was = model.training
    model.eval()
    total = 0.0
    for number, part in enumerate(batch.micro(rows)):
        if tick:
            tick(number * rows, len(batch.tokens))
        with autocast(part.tokens.device.type, precision):
            total += float(model.sparse_loss(part.tokens, part.targets, part.weights, mask_of(part, precision)))
    model.train(was)
    return total / max(1e-9, float(batch.weights.sum()))


def validation_loss(model: Llama, batch: Batch, rows: int, precision: str) -> tuple[float, int]:
    """Return (mean loss, rows at a time): half as many and again half, as long as memory is short."""
    while True:
        try:
            return mean_loss(model, batch, rows, precision), rows
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if rows == 1:
                raise HostError(
                    f"memory is short for one row of {batch.tokens.shape[1]} tokens", "use a shorter --context"
                ) from None
            rows //= 2


def gradients(
    model: Llama, loss_sum: LossSum, batch: Batch, rows: int, precision: str, device: str = "cpu",
    anchor: Anchor | None = None,
) -> float:  # fmt: skip
    """Put the gradients of the mean loss over all trained tokens of a step into the model; return that loss.

    However the rows are cut into parts of `rows`, the step is the same: each part counts by its trained tokens. With an
    anchor, the gradient of the divergence from the base comes on top; the loss returned is without it.
    """
    model.zero_grad(set_to_none=True)
    total = float(batch.weights.sum()) or 1.0  # rows of padding alone teach nothing, and must not divide by nothing
    if anchor is not None and batch.anchors is not None:
        anchored = float(batch.anchors.sum()) or 1.0
        return sum(anchor.backward(model, part.to(device), total, anchored, precision) for part in batch.micro(rows))
    return sum(backward(loss_sum, part.to(device), total, precision) for part in batch.micro(rows))


@contextmanager
def memory_watched() -> Iterator[None]:
    """Turn a shortage of memory into the one error that a user sees."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise HostError(
            "memory is short", "use a smaller --batch-rows, a shorter --context, or a smaller model"
        ) from None


@contextmanager
def stop_flag() -> Iterator[Callable[[], int]]:
    """Give a function that returns 0, or the exit status once Ctrl-C or SIGTERM came; a second one stops at once."""
    asked: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt(128 + number)
        asked.append(128 + number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(number, handler) for number in numbers]
    except ValueError:  # not in the main thread: somebody else's signals
        yield lambda: 0
        return
    try:
        yield lambda: asked[0] if asked else 0
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


def train(
    model: Llama, data: Data, settings: TrainSettings, steps: int, work: Work, watcher: Watcher, device: str = "cpu",
    epoch: Callable[[int], float] | None = None, anchor: Anchor | None = None, judge: Judge | None = None,
) -> Outcome:  # fmt: skip
    """Train a model for `steps` steps, or on from what `work` has saved. Raises JobError where it diverges.

    `work` holds the last states and the best weights: those with the lowest validation loss, or the best score of
    `judge`. `settings` are resolved, `epoch` tells epochs from steps.
    """
    model.to(device).train()
    optimizer = make_optimizer(model, settings)
    state = work.latest(model, optimizer)
    rows = settings.batch_rows
    micro = state.rows or rows
    held = data.validation()
    held = held.to(device) if held is not None else None
    first = data.batch(state.step).to(device)
    loss_sum: LossSum = model.sparse_loss
    with memory_watched():
        why = "as before"
        if not state.precision:
            state.precision, why = choose_precision(model, next(first.micro(micro)), settings.precision, device)
        precision = state.precision
        watcher.say(f"precision {precision}: {why}")
        if state.step == 0 and state.first_loss is None and held is not None:
            state.first_loss, micro = validation_loss(model, held, micro, precision)
            first_score = judge(model, 0, state.first_loss, precision)[0] if judge else state.first_loss
            state.better(first_score, state.first_loss)
            work.save_best(merged_state(model), 0, state.best_loss)
    if settings.compile != "auto" or anchor is not None:  # compiled is the loss without an anchor
        state.compiled = settings.compile == "always" and anchor is None
        if settings.compile == "always" and not state.compiled:
            watcher.say("not compiling: the loss that holds a model to its base is not compiled yet")
    begun, session_tokens, skipped = time.monotonic(), 0, 0
    ended = "all steps done"
    step_seconds: list[float] = []
    with stop_flag() as stop:
        while state.step < steps and not (settings.patience and state.waited >= settings.patience):
            step = state.step
            if state.compiled is None and step == 3:
                state.compiled, why = choose_compile("auto", steps - step, min(step_seconds, default=0.0))
                watcher.say(f"{'compiling' if state.compiled else 'not compiling'}: {why}")
            if state.compiled and loss_sum == model.sparse_loss:
                loss_sum = compiled(model)
            start = time.monotonic()
            rate = learning_rate(step, steps, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["scale"]
            torch.manual_seed((settings.seed * 1_000_003 + step) % 2**63)  # dropout is a function of the step too
            batch = data.batch(step)
            try:
                loss = gradients(model, loss_sum, batch, micro, precision, device, anchor)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if micro == 1:
                    work.save(model, optimizer, state)
                    raise HostError(
                        f"memory is short for one row of {batch.tokens.shape[1]} tokens", "use a shorter --context"
                    ) from None
                micro = state.rows = max(1, micro // 2)
                watcher.say(f"memory is short: {micro} rows at a time from here, the step stays the same")
                continue
            norm = float(torch.nn.utils.clip_grad_norm_(
                [one for one in model.parameters() if one.requires_grad], settings.clip, foreach=True))  # fmt: skip
            tokens = int((batch.weights > 0).sum())
            fine = math.isfinite(loss) and math.isfinite(norm) and tokens > 0
            if fine:
                optimizer.step()
                skipped = 0
                state.smooth(loss)
            else:
                skipped += 1
                watcher.say(f"step {step}: the gradient is not finite; the step is skipped")
            state.step += 1
            state.tokens += tokens
            session_tokens += tokens
            step_seconds.append(time.monotonic() - start)
            elapsed = time.monotonic() - begun
            progress = Progress(
                step=state.step, loss=loss if fine else float("nan"), learning_rate=rate,
                gradient_norm=norm if fine else float("nan"), tokens=state.tokens,
                tokens_per_second=session_tokens / max(elapsed, 1e-9), seconds=elapsed, memory_mb=memory_mb(),
                epoch=epoch(state.step) if epoch else None, skipped=not fine,
            )  # fmt: skip
            if skipped >= MAX_SKIPPED or (state.risen() > RISE and fine):
                what = "the loss is not a number" if skipped else f"the loss rose by {state.risen():.1f} nats"
                work.log(progress)
                names = ", ".join(data.origin(step)[:5])
                good = work.last_good()
                where = f"the last good weights (step {good}) are in {work.folder}; " if good else ""
                raise JobError(
                    f"step {step}: {what} (learning rate {rate:.2e}; trained on {names})",
                    f"{where}begin again with a lower --learning-rate",
                )
            last = state.step == steps
            if held is not None and (state.step % settings.eval_every == 0 or last):
                progress.validation_loss, micro = validation_loss(model, held, micro, precision)
                score = progress.validation_loss
                if judge is not None:
                    score, figures = judge(model, state.step, score, precision)
                    progress = replace(progress, score=score, **figures)  # type: ignore[arg-type]
                if state.better(score, progress.validation_loss):
                    work.save_best(merged_state(model), state.step, progress.validation_loss)
                progress.best_validation_loss = state.best_loss
            work.log(progress)
            watcher.step(progress, steps)
            if state.step % settings.eval_every == 0 or last:
                watcher.evaluated(model, state.step)
            early = bool(settings.patience and state.waited >= settings.patience)
            if state.step % settings.save_every == 0 or last or early or stop():
                work.save(model, optimizer, state)
            if stop() and not last and not early:
                watcher.say(f"stopped after step {state.step}, all of it saved; go on with: trainer resume {work.out}")
                raise Stopped(stop())
    if state.step < steps:
        ended = f"{'the score' if judge else 'validation loss'} has not fallen for {state.waited} evaluations"
    if held is None:
        work.save_best(merged_state(model), state.step, None)
        state.best_step = state.step
    return Outcome(
        step=state.step, best_step=state.best_step, best_loss=state.best_loss, first_loss=state.first_loss,
        ended=ended, seconds=time.monotonic() - begun, tokens=state.tokens, precision=precision,
        compiled=bool(state.compiled),
    )  # fmt: skip
