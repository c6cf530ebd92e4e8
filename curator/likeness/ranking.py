"""Which of the replies that are taken for the person's are least like them: a wrong author shows up here.

By runs of characters, of the full text: of few words, what they speak of tells more than how, but whole words tell too
much of it. A stranger among the replies is counted with them at first: so the least alike are left out of the counts,
and all are measured again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curator.contract.voice.grams import CHARACTERS, Batch, Counts, batch, plain
from curator.contract.voice.reference import left_out, measures, not_apart
from curator.contract.voice.stored import english
from curator.likeness.texts import Text, texts_of
from curator.records import CuratedSample

SHORT = 8  # words of a reply that is ranked, at least: fewer say nothing
_MOST = 1.0  # nats of an n-gram: a name that a stranger's replies repeat makes them known otherwise
_DRAWN = 20  # words of a reply at which it stands half way between the median and its measure: few words say little
_ROUNDS, _LEFT_OUT = 3, 0.3  # times that so many of the ranked, the least alike, are left out of the counts
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranked:
    """A sample's reply and its score by itself, which says little of few words."""

    sample_id: str
    score: float
    words: int
    reply: str
    source: str = ""


def spoken(sample: CuratedSample) -> list[Text]:
    """Return the person's texts of a sample: all replies that it trains as one, and what was said before others'."""
    own = [one for one in texts_of(sample) if one.person]
    replies = "\n".join(one.text for one in own if one.reply)
    whole = [Text(sample, replies, person=True, reply=True)] if replies else []
    return [one for one in own if not one.reply] + whole


class Ranking:
    """Scores of the person's replies by themselves: 100 is their mean, 0 that of others."""

    def __init__(self, own: Sequence[Text], beside: Sequence[str], language: str) -> None:
        """`own` are in the order of their time, `beside` the texts of the other side of their chats.

        In English, books and talk are the others: a stranger is no more like the other side than like the person.
        """
        streams = len(CHARACTERS)
        self._others: Counts = english().full[:streams]
        others = batch(list(map(plain, english().documents if language == "en" else beside))).first(streams)
        if language != "en":
            self._others = others.count()
        texts, words = batch([one.plain for one in own]).first(streams), np.array([one.words for one in own])
        ranked = np.array([one.reply and one.words >= SHORT for one in own])
        self._within, self._any = language != "en", bool(ranked.any())
        self._fit(texts, others, words, ranked)

    def _fit(self, texts: Batch, others: Batch, words: npt.NDArray[np.int64], ranked: npt.NDArray[np.bool_]) -> None:
        kept = np.ones(len(texts), bool)
        for again in range(_ROUNDS + 1):
            found, apart = left_out(texts, self._others, others, within=self._within, most=_MOST, kept=kept)
            self._median = float(np.median(found[ranked])) if ranked.any() else 0.0
            found = self._drawn(found, words)
            if again < _ROUNDS and ranked.any():
                kept = ~(ranked & (found <= np.quantile(found[ranked], _LEFT_OUT)))
        self._ours, self._apart, self._found = texts.count(kept=kept), apart, found
        self.scores = self._scaled(found)

    def _drawn(self, found: Floats, words: npt.NDArray[np.int64]) -> Floats:
        """Return measures (N,) as near to the median as their texts are short, (N,)."""
        return np.asarray(self._median + (found - self._median) * words / (words + _DRAWN))

    def _scaled(self, found: Floats) -> Floats:
        floor, ceiling = self._apart.mean(), self._found.mean()
        return np.asarray(100 * (found - floor) / max(ceiling - floor, 1e-9))

    def lacking(self) -> str:
        """Return why no score tells anything, or ''."""
        if not self._any:
            return f"no reply of {SHORT} words or more is taken for the person's"
        return not_apart(self._apart, self._found)

    def scores_of(self, texts: Sequence[Text]) -> Floats:
        """Return the scores (N,) of texts of the person that it was not made of."""
        read, words = batch([one.plain for one in texts]).first(len(CHARACTERS)), np.array([one.words for one in texts])
        return self._scaled(self._drawn(measures(read, (0, len(read)), self._ours, self._others, _MOST), words))

    def ranked(self, own: Sequence[Text]) -> list[Ranked]:
        """Return the replies that are long enough, the least alike first; `own` are the texts that it was made of."""
        found = [
            Ranked(
                one.sample.metadata.sample_id, round(float(score), 1), one.words, one.text,
                one.sample.metadata.sources[0].path,
            )
            for one, score in zip(own, self.scores, strict=True) if one.reply and one.words >= SHORT
        ]  # fmt: skip
        return sorted(found, key=lambda one: (one.score, one.sample_id))
