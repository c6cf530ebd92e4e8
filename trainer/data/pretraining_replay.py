"""The base's own text, on which a fine-tune stays near the base: from token shards, or written by the base.

A base forgets what a fine-tune does not show it. Replaying some of what it was trained on, with the divergence from the
base as the loss (Hinton et al. 2015; Scialom et al. 2022, arXiv 2205.12393), keeps what it knew at the price of a few
rows a step; docs/experiments.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curator.contract.errors import UsageError, counted
from trainer.data.token_shards import Tokens, list_shards, shard_streams
from trainer.inference.sampling import Sampling
from trainer.inference.text_stream import replies
from trainer.model.checkpoint import Checkpoint
from trainer.model.tokenizer import BOS
from trainer.names import builtin_base

REPLAY, HELD_OUT = (
    "replay",
    "held-out",
)  # folders of shards beside a base: text that it was trained on, and text held out
WRITTEN = 128  # texts that a base writes where there is no shard: half are replayed, half are measured


@dataclass(frozen=True)
class BaseText:
    """The text that a fine-tune replays, the text that it is measured on, and their origin; `<s>` begins a document."""

    replay: Tokens
    held: Tokens
    origin: str


def base_text(base: Checkpoint, shards: Path | None, share: float = 0.1) -> BaseText:
    """Return the text of a base: of --replay's shards, else what came with it, else written by the base itself.

    A fine-tune of the built-in base has its tokenizer, and takes its text. Raises UsageError where shards were made
    with another tokenizer.
    """
    if shards is not None:
        return _of_shards(base, shards, share)
    for folder in (base.folder, builtin_base()):
        if (folder / REPLAY).is_dir() and (folder / HELD_OUT).is_dir():
            parts = [_stream(base, folder / name) for name in (REPLAY, HELD_OUT)]
            if parts[0] is not None and parts[1] is not None:
                return BaseText(parts[0], parts[1], f"text that came with {folder.resolve().name}")
    return written(base)


def _stream(base: Checkpoint, folder: Path) -> Tokens | None:
    """Return all tokens of a folder of shards; None where they were made with another tokenizer."""
    shards = list_shards(folder)
    if any(shard.manifest.tokenizer_sha256 != base.tokenizer.sha256 for shard in shards):
        return None
    return np.concatenate([shard.read(base.tokenizer.vocab_size, base.tokenizer.sha256) for shard in shards])


def _of_shards(base: Checkpoint, folder: Path, share: float) -> BaseText:
    train, held, counts = shard_streams(list_shards(folder), base.tokenizer, share)
    replay, measured = (np.concatenate(list(part.values())) for part in (train, held))
    if len(measured) < 2 or len(replay) < 2:
        raise UsageError(
            f"{folder}: {counted(counts['documents'], 'document')} cannot be parted into replay and held-out text",
            "add a shard with more documents, or leave out --replay",
        )
    return BaseText(replay, measured, f"shards of {folder.name}")


def written(base: Checkpoint, seed: int = 0) -> BaseText:
    """Return text that the base writes at temperature 1 from an empty prompt: a sample of its own distribution."""
    room = min(256, base.config.max_seq_len) - 1
    sampling = Sampling(temperature=1.0, max_tokens=room, ends=())
    drawn = replies(base.model(), base.tokenizer, [""] * WRITTEN, sampling, seeds=range(seed, seed + WRITTEN))
    documents = [np.array([BOS, *reply.tokens], np.uint16) for reply in drawn]
    half = len(documents) // 2
    return BaseText(np.concatenate(documents[:half]), np.concatenate(documents[half:]), "text that the base wrote")
