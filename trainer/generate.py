"""Drawing text from a model.

    prompt --one pass--> logits --Picker--> token --one pass--> logits ... ; tokens --TextStream--> text

On a CPU nearly all of a pass for one token is the reading of every weight from memory. What is left is kept small:
such a pass is written in numpy, whose calls cost least. Greedy text repeats itself, so what followed the last two
tokens before is proposed again and checked in one pass; what does not hold is thrown away, and the tokens stay what
they were. `benchmarks/generate.py` measures it. Source of the proposals: prompt lookup decoding (Saxena 2023).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from trainer.lora import merged_state
from trainer.model import Llama, ModelConfig, rope_tables
from trainer.settings import SamplingSettings
from trainer.tokenizer import BOS, EOS, UNK, Tokenizer

Floats = NDArray[np.float32]
Why = Literal["end", "stop", "length", "context"]
PROPOSED = 7  # tokens proposed at a time; a pass for eight takes about twice as long as one for one
BATCH = 64  # replies written side by side; at 7M parameters each takes up to 3.5 MB of keys and values


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. The penalty counts what the reply holds already, not the prompt."""

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 42
    max_tokens: int = 120
    stops: tuple[str, ...] = ()
    ends: tuple[int, ...] = (BOS, EOS)

    @classmethod
    def of(cls, settings: SamplingSettings, seed: int = 42, stops: Sequence[str] = ()) -> Sampling:
        """Return the sampling that a file and the command line ask for."""
        return cls(**settings.model_dump(), seed=seed, stops=tuple(stops))


@dataclass(frozen=True)
class Reply:
    """What was drawn: its text, without the stop; all tokens, without the end mark; why it ended.

    `stopped` is 'end' (an end mark), 'stop' (a stop text), 'length' (max_tokens) or 'context' (no room is left). `cut`
    is the number of tokens at the prompt's beginning that the context had no room for.
    """

    text: str
    tokens: list[int]
    stopped: Why
    cut: int = 0


# --- from logits to a token ----------------------------------------------------------------------------------------


def probabilities(logits: NDArray[np.floating], sampling: Sampling) -> NDArray[np.float64]:
    """Return the probability of every token (V,), 0 for those that top-k, top-p or min-p leave out.

    Temperature comes first, then top-k, top-p and min-p, each over what the one before has left. Tokens as likely as
    the last one that stays stay too. The temperature must be above 0.
    """
    p = np.exp((logits.astype(np.float64) - float(logits.max())) / sampling.temperature)
    if 0 < sampling.top_k < len(p):
        p *= p >= np.partition(p, -sampling.top_k)[-sampling.top_k]
    p /= p.sum()
    if sampling.top_p < 1.0:
        # Only these are sorted: all others together hold less than what top-p leaves out.
        falling = np.sort(p[p >= (1.0 - sampling.top_p) / len(p)])[::-1]
        before = np.cumsum(falling) - falling  # what the likelier ones hold together
        p *= p >= falling[max(0, int((before < sampling.top_p).sum()) - 1)]
    if sampling.min_p > 0.0:
        p *= p >= sampling.min_p * p.max()
    p /= p.sum()
    return p


class Picker:
    """Draws the tokens of one reply; the same seed and logits give the same tokens."""

    def __init__(self, sampling: Sampling, vocab_size: int) -> None:
        self._sampling, self._dice = sampling, np.random.default_rng(sampling.seed)
        self._written = np.zeros(vocab_size, np.bool_)

    def pick(self, logits: Floats) -> int:
        """Return the next token after logits (V,)."""
        penalty = self._sampling.repetition_penalty
        if penalty != 1.0:
            logits = np.where(self._written, np.where(logits > 0, logits / penalty, logits * penalty), logits)
        if self._sampling.temperature == 0:
            token = int(logits.argmax())
        else:
            p = probabilities(logits, self._sampling)
            left = p.nonzero()[0]
            bounds = np.cumsum(p[left])
            # float32: below 1 by so much that the product stays below the last bound
            drawn = self._dice.random(dtype=np.float32) * bounds[-1]
            token = int(left[np.searchsorted(bounds, drawn, side="right")])
        self._written[token] = True
        return token


