"""From logits to a token: how tokens are drawn, and what a reply is.

The same seed and logits give the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainer.inference.known_words import KnownWords
from trainer.model.tokenizer import BOS, EOS
from trainer.settings import SamplingSettings

Floats = NDArray[np.float32]
Why = Literal["end", "stop", "length", "context"]


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. The penalty counts what the reply holds already, not the prompt.

    `best_of` is how many replies `best_of.py` draws and ranks by how much likelier each is behind its prompt than
    behind `others`, texts of a person; what draws a single reply does not look at either.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 42
    max_tokens: int = 120
    stops: tuple[str, ...] = ()
    ends: tuple[int, ...] = (BOS, EOS)
    words: KnownWords | None = field(default=None, repr=False, compare=False)
    best_of: int = 1
    others: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, settings: SamplingSettings, seed: int = 42, stops: Sequence[str] = (), words: KnownWords | None = None,
        others: Sequence[str] = (),
    ) -> Sampling:  # fmt: skip
        """Return the sampling of the settings, with a seed and stop texts; with `words`, replies hold no others."""
        drawn = settings.model_dump(exclude={"known_words"})
        return cls(**drawn, seed=seed, stops=tuple(stops), words=words if settings.known_words else None,
                   others=tuple(others))  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON has them; of the words, whether replies are held to them."""
        values = {name: value for name, value in vars(self).items() if name not in ("words", "others")}
        return {**values, "known_words": self.words is not None}


@dataclass(frozen=True)
class Reply:
    """A reply: its text without the stop text, its tokens without the end mark, and why it ended.

    `stopped` is 'end' (an end mark), 'stop' (a stop text), 'length' (max_tokens) or 'context' (no room is left). `cut`
    is the number of tokens cut from the prompt's beginning, for which the context had no room.
    """

    text: str
    tokens: list[int]
    stopped: Why
    cut: int = 0


def probabilities(logits: NDArray[np.floating], sampling: Sampling) -> NDArray[np.float64]:
    """Return the probability of every token (V,), 0 for those that top-k, top-p or min-p leave out.

    Temperature is applied first, then top-k, top-p and min-p, each to the tokens that remain. Ties with the last token
    that remains are kept too. The temperature must be above 0.
    """
    p = np.exp((logits.astype(np.float64) - float(logits.max())) / sampling.temperature)
    if 0 < sampling.top_k < len(p):
        p *= p >= np.partition(p, -sampling.top_k)[-sampling.top_k]
    p /= p.sum()
    if sampling.top_p < 1.0:
        # Only these are sorted: all others together are less likely than the share that top-p leaves out.
        falling = np.sort(p[p >= (1.0 - sampling.top_p) / len(p)])[::-1]
        before = np.cumsum(falling) - falling  # the sum of the likelier ones
        p *= p >= falling[max(0, int((before < sampling.top_p).sum()) - 1)]
    if sampling.min_p > 0.0:
        p *= p >= sampling.min_p * p.max()
    p /= p.sum()
    return p


class Picker:
    """Draws the tokens of one reply; the same seed and logits give the same tokens."""

    def __init__(self, sampling: Sampling, vocab_size: int, prompt: Sequence[int] = ()) -> None:
        self._sampling, self._dice = sampling, np.random.default_rng(sampling.seed)
        self._written = np.zeros(vocab_size, np.bool_)
        self._words, self._begun = None, ""
        if sampling.words:
            self._words, self._begun = sampling.words.behind(prompt), sampling.words.begun(prompt)

    def pick(self, logits: Floats) -> int:
        """Return the next token after logits (V,)."""
        penalty, words = self._sampling.repetition_penalty, self._words
        if words:
            logits = np.where(words.allowed(self._begun), logits, np.float32("-inf"))
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
        if words:
            self._begun = words.after(self._begun, token)
        return token
