"""What the replies of a model say about its health; docs/health.md defines every figure.

Grams are of words (`trainer.lexicon.words`), so that spaces, case and marks do not hide a recited line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer.lexicon import words

GRAM = 8  # words in a row that are hardly ever the same by chance
_SHORT = 4  # a run is searched for only where all its 4-grams are known: of most runs one is not
Gram = tuple[str, ...]
# ⁇ is how SentencePiece writes <unk>.
_TAG = re.compile(r"</?[a-z][a-z0-9_-]{0,30}>|<\|[^\s<>|]{1,40}\|>|\[/?INST\]|⁇", re.IGNORECASE)
_ROLE = re.compile(
    r"(?:^|[\n\r])[ \t>#*_-]*(?:Q|A|user|assistant|human|system|instruction|action|thought|world)[ \t*_]*[:：]",
    re.IGNORECASE,
)


def grams(text: Sequence[str], size: int) -> list[Gram]:
    """Return the runs of `size` words of a text, (n - size + 1); none where it is shorter."""
    return [tuple(text[at : at + size]) for at in range(len(text) - size + 1)]


@dataclass(frozen=True)
class Recall:
    """How much of some replies stands in the training replies, word by word."""

    share: float  # of the 8-grams of all replies
    longest: int  # words in a row
    example: str  # that run, the first of several


class Recited:
    """The training replies, to be found again in what a model writes."""

    def __init__(self, training: Iterable[str]) -> None:
        texts = [words(text) for text in training]
        self._grams = {gram for text in texts for gram in grams(text, GRAM)}
        self._short = {gram for text in texts for gram in grams(text, _SHORT)}
        self._text = "\n".join(map(_line, texts))

    def of(self, replies: Iterable[str]) -> Recall:
        """Return what replies have in common with the training replies."""
        found = total = 0
        longest: list[str] = []
        for reply in map(words, replies):
            known = [gram in self._grams for gram in grams(reply, GRAM)]
            found, total = found + sum(known), total + len(known)
            longest = self._longer(reply, len(longest)) or longest
        return Recall(found / total if total else 0.0, len(longest), " ".join(longest))

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
        found = grams(words(reply), size)
        if found:
            shares.append(1 - len(set(found)) / len(found))
    return sum(shares) / len(shares) if shares else 0.0


def distinct(replies: Iterable[str], size: int = 2) -> float:
    """Return distinct-n: different n-grams of all replies together, divided by all of them (Li et al. 2016)."""
    counts = Counter(gram for reply in replies for gram in grams(words(reply), size))
    return len(counts) / counts.total() if counts else 0.0


def leaks_tag(reply: str) -> bool:
    """Say whether a reply holds a mode tag or a control token, which are no words of the person's."""
    return bool(_TAG.search(reply))


def leaks_role(reply: str) -> bool:
    """Say whether a reply goes on with a turn that is not its own: a line that begins with a role and a colon."""
    return bool(_ROLE.search(reply))
