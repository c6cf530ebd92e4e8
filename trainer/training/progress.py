"""The progress of a training on stderr: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.contract.errors import UsageError
from curator.contract.homes import install
from trainer.model.llama import Llama
from trainer.training.loop import StepMetrics, TrainerCallback

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_LINE_EVERY = 10.0  # seconds between lines where stderr is no terminal


def duration(seconds: float) -> str:
    """Return seconds in a readable form: 42s, 3m10s, 1h05m."""
    whole = int(max(0.0, seconds) + 0.5)
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h{whole // 60 % 60:02d}m"


def one_line(text: str, width: int = 100) -> str:
    """Return the beginning of a text in one line, without control characters."""
    plain = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return plain if len(plain) <= width else plain[: width - 1] + "…"


def line_of(metrics: StepMetrics, steps: int, started_at: int) -> str:
    """Return a step's figures as one line."""
    left = (steps - metrics.step) * metrics.seconds / max(1, metrics.step - started_at)
    parts = [
        f"step {metrics.step:,}/{steps:,}",
        f"loss {metrics.loss:.3f}",
        f"val {metrics.validation_loss:.3f}" if metrics.validation_loss is not None else "",
        f"lr {metrics.learning_rate:.2e}",
        f"|g| {metrics.gradient_norm:.2f}",
        f"{metrics.tokens_per_second:,.0f} tok/s",
        f"{metrics.memory_mb:,.0f} MB",
        f"epoch {metrics.epoch:.1f}" if metrics.epoch is not None else "",
        f"ETA {duration(left)}",
    ]
    return "  ".join(part for part in parts if part)


class ConsoleCallback(TrainerCallback):
    """Prints every evaluation and a step now and then to stderr. Writes TensorBoard's files too where asked for."""

    def __init__(self, tensorboard: bool = False) -> None:
        self._tensorboard = tensorboard
        self._board: Any = None
        self._last, self._started = time.monotonic(), -1
        self.bar: Bar | None = None
        self._task: Any = None

    def log(self, text: str) -> None:
        """Print a message."""
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def begin(self, folder: Path) -> None:
        """Open TensorBoard's file, where it is asked for."""
        if self._tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"))

    def step(self, metrics: StepMetrics, steps: int) -> None:
        """Show a step."""
        if self._started < 0:
            self._started = metrics.step - 1
        self._to_board(metrics)
        line = line_of(metrics, steps, self._started)
        if self.bar is not None:
            if self._task is None:
                self._task = self.bar.add_task(line, total=steps)
            self.bar.update(self._task, description=line, completed=metrics.step)
        now = time.monotonic()
        due = metrics.step - self._started == 1 or metrics.step == steps or now - self._last > _LINE_EVERY
        if metrics.validation_loss is not None or (self.bar is None and due):
            self._last = now
            self.log(line)

    def _to_board(self, metrics: StepMetrics) -> None:
        if self._board is None:
            return
        for name in ("loss", "validation_loss", "learning_rate", "gradient_norm", "tokens_per_second", "memory_mb"):
            value = getattr(metrics, name)
            if value is not None:
                self._board.add_scalar(name, value, metrics.step)

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._board is not None:
            self._board.close()

    def evaluated(self, model: Llama, step: int) -> None:
        """Show replies to the fixed prompts, each with the base's."""
        if self.sampler is None:
            return
        for prompt, before, after in self.sampler(model, step):
            self.log(f"    {one_line(prompt)}")
            self.log(f"      base  {one_line(before)}")
            self.log(f"      now   {one_line(after)}")


@contextmanager
def console_callback(tensorboard: bool = False) -> Iterator[ConsoleCallback]:
    """Give a callback; on a terminal it draws a bar below the lines."""
    if tensorboard:
        _require_tensorboard()
    callback = ConsoleCallback(tensorboard)
    try:
        with _drawn(callback):
            yield callback
    finally:
        callback.close()


@contextmanager
def _drawn(callback: ConsoleCallback) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console) as callback.bar:
        yield


def _require_tensorboard() -> None:
    try:
        import torch.utils.tensorboard  # noqa: F401 - only whether it is there
    except ImportError:
        raise UsageError("tensorboard is not installed", f"install it with: {install('tensorboard')}") from None
