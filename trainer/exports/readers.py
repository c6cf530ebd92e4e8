"""Readers of our exports, written from the documented layouts and independent of the writers.

A reader returns the numpy runner with the weights it read, and an encoder built from the export's own tokenizer data.
trainer/importing.py reads llama2.c's files with them too.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from curator.contract.errors import UsageError, counted
from curator.contract.files import open_file, read_bytes
from trainer.exports import numpy_llama
from trainer.exports.gguf_file import load_gguf
from trainer.exports.paths import Files
from trainer.model.llama import ModelConfig

Array = NDArray[np.float32]
Weights = dict[str, Array]
Symbol = TypeVar("Symbol", str, bytes)
MAGIC = b"24ka"
MODELFILE = "Modelfile"


@dataclass(frozen=True)
class ReadBack:
    """An export as read back: the model, and text -> ids without `<s>`."""

    model: numpy_llama.Llama
    encode: Callable[[str], list[int]]


# --- llama2.c ------------------------------------------------------------------------------------------------------


def config_of(path: Path, numbers: tuple[int, ...], tied: bool) -> ModelConfig:
    """Return the size that a header of llama2.c names. Raises UsageError where no model can have it."""
    dim, hidden, layers, heads, kv_heads, vocabulary, context = numbers
    try:
        return ModelConfig(
            vocab_size=vocabulary,
            dim=dim,
            n_layers=layers,
            n_heads=heads,
            n_kv_heads=kv_heads,
            hidden_dim=hidden,
            max_seq_len=context,
            tied=tied,
        )
    except UsageError as error:
        raise UsageError(f"{path}: {error.what}") from None


def _kinds(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every kind of weight, in the order of v0."""
    d, hidden, n, kv = config.dim, config.hidden_dim, config.n_layers, config.n_kv_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "tok_emb": (config.vocab_size, d), "attn_norm": (n, d), "wq": (n, d, d), "wk": (n, kv, d), "wv": (n, kv, d),
        "wo": (n, d, d), "ffn_norm": (n, d), "w1": (n, hidden, d), "w2": (n, d, hidden), "w3": (n, hidden, d),
        "final_norm": (d,), "freqs_cos": (config.max_seq_len, config.head_dim // 2),
        "freqs_sin": (config.max_seq_len, config.head_dim // 2), "wcls": (config.vocab_size, d),
    }  # fmt: skip
    if config.tied:
        del shapes["wcls"]
    return shapes


def _cut(path: Path, start: int, shapes: dict[str, tuple[int, ...]]) -> Weights:
    """Return the fp32 arrays stored in order from byte `start` to the end of the file, memory-mapped."""
    sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes.values()]
    expected, size = start + 4 * sum(sizes), path.stat().st_size
    if expected != size:
        raise UsageError(
            f"{path}: {counted(size, 'byte')}; a model with its header has {expected:,}", "it is cut off, or damaged"
        )
    flat = np.memmap(path, "<f4", "r", start)
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def read_v0(path: Path) -> tuple[ModelConfig, Weights]:
    """Read run.c's file. Raises UsageError where header and file size disagree."""
    start = _start(path, 28)
    if len(start) < 28:
        raise UsageError(f"{path}: {counted(len(start), 'byte')}; a model of llama2.c has a header of 28")
    numbers = struct.unpack("<7i", start)
    config = config_of(path, (*numbers[:5], abs(numbers[5]), numbers[6]), tied=numbers[5] > 0)
    return config, _cut(path, 28, _kinds(config))


def _start(path: Path, count: int) -> bytes:
    with open_file(path) as file:
        return file.read(count)


def version_of(path: Path) -> int:
    """Return the version of a file of llama2.c with a magic number."""
    start = _start(path, 8)
    return int(struct.unpack("<4si", start)[1]) if start[:4] == MAGIC and len(start) == 8 else 0


def read_v1(path: Path) -> tuple[ModelConfig, Weights]:
    """Read llama2.c's version 1: fp32 behind a header of 256 bytes, norms first, no rotary tables."""
    numbers = struct.unpack_from("<7iB", _start(path, 256).ljust(256, b"\0"), 8)
    config = config_of(path, numbers[:7], tied=numbers[7] == 1)
    shapes = _kinds(config)
    order = ("attn_norm", "ffn_norm", "final_norm", "tok_emb", "wq", "wk", "wv", "wo", "w1", "w2", "w3", "wcls")
    return config, _cut(path, 256, {name: shapes[name] for name in order if name in shapes})


