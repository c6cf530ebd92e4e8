"""Engines: what computes a reply, PyTorch, numpy, llama.cpp or llama2.c's run.c.

In: a checkpoint. Out: a stream of tokens behind a prompt; greedy, without a penalty and without known words, which not
all of them have, the same ones. Only PyTorch writes several replies side by side, of which the best is given. The
engines in C get the checkpoint as `trainer export` writes it, in a temporary folder. It knows no training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from curator.contract.errors import UsageError
from trainer.engines.llama_cpp import llama_cpp
from trainer.engines.numpy_decoder import NumpyDecoder
from trainer.engines.run_c import run_c
from trainer.inference.decoder import Decoder, settle_threads
from trainer.inference.sampling import Sampling
from trainer.inference.text_stream import TokenSource
from trainer.model.checkpoint import Checkpoint
from trainer.names import ENGINES

# What an engine cannot do of the ways to draw text (fields of Sampling), and the value for "off".
LACKS: dict[str, dict[str, float | None]] = {
    "numpy": {"best_of": 1},
    "llama.cpp": {"words": None, "best_of": 1},
    "run.c": {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "words": None, "best_of": 1},
}


@contextmanager
def engine_of(
    checkpoint: Checkpoint, name: str, *, threads: int = 0, runner: Path | None = None
) -> Iterator[TokenSource]:
    """Give the engine of this name (one of names.ENGINES); what it wrote to the disk is removed at the end.

    `runner` is run.c, compiled. Raises UsageError for a runner that is missing or not wanted, an engine that is not
    installed, and a model that it cannot run.
    """
    if (runner is not None) != (name == "run.c"):
        what = "--runner belongs to --engine run.c" if runner else "--engine run.c needs the program"
        raise UsageError(what, "name it: --engine run.c --runner PATH, where PATH is llama2.c's run.c, compiled")
    if name == "llama.cpp":
        with llama_cpp(checkpoint, threads) as source:
            yield source
    elif name == "run.c":
        assert runner is not None
        with run_c(checkpoint, runner) as source:
            yield source
    elif name == "numpy":
        yield NumpyDecoder(checkpoint)
    else:
        decoder = Decoder(checkpoint.model())
        settle_threads(decoder, threads)
        yield decoder


def fitting(name: str, sampling: Sampling, asked: set[str]) -> tuple[Sampling, str]:
    """Return the sampling without what the engine cannot do, and a line that says so or ''.

    Raises UsageError where it was `asked` for, by its name in etc/trainer.json.
    """
    off = {key: value for key, value in LACKS.get(name, {}).items() if getattr(sampling, key) != value}
    options = {key: "known_words" if key == "words" else key for key in off}
    shown = {key: f"--{option.replace('_', '-')}" for key, option in options.items()}
    if wanted := {key: shown[key] for key, option in options.items() if option in asked}:
        able = [other for other in ENGINES if wanted.keys().isdisjoint(LACKS.get(other, {}))]
        raise UsageError(
            f"--engine {name} has no {', '.join(wanted.values())}",
            f"leave it out, or use another engine: {', '.join(able)}",
        )
    if not off:
        return sampling, ""
    note = f"{name} draws without what the checkpoint has stored of {', '.join(shown.values())}"
    return replace(sampling, **off), note  # type: ignore[arg-type]
