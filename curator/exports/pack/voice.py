"""How much each text sounds like the person, measured by counts in which it does not stand itself."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from curator.contract.voice.grams import Masker, batch, plain
from curator.contract.voice.reference import Judge, build_reference, left_out
from curator.exports.pack.texts import Said, Texts, evenly
from curator.language.identify import UNDETERMINED
from curator.language.words import count_words

_BAR: Final = 55  # percentile of the person's own texts: above the median beside a somewhat different background too
_DOUBT: Final = 0.3  # nats of a single word by which it must pass, less by the root of how many there are
_MOST_CHARACTERS: Final = 1_000_000  # of a side: as many as tell the voice, in seconds
_MOST_TEXTS: Final = 4_000  # of the person that are measured


@dataclass(frozen=True)
class Voice:
    """The measures of the person's texts by sample and text, and the `bars` that an example must pass, by language.

    Each text has two: with it in the counts, and with it and its neighbours left out; so has each bar, a little above
    the median of the person's own. `lacking` says, by language, why nothing is measured.
    """

    measures: dict[tuple[str, str], tuple[float, float]]
    bars: dict[str, tuple[float, float]]
    lacking: dict[str, str]

    def above(self, said: Said, language: str) -> float | None:
        """Return by how much a text passes its bar, the less of both measures (nats); None where its language has none.

        Of very many texts not all are measured: those that are not pass none.
        """
        found, bar = self.measures.get((said.sample_id, said.text)), self.bars.get(language)
        if bar is None:
            return None
        if not found:
            return float("-inf")
        doubt = _DOUBT / math.sqrt(max(1, count_words(said.text)))
        return min(found[0] - bar[0], found[1] - bar[1]) - doubt


def languages_of(texts: Texts) -> Counter[str]:
    """Return how many of the person's texts are in each language; short ones that tell none count with the most."""
    found = Counter(said.language for said in texts.person)
    unknown = found.pop(UNDETERMINED, 0)
    if not found:
        return Counter({UNDETERMINED: unknown}) if unknown else found
    found[found.most_common(1)[0][0]] += unknown
    return Counter(dict(found.most_common()))


def voice_of(texts: Texts) -> Voice:
    """Return the measures of the person's texts, language by language."""
    voice, known = Voice({}, {}, {}), languages_of(texts)
    for language in known:
        person = [said for said in texts.person if in_language(said.language, language, known)]
        others = [text for other, text in texts.others if in_language(other, language, known)]
        share = min(1.0, _MOST_CHARACTERS / max(sum(map(len, others)), 1))
        _measure(voice, language, _spread(person), list(evenly(others, int(len(others) * share))))
    return voice


def in_language(of_text: str, language: str, known: Counter[str]) -> bool:
    """Tell whether a text of one language belongs to another; one that tells none belongs to the most frequent."""
    return of_text == language or (of_text == UNDETERMINED and language == next(iter(known)))


def _measure(voice: Voice, language: str, person: list[Said], others: list[str]) -> None:
    lacking = "" if others else "no text of others beside them"
    if not lacking:
        reference = build_reference([said.text for said in person], others, full=False)
        lacking = reference.lacking()
    if lacking:
        voice.lacking[language] = lacking
        return
    texts, whole = [said.text for said in person], Judge(reference)
    mask = Masker(reference.common)
    apart, _ = left_out(batch([mask(plain(text)) for text in texts]), reference.topic_free.others)
    found = np.array([[whole.measure(text) for text in texts], apart]).T
    for said, (with_it, without_it) in zip(person, found.tolist(), strict=True):
        voice.measures[said.sample_id, said.text] = with_it, without_it
    inside, outside = np.percentile(found, _BAR, axis=0).tolist()
    voice.bars[language] = inside, outside


def _spread(said: list[Said]) -> list[Said]:
    """Return so many of the texts as can be measured in seconds, evenly over time."""
    size = sum(len(one.text) for one in said)
    share = min(1.0, _MOST_TEXTS / max(len(said), 1), _MOST_CHARACTERS / max(size, 1))
    return list(evenly(said, int(len(said) * share)))
