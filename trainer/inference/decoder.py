"""Forward passes from tokens to logits, for one text or for many side by side, in fp32 on the CPU.

On a CPU, a pass for one token spends nearly all its time on reading every weight from memory. The rest is kept small:
such a pass is written in numpy, whose calls cost least. Greedy text repeats itself, so the tokens that followed the
last two tokens earlier are proposed again and checked in one pass. Wrong proposals are dropped, so the tokens do not
change. `benchmarks/generate.py` measures it. Source of the proposals: prompt lookup decoding (Saxena 2023).
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from trainer.inference.sampling import Floats, Picker, Sampling
from trainer.model.llama import Llama, rope_tables
from trainer.model.lora import merged_state
from trainer.model.tokenizer import BOS

PROPOSED = 7  # tokens proposed at a time; a pass for eight tokens takes about twice as long as for one


@dataclass(frozen=True)
class _Weights:
    """The matrices of a layer, each (in, out): the fastest layout on a CPU for few rows at a time."""

    qkv: Tensor
    wo: Tensor
    gate_up: Tensor
    down: Tensor


class Decoder:
    """The weights of a model, prepared once for any number of texts; fp32 on the CPU.

    The norms' scales are multiplied into the matrices behind them, 1/sqrt(h) into q's; the rotary pairs lie side by
    side, so that turning them is one complex product.
    """

    def __init__(self, model: Llama) -> None:
        c = self.config = model.config
        state, h, turned = merged_state(model), c.head_dim, c.n_heads + c.n_kv_heads
        pairs = torch.arange(h).view(2, h // 2).T.flatten()
        self.layers = []
        for name in (f"layers.{layer}." for layer in range(c.n_layers)):
            qkv = (state[name + "attention.wqkv.weight"] * state[name + "attention_norm.weight"]).view(-1, h, c.dim)
            qkv[:turned] = qkv[:turned, pairs]
            qkv[: c.n_heads] *= h**-0.5
            gate_up = state[name + "mlp.gate_up.weight"] * state[name + "mlp_norm.weight"]
            wo, down = state[name + "attention.wo.weight"], state[name + "mlp.down.weight"]
            self.layers.append(_Weights(*(matrix.T.contiguous() for matrix in (qkv.flatten(0, 1), wo, gate_up, down))))
        self.embedding = state["embedding.weight"]
        output = self.embedding if c.tied else state["output.weight"]
        self.output = (output * state["norm.weight"]).T.contiguous()  # (D,V)
        self.turns = torch.complex(*rope_tables(c, c.max_seq_len))  # (T, h/2)

    def cache(self, rows: int, length: int) -> Tensor:
        """Return an empty cache of keys and values for rows of up to `length` tokens, (L,2,B,K,T,h)."""
        c = self.config
        return torch.zeros(c.n_layers, 2, rows, c.n_kv_heads, min(length, c.max_seq_len), c.head_dim)

    @torch.inference_mode()
    def states(self, tokens: Tensor, positions: Tensor, cache: Tensor) -> Tensor:
        """Take in tokens (B,M) at their positions (B,M): write the cache, return the last hidden states (B,M,D).

        Each token sees what the cache holds of its row up to its own position.
        """
        c, (rows, many) = self.config, tokens.shape
        parts, length = (c.n_heads + c.n_kv_heads, c.n_kv_heads), int(positions.max()) + 1
        hidden = (torch.arange(length) > positions[..., None])[:, None]  # (B,1,M,t)
        mask = torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))
        turns, row = self.turns[positions][:, :, None], torch.arange(rows)[:, None]
        x = self.embedding[tokens]
        for w, (keys, values) in zip(self.layers, cache, strict=True):
            qkv = (self._normed(x) @ w.qkv).view(rows, many, -1, c.head_dim)
            qk, v = qkv.split_with_sizes(parts, dim=2)
            qk = torch.view_as_real(torch.view_as_complex(qk.view(*qk.shape[:-1], -1, 2)) * turns).flatten(-2)
            keys[row, :, positions], values[row, :, positions] = qk[:, :, c.n_heads :], v
            y = F.scaled_dot_product_attention(
                qk[:, :, : c.n_heads].transpose(1, 2), keys[:, :, :length], values[:, :, :length], mask,
                scale=1.0, enable_gqa=c.n_heads != c.n_kv_heads,
            )  # fmt: skip
            x = x + y.transpose(1, 2).flatten(2) @ w.wo
            gate, up = (self._normed(x) @ w.gate_up).chunk(2, dim=-1)
            x = x + (F.silu(gate) * up) @ w.down
        return x

    @torch.inference_mode()
    def logits(self, states: Tensor) -> Floats:
        """Return the logits (...,V) of last hidden states (...,D)."""
        out: Floats = (self._normed(states) @ self.output).numpy()
        return out

    def _normed(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config.norm_eps)

    def stream(self, prompt: list[int], sampling: Sampling) -> Generator[int]:
        """Yield the tokens after a prompt up to an end mark, which is not yielded, max_tokens or the context's end."""
        most = min(sampling.max_tokens, self.config.max_seq_len - len(prompt))
        if most < 1:
            return
        picker, line = Picker(sampling, self.config.vocab_size, prompt), Line(self, len(prompt) + most)
        repeats = Repeats(prompt) if sampling.temperature == 0 else None
        logits, proposed, written = line.take(prompt, 1), list[int](), 0
        while True:
            for place, row in enumerate(logits):
                token = picker.pick(row)
                if token in sampling.ends:
                    return
                yield token
                written += 1
                if written == most:
                    return
                if repeats:
                    repeats.add(token)
                if proposed[place : place + 1] != [token]:
                    line.forget(len(proposed) - place)
                    break
            proposed = repeats.after()[: most - written - 1] if repeats else []
            logits = line.take([token, *proposed], 1 + len(proposed))


