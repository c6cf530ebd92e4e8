"""Whose sentence is it? The training samples that a reply is nearest to, and the longest run of words it shares.

A sample is near where it holds much of the reply's weight: its words and pairs of words, each weighed by how rare it is
among the training replies (idf), so that "and the" says little and a name much. Case, punctuation and the shape of
apostrophes do not count; numbers do. In scripts without blanks between words (Chinese, Japanese, Thai and the like) one
character says little: there pairs and triples of characters are weighed, and a character is half a word of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len

from curator.contract.cli_frame import harmless
from curator.contract.errors import counted
from trainer.model.lexicon import kind_of, plain_word, spans

NEAREST = 3  # samples that are named at most
# Of the reply's weight: of two words one alone holds less. Replies that nobody learnt share a tenth of it with the
# samples of a person, and a quarter with a thousand everyday ones.
NEAR = 1 / 3
_WORD, _CHARACTER = 2, 1  # the length of a run is in halves of a word
_MANY = 1 << 32  # more than a run has words: its length and its words are one number
LEAST_RUN = 4 * _WORD  # four words, or eight characters: less is often the same by chance
_COLUMNS = 50  # of a text within a line
Ints = npt.NDArray[np.int64]


class Trained(Protocol):
    """A sample that a model was trained on."""

    @property
    def name(self) -> str:
        """Return what the sample is called."""

    @property
    def reply(self) -> str:
        """Return the text that the model learnt to say."""


@dataclass(frozen=True)
class Near:
    """A sample that shares words with a reply, and which share of the reply's weight it holds, from 0 to 1."""

    sample: str
    share: float
    reply: str


@dataclass(frozen=True)
class Run:
    """The longest run of words that a reply shares with a sample; `text` is the run as the reply spells it.

    A character of a script without blanks counts as one of `words`.
    """

    words: int
    text: str
    sample: str


