"""The reference that a run leaves behind: how the person writes where no training sample says it.

Of held-out samples, and of memories that the run did not need; each text counts once, in the order of time.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from curator.contract.voice.grams import BUCKETS, STREAMS
from curator.contract.voice.reference import KNOWN, Background, Reference, View, build_reference
from curator.contract.voice.stored import english
from curator.executing.spool import hash64
from curator.language.identify import UNDETERMINED
from curator.likeness.texts import BOOKS, TALK, Rows, Text, evenly, main_language, texts_of, words_in
from curator.records import CuratedSample

CHARACTERS = 300_000  # of either side that are counted at most, 50,000 words: more tell hardly better, and take longer


@dataclass
class Learnt:
    """What training samples say, eight bytes a text, and the keys of the memories that stand in them beside their own.

    `characters` counts the replies of all samples of a set, by language.
    """

    characters: Counter[str]
    beside: set[str]
    texts: array[int]

    def learn(self, sample: CuratedSample, events: tuple[str, ...]) -> None:
        """Take in a sample that is trained on."""
        self.beside.update(events[1:])
        self.texts.extend(map(_number, (sample.user_text, sample.assistant_text)))
        for exchange in sample.context:
            self.texts.extend(map(_number, (exchange.user_text, exchange.assistant_text)))

    def without(self, texts: list[Text]) -> list[Text]:
        """Return those of the texts that no training sample says, each once."""
        numbers = np.array([_number(one.text) for one in texts], np.int64)
        _, first = np.unique(numbers, return_index=True)
        new = ~np.isin(numbers, np.frombuffer(self.texts, np.int64)) if len(self.texts) else numbers == numbers
        return [texts[place] for place in np.sort(first[new[first]]).tolist()]


@dataclass(frozen=True)
class Unlearnt:
    """Rows (N,) of a run's samples, in the order of time: those held out, those it had no need of, and its own."""

    held: Rows
    unused: Rows
    chosen: Rows


def unlearnt_reference(sample_at: Callable[[int], CuratedSample], rows: Unlearnt, learnt: Learnt) -> Reference | None:
    """Return the reference of the person's words, held out or unused, that are in no training sample; None without any.

    `sample_at` gives a row's sample. Of many words 50,000 are counted, evenly over time, those held out first. The
    others are English of books and talk: a model's text comes from anywhere. In another language they are the other
    side of the person's chats. Where there are too few words of either, it tells how many and holds no counts.
    """
    language = main_language(learnt.characters)

    def chosen(parts: Iterable[Rows], person: bool) -> Iterator[tuple[int, list[Text]]]:
        read = 0
        for row in (row for part in parts for row in evenly(part).tolist()):
            if read >= CHARACTERS:
                return
            sample = sample_at(row)
            if sample.metadata.language in (language, UNDETERMINED):
                texts = [one for one in texts_of(sample) if one.person is person]
                read += sum(len(one.text) for one in texts)
                yield row, texts

    def in_time(parts: Iterable[Rows], person: bool) -> list[Text]:
        return [one for _, texts in sorted(chosen(parts, person), key=lambda found: found[0]) for one in texts]

    own = [one.text for one in learnt.without(in_time((rows.held, rows.unused), person=True))]
    known = words_in(own)
    if not known:
        return None
    others: list[str] | Background = english()
    name = BOOKS
    if language != "en":
        others, name = [one.text for one in in_time((rows.chosen, rows.unused), person=False)], TALK
    beside = words_in(others) if isinstance(others, list) else others.words
    if min(known, beside) < KNOWN:  # then nothing is told by counts, which would take half a second
        none = np.zeros((STREAMS, BUCKETS), np.int32)
        view = View(none, none, np.zeros(0), np.zeros(0))
        return Reference((known, beside), frozenset(), topic_free=view, full=view, language=language, others=name)
    return replace(build_reference(own, others), language=language, others=name)


def _number(text: str) -> int:
    """Return a number of 63 bits that equal texts share."""
    return hash64(text.strip())