class Repeats:
    """The tokens that followed each pair of tokens at its last place in the text."""

    def __init__(self, ids: list[int]) -> None:
        self._ids: list[int] = []
        self._behind: dict[tuple[int, int], int] = {}
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        """Add the next token; the pair before it can be looked up from now on."""
        if len(self._ids) > 1:
            self._behind[self._ids[-2], self._ids[-1]] = len(self._ids)
        self._ids.append(token)

    def after(self) -> list[int]:
        """Return the PROPOSED tokens that followed the last two tokens earlier; a short loop is repeated."""
        at = self._behind.get((self._ids[-2], self._ids[-1])) if len(self._ids) > 1 else None
        if at is None:
            return []
        followed = self._ids[at : at + PROPOSED]
        return (followed * PROPOSED)[:PROPOSED]


class Line:
    """One growing text: its keys and values, and preallocated buffers for the numbers of a pass."""

    def __init__(self, decoder: Decoder, length: int) -> None:
        c, self._decoder, self._at = decoder.config, decoder, 0
        self._cache = decoder.cache(1, length)
        self._caches = [cache[:, 0].numpy() for cache in self._cache]  # (2,K,T,h) of each layer
        self._embedding, self._turns = decoder.embedding.numpy(), decoder.turns.numpy()
        # (out,in) views for PyTorch's product: numpy's would start threads of its own, which slow PyTorch's down
        self._weights = [(w.qkv.T, w.wo.T, w.gate_up.T, w.down.T) for w in decoder.layers]
        sizes = (c.dim, (c.n_heads + 2 * c.n_kv_heads) * c.head_dim, c.dim, c.dim, 2 * c.hidden_dim, c.hidden_dim,
                 c.vocab_size)  # fmt: skip
        self._tensors = [torch.zeros(size) for size in sizes]
        self._arrays = [tensor.numpy() for tensor in self._tensors]  # the same memory

    def take(self, ids: list[int], rows: int) -> Floats:
        """Take in the next ids; return the logits (rows,V) of the last `rows` of them, valid until the next call."""
        if len(ids) == 1:
            return self._step(ids[0])[None]
        positions = torch.arange(self._at, self._at + len(ids))[None]
        states = self._decoder.states(torch.tensor([ids]), positions, self._cache)
        self._at += len(ids)
        return self._decoder.logits(states[0, len(ids) - rows :])

    def forget(self, tokens: int) -> None:
        """Take back the last tokens."""
        self._at -= tokens

    @torch.inference_mode()
    @np.errstate(over="ignore")  # exp(-gate) may be infinite: the quotient is 0 then, as it should be
    def _step(self, token: int) -> Floats:
        """Do for one token what `Decoder.states` and `Decoder.logits` do; return its logits (V,)."""
        c, at, mv = self._decoder.config, self._at, torch.mv
        normed, qkv, mixed, added, both, gated, logits = self._arrays
        t_normed, t_qkv, t_mixed, t_added, t_both, t_gated, t_logits = self._tensors
        heads, kv, h, turn, share, eps = c.n_heads, c.n_kv_heads, c.head_dim, self._turns[at], 1 / c.dim, c.norm_eps
        qk = qkv[: (heads + kv) * h].view(np.complex64).reshape(heads + kv, h // 2)
        q, new = qkv[: heads * h].reshape(kv, heads // kv, h), qkv[heads * h :].reshape(2, kv, h)
        mix, gate, up = mixed.reshape(kv, heads // kv, h), both[: c.hidden_dim], both[c.hidden_dim :]
        x = self._embedding[token].copy()
        for (wqkv, wo, gate_up, down), cache in zip(self._weights, self._caches, strict=True):
            np.multiply(x, (float(x.dot(x)) * share + eps) ** -0.5, normed)
            mv(wqkv, t_normed, out=t_qkv)
            np.multiply(qk, turn, qk)
            cache[:, :, at] = new
            keys, values = cache[0, :, : at + 1], cache[1, :, : at + 1]  # (K,t,h)
            scores = np.matmul(q, keys.transpose(0, 2, 1))  # (K,H/K,t)
            scores -= np.maximum.reduce(scores, 2, keepdims=True)
            np.exp(scores, scores)
            np.matmul(scores, values, mix)
            mix /= np.add.reduce(scores, 2, keepdims=True)
            mv(wo, t_mixed, out=t_added)
            x += added
            np.multiply(x, (float(x.dot(x)) * share + eps) ** -0.5, normed)
            mv(gate_up, t_normed, out=t_both)
            np.negative(gate, gated)
            np.exp(gated, gated)
            gated += 1.0
            np.divide(gate, gated, gated)
            gated *= up
            mv(down, t_gated, out=t_added)
            x += added
        np.multiply(x, (float(x.dot(x)) * share + eps) ** -0.5, normed)
        mv(self._decoder.output.T, t_normed, out=t_logits)
        self._at += 1
        return logits


def settle_threads(decoder: Decoder, requested: int = 0) -> int:
    """Set PyTorch's threads as requested; 0: one, or one a core, whichever is faster in a trial of a few passes.

    At these sizes more threads gain little. Where another program keeps a core busy they lose nearly all of it, since
    every product waits for its slowest part. Returns the number of threads.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(requested or 1)
    if requested or cores == 1:
        return requested or 1
    alone = _trial(decoder, float("inf"))
    torch.set_num_threads(cores)
    if _trial(decoder, alone) >= alone:
        torch.set_num_threads(1)
    return torch.get_num_threads()


def _trial(decoder: Decoder, limit: float) -> float:
    """Return the seconds of a few passes, given up once they are over the limit."""
    line = Line(decoder, 64)
    line.take([BOS], 1)  # the first pass of all is slow
    begun = time.perf_counter()
    for tokens in (1, 1, 1, 8, 1, 1, 1, 8):
        line.take([BOS] * tokens, 1)
        if time.perf_counter() - begun > limit:
            break
    return time.perf_counter() - begun


def greedy(model: Llama, prompt: list[int], tokens: int) -> list[int]:
    """Return the `tokens` likeliest ids after a prompt, one by one; end marks do not stop it, the context does."""
    if tokens < 1:
        return []
    return list(Decoder(model).stream(prompt, Sampling(temperature=0.0, max_tokens=tokens, ends=())))
