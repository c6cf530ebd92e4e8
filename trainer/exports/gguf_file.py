"""GGUF for llama.cpp and programs built on it: the architecture `llama` with the tokenizer `llama` (SPM).

llama.cpp pairs rotary dimensions (2i, 2i + 1), as llama2.c does, so the weights are llama2.c's under other names.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from types import ModuleType
from typing import Any

import torch

from curator.contract.errors import UsageError
from curator.contract.homes import install
from trainer.exports.paths import Files, shown_name
from trainer.model.checkpoint import Checkpoint, chat_template
from trainer.model.convert import StateDict, to_llama2c
from trainer.model.llama import ModelConfig
from trainer.model.tokenizer import BOS, EOS, UNK

_FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7}
_TOKEN_TYPES = {"normal": 1, "unknown": 2, "control": 3, "unused": 5, "byte": 6}
_BLOCK = 32
# llama2.c's names -> GGUF's; "{}" is the number of the layer.
NAMES = {
    "tok_embeddings.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "output.weight": "output.weight",  # left out where it is tied: llama.cpp then uses the embedding
    "layers.{}.attention_norm.weight": "blk.{}.attn_norm.weight",
    "layers.{}.attention.wq.weight": "blk.{}.attn_q.weight",
    "layers.{}.attention.wk.weight": "blk.{}.attn_k.weight",
    "layers.{}.attention.wv.weight": "blk.{}.attn_v.weight",
    "layers.{}.attention.wo.weight": "blk.{}.attn_output.weight",
    "layers.{}.ffn_norm.weight": "blk.{}.ffn_norm.weight",
    "layers.{}.feed_forward.w1.weight": "blk.{}.ffn_gate.weight",
    "layers.{}.feed_forward.w2.weight": "blk.{}.ffn_down.weight",
    "layers.{}.feed_forward.w3.weight": "blk.{}.ffn_up.weight",
}


def load_gguf() -> ModuleType:
    """Return the package gguf. Raises UsageError where it is not installed."""
    try:
        import gguf
    except ImportError:
        raise UsageError("gguf is not installed", f"install it with: {install('gguf')}") from None
    return gguf


def write(checkpoint: Checkpoint, files: Files, dtype: str) -> StateDict | None:
    """Write model.gguf with matrices in `dtype`, norms in fp32; return the rounded weights, None where none is.

    Raises UsageError for a size that q8_0 cannot hold.
    """
    gguf, config = load_gguf(), checkpoint.config
    _require_possible(checkpoint, dtype)
    writer = gguf.GGUFWriter(files.main, "llama")
    _add_keys(writer, checkpoint, dtype)
    _add_tokenizer(writer, checkpoint)
    kind = gguf.GGMLQuantizationType[dtype.upper()]
    for name, tensor in to_llama2c(checkpoint.state, config).items():
        plain = tensor.dim() < 2 or dtype == "f32"
        data = tensor.numpy() if plain else gguf.quants.quantize(tensor.numpy(), kind)
        writer.add_tensor(_name(name), data, raw_dtype=None if plain else kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    except OSError as error:
        with suppress(OSError):
            writer.close()
        # numpy's tofile, which gguf uses, says how many values it wrote, but not why it stopped
        raise error if error.errno else OSError(errno.ENOSPC, "no space left to write it", str(files.main)) from None
    return None if dtype == "f32" else rounded(checkpoint.state, dtype)


def rounded(state: StateDict, dtype: str) -> StateDict:
    """Return the weights as llama.cpp reads them. Blocks lie within rows, so the order of rows does not matter."""
    gguf = load_gguf()
    kind = gguf.GGMLQuantizationType[dtype.upper()]
    out = {}
    for name, tensor in state.items():
        if tensor.dim() < 2:
            out[name] = tensor
        else:
            blocks = gguf.quants.quantize(tensor.contiguous().numpy(), kind)
            out[name] = torch.from_numpy(gguf.quants.dequantize(blocks, kind))
    return out


def _name(name: str) -> str:
    parts = name.split(".")
    if parts[0] != "layers":
        return NAMES[name]
    return NAMES[".".join(["layers", "{}", *parts[2:]])].format(parts[1])


def _require_possible(checkpoint: Checkpoint, dtype: str) -> None:
    config = checkpoint.config
    if dtype == "q8_0" and (config.dim % _BLOCK or config.hidden_dim % _BLOCK):
        raise UsageError(
            f"q8_0 needs rows in blocks of {_BLOCK}; dim is {config.dim}, hidden_dim {config.hidden_dim}",
            "export it with --dtype f16 or f32",
        )


def _add_keys(writer: Any, checkpoint: Checkpoint, dtype: str) -> None:
    config: ModelConfig = checkpoint.config
    writer.add_type("model")
    writer.add_name(shown_name(checkpoint.folder))
    writer.add_file_type(_FILE_TYPES[dtype])
    if dtype == "q8_0":
        writer.add_quantization_version(2)
    writer.add_context_length(config.max_seq_len)
    writer.add_embedding_length(config.dim)
    writer.add_block_count(config.n_layers)
    writer.add_feed_forward_length(config.hidden_dim)
    writer.add_head_count(config.n_heads)
    writer.add_head_count_kv(config.n_kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: Any, checkpoint: Checkpoint) -> None:
    tokenizer = checkpoint.tokenizer
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece.encode() for piece in tokenizer.pieces()])
    writer.add_token_scores(tokenizer.scores())
    writer.add_token_types([_TOKEN_TYPES[tokenizer.kind(index)] for index in range(tokenizer.vocab_size)])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(UNK)
    # A reply ends with <s>: llama.cpp stops at the end of a turn too; Ollama's own engine reads the list.
    writer.add_eot_token_id(BOS)
    writer.add_array("tokenizer.ggml.eos_token_ids", [EOS, BOS])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(chat_template(checkpoint.record.template))
