"""Known words alone: at each token, what would begin or end a word that stands in no list is left out.

A small model writes words piece by piece, and now and then joins pieces to a word that does not exist. With this, a
word is written only as far as some known word goes on from it, and ended only where it is one. Case does not count;
letters beside a digit, and scripts that put no spaces between words, are not looked at, as in `trainer.model.lexicon`.
Names are words: those of the base's corpus, of the dialogues and of the prompt are known, others are not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.model.checkpoint import Checkpoint
from trainer.model.lexicon import LEXICON, Lexicon, english, kind_of, read_words, words
from trainer.model.tokenizer import UNK, Tokenizer

_KEPT = 4096  # masks that are kept: a byte a token each
_TAILS = ("'s", "'d", "'l", "'ll", "'r", "'re", "'v", "'ve")


class KnownWords:
    """The words that replies may hold. `begun` is a word as far as it is written; "" between words."""

    def __init__(self, lexicon: Lexicon, tokenizer: Tokenizer) -> None:
        self._lexicon, self._prefixes = lexicon, lexicon.prefixes()
        self._more, self._more_prefixes = Lexicon(()), frozenset[str]()
        self._texts = [_text(tokenizer, index) for index in range(tokenizer.vocab_size)]
        self._inside = [index for index, text in enumerate(self._texts) if text and _joins(text[0])]
        self._joining = np.zeros(tokenizer.vocab_size, np.bool_)
        self._joining[self._inside] = True
        self._masks: dict[str, NDArray[np.bool_]] = {}

    def behind(self, prompt: Sequence[int]) -> KnownWords:
        """Return the words for a reply to this prompt: those of the prompt are known too."""
        new = [word for word in words("".join(self._texts[token] for token in prompt)) if word not in self._lexicon]
        if not new:
            return self
        wider = copy(self)
        wider._more = Lexicon(new)
        wider._more_prefixes, wider._masks = wider._more.prefixes(), {}
        wider.__dict__.pop("_between", None)
        return wider

    def after(self, begun: str, token: int) -> str:
        """Return the word that is begun once a token is written."""
        for char in self._texts[token]:
            begun = begun + char if _joins(char) else ""
        return begun

    def allowed(self, begun: str) -> NDArray[np.bool_]:
        """Return which tokens may follow (V,): all of them where none could, which no list should cause."""
        mask = self._masks.get(begun)
        if mask is None:
            mask = self._between & ~self._joining if self._whole(begun) else np.zeros(len(self._texts), np.bool_)
            mask[self._inside] = [self._goes_on(begun, self._texts[index]) for index in self._inside]
            if not mask.any():
                mask[:] = True
            if len(self._masks) >= _KEPT:
                self._masks.clear()
            self._masks[begun] = mask
        return mask

    @cached_property
    def _between(self) -> NDArray[np.bool_]:
        """Which tokens may stand where no word is begun (V,)."""
        return np.array([self._goes_on("", text) for text in self._texts])

    def _goes_on(self, begun: str, text: str) -> bool:
        """Say whether a text may follow: the words that it ends are known, and one that it leaves begun can be."""
        for char in text:
            if _joins(char):
                begun += char
            elif self._whole(begun):
                begun = ""
            else:
                return False
        return self._can_be(begun)

    def _whole(self, begun: str) -> bool:
        word = begun.strip("'").lower()
        return not word or any(kind_of(char) == "n" for char in word) or self._knows(word)

    def _knows(self, word: str) -> bool:
        return word in self._lexicon or word in self._more

    def _can_be(self, begun: str) -> bool:
        word = begun.lstrip("'").lower()
        if len(word) < 2 or word in self._prefixes or word in self._more_prefixes:
            return True
        if any(kind_of(char) == "n" for char in word):
            return True
        stem, apostrophe, tail = word.rpartition("'")
        return bool(apostrophe) and (not tail or apostrophe + tail in _TAILS) and self._knows(stem)


def _joins(char: str) -> bool:
    """Say whether a character is part of a word: a letter of a script with spaces, a mark, a digit, an apostrophe."""
    return kind_of(char) in "amn'"


def _text(tokenizer: Tokenizer, index: int) -> str:
    """Return what a token writes; of bytes that are no ASCII, and of marks, a sign that is no letter."""
    if tokenizer.kind(index) == "byte":
        value = int(tokenizer.piece(index)[3:5], 16)
        return chr(value) if value < 128 else "\ufffd"
    if tokenizer.kind(index) != "normal" or index == UNK:
        return "\ufffd"
    return tokenizer.piece(index).replace("▁", " ").translate(_STRAIGHT)


_STRAIGHT = {ord(char): "'" for char in "’‘ʼ´`＇"}


def known_words(checkpoint: Checkpoint) -> KnownWords | None:
    """Return the words of a checkpoint's lexicon and of the shipped list of English; None where it has no lexicon."""
    path: Path = checkpoint.folder / LEXICON
    if not path.is_file():
        return None
    return KnownWords(Lexicon(read_words(path) | read_words(english())), checkpoint.tokenizer)
