"""llama2.c's files: v0 for run.c, v2 for runq.c, and tokenizer.bin for both. Layout: llama2.c's export.py.

v0: seven int32 (dim, hidden, layers, heads, key/value heads, vocabulary, context; the vocabulary negative where the
output is not the embedding), then fp32, each kind of weight for all layers before the next.
v2: a header of 256 bytes, the norms in fp32, then of every matrix int8 values and an fp32 scale for each group of them.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curator.contract.errors import UsageError
from trainer.exports.paths import Files
from trainer.model.checkpoint import Checkpoint
from trainer.model.convert import StateDict, to_llama2c
from trainer.model.llama import ModelConfig, rope_tables
from trainer.model.tokenizer import tokenizer_bin

MAGIC = 0x616B3432
GROUP = 64
SMALLEST_GROUP = 8
# run.c's names -> llama2.c's, in the order of v0; "{}" is the number of the layer.
NAMES = {
    "tok_emb": "tok_embeddings.weight",
    "attn_norm": "layers.{}.attention_norm.weight",
    "wq": "layers.{}.attention.wq.weight",
    "wk": "layers.{}.attention.wk.weight",
    "wv": "layers.{}.attention.wv.weight",
    "wo": "layers.{}.attention.wo.weight",
    "ffn_norm": "layers.{}.ffn_norm.weight",
    "w1": "layers.{}.feed_forward.w1.weight",
    "w2": "layers.{}.feed_forward.w2.weight",
    "w3": "layers.{}.feed_forward.w3.weight",
    "final_norm": "norm.weight",
    "wcls": "output.weight",
}


def stacked(state: StateDict, config: ModelConfig) -> dict[str, NDArray[np.float32]]:
    """Return the weights under run.c's names, those of all layers stacked: wq is (layers, dim, dim), and so on."""
    theirs = to_llama2c(state, config)
    out = {}
    for name, pattern in NAMES.items():
        if "{}" in pattern:
            out[name] = torch.stack([theirs[pattern.format(layer)] for layer in range(config.n_layers)]).numpy()
        elif pattern in theirs:
            out[name] = theirs[pattern].numpy()
    return out


def require_known_to_run_c(checkpoint: Checkpoint) -> None:
    """Raise UsageError for a model that run.c would run wrongly: these numbers are fixed in its source."""
    config, tokenizer = checkpoint.config, checkpoint.tokenizer
    if any(tokenizer.piece(byte + 3) != f"<0x{byte:02X}>" for byte in range(256)):
        raise UsageError(
            "run.c and runq.c expect the bytes at the ids 3 to 258; this tokenizer has them elsewhere",
            "export it --to npz, gguf, ollama or hf",
        )
    if config.norm_eps != 1e-5 or config.rope_theta != 10_000.0:
        raise UsageError(
            f"run.c and runq.c know only norm_eps 1e-05 and rope_theta 10000; this model has {config.norm_eps:g} and "
            f"{config.rope_theta:g}",
            "export it --to npz, gguf, ollama or hf",
        )


def _header(config: ModelConfig, vocabulary: int) -> tuple[int, ...]:
    return (config.dim, config.hidden_dim, config.n_layers, config.n_heads, config.n_kv_heads, vocabulary,
            config.max_seq_len)  # fmt: skip


def write_v0(path: Path, state: StateDict, config: ModelConfig) -> None:
    """Write run.c's file: 28 bytes, then 4 for each parameter and each entry of the two rotary tables."""
    cos, sin = rope_tables(config, config.max_seq_len)
    weights = stacked(state, config)
    output = weights.pop("wcls", None)
    with path.open("wb") as file:
        file.write(struct.pack("<7i", *_header(config, config.vocab_size if config.tied else -config.vocab_size)))
        for array in (*weights.values(), cos.numpy(), sin.numpy(), *([] if output is None else [output])):
            file.write(array.astype("<f4", copy=False).tobytes())


def write_bin(checkpoint: Checkpoint, files: Files, dtype: str) -> StateDict | None:
    """Write run.c's model and tokenizer. Raises UsageError for a model that it cannot run."""
    require_known_to_run_c(checkpoint)
    write_v0(files.main, checkpoint.state, checkpoint.config)
    files.beside("tokenizer.bin").write_bytes(tokenizer_bin(checkpoint.tokenizer))
    return None


def group_size(config: ModelConfig) -> int:
    """Return the largest group up to 64 that divides every row. Raises UsageError where that is below 8."""
    size = GROUP
    while config.dim % size or config.hidden_dim % size:
        size //= 2
    if size < SMALLEST_GROUP:
        raise UsageError(
            f"runq.c needs rows in groups of {SMALLEST_GROUP} or more; dim {config.dim} and hidden_dim "
            f"{config.hidden_dim} share no such group",
            "export it --to bin, or --to gguf --dtype f16",
        )
    return size


def quantize(weight: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return int8 values and fp32 scales of a matrix in groups of `size`: (n/size, size) and (n/size, 1)."""
    groups = weight.float().reshape(-1, size)
    scale = groups.abs().amax(1, keepdim=True) / 127
    scale = torch.where(scale > 0, scale, 1)  # a group of zeros: any scale but 0, which would make NaN
    return (groups / scale).round().clamp(-127, 127).to(torch.int8), scale


def rounded(state: StateDict, size: int) -> StateDict:
    """Return the weights as runq.c reads them: matrices rounded in groups, norms unchanged."""
    out = {}
    for name, tensor in state.items():
        if tensor.dim() < 2:
            out[name] = tensor
        else:
            values, scale = quantize(tensor, size)
            out[name] = (values * scale).reshape(tensor.shape)
    return out


def write_q8(checkpoint: Checkpoint, files: Files, dtype: str) -> StateDict | None:
    """Write runq.c's model and tokenizer; return the rounded weights."""
    config = checkpoint.config
    require_known_to_run_c(checkpoint)
    size = group_size(config)
    start = struct.pack("<Ii7iBi", MAGIC, 2, *_header(config, config.vocab_size), config.tied, size)
    weights = {name: torch.from_numpy(array) for name, array in stacked(checkpoint.state, config).items()}
    with files.main.open("wb") as file:
        file.write(start.ljust(256, b"\0"))
        for name in ("attn_norm", "ffn_norm", "final_norm"):
            file.write(weights.pop(name).numpy().astype("<f4").tobytes())
        for array in weights.values():
            for matrix in array if array.dim() == 3 else [array]:
                values, scale = quantize(matrix, size)
                file.write(values.numpy().tobytes())
                file.write(scale.numpy().astype("<f4").tobytes())
    files.beside("tokenizer.bin").write_bytes(tokenizer_bin(checkpoint.tokenizer))
    return rounded(checkpoint.state, size)