# --- the passes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Weights:
    """The matrices of a layer, (in, out) each: so laid out, few rows at a time multiply fastest on a CPU."""

    qkv: Tensor
    wo: Tensor
    gate_up: Tensor
    down: Tensor


class Decoder:
    """The weights of a model, made ready once to draw any number of texts from; fp32 on the CPU.

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
            self.layers.append(_Weights(*(one.T.contiguous() for one in (qkv.flatten(0, 1), wo, gate_up, down))))
        self.embedding = state["embedding.weight"]
        output = self.embedding if c.tied else state["output.weight"]
        self.output = (output * state["norm.weight"]).T.contiguous()  # (D,V)
        self.turns = torch.complex(*rope_tables(c, c.max_seq_len))  # (T, h/2)

    def cache(self, rows: int, length: int) -> Tensor:
        """Return room for keys and values of rows of up to `length` tokens, (L,2,B,K,T,h)."""
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

    def stream(self, prompt: list[int], sampling: Sampling) -> Iterator[int]:
        """Yield the tokens after a prompt up to an end mark, which is not yielded, max_tokens or the context's end."""
        most = min(sampling.max_tokens, self.config.max_seq_len - len(prompt))
        if most < 1:
            return
        picker, line = Picker(sampling, self.config.vocab_size), Line(self, len(prompt) + most)
        repeats = Repeats(prompt) if sampling.temperature == 0 else None
        logits, proposed, written = line.take(prompt, 1), list[int](), 0
        while True:
            for place, one in enumerate(logits):
                token = picker.pick(one)
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
    """What followed each pair of tokens when it stood in the text last."""

    def __init__(self, ids: list[int]) -> None:
        self._ids: list[int] = []
        self._behind: dict[tuple[int, int], int] = {}
        for one in ids:
            self.add(one)

    def add(self, token: int) -> None:
        """Take in the next token; the pair before it is known from here."""
        if len(self._ids) > 1:
            self._behind[self._ids[-2], self._ids[-1]] = len(self._ids)
        self._ids.append(token)

    def after(self) -> list[int]:
        """Return what followed the text's last two tokens before, PROPOSED tokens; a short loop is gone round again."""
        at = self._behind.get((self._ids[-2], self._ids[-1])) if len(self._ids) > 1 else None
        if at is None:
            return []
        followed = self._ids[at : at + PROPOSED]
        return (followed * PROPOSED)[:PROPOSED]


class Line:
    """One text that grows: its keys and values, and the numbers of a pass in buffers that are there from the start."""

    def __init__(self, decoder: Decoder, length: int) -> None:
        c, self._decoder, self._at = decoder.config, decoder, 0
        self._cache = decoder.cache(1, length)
        self._caches = [one[:, 0].numpy() for one in self._cache]  # (2,K,T,h) of each layer
        self._embedding, self._turns = decoder.embedding.numpy(), decoder.turns.numpy()
        # (out,in) views, for PyTorch's product: numpy's brings threads of its own, which get in the way of PyTorch's
        self._weights = [(w.qkv.T, w.wo.T, w.gate_up.T, w.down.T) for w in decoder.layers]
        sizes = (c.dim, (c.n_heads + 2 * c.n_kv_heads) * c.head_dim, c.dim, c.dim, 2 * c.hidden_dim, c.hidden_dim,
                 c.vocab_size)  # fmt: skip
        self._tensors = [torch.zeros(size) for size in sizes]
        self._arrays = [one.numpy() for one in self._tensors]  # the same memory

    def take(self, ids: list[int], rows: int) -> Floats:
        """Take in the next ids; return the logits (rows,V) of the last `rows` of them, good until the next call."""
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


