"""model.npz: the weights for the one-file numpy runner, which is copied beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from trainer.exports import numpy_llama
from trainer.exports.llama2c import stacked
from trainer.exports.paths import Files
from trainer.model.checkpoint import Checkpoint
from trainer.model.convert import StateDict

RUNNER = "numpy_llama.py"


def write(checkpoint: Checkpoint, files: Files, dtype: str) -> StateDict | None:
    """Write model.npz (config and pieces as JSON text, no pickles), the runner and the tokenizer."""
    config = checkpoint.config.as_dict() | {"stops": checkpoint.record.template.stops}
    arrays = {
        "config": np.array(json.dumps(config)),
        "pieces": np.array(json.dumps(checkpoint.tokenizer.pieces())),
        "scores": np.array(checkpoint.tokenizer.scores(), np.float32),
        **stacked(checkpoint.state, checkpoint.config),
    }
    with files.main.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    files.beside(RUNNER).write_bytes(Path(numpy_llama.__file__).read_bytes())
    files.beside("tokenizer.model").write_bytes(checkpoint.tokenizer.model)
    return None
