"""From tokens to text: text that can be shown at once, and replies written side by side."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Protocol

import torch

from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Picker, Reply, Sampling, Why
from trainer.model.llama import Llama, ModelConfig
from trainer.model.tokenizer import BOS, UNK, Tokenizer

BATCH = 64  # replies written side by side; at 7M parameters each takes up to 3.5 MB of keys and values


class TokenSource(Protocol):
    """What computes the tokens behind a prompt: the decoder, or an engine that is not PyTorch."""

    config: ModelConfig

    def stream(self, prompt: list[int], sampling: Sampling) -> Generator[int]:
        """Yield the tokens after a prompt up to an end mark, which is not yielded, max_tokens or the context's end."""


class TextStream:
    """The text of a stream of tokens. What it returns is final: never half a character, never part of a stop text.

    A token decoded alone loses its blank, so it is decoded behind a known token, together with earlier bytes that are
    no whole character yet. With `strip`, blanks and newlines at both ends are left out.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = (), strip: bool = True) -> None:
        self._tokenizer, self._stops, self._strip = tokenizer, [stop for stop in stops if stop], strip
        self._before = len(tokenizer.decode([UNK]))
        self._open: list[int] = []
        self.text = ""
        self._shown = 0
        self.stopped = False

    def add(self, token: int) -> str:
        """Add a token; return the new text that can be shown, '' after a stop text."""
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
        """Return the text that was held back, since no token follows; `text` is complete from now on."""
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
        """Return how much of the text is final, whatever stop text or strip comes."""
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

    Only a prompt that fills the whole context is cut: to `<s>` and as much of its end as leaves a quarter of the
    context, or `room` tokens if that is less, for the reply.
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
        """Say whether a stop text or the last possible token has come."""
        return self._stream.stopped or len(self.tokens) >= self._most

    def reply(self, ended: bool) -> tuple[Reply, str]:
        """Return the reply and the rest of its text; `ended` says that an end mark came."""
        last = self._stream.finish()
        why: Why = "end" if ended else "stop" if self._stream.stopped else self._full
        return Reply(self._stream.text, self.tokens, why, self.cut), last


def write_reply(
    decoder: TokenSource, tokenizer: Tokenizer, prompt: list[int], sampling: Sampling, strip: bool = True,
    show: Callable[[str], object] = str,
) -> Reply:  # fmt: skip
    """Return the reply to a prompt of tokens; `show` gets its text while it is written, in final parts."""
    writer = _Writer(decoder.config, tokenizer, prompt, sampling, strip)
    tokens = decoder.stream(writer.prompt, sampling)
    try:
        for token in tokens:
            show(writer.add(token))
            if writer.over:
                break
    finally:
        tokens.close()  # an engine may have a program to end, and Ctrl-C leaves it in the middle
    reply, last = writer.reply(ended=not writer.over)
    show(last)
    return reply


def replies(
    model: Llama | Decoder, tokenizer: Tokenizer, prompts: Sequence[str], sampling: Sampling,
    seeds: Sequence[int] | None = None, strip: bool = True,
) -> list[Reply]:  # fmt: skip
    """Return the reply to each prompt (a text in the model's template), many written at a time.

    Each is drawn with its own of `seeds`, else the sampling's. It does not depend on the other prompts: it is the same
    text as alone, but for ties within fp32's rounding.
    """
    decoder = model if isinstance(model, Decoder) else Decoder(model)
    seeds = [sampling.seed] * len(prompts) if seeds is None else seeds
    samplings = [replace(sampling, seed=seed) for seed in seeds]
    ids = [tokenizer.encode(prompt) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda index: len(ids[index]))  # like lengths together: less padding
    out: dict[int, Reply] = {}
    for at in range(0, len(order), BATCH):
        part = order[at : at + BATCH]
        writers = [_Writer(decoder.config, tokenizer, ids[index], samplings[index], strip) for index in part]
        out |= zip(part, _write_batch(decoder, writers, [samplings[index] for index in part]), strict=True)
    return [out[index] for index in range(len(prompts))]


def _write_batch(decoder: Decoder, writers: list[_Writer], samplings: list[Sampling]) -> list[Reply]:
    """Write replies side by side. A row is padded behind its prompt; no token attends to the padding."""
    pickers = [
        Picker(sampling, decoder.config.vocab_size, writer.prompt)
        for sampling, writer in zip(samplings, writers, strict=True)
    ]
    sizes = torch.tensor([len(writer.prompt) for writer in writers])
    longest = int(sizes.max())
    cache = decoder.cache(len(writers), longest + max(sampling.max_tokens for sampling in samplings))
    tokens = torch.tensor([writer.prompt + [BOS] * (longest - len(writer.prompt)) for writer in writers])
    states = decoder.states(tokens, torch.arange(longest).expand(len(writers), -1), cache)
    states, at = states[torch.arange(len(writers)), sizes - 1], sizes - 1
    done: dict[int, Reply] = {}
    rows = list(range(len(writers)))  # whose reply each row of the cache holds
    while True:
        chosen = [BOS] * len(rows)
        for place, (index, logits) in enumerate(zip(rows, decoder.logits(states), strict=True)):
            if index not in done:
                chosen[place] = pickers[index].pick(logits)
                ended = writers[index].take(chosen[place], samplings[index].ends)
                if ended or writers[index].over:
                    done[index] = writers[index].reply(ended)[0]
        going = [place for place, index in enumerate(rows) if index not in done]
        if not going:
            return [done[index] for index in range(len(writers))]
        if 2 * len(going) <= len(rows):  # a smaller cache costs a copy: not at every end of a reply
            cache, at = cache[:, :, going], at[going]
            rows, chosen = [rows[place] for place in going], [chosen[place] for place in going]
        at = (at + 1).clamp(max=cache.shape[4] - 1)  # a row that is done stays within the cache
        states = decoder.states(torch.tensor(chosen)[:, None], at[:, None], cache)[:, 0]
