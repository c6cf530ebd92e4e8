"""Two models side by side: the same prompts, the same seed, each model in its own template."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trainer.chat import harmless, whole_text
from trainer.checkpoint import Checkpoint
from trainer.documents import read_text
from trainer.errors import UsageError
from trainer.generate import Reply, Sampling, replies

_WIDTH = 110  # columns where stdout is no terminal


@dataclass(frozen=True)
class Row:
    """A prompt and what the two models reply."""

    prompt: str
    base: Reply
    tuned: Reply


def compare(base: Checkpoint, tuned: Checkpoint, prompts: Sequence[str], sampling: Sampling) -> list[Row]:
    """Return both models' replies to every prompt; stops are those of each model's template."""
    pairs = zip(_replies(base, prompts, sampling), _replies(tuned, prompts, sampling), strict=True)
    return [Row(prompt, *pair) for prompt, pair in zip(prompts, pairs, strict=True)]


def _replies(checkpoint: Checkpoint, prompts: Sequence[str], sampling: Sampling) -> list[Reply]:
    template = checkpoint.record.template
    texts = [one if template.is_wrapped(one) else template.wrap(one) for one in prompts]
    own = replace(sampling, stops=tuple(template.stops))
    return replies(checkpoint.model(), checkpoint.tokenizer, texts, own)


def read_prompts(path: Path) -> list[str]:
    """Return the prompts of a file, one a line. Raises UsageError where it has none."""
    prompts = [whole_text(line.strip()) for line in read_text(path).split("\n") if line.strip()]
    if not prompts:
        raise UsageError(f"{path} holds no prompt", "expected a prompt on each line")
    return prompts


def names(base: Checkpoint, tuned: Checkpoint) -> tuple[str, str]:
    """Return what to call two checkpoints: their folders' names, or what each is where these are the same."""
    found = base.folder.resolve().name, tuned.folder.resolve().name
    return found if found[0] != found[1] else ("base", "tuned")


def show(rows: Sequence[Row], base: Checkpoint, tuned: Checkpoint) -> None:
    """Print a table on stdout; nothing that a model wrote is taken as markup or steers the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    for head, share in zip(("prompt", *names(base, tuned)), (1, 2, 2), strict=True):
        table.add_column(Text(harmless(head)), ratio=share)
    for row in rows:
        table.add_row(*(Text(harmless(text)) for text in (row.prompt, row.base.text, row.tuned.text)))
    Console(width=None if sys.stdout.isatty() else _WIDTH, emoji=False, highlight=False).print(table)


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows as JSON has them."""
    return [asdict(row) for row in rows]
