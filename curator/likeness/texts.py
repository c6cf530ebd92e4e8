"""The texts of a sample that somebody wrote, and whose they are; a set's main language; a choice even over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from curator.contract.voice.grams import number_of_words, plain, words_of
from curator.language.identify import UNDETERMINED
from curator.records import CuratedSample

TALK = "the other side of the person's own chats"
BOOKS = "English of books and talk"
_TALKS = ("conversation",)  # memories whose user side is the person's for certain
Rows = npt.NDArray[np.int64]
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Text:
    """A text of a sample: whose it is, and whether it is the reply."""

    sample: CuratedSample
    text: str
    person: bool
    reply: bool

    @cached_property
    def plain(self) -> str:
        """The text as it is counted."""
        return plain(self.text)

    @cached_property
    def words(self) -> int:
        """How many words it has."""
        return number_of_words(words_of(self.plain))


def texts_of(sample: CuratedSample) -> Iterator[Text]:
    """Yield the texts of a sample that somebody wrote, the replies that are joined to it too.

    Questions of ours, tools' output, and what a model may have asked itself are nobody's words.
    """
    data = sample.metadata
    mine = data.reply_author == "person"
    joined = [(exchange.user_text, exchange.assistant_text) for exchange in sample.context if exchange.trained]
    for asked, answered in (*joined, (sample.user_text, sample.assistant_text)):
        if asked.strip() and asked_by_person(sample):
            yield Text(sample, asked, person=True, reply=False)
        elif asked.strip() and mine and not (data.prompted or data.thought):
            yield Text(sample, asked, person=False, reply=False)
        if answered.strip() and data.reply_author != "tool":
            yield Text(sample, answered, mine, reply=True)


def asked_by_person(sample: CuratedSample) -> bool:
    """Tell whether the user side is the person's: what they said to an assistant or, in dual mode, to another human.

    Of other kinds of memory that an assistant answers, a model may have asked itself.
    """
    data = sample.metadata
    if data.prompted or data.thought or data.pair_flipped:
        return False
    if data.reply_author == "assistant":
        return data.source_type in _TALKS
    return data.reply_author == "other_human" and sample.mode == "dual"


def main_language(characters: Counter[str]) -> str:
    """Return the language that most characters of a set's replies are in."""
    told = {name: count for name, count in characters.items() if name != UNDETERMINED}
    return max(told, key=lambda name: (told[name], name)) if told else UNDETERMINED


def words_in(texts: Iterable[str]) -> int:
    """Return how many words texts have."""
    return sum(number_of_words(words_of(plain(text))) for text in texts)


def evenly(rows: Rows) -> Rows:
    """Return rows (N,) in an order of which every beginning is spread evenly over them, (N,)."""
    return rows[np.argsort(np.arange(1, len(rows) + 1) * _GOLDEN % 1, kind="stable")]
