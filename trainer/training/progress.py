"""The progress of a training on stderr: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
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

LONG = 600.0  # seconds from which on a laptop may fall asleep before the end
_KNOWN = 3  # steps after which the time of one is known
_LINE_EVERY, _QUIET_LINE_EVERY = 10.0, 60.0  # seconds between lines where stderr is no terminal


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


def awake_note(seconds: float) -> str | None:
    """Return advice for a training over which a laptop would fall asleep, None for a shorter one."""
    if seconds < LONG:
        return None
    keeps = {"darwin": "caffeinate -i", "linux": "systemd-inhibit --what=sleep:idle"}.get(sys.platform)
    how = f" ({keeps} trainer ... does)" if keeps and shutil.which(keeps.split()[0]) else ""
    return (
        f"this takes about {duration(seconds)}: plug a laptop in and keep it awake{how}. "
        "Sleep only pauses it; what Ctrl-C or an empty battery stops goes on with trainer resume"
    )


def line_of(metrics: StepMetrics, steps: int, left: float) -> str:
    """Return a step's figures as one line; `left` is what is left of the whole, seconds."""
    parts = [
        f"step {metrics.step:,}/{steps:,}",
        f"loss {metrics.loss:.3f}",
        f"held out {metrics.validation_loss:.3f}" if metrics.validation_loss is not None else "",
        f"ETA {duration(left)}",
    ]
    return "  ".join(part for part in parts if part)


def details_of(metrics: StepMetrics) -> str:
    """Return the figures of a step that few ask for."""
    parts = [
        f"lr {metrics.learning_rate:.2e}",
        f"|g| {metrics.gradient_norm:.2f}",
        f"{metrics.tokens_per_second:,.0f} tok/s",
        f"{metrics.memory_mb:,.0f} MB",
        f"epoch {metrics.epoch:.1f}" if metrics.epoch is not None else "",
    ]
    return "  ".join(part for part in parts if part)


class ConsoleCallback(TrainerCallback):
    """Prints every evaluation as a line, with what the model answers to one prompt; with `verbose`, all there is.

    Its ETA is that of the whole: the steps, and what is measured behind them. `tensorboard` writes TensorBoard's files.
    """

    def __init__(self, tensorboard: bool = False, verbose: bool = False) -> None:
        self._tensorboard, self._verbose = tensorboard, verbose
        self._board: Any = None
        self._begun = self._last_step = self._last_line = time.monotonic()
        self._evaluation: float | None = None  # seconds
        self._shown_base, self._advised = False, False
        self._held_back = ""
        self._first: tuple[int, float] | None = None  # step, and seconds at its end
        self._closing_begun = 0.0
        self.bar: Bar | None = None
        self._task: Any = None

    def log(self, text: str) -> None:
        """Print a message."""
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def detail(self, text: str) -> None:
        """Print a message where every one is asked for."""
        if self._verbose:
            self.log(text)

    def begin(self, folder: Path) -> None:
        """Open TensorBoard's file, where it is asked for."""
        self._begun = self._last_step = self._last_line = time.monotonic()
        if self._tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"))

    def step(self, metrics: StepMetrics, steps: int) -> None:
        """Show a step; the line of one that was evaluated waits for its reply."""
        now = time.monotonic()
        if metrics.validation_loss is not None or self._evaluation is None:
            self._evaluation = now - self._last_step  # before the first: the measuring of the base, and a step
        self._last_step = now
        self._to_board(metrics)
        left = self._left(metrics, steps)
        line = line_of(metrics, steps, left)
        if self._first and metrics.step - self._first[0] >= _KNOWN and not self._advised:
            self._advised = True
            if note := awake_note(left):
                self.log(note)
        self._show_bar(line, metrics, steps)
        evaluated = metrics.validation_loss is not None
        due = metrics.step == steps or now - self._last_line > (_LINE_EVERY if self._verbose else _QUIET_LINE_EVERY)
        if evaluated or (self.bar is None and due):
            self._last_line = now
            line += f"  {details_of(metrics)}" if self._verbose else ""
            self._held_back = line if evaluated and self.sampler is not None else ""
            if not self._held_back:
                self.log(line)

    def _left(self, metrics: StepMetrics, steps: int) -> float:
        """Return the seconds that are left of the steps and of what follows them."""
        if self._first is None:  # it loads, measures the base, compiles: how long a step takes shows from the second on
            self._first = metrics.step, metrics.seconds
        step, seconds = self._first
        a_step = (metrics.seconds - seconds) / (metrics.step - step) if metrics.step > step else metrics.seconds
        return (steps - metrics.step) * a_step + self.closing * (self._evaluation or 0.0)

    def _show_bar(self, line: str, metrics: StepMetrics, steps: int) -> None:
        if self.bar is None:
            return
        elapsed = time.monotonic() - self._begun
        self._draw(line, elapsed / max(1e-9, elapsed + self._left(metrics, steps)))

    def _draw(self, line: str, share: float) -> None:
        assert self.bar is not None
        if self._task is None:
            self._task = self.bar.add_task(line, total=1.0)
        self.bar.update(self._task, description=line, completed=share)

    def measuring(self, done: int, total: int) -> None:
        """Show how much is done of what follows the last step."""
        now = time.monotonic()
        if not done:
            self._closing_begun = now
            self.log(f"measuring what came of it, beside the base ({self._about(total)})")
        left = (total - done) * ((now - self._closing_begun) / done if done else self._evaluation or 0.0)
        if self.bar is not None:
            elapsed = now - self._begun
            self._draw(f"measuring {done}/{total}  ETA {duration(left)}", elapsed / max(1e-9, elapsed + left))

    def _about(self, total: int) -> str:
        return f"about {duration(total * self._evaluation)}" if self._evaluation else "a while"

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
        """Show the reply to the first of the fixed prompts, the base's once; with `verbose`, to all of them."""
        rows = self.sampler(model, step) if self.sampler is not None else []
        if rows and not self._shown_base:
            for prompt, before, _ in rows if self._verbose else rows[:1]:
                self.log(f"the base answers {_quoted(prompt)} with {_quoted(before)}")
            self._shown_base = True
        said = f"  now {_quoted(rows[0][2])}" if rows and not self._verbose else ""
        if self._held_back or said:
            self.log((self._held_back or f"step {step:,}") + said)
            self._held_back = ""
        for prompt, _, after in rows if self._verbose else []:
            self.log(f"    {one_line(prompt)}  now {_quoted(after)}")


def _quoted(text: str) -> str:
    return f'"{one_line(text, 60)}"'


@contextmanager
def console_callback(tensorboard: bool = False, verbose: bool = False) -> Iterator[ConsoleCallback]:
    """Give a callback; on a terminal it draws a bar below the lines."""
    if tensorboard:
        _require_tensorboard()
    callback = ConsoleCallback(tensorboard, verbose)
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
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(bar_width=20), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console) as callback.bar:
        yield


def _require_tensorboard() -> None:
    try:
        import torch.utils.tensorboard  # noqa: F401 - only whether it is there
    except ImportError:
        raise UsageError("tensorboard is not installed", f"install it with: {install('tensorboard')}") from None
