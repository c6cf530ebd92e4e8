"""The filter `voice`: which replies that are taken for the person's are too little like them to be learnt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np

from curator.config import VoiceConfig
from curator.contract.cli_frame import Progress
from curator.contract.errors import JobError
from curator.contract.voice.reference import lacking
from curator.contract.voice.stored import english
from curator.language.identify import UNDETERMINED
from curator.likeness.ranking import Ranking, spoken
from curator.likeness.scores import READ
from curator.likeness.texts import Rows, Text, evenly, main_language, texts_of, words_in
from curator.records import CuratedSample

_AT_ONCE: Final = 1024  # samples


def unlike(
    sample_at: Callable[[int], CuratedSample], known: Rows, judged: Rows, config: VoiceConfig, progress: Progress
) -> dict[int, str]:
    """Return which of the `judged` rows score too little, with the score in words.

    The measure is made of `known` rows, 20,000 of them at most, evenly over time; both have the shape (N,) and are in
    the order of time. It judges the language of most of them, and what is too short to tell its language. Raises
    JobError where it cannot tell the person from others.
    """
    read = np.sort(evenly(known)[:READ])
    samples = [sample_at(row) for row in read.tolist()]
    characters = Counter[str]()
    for sample in samples:
        characters[sample.metadata.language] += len(sample.assistant_text)
    names = (main_language(characters), UNDETERMINED)
    counted = [(row, sample) for row, sample in zip(read.tolist(), samples, strict=True) if _language(sample) in names]
    own = [(row, text) for row, sample in counted for text in spoken(sample)]
    beside = [one.text for _, sample in counted for one in texts_of(sample) if not one.person]
    ranking = _ranking([text for _, text in own], beside, names[0])
    found = [(row, text, score) for (row, text), score in zip(own, ranking.scores.tolist(), strict=True)]
    others = np.setdiff1d(judged, read).tolist()
    for begin in range(0, len(others), _AT_ONCE):
        progress("measuring the voice", begin, len(others))
        rest = [(row, sample_at(row)) for row in others[begin : begin + _AT_ONCE]]
        more = [(row, text) for row, sample in rest if _language(sample) in names for text in spoken(sample)]
        scores = ranking.scores_of([text for _, text in more]).tolist()
        found += [(row, text, score) for (row, text), score in zip(more, scores, strict=True)]
    least, wanted = config.at_least or 0.0, set(judged.tolist())
    return {
        row: f"a score of {score:.1f} by {text.words} words; {least:g} are wanted"
        for row, text, score in found
        if row in wanted and text.reply and text.words >= config.words and score < least
    }


def _language(sample: CuratedSample) -> str:
    return sample.metadata.language


def _ranking(own: list[Text], beside: list[str], language: str) -> Ranking:
    """Return the scores by the person's own texts. Raises JobError where there are too few, or they are as others'."""
    heard = english().words if language == "en" else words_in(beside)
    why = lacking(sum(one.words for one in own), heard)
    ranking = None if why else Ranking(own, beside, language)
    if ranking is None or (why := ranking.lacking()):
        raise JobError(
            f"the filter voice cannot tell the person from others in {language!r}: {why}",
            "leave out --voice-at-least (voice.at_least in etc/curate.json), or bring more with curate import",
        )
    return ranking
