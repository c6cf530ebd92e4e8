"""What the tests of export and import share: a tiny tokenizer, tiny checkpoints, and run.c's forward pass in numpy."""

from __future__ import annotations

import functools
import random
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.model.checkpoint import Checkpoint, Record, load_checkpoint, save_checkpoint
from trainer.model.convert import StateDict
from trainer.model.llama import Llama, ModelConfig
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import Tokenizer, train_tokenizer

Array = NDArray[np.float32]
VOCABULARY = 384
TIED = ModelConfig(VOCABULARY, dim=48, n_layers=2, n_heads=4, n_kv_heads=4, hidden_dim=128, max_seq_len=96)
UNTIED = replace(TIED, n_kv_heads=2, tied=False)  # grouped-query heads and an output of its own
WIDE = replace(TIED, dim=64)  # rows in whole blocks of 32, as q8_0 needs them
SIZES = {"tied": TIED, "untied": UNTIED, "wide": WIDE}
_WORDS = (
    "the sea was grey and cold but ann walked down to it each morning with her old dog to see boats come in".split()
)


@functools.cache
def tiny_tokenizer() -> Tokenizer:
    """Return a tokenizer of 384 pieces; the same one each time."""
    chance = random.Random(5)
    lines = [f"Q: {' '.join(chance.choices(_WORDS, k=6))}?" for _ in range(60)]
    lines += [f"A: {' '.join(chance.choices(_WORDS, k=12)).capitalize()}." for _ in range(120)]
    return Tokenizer(train_tokenizer(lines, VOCABULARY))


def random_state(config: ModelConfig, seed: int = 0) -> StateDict:
    """Return weights large enough that every part of the model, positions too, tells in the next token."""
    model = Llama(config)
    model.reset(seed)
    noise = torch.Generator().manual_seed(seed + 1)
    return {
        name: one.detach() * (12 if "layers" in name else 4)
        if one.dim() > 1
        else 1 + 0.1 * torch.randn(one.shape, generator=noise)
        for name, one in model.named_parameters()
    }


def tiny_checkpoint(
    folder: Path, config: ModelConfig = TIED, seed: int = 0, template: Template | None = None
) -> Checkpoint:
    """Save and load a checkpoint with random weights."""
    record = Record(made_by="pretrain", created="2026-01-01T00:00:00+00:00", template=template or Template())
    save_checkpoint(folder, random_state(config, seed), config, tiny_tokenizer(), record)
    return load_checkpoint(folder)


def tree(folder: Path) -> dict[str, bytes]:
    """Return path -> bytes of everything below a folder, hidden files too; folders end in a slash."""
    paths = sorted(folder.rglob("*"))
    return {
        str(one.relative_to(folder)) + "/" * one.is_dir(): b"" if one.is_dir() else one.read_bytes() for one in paths
    }


def odd_strings(count: int, seed: int = 3) -> list[str]:
    """Return strings as nobody writes them: many blanks, digits, umlauts, emoji, tabs, newlines, marks."""
    chance = random.Random(seed)
    # without "▁", which SentencePiece takes for a blank and run.c for three bytes
    parts = [*_WORDS, *"  \n\t.,!?'\"0123456789äßéñ中文🙂\u200d", "Q:", "A:", "<s", "  ", " \n ", "\n\n", "É", "\u00a0"]
    return ["".join(chance.choices(parts, k=chance.randint(1, 24))) for _ in range(count)]