@dataclass(frozen=True)
class Found:
    """What a reply has in common with the training samples, the nearest first; `made_up` says that none is near."""

    made_up: bool
    longest_run: Run | None
    nearest: tuple[Near, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return it for the person: short lines that cannot steer a terminal."""
        if self.made_up:
            least = f" (the nearest has {self.nearest[0].share:.0%} of the words' weight)" if self.nearest else ""
            return [f"made up: no sample is near{least}"]
        if not self.nearest:
            return ["the reply has no words to look for"]
        close = [one for one in self.nearest if one.share >= NEAR] or self.nearest[:1]
        lines = [
            f'nearest: "{_excerpt(one.reply)}" ({one.sample}, {one.share:.0%} of the words\' weight)' for one in close
        ]
        run = self.longest_run
        if run:
            lines.append(f'longest shared run: {_length(run)}, "{_excerpt(run.text)}" ({run.sample})')
        return [harmless(line) for line in lines]


Find = Callable[[str], Found]


class Sources:
    """The replies that a model was trained on, to find in them what it says. Equal ones stand for the first of them."""

    def __init__(self, trained: Iterable[Trained]) -> None:
        different: dict[tuple[str, ...], Trained] = {}
        for sample in trained:
            words = tuple(word for word, _, _ in _words(sample.reply))
            if words:
                different.setdefault(words, sample)
        self._samples = list(different.values())
        numbers: dict[str, int] = {}  # of words; 0 stands behind each reply, so that no run goes over its end
        text = [
            number for words in different for number in (*(numbers.setdefault(w, len(numbers) + 1) for w in words), 0)
        ]
        self._numbers, self._text = numbers, np.array(text, np.int64)
        self._lengths = np.array([len(words) for words in different], np.int64)
        self._sample = np.repeat(np.arange(len(different)), self._lengths + 1)

    def of(self, reply: str) -> Found:
        """Return what a reply has in common with the training replies."""
        found = _words(reply)
        words = [word for word, _, _ in found]
        if not words:
            return Found(made_up=False, longest_run=None, nearest=())
        own = {word: number for number, word in enumerate(dict.fromkeys(words), 1)}  # a few numbers: grams fit 64 bits
        to_own = np.zeros(len(self._numbers) + 1, np.int64)
        for word, number in own.items():
            to_own[self._numbers.get(word, 0)] = number
        to_own[0] = 0  # what no sample holds
        text = to_own[self._text]
        shares = self._shares(words, own, text)
        order = np.lexsort((self._lengths, -shares))[:NEAREST]  # stable: of equals the shorter, then the first
        nearest = tuple(self._near(int(at), float(shares[at])) for at in order if shares[at] > 0)
        halves, begin, end, sample = self._longest(words, own, text, shares)
        run = None
        if end - begin > 1:
            spelt = " ".join(reply[found[begin][1] : found[end - 1][2]].split())
            run = Run(end - begin, spelt, self._samples[sample].name)
        made_up = halves < LEAST_RUN and (not nearest or nearest[0].share < NEAR)
        return Found(made_up, run, nearest)

    def _near(self, at: int, share: float) -> Near:
        sample = self._samples[at]
        return Near(sample.name, round(share, 4), sample.reply)

    def _shares(self, words: list[str], own: dict[str, int], text: Ints) -> npt.NDArray[np.float64]:
        """Return which share of a reply's weight each sample holds, (samples,).

        `text` (n,) are all samples in the reply's own numbers of words, 0 for others.
        """
        many, base = len(self._samples), len(own) + 1
        ids = np.array([own[word] for word in words], np.int64)
        held, whole = np.zeros(many), 0.0
        theirs: dict[int, Ints] = {}
        for at, size in _grams(words):
            if size not in theirs:
                theirs[size] = _codes(text, size, base)
            code = _codes(ids[at : at + size], size, base)[0]
            holders = np.unique(self._sample[np.flatnonzero(theirs[size] == code)])
            weight = float(np.log((many + 1) / (len(holders) + 0.5)))  # idf, above 0 for what all of them hold too
            held[holders] += weight
            whole += weight
        return held / whole

    def _longest(
        self, words: list[str], own: dict[str, int], text: Ints, shares: npt.NDArray[np.float64]
    ) -> tuple[int, int, int, int]:
        """Return the longest run in common: halves of a word, begin and end in the reply, the sample.

        Of equally long ones it is the one of more characters, then the first in the reply; of its samples the nearest.
        `text` as in `_shares`.
        """
        best, end, sample = 0, 0, 0
        runs = np.zeros(len(text) + 1, np.int64)  # how long the run is that ends here and at the reply's word
        for at, word in enumerate(words):
            runs[1:] = np.where(text == own[word], runs[:-1] + _MANY * _size(word) + 1, 0)
            longest = int(runs.max())
            if longest > best:
                places = np.flatnonzero(runs[1:] == longest)
                samples = self._sample[places]
                best, end, sample = longest, at + 1, int(samples[np.lexsort((samples, -shares[samples]))[0]])
        halves, count = divmod(best, _MANY)
        return halves, end - count, end, sample


def _words(text: str) -> list[tuple[str, int, int]]:
    """Return each word or number of a text in lower case, and where it begins and ends."""
    return [(plain_word(text[begin:end]), begin, end) for begin, end in spans(text, numbers=True)]


@lru_cache(maxsize=1 << 16)
def _unspaced(word: str) -> bool:
    """Say whether a word is a character of a script without blanks between words."""
    return not word.isascii() and kind_of(word[0]) == "u"


def _size(word: str) -> int:
    return _CHARACTER if _unspaced(word) else _WORD


def _grams(words: list[str]) -> list[tuple[int, int]]:
    """Return begin and size of the different runs that are weighed: one or two words, two or three characters."""
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    for size in (1, 2, 3):
        for at in range(len(words) - size + 1):
            gram = tuple(words[at : at + size])
            if size in ((2, 3) if all(map(_unspaced, gram)) else (1, 2)):
                found.setdefault(gram, (at, size))
    return list(found.values()) or [(0, 1)]  # one character alone


def _codes(ids: Ints, size: int, base: int) -> Ints:
    """Return a number for each run of `size` of the `ids` (n,), (n - size + 1,); runs are equal where numbers are."""
    codes = np.zeros(max(0, len(ids) - size + 1), np.int64)
    for at in range(size):
        codes = codes * base + ids[at : at + len(codes)]
    return codes


def _length(run: Run) -> str:
    """Return how long a run is, and of what."""
    kinds = {_unspaced(word) for word, _, _ in _words(run.text)}
    if len(kinds) > 1:
        return f"{run.words} words and characters"
    return counted(run.words, "character" if True in kinds else "word")


def _excerpt(text: str) -> str:
    """Return the beginning of a text on one line, whole words where they have blanks between them."""
    line = " ".join(text.split())
    if cell_len(line) <= _COLUMNS:
        return line
    end = columns = 0
    while columns + cell_len(line[end]) <= _COLUMNS - 4:
        columns += cell_len(line[end])
        end += 1
    blank = line.rfind(" ", 0, end + 1)
    return f"{line[:blank]} ..." if blank > end // 2 else f"{line[:end]}..."