def settle_threads(decoder: Decoder, asked: int = 0) -> int:
    """Give PyTorch the threads asked for; 0: one, or one a core, whichever a trial of a few passes finds quicker.

    At these sizes more threads gain little, and lose nearly all where another program keeps one of the cores busy, as
    every product waits for its slowest part. Returns the number of threads.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(asked or 1)
    if asked or cores == 1:
        return asked or 1
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


# --- from tokens to text -------------------------------------------------------------------------------------------


class TextStream:
    """The text of tokens as they come. What it gives out is final: never half a character, never part of a stop text.

    Tokens decoded one by one lose their blanks; so each is decoded behind one that is known, with the bytes before it
    that make no whole character yet. With `strip`, blanks and newlines at both ends do not show.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = (), strip: bool = True) -> None:
        self._tokenizer, self._stops, self._strip = tokenizer, [one for one in stops if one], strip
        self._before = len(tokenizer.decode([UNK]))
        self._open: list[int] = []
        self.text = ""
        self._shown = 0
        self.stopped = False

    def add(self, token: int) -> str:
        """Take in a token; return what can be shown since the last time. After a stop text, nothing more."""
        if self.stopped:
            return ""
        self._open.append(token)
        more = self._decoded()
        if more.endswith("\ufffd") and self._tokenizer.kind(token) == "byte":  # too few for a character yet
            return ""
        self._open.clear()
        self.text += more
        at = [place for place in (self.text.find(stop) for stop in self._stops) if place >= 0]
        if at:
            self.text, self.stopped = self.text[: min(at)], True
            return self.finish()
        return self._show(self._safe())

    def finish(self) -> str:
        """Return what was held back, now that no token follows; `text` is the whole from here."""
        self.text += self._decoded().rstrip("\ufffd")
        self._open.clear()
        if self._strip:
            self.text = self.text.rstrip()
        out = self._show(len(self.text))
        if self._strip:
            self.text = self.text.lstrip()
        return out

    def _decoded(self) -> str:
        return self._tokenizer.decode([UNK, *self._open])[self._before :]

    def _safe(self) -> int:
        """Return how much of the text no stop can take away any more, and no strip."""
        ends = [len(self.text)]
        for stop in self._stops:
            begun = (n for n in range(min(len(stop) - 1, len(self.text)), 0, -1) if self.text.endswith(stop[:n]))
            ends.append(len(self.text) - next(begun, 0))
        safe = min(ends)
        return len(self.text[:safe].rstrip()) if self._strip else safe

    def _show(self, end: int) -> str:
        out = self.text[self._shown : end]
        if self._strip and not self.text[: self._shown].strip():
            out = out.lstrip()
        self._shown = max(self._shown, end)
        return out


