"""Figures of a model's replies; docs/health.md defines every one.

N-grams are of words (`trainer.model.lexicon.words`), so that spaces, case and punctuation do not hide a recited
line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer.model.lexicon import words

GRAM = 8  # words in a row that are hardly ever the same by chance
_SHORT = 4  # a run is searched for only where all its 4-grams are known, which rules out most
Gram = tuple[str, ...]


def grams(text: Sequence[str], size: int) -> list[Gram]:
    """Return the runs of `size` words of a text, (n - size + 1); none where it is shorter."""
    return [tuple(text[at : at + size]) for at in range(len(text) - size + 1)]


@dataclass(frozen=True)
class NgramOverlap:
    """How much of some replies also stands in the training replies, by words."""

    share: float  # of the 8-grams of all replies
    longest: int  # words in a row
    example: str  # that run, the first of several


class TrainingNgrams:
    """The n-grams of the training replies, to find them in what a model writes; or of prompts, `without` the replies'.

    What stands in a reply too was meant to be said.
    """

    _grams: set[Gram]

    def __init__(self, training: Iterable[str], without: TrainingNgrams | None = None) -> None:
        texts = [words(text) for text in training]
        self._grams = {gram for text in texts for gram in grams(text, GRAM)} - (without._grams if without else set())
        self._short = {gram for text in texts for gram in grams(text, _SHORT)}
        self._text = "\n".join(map(_line, texts))

    def of(self, replies: Iterable[str]) -> NgramOverlap:
        """Return what replies have in common with the training replies."""
        shared = total = 0
        longest: list[str] = []
        for reply in map(words, replies):
            hits, many = self._counts(reply)
            shared, total = shared + hits, total + many
            longest = self._longer(reply, len(longest)) or longest
        return NgramOverlap(shared / total if total else 0.0, len(longest), " ".join(longest))

    def share(self, replies: Iterable[str]) -> float:
        """Return the share of the 8-grams of replies that stand in the training texts."""
        hits, many = (sum(column) for column in zip((0, 0), *self.counts(replies), strict=True))
        return hits / many if many else 0.0

    def counts(self, replies: Iterable[str]) -> list[tuple[int, int]]:
        """Return of each reply its 8-grams that stand in the training replies, and all of them."""
        return [self._counts(words(reply)) for reply in replies]

    def _counts(self, reply: list[str]) -> tuple[int, int]:
        known = [gram in self._grams for gram in grams(reply, GRAM)]
        return sum(known), len(known)

    def _longer(self, reply: list[str], least: int) -> list[str]:
        """Return the longest run of a reply that stands in one training reply; empty if it has no more than `least`."""
        longest: list[str] = []
        for start in range(len(reply)):
            while (end := start + max(len(longest), least) + 1) <= len(reply) and self._holds(reply[start:end]):
                longest = reply[start:end]
        return longest

    def _holds(self, run: list[str]) -> bool:
        return self._short.issuperset(grams(run, _SHORT)) and _line(run) in self._text


def _line(text: list[str]) -> str:
    """Return words with a space on both sides of each, so that part of a word is not found in another."""
    return f" {' '.join(text)} "


def repetition(replies: Iterable[str], size: int = 4) -> float:
    """Return rep-n: the share of a reply's n-grams that it holds already, mean over replies that have any."""
    shares = []
    for reply in replies:
        ngrams = grams(words(reply), size)
        if ngrams:
            shares.append(1 - len(set(ngrams)) / len(ngrams))
    return sum(shares) / len(shares) if shares else 0.0


def distinct(replies: Iterable[str], size: int = 2) -> float:
    """Return distinct-n: different n-grams of all replies together, divided by all of them (Li et al. 2016)."""
    counts = Counter(gram for reply in replies for gram in grams(words(reply), size))
    return len(counts) / counts.total() if counts else 0.0