@contextmanager
def disk_of(limit: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: what a full disk does to a writer, on this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --- run.c's forward pass, from the layout that llama2.c documents, apart from the trainer's writers and readers -----


def read_run_c(raw: bytes) -> tuple[dict[str, int], dict[str, Array]]:
    """Read a v0 file as run.c maps it into memory."""
    names = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
    p = {name: int(value) for name, value in zip(names, np.frombuffer(raw, "<i4", 7), strict=True)}
    shared, p["vocab_size"] = p["vocab_size"] > 0, abs(p["vocab_size"])
    d, hidden, n, v = p["dim"], p["hidden_dim"], p["n_layers"], p["vocab_size"]
    head = d // p["n_heads"]
    kv = p["n_kv_heads"] * head
    rest, w = np.frombuffer(raw, "<f4", offset=28), {}
    for name, shape in (
        ("token_embedding_table", (v, d)), ("rms_att_weight", (n, d)), ("wq", (n, d, d)), ("wk", (n, kv, d)),
        ("wv", (n, kv, d)), ("wo", (n, d, d)), ("rms_ffn_weight", (n, d)), ("w1", (n, hidden, d)),
        ("w2", (n, d, hidden)), ("w3", (n, hidden, d)), ("rms_final_weight", (d,)),
        ("freq_cis_real", (p["seq_len"], head // 2)), ("freq_cis_imag", (p["seq_len"], head // 2)),
        ("wcls", (0,) if shared else (v, d)),
    ):  # fmt: skip
        size = int(np.prod(shape))
        w[name], rest = rest[:size].reshape(shape), rest[size:]
    assert len(rest) == 0, f"{len(rest)} numbers too many"
    if shared:
        w["wcls"] = w["token_embedding_table"]
    return p, w


def run_c_logits(p: dict[str, int], w: dict[str, Array], tokens: list[int]) -> Array:
    """Return the logits (T,V) that run.c computes, one position after the other and head by head."""

    def rmsnorm(x: Array, weight: Array) -> Array:
        return weight * (x / np.sqrt(np.mean(x * x) + np.float32(1e-5)))

    heads, head = p["n_heads"], p["dim"] // p["n_heads"]
    group = heads // p["n_kv_heads"]
    keys: list[list[Array]] = [[] for _ in range(p["n_layers"])]
    values: list[list[Array]] = [[] for _ in range(p["n_layers"])]
    out = []
    for position, token in enumerate(tokens):
        x = w["token_embedding_table"][token].copy()
        for layer in range(p["n_layers"]):
            xb = rmsnorm(x, w["rms_att_weight"][layer])
            q, k, v = w["wq"][layer] @ xb, w["wk"][layer] @ xb, w["wv"][layer] @ xb
            for i in range(0, p["dim"], 2):
                angle = np.float32(position * 10000.0 ** (-(i % head) / head))
                for vec in (q, k) if i < len(k) else (q,):
                    a, b = vec[i], vec[i + 1]
                    vec[i] = a * np.cos(angle) - b * np.sin(angle)
                    vec[i + 1] = a * np.sin(angle) + b * np.cos(angle)
            keys[layer].append(k)
            values[layer].append(v)
            xb = np.zeros_like(x)
            for h in range(heads):
                at, kv = slice(h * head, (h + 1) * head), slice(h // group * head, (h // group + 1) * head)
                scores = np.array([q[at] @ key[kv] / np.sqrt(head) for key in keys[layer]])
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                xb[at] = sum(weight * value[kv] for weight, value in zip(weights, values[layer], strict=True))
            x = x + w["wo"][layer] @ xb
            xb = rmsnorm(x, w["rms_ffn_weight"][layer])
            gate = w["w1"][layer] @ xb
            x = x + w["w2"][layer] @ (gate / (1 + np.exp(-gate)) * (w["w3"][layer] @ xb))
        out.append(w["wcls"] @ rmsnorm(x, w["rms_final_weight"]))
    return np.array(out, np.float32)


# --- llama2.c's own checkpoint, made as its train.py makes one -------------------------------------------------------


def llama2c_tensors(config: ModelConfig, seed: int = 11) -> StateDict:
    """Return random weights under the names of llama2.c's model.py."""
    d, hidden, kv = config.dim, config.hidden_dim, config.n_kv_heads * config.head_dim
    random = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {"tok_embeddings.weight": (config.vocab_size, d)}
    for layer in range(config.n_layers):
        for name, shape in (
            ("attention.wq", (d, d)), ("attention.wk", (kv, d)), ("attention.wv", (kv, d)), ("attention.wo", (d, d)),
            ("feed_forward.w1", (hidden, d)), ("feed_forward.w2", (d, hidden)), ("feed_forward.w3", (hidden, d)),
            ("attention_norm", (d,)), ("ffn_norm", (d,)),
        ):  # fmt: skip
            shapes[f"layers.{layer}.{name}.weight"] = shape
    shapes |= {"norm.weight": (d,), "output.weight": (config.vocab_size, d)}
    out = {name: torch.randn(shape, generator=random) * 0.1 + (len(shape) == 1) for name, shape in shapes.items()}
    if config.tied:
        out["output.weight"] = out["tok_embeddings.weight"]  # one storage under two names, as there
    return out


def llama2c_checkpoint(config: ModelConfig, prefix: str = "", **changes: Any) -> dict[str, Any]:
    """Return what llama2.c's train.py gives to torch.save, with `changes` of it."""
    parameter = torch.nn.Parameter(torch.zeros(2))
    return {
        "model": {prefix + name: one for name, one in llama2c_tensors(config).items()},
        "optimizer": torch.optim.AdamW([parameter]).state_dict(),
        "model_args": {
            "dim": config.dim, "n_layers": config.n_layers, "n_heads": config.n_heads, "n_kv_heads": config.n_kv_heads,
            "vocab_size": config.vocab_size, "multiple_of": 32, "max_seq_len": config.max_seq_len, "dropout": 0.0,
        },
        "iter_num": 1000, "best_val_loss": torch.tensor(1.5), "config": {"out_dir": "out", "learning_rate": 5e-4},
    } | changes  # fmt: skip


def run_c_file(config: ModelConfig, tensors: StateDict) -> bytes:
    """Return the v0 file of llama2.c's weights, byte by byte as its documentation has it."""
    steps = torch.arange(0, config.head_dim, 2)[: config.head_dim // 2].float() / config.head_dim
    angles = torch.outer(torch.arange(config.max_seq_len), 1.0 / (10000.0**steps)).float()
    numbers = (config.dim, config.hidden_dim, config.n_layers, config.n_heads, config.n_kv_heads,
               config.vocab_size if config.tied else -config.vocab_size, config.max_seq_len)  # fmt: skip
    order = [tensors["tok_embeddings.weight"]]
    for name in ("attention_norm", "attention.wq", "attention.wk", "attention.wv", "attention.wo", "ffn_norm",
                 "feed_forward.w1", "feed_forward.w2", "feed_forward.w3"):  # fmt: skip
        order += [tensors[f"layers.{layer}.{name}.weight"] for layer in range(config.n_layers)]
    order += [tensors["norm.weight"], torch.cos(angles), torch.sin(angles)]
    if not config.tied:
        order.append(tensors["output.weight"])
    return struct.pack("<7i", *numbers) + b"".join(one.numpy().tobytes() for one in order)