def read_v2(path: Path) -> tuple[ModelConfig, Weights]:
    """Read runq.c's file, multiplying the 8-bit values by the scales of their groups.

    Raises UsageError where it is cut off.
    """
    raw = read_bytes(path)
    *numbers, shared, size = struct.unpack_from("<7iBi", raw, 8)
    config = config_of(path, tuple(numbers), tied=shared == 1)
    shapes, at, out = _kinds(config), 256, {}
    for name in ("attn_norm", "ffn_norm", "final_norm"):
        count = int(np.prod(shapes[name]))
        out[name] = np.frombuffer(raw, "<f4", count, at).reshape(shapes[name])
        at += 4 * count
    for name in ("tok_emb", "wq", "wk", "wv", "wo", "w1", "w2", "w3", "wcls"):
        matrices = []
        for _ in range(shapes[name][0] if len(shapes.get(name, ())) == 3 else name in shapes):
            count = shapes[name][-2] * shapes[name][-1]
            values = np.frombuffer(raw, np.int8, count, at).reshape(-1, size)
            scales = np.frombuffer(raw, "<f4", count // size, at + count)
            matrices.append((values * scales[:, None]).astype(np.float32))
            at += count + 4 * (count // size)
        if matrices:
            out[name] = np.concatenate(matrices).reshape(shapes[name])
    if at != len(raw):
        raise UsageError(f"{path}: {counted(len(raw), 'byte')}; a model with its header has {at:,}")
    return config, out


def read_tokenizer_bin(path: Path, vocabulary: int) -> tuple[list[bytes], list[float]]:
    """Read run.c's tokenizer.bin: the pieces with blanks as blanks, and their scores.

    Raises UsageError where it is of another size.
    """
    raw, at, pieces, scores = read_bytes(path), 4, [], []
    for _ in range(vocabulary):
        score, length = struct.unpack_from("<fi", raw, at)
        pieces.append(raw[at + 8 : at + 8 + length])
        scores.append(score)
        at += 8 + length
    longest = struct.unpack_from("<I", raw)[0]
    if at != len(raw) or longest != max(map(len, pieces)) or not all(pieces):
        raise UsageError(f"{path} is not the tokenizer.bin of {vocabulary:,} pieces")
    return pieces, scores


def _joined(symbols: list[Symbol], rank: Callable[[Symbol, Symbol], float | None]) -> list[Symbol]:
    """Return symbols joined pair by pair until no pair has a rank: the highest first, of equals the leftmost."""
    while True:
        ranks = ((rank(a, b), -at) for at, (a, b) in enumerate(pairwise(symbols)))
        candidates = [(value, at) for value, at in ranks if value is not None]
        if not candidates:
            return symbols
        best = -max(candidates)[1]
        symbols = symbols[:best] + [symbols[best] + symbols[best + 1]] + symbols[best + 2 :]  # noqa: RUF005


def encode_as_run_c(text: str, pieces: list[bytes], scores: list[float]) -> list[int]:
    """Return the ids that run.c gives a text: bytes of pieces are joined, an unknown character is its bytes + 3."""
    ids = {piece: index for index, piece in reversed(list(enumerate(pieces)))}
    symbols = [b" "] if text else []
    for char in text:
        raw = char.encode()
        symbols += [raw] if raw in ids else [pieces[byte + 3] for byte in raw]

    def rank(a: bytes, b: bytes) -> float | None:
        return scores[ids[a + b]] if a + b in ids else None

    return [ids[symbol] for symbol in _joined(symbols, rank)]


def _with_tokenizer_bin(config: ModelConfig, weights: Weights, files: Files) -> ReadBack:
    pieces, scores = read_tokenizer_bin(files.beside("tokenizer.bin"), config.vocab_size)
    model = numpy_llama.Llama(config.as_dict(), weights, [], [])
    return ReadBack(model, lambda text: encode_as_run_c(text, pieces, scores))


def read_bin(files: Files) -> ReadBack:
    """Read run.c's model and tokenizer; the rotary tables, which run.c skips, must be those that it computes itself.

    Raises UsageError where they are not.
    """
    config, weights = read_v0(files.main)
    back = _with_tokenizer_bin(config, weights, files)
    for name, table in (("freqs_cos", back.model.cos), ("freqs_sin", back.model.sin)):
        if not np.allclose(weights[name], table[:, 0], atol=1e-3):
            raise UsageError(f"{files.main.name}: {name} is not the rotary table of this context")
    return back


def read_q8(files: Files) -> ReadBack:
    """Read runq.c's model and tokenizer."""
    return _with_tokenizer_bin(*read_v2(files.main), files)


# --- npz -----------------------------------------------------------------------------------------------------------


def read_npz(files: Files) -> ReadBack:
    """Read model.npz as its runner does."""
    model = numpy_llama.Llama.load(str(files.main))
    return ReadBack(model, model.encode)


# --- gguf ----------------------------------------------------------------------------------------------------------

_BLOCKS = {
    "attn_norm": "attn_norm", "wq": "attn_q", "wk": "attn_k", "wv": "attn_v", "wo": "attn_output",
    "ffn_norm": "ffn_norm", "w1": "ffn_gate", "w2": "ffn_down", "w3": "ffn_up",
}  # fmt: skip


def read_gguf(files: Files) -> ReadBack:
    """Read model.gguf with the package gguf's reader."""
    gguf = load_gguf()
    reader = gguf.GGUFReader(files.main)

    def value(key: str) -> Any:
        return reader.fields[key].contents()

    config = {
        "dim": value("llama.embedding_length"), "hidden_dim": value("llama.feed_forward_length"),
        "n_layers": value("llama.block_count"), "n_heads": value("llama.attention.head_count"),
        "n_kv_heads": value("llama.attention.head_count_kv"), "max_seq_len": value("llama.context_length"),
        "vocab_size": value("llama.vocab_size"), "norm_eps": value("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": value("llama.rope.freq_base"),
    }  # fmt: skip
    tensors = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    blocks = range(config["n_layers"])
    weights = {
        name: np.stack([tensors[f"blk.{block}.{theirs}.weight"] for block in blocks])
        for name, theirs in _BLOCKS.items()
    }
    weights |= {"tok_emb": tensors["token_embd.weight"], "final_norm": tensors["output_norm.weight"]}
    if "output.weight" in tensors:
        weights["wcls"] = tensors["output.weight"]
    model = numpy_llama.Llama(config, weights, value("tokenizer.ggml.tokens"), value("tokenizer.ggml.scores"))
    return ReadBack(model, model.encode)


# --- Hugging Face --------------------------------------------------------------------------------------------------


class HalvesLlama(numpy_llama.Llama):
    """The numpy runner with Hugging Face's rotary pairs: (i, i + h/2)."""

    def rotate(self, x: Array, start: int, end: int) -> Array:
        """Turn the pairs (i, i + h/2) of x (T,heads,h) by their positions: x cos + (-b, a) sin."""
        half = self.head_dim // 2
        cos, sin = (np.concatenate((table, table), -1)[start:end] for table in (self.cos, self.sin))
        turned = np.concatenate((-x[..., half:], x[..., :half]), -1)
        return np.asarray(x * cos + turned * sin, np.float32)


def read_safetensors(path: Path) -> Weights:
    """Read the tensors of a safetensors file in fp32: 8 bytes length, JSON header, then the data."""
    raw = read_bytes(path)
    length = struct.unpack_from("<Q", raw)[0]
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    out = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        data = raw[8 + length + start : 8 + length + end]
        if entry["dtype"] == "BF16":  # the upper half of an fp32
            array = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            array = np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]).astype(np.float32)
        out[name] = array.reshape(entry["shape"])
    return out


_LAYER = {
    "attn_norm": "input_layernorm", "wq": "self_attn.q_proj", "wk": "self_attn.k_proj", "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "w1": "mlp.gate_proj", "w2": "mlp.down_proj",
    "w3": "mlp.up_proj",
}  # fmt: skip


def read_hf(files: Files) -> ReadBack:
    """Read config.json, model.safetensors and tokenizer.json."""
    raw = json.loads(read_bytes(files.folder / "config.json"))
    config = {
        "dim": raw["hidden_size"], "hidden_dim": raw["intermediate_size"], "n_layers": raw["num_hidden_layers"],
        "n_heads": raw["num_attention_heads"], "n_kv_heads": raw["num_key_value_heads"],
        "max_seq_len": raw["max_position_embeddings"], "vocab_size": raw["vocab_size"],
        "norm_eps": raw["rms_norm_eps"], "rope_theta": raw["rope_theta"],
    }  # fmt: skip
    tensors = read_safetensors(files.folder / "model.safetensors")
    weights = {
        name: np.stack([tensors[f"model.layers.{layer}.{theirs}.weight"] for layer in range(config["n_layers"])])
        for name, theirs in _LAYER.items()
    }
    weights |= {"tok_emb": tensors["model.embed_tokens.weight"], "final_norm": tensors["model.norm.weight"]}
    if not raw["tie_word_embeddings"]:
        weights["wcls"] = tensors["lm_head.weight"]
    tokenizer = json.loads(read_bytes(files.folder / "tokenizer.json"))["model"]
    return ReadBack(HalvesLlama(config, weights, [], []), lambda text: _encode_by_merges(text, tokenizer))


def _encode_by_merges(text: str, model: dict[str, Any]) -> list[int]:
    """Return the ids that Hugging Face's BPE gives: pairs are merged in the order of tokenizer.json."""
    ids, order = model["vocab"], {tuple(pair): -rank for rank, pair in enumerate(model["merges"])}
    symbols: list[str] = []
    for char in "▁" + text.replace(" ", "▁") if text else "":
        symbols += [char] if char in ids else [f"<0x{byte:02X}>" for byte in char.encode()]
    return [ids.get(symbol, 0) for symbol in _joined(symbols, lambda a, b: order.get((a, b)))]
