"""Text of the base's own, on which a fine-tune stays near to it: from knowledge modules, or written by the base.

A base forgets what a fine-tune does not show it. Replaying some of what it was trained on, with the divergence from the
base as the loss (Hinton et al. 2015; Scialom et al. 2022, arXiv 2205.12393), keeps what it knew at the price of a few
rows a step; docs/experiments.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.checkpoint import Checkpoint, builtin_base
from trainer.errors import UsageError
from trainer.generate import Sampling, replies
from trainer.modules import Tokens, list_modules
from trainer.pretrain import module_streams
from trainer.tokenizer import BOS

REPLAY, HELD_OUT = "replay", "held-out"  # folders of modules beside a base: what it read, and what it never read
WRITTEN = 128  # texts that a base writes where there is no module: half are replayed, half are measured


@dataclass(frozen=True)
class BaseText:
    """What a fine-tune replays and what it is measured on, `<s>` before every document; and where it is from."""

    replay: Tokens
    held: Tokens
    origin: str


def base_text(base: Checkpoint, modules: Path | None, share: float = 0.1) -> BaseText:
    """Return the text of a base: of --replay's modules, else what came with it, else written by the base itself.

    A fine-tune of the built-in base has its tokenizer, and takes its text. Raises UsageError where modules were made
    with another tokenizer.
    """
    if modules is not None:
        return _of_modules(base, modules, share)
    for folder in (base.folder, builtin_base()):
        if (folder / REPLAY).is_dir() and (folder / HELD_OUT).is_dir():
            parts = [_stream(base, folder / name) for name in (REPLAY, HELD_OUT)]
            if parts[0] is not None and parts[1] is not None:
                return BaseText(parts[0], parts[1], f"text that came with {folder.resolve().name}")
    return written(base)


def _stream(base: Checkpoint, folder: Path) -> Tokens | None:
    """Return all tokens of a folder of modules; None where they were made with another tokenizer."""
    found = list_modules(folder)
    if any(one.manifest.tokenizer_sha256 != base.tokenizer.sha256 for one in found):
        return None
    return np.concatenate([one.read(base.tokenizer.vocab_size, base.tokenizer.sha256) for one in found])


def _of_modules(base: Checkpoint, folder: Path, share: float) -> BaseText:
    train, held, counts = module_streams(list_modules(folder), base.tokenizer, share)
    replay, measured = (np.concatenate(list(part.values())) for part in (train, held))
    if len(measured) < 2 or len(replay) < 2:
        raise UsageError(
            f"{folder}: {counts['documents']:,} documents cannot be parted into replay and held-out text",
            "add a module with more documents, or leave out --replay",
        )
    return BaseText(replay, measured, f"modules of {folder.name}")


def written(base: Checkpoint, seed: int = 0) -> BaseText:
    """Return text that a base writes from nothing at temperature 1: what it takes its own language to be."""
    room = min(256, base.config.max_seq_len) - 1
    asked = Sampling(temperature=1.0, max_tokens=room, ends=())
    found = replies(base.model(), base.tokenizer, [""] * WRITTEN, asked, seeds=range(seed, seed + WRITTEN))
    documents = [np.array([BOS, *one.tokens], np.uint16) for one in found]
    half = len(documents) // 2
    return BaseText(np.concatenate(documents[:half]), np.concatenate(documents[half:]), "text that the base wrote")
