"""What a training shows while it runs: a live table on a terminal, plain lines elsewhere. All of it goes to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import UsageError
from trainer.model import Llama
from trainer.training import Progress, Watcher

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_LINE_EVERY = 10.0  # seconds between lines where stderr is no terminal


def duration(seconds: float) -> str:
    """Return seconds as people say them: 42s, 3m10s, 1h05m."""
    whole = int(max(0.0, seconds) + 0.5)
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h{whole // 60 % 60:02d}m"


def one_line(text: str, width: int = 100) -> str:
    """Return the beginning of a text in one line; nothing in it steers a terminal."""
    plain = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return plain if len(plain) <= width else plain[: width - 1] + "…"


def line_of(progress: Progress, steps: int, started_at: int) -> str:
    """Return a step's figures as one line."""
    left = (steps - progress.step) * progress.seconds / max(1, progress.step - started_at)
    parts = [
        f"step {progress.step:,}/{steps:,}",
        f"loss {progress.loss:.3f}",
        f"val {progress.validation_loss:.3f}" if progress.validation_loss is not None else "",
        f"lr {progress.learning_rate:.2e}",
        f"|g| {progress.gradient_norm:.2f}",
        f"{progress.tokens_per_second:,.0f} tok/s",
        f"{progress.memory_mb:,.0f} MB",
        f"epoch {progress.epoch:.1f}" if progress.epoch is not None else "",
        f"ETA {duration(left)}",
    ]
    return "  ".join(part for part in parts if part)


class Lines(Watcher):
    """Lines on stderr: every evaluation, and a step now and then. Also feeds TensorBoard where it is asked for."""

    def __init__(self, tensorboard: bool = False) -> None:
        self._tensorboard = tensorboard
        self._board: Any = None
        self._last, self._started = time.monotonic(), -1
        self.bar: Bar | None = None
        self._task: Any = None

    def say(self, text: str) -> None:
        """Print a line of talk."""
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def begin(self, folder: Path) -> None:
        """Open TensorBoard's file, where it is asked for."""
        if self._tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"))

    def step(self, progress: Progress, steps: int) -> None:
        """Show a step."""
        if self._started < 0:
            self._started = progress.step - 1
        self._to_board(progress)
        line = line_of(progress, steps, self._started)
        if self.bar is not None:
            if self._task is None:
                self._task = self.bar.add_task(line, total=steps)
            self.bar.update(self._task, description=line, completed=progress.step)
        now = time.monotonic()
        due = progress.step - self._started == 1 or progress.step == steps or now - self._last > _LINE_EVERY
        if progress.validation_loss is not None or (self.bar is None and due):
            self._last = now
            self.say(line)

    def _to_board(self, progress: Progress) -> None:
        if self._board is None:
            return
        for name in ("loss", "validation_loss", "learning_rate", "gradient_norm", "tokens_per_second", "memory_mb"):
            value = getattr(progress, name)
            if value is not None:
                self._board.add_scalar(name, value, progress.step)

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._board is not None:
            self._board.close()

    def evaluated(self, model: Llama, step: int) -> None:
        """Show replies to the fixed prompts, the base's beside them."""
        if self.sampler is None:
            return
        for prompt, before, after in self.sampler(model, step):
            self.say(f"    {one_line(prompt)}")
            self.say(f"      base  {one_line(before)}")
            self.say(f"      now   {one_line(after)}")


@contextmanager
def watching(tensorboard: bool = False) -> Iterator[Lines]:
    """Give a watcher; on a terminal it draws a bar below the lines."""
    if tensorboard:
        _require_tensorboard()
    lines = Lines(tensorboard)
    try:
        with _drawn(lines):
            yield lines
    finally:
        lines.close()


@contextmanager
def _drawn(lines: Lines) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console) as lines.bar:
        yield


def _require_tensorboard() -> None:
    try:
        import torch.utils.tensorboard  # noqa: F401 - only whether it is there
    except ImportError:
        raise UsageError("tensorboard is not installed", "install it with: pip install tensorboard") from None


@contextmanager
def counting() -> Iterator[Callable[[str, int, int], None]]:
    """Give a progress callback (what, done, total) that draws on stderr once a job has taken a second."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    begun = time.monotonic()
    console = Console(stderr=True)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True)
    task = bar.add_task("reading", total=None)

    def report(what: str, done: int, total: int) -> None:
        if not bar.live.is_started and time.monotonic() - begun > 1:
            bar.start()
        bar.update(task, description=what, completed=done, total=total or None)

    try:
        yield report
    finally:
        if bar.live.is_started:
            bar.stop()
