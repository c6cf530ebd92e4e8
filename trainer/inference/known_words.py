"""Known words alone: at each token, what would begin or end a word that stands in no list is left out.

A small model writes words piece by piece, and now and then joins pieces to a word that does not exist. With this, a
word is written only as far as some known word goes on from it, and ended only where it is one. Case does not count;
letters beside a digit, and scripts that put no spaces between words, are not looked at, as in `trainer.model.lexicon`.
Names are words: those of the base's corpus, of the dialogues and of the prompt are known, others are not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.model.checkpoint import Checkpoint
from trainer.model.lexicon import LEXICON, Lexicon, english, kind_of, plain_word, read_words, words
from trainer.model.tokenizer import UNK, Tokenizer

_FIRST_BYTE = 0xF700  # bytes of characters that the vocabulary lacks stand there, in the area for private use
_BYTES = "".join(chr(_FIRST_BYTE + value) for value in range(256))
_KEPT = 4096  # masks that are kept: a byte a token each
_TAILS = ("'s", "'d", "'l", "'ll", "'r", "'re", "'v", "'ve")


class KnownWords:
    """The words that replies may hold. `begun` is a word as far as it is written; "" between words."""

    def __init__(self, lexicon: Lexicon, tokenizer: Tokenizer) -> None:
        self._lexicon, self._prefixes = lexicon, lexicon.prefixes()
        self._more, self._more_prefixes = Lexicon(()), frozenset[str]()
        self._tokenizer = tokenizer
        self._texts = [_text(tokenizer, index) for index in range(tokenizer.vocab_size)]
        self._halves, self._more_halves = _halves(self._prefixes), frozenset[tuple[str, bytes]]()
        self._by_first: dict[str, list[int]] = {}  # tokens that go on with a word, by their first character
        self._joining = np.zeros(tokenizer.vocab_size, np.bool_)
        for index, text in enumerate(self._texts):
            if text and (_joins(text[0]) or _is_byte(text[0])):
                self._by_first.setdefault(text[0], []).append(index)
                self._joining[index] = True
        self._masks: dict[str, NDArray[np.bool_]] = {}

    def behind(self, prompt: Sequence[int]) -> KnownWords:
        """Return the words for a reply to this prompt: those of the prompt are known too."""
        new = [word for word in words(self._tokenizer.decode(prompt)) if word not in self._lexicon]
        if not new:
            return self
        wider = copy(self)
        wider._more = Lexicon(new)
        wider._more_prefixes, wider._masks = wider._more.prefixes(), {}
        wider._more_halves = _halves(wider._more_prefixes)
        wider.__dict__.pop("_between", None)
        return wider

    def begun(self, prompt: Sequence[int]) -> str:
        """Return the word that a prompt leaves begun; "" where it ends between words."""
        begun = ""
        for token in prompt:
            begun = self.after(begun, token)
        return begun

    def after(self, begun: str, token: int) -> str:
        """Return the word that is begun once a token is written."""
        for char in self._texts[token]:
            whole, begun = _with(begun, char)
            begun = begun if not whole or _grows(begun, whole) else ""
        return begun

    def allowed(self, begun: str) -> NDArray[np.bool_]:
        """Return which tokens may follow (V,): all of them where none could, which no list should cause."""
        mask = self._masks.get(begun)
        if mask is None:
            mask = self._between & ~self._joining if self._whole(begun) else np.zeros(len(self._texts), np.bool_)
            for first, tokens in self._by_first.items():  # what cannot begin so cannot go on either: few are left
                if self._goes_on(begun, first):
                    mask[tokens] = [self._goes_on(begun, self._texts[index]) for index in tokens]
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
            if begun and _is_byte(begun[-1]) and not _is_byte(char):
                return False  # half a character
            whole, more = _with(begun, char)
            if whole is None:
                return False
            if not whole or _grows(more, whole):
                begun = more
            elif self._whole(more.removesuffix(whole)):
                begun = ""
            else:
                return False
        return self._can_be(begun)

    def _whole(self, begun: str) -> bool:
        if begun and _is_byte(begun[-1]):
            return False
        word = plain_word(begun.strip("'"))
        return not word or _has_digit(begun) or self._knows(word)

    def _knows(self, word: str) -> bool:
        return word in self._lexicon or word in self._more

    def _can_be(self, begun: str) -> bool:
        head = begun.rstrip(_BYTES)
        word, raw = plain_word(head.lstrip("'")), _raw(begun[len(head) :])
        if raw:  # half a character: one of a word that goes on so, or one that ends the word
            goes_on = (word, raw) in self._halves or (word, raw) in self._more_halves
            return goes_on or _has_digit(head) or (raw in _ending_halves() and self._whole(head))
        if len(word) < 2 or word in self._prefixes or word in self._more_prefixes or _has_digit(begun):
            return True
        stem, apostrophe, tail = word.rpartition("'")
        return bool(apostrophe) and (not tail or apostrophe + tail in _TAILS) and self._knows(stem)


def _halves(prefixes: frozenset[str]) -> frozenset[tuple[str, bytes]]:
    """Return (what stands before, the first bytes) of each letter of known words that is no ASCII, in either case."""
    found: set[tuple[str, bytes]] = set()
    for prefix in prefixes:
        if not prefix[-1].isascii():
            for letter in {prefix[-1], prefix[-1].upper()}:
                raw = letter.encode()
                found.update((prefix[:-1], raw[:end]) for end in range(1, len(raw)))
    return frozenset(found)


@cache
def _ending_halves() -> frozenset[bytes]:
    """Return the first bytes of every character that is in no word: dashes, quotes, emoji, scripts without spaces."""
    found: set[bytes] = set()
    for code in (*range(0x80, 0xD800), *range(0xE000, 0xF700), *range(0xF900, 0x10000), *range(0x1F000, 0x1FB00)):
        if not _grows(chr(code), chr(code)):
            raw = chr(code).encode()
            found.update(raw[:end] for end in range(1, len(raw)))
    return frozenset(found)


def _raw(pending: str) -> bytes:
    return bytes(ord(char) - _FIRST_BYTE for char in pending)


def _with(begun: str, char: str) -> tuple[str | None, str]:
    """Return (the character that is whole now, what is begun with it).

    A character that the vocabulary lacks comes byte by byte: '' until its last one, None for bytes that are none.
    """
    if not _is_byte(char):
        return char, begun.rstrip(_BYTES) + char
    head = begun.rstrip(_BYTES)
    try:
        whole = _raw(begun[len(head) :] + char).decode().translate(_STRAIGHT)
    except UnicodeDecodeError as error:
        return ("" if error.reason == "unexpected end of data" else None), begun + char
    return whole, head + whole


def _is_byte(char: str) -> bool:
    return _FIRST_BYTE <= ord(char) < _FIRST_BYTE + 256


def _joins(char: str) -> bool:
    """Say whether a character is part of a word: a letter of a script with spaces, a mark, a digit, an apostrophe."""
    return kind_of(char) in "amn'"


def _grows(word: str, char: str) -> bool:
    """Say whether a character makes a word that ends in it longer: a mark alone is one of what is no word."""
    return _joins(char) and (word != char or kind_of(char) != "m")


def _has_digit(begun: str) -> bool:
    """Say whether a word is not looked at, since it has a digit."""
    return any(kind_of(char) == "n" for char in begun)


def _text(tokenizer: Tokenizer, index: int) -> str:
    """Return what a token writes; of a byte that is no ASCII a sign for it, of a mark one that is in no word."""
    if tokenizer.kind(index) == "byte":
        value = int(tokenizer.piece(index)[3:5], 16)
        return chr(value) if value < 128 else chr(_FIRST_BYTE + value)
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
