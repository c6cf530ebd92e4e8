"""Two models side by side: the same prompts, the same seed, each model in its own template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from curator.contract.errors import UsageError
from curator.contract.files import read_text
from trainer.inference.best_of import best_replies
from trainer.inference.chat import whole_text
from trainer.inference.decoder import Decoder
from trainer.inference.known_words import known_words
from trainer.inference.sampling import Reply, Sampling
from trainer.model.checkpoint import Checkpoint


@dataclass(frozen=True)
class Row:
    """A prompt and what the two models reply."""

    prompt: str
    base: Reply
    tuned: Reply


def compare(base: Checkpoint, tuned: Checkpoint, prompts: Sequence[str], sampling: Sampling) -> list[Row]:
    """Return both models' replies to every prompt; each uses the stop texts of its own template."""
    pairs = zip(_replies(base, prompts, sampling), _replies(tuned, prompts, sampling), strict=True)
    return [Row(prompt, *pair) for prompt, pair in zip(prompts, pairs, strict=True)]


def _replies(checkpoint: Checkpoint, prompts: Sequence[str], sampling: Sampling) -> list[Reply]:
    template = checkpoint.record.template
    words = known_words(checkpoint) if sampling.words else None  # each has its own list, and its own tokens
    own = replace(sampling, stops=tuple(template.stops), words=words)
    return best_replies(Decoder(checkpoint.model()), checkpoint.tokenizer, template, prompts, own)


def read_prompts(path: Path) -> list[str]:
    """Return the prompts of a file, one a line. Raises UsageError where it has none."""
    prompts = [whole_text(line.strip()) for line in read_text(path).split("\n") if line.strip()]
    if not prompts:
        raise UsageError(f"{path} holds no prompt", "expected a prompt on each line")
    return prompts


def names(base: Checkpoint, tuned: Checkpoint) -> tuple[str, str]:
    """Return names for two checkpoints: those of their folders, or 'base' and 'tuned' where these are the same."""
    folders = base.folder.resolve().name, tuned.folder.resolve().name
    return folders if folders[0] != folders[1] else ("base", "tuned")


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows as JSON has them."""
    return [asdict(row) for row in rows]