def fit(ids: list[int], context: int, room: int) -> tuple[list[int], int]:
    """Return a prompt that leaves room in the context, and how many tokens were cut from its beginning.

    Only a prompt that fills the whole context is cut: to `<s>` and its tail, before which a quarter of the context, or
    `room` tokens where that is less, is left for the reply.
    """
    if len(ids) < context:
        return ids, 0
    keep = max(0, context - 1 - max(1, min(room, context // 4)))
    return [BOS, *ids[len(ids) - keep :]], len(ids) - keep - (ids[0] == BOS)


class _Writer:
    """A reply that grows token by token."""

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer, prompt: list[int], sampling: Sampling, strip: bool):
        self.prompt, self.cut = fit(prompt, config.max_seq_len, sampling.max_tokens)
        self._most = min(sampling.max_tokens, config.max_seq_len - len(self.prompt))
        self._full: Why = "length" if self._most == sampling.max_tokens else "context"
        self.tokens: list[int] = []
        self._stream = TextStream(tokenizer, sampling.stops, strip)

    def add(self, token: int) -> str:
        """Take in a token; return the text that can be shown."""
        self.tokens.append(token)
        return self._stream.add(token)

    def take(self, token: int, ends: tuple[int, ...]) -> bool:
        """Take in a token, or return True where it is an end mark."""
        if token not in ends:
            self.add(token)
        return token in ends

    @property
    def over(self) -> bool:
        """Say whether a stop text or the last token that there is room for has come."""
        return self._stream.stopped or len(self.tokens) >= self._most

    def reply(self, ended: bool) -> tuple[Reply, str]:
        """Return the reply and what was not shown yet; `ended` says that an end mark came."""
        last = self._stream.finish()
        why: Why = "end" if ended else "stop" if self._stream.stopped else self._full
        return Reply(self._stream.text, self.tokens, why, self.cut), last


def write_reply(
    decoder: Decoder, tokenizer: Tokenizer, prompt: list[int], sampling: Sampling, strip: bool = True,
    show: Callable[[str], object] = str,
) -> Reply:  # fmt: skip
    """Return the reply to a prompt of tokens; `show` gets its text as it comes, in parts that are final."""
    writer = _Writer(decoder.config, tokenizer, prompt, sampling, strip)
    for token in decoder.stream(writer.prompt, sampling):
        show(writer.add(token))
        if writer.over:
            break
    reply, last = writer.reply(ended=not writer.over)
    show(last)
    return reply


def replies(
    model: Llama | Decoder, tokenizer: Tokenizer, prompts: Sequence[str], sampling: Sampling,
    seeds: Sequence[int] | None = None, strip: bool = True,
) -> list[Reply]:  # fmt: skip
    """Return the reply to each prompt (a text in the model's template), many written at a time.

    Each is drawn with the sampling's seed, or its own of `seeds`, whatever prompts stand beside it: the same text as
    when it is alone, but for ties within fp32's rounding.
    """
    decoder = model if isinstance(model, Decoder) else Decoder(model)
    seeds = [sampling.seed] * len(prompts) if seeds is None else seeds
    own = [replace(sampling, seed=seed) for seed in seeds]
    ids = [tokenizer.encode(prompt) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda one: len(ids[one]))  # like lengths together: less padding
    out: dict[int, Reply] = {}
    for at in range(0, len(order), BATCH):
        part = order[at : at + BATCH]
        writers = [_Writer(decoder.config, tokenizer, ids[one], own[one], strip) for one in part]
        out |= zip(part, _write_batch(decoder, writers, [own[one] for one in part]), strict=True)
    return [out[one] for one in range(len(prompts))]


def _write_batch(decoder: Decoder, writers: list[_Writer], samplings: list[Sampling]) -> list[Reply]:
    """Write replies side by side. A row behind its prompt's end holds padding, which nothing looks at."""
    pickers = [Picker(one, decoder.config.vocab_size) for one in samplings]
    sizes = torch.tensor([len(one.prompt) for one in writers])
    longest = int(sizes.max())
    cache = decoder.cache(len(writers), longest + max(one.max_tokens for one in samplings))
    tokens = torch.tensor([one.prompt + [BOS] * (longest - len(one.prompt)) for one in writers])
    states = decoder.states(tokens, torch.arange(longest).expand(len(writers), -1), cache)
    states, at = states[torch.arange(len(writers)), sizes - 1], sizes - 1
    done: dict[int, Reply] = {}
    rows = list(range(len(writers)))  # whose reply each row of the cache holds
    while True:
        chosen = [BOS] * len(rows)
        for place, (one, logits) in enumerate(zip(rows, decoder.logits(states), strict=True)):
            if one not in done:
                chosen[place] = pickers[one].pick(logits)
                ended = writers[one].take(chosen[place], samplings[one].ends)
                if ended or writers[one].over:
                    done[one] = writers[one].reply(ended)[0]
        going = [place for place, one in enumerate(rows) if one not in done]
        if not going:
            return [done[one] for one in range(len(writers))]
        if 2 * len(going) <= len(rows):  # a smaller cache costs a copy: not at every end of a reply
            cache, at = cache[:, :, going], at[going]
            rows, chosen = [rows[one] for one in going], [chosen[one] for one in going]
        at = (at + 1).clamp(max=cache.shape[4] - 1)  # a row that is done stays within the cache
        states = decoder.states(torch.tensor(chosen)[:, None], at[:, None], cache)[:, 0]


def greedy(model: Llama, prompt: list[int], tokens: int) -> list[int]:
    """Return the `tokens` likeliest ids after a prompt, one by one; end marks do not stop it, the context does."""
    if tokens < 1:
        return []
    return list(Decoder(model).stream(prompt, Sampling(temperature=0.0, max_tokens=tokens, ends=())))
