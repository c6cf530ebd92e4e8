"""Whose voice a set holds, in which languages, and whose questions it answers: counts over the written samples."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from curator.language.identify import UNDETERMINED
from curator.reading.spool import as_numpy
from curator.records import CuratedSample
from curator.reports.report import RepeatedPrompt

_MOST_PROMPTS = 10
_CLEANED = ("assistant", "other_human")


@dataclass
class Voice:
    """Counts of authors, languages and prompts. A prompt takes eight bytes, so that a million samples take eight MB.

    `has_fillers(language)` tells whether etc/fillers.json lists fillers of a language, `still_filler(reply)` whether a
    cleaned reply still holds one. `unlisted` counts, by language, the replies in which none could be found.
    """

    has_fillers: Callable[[str], bool]
    still_filler: Callable[[str], bool]
    authors: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    questions: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    trained: Counter[int] = field(default_factory=Counter)
    fillers: int = 0
    looked_at: int = 0
    unlisted: Counter[str] = field(default_factory=Counter)
    _prompts: array[int] = field(default_factory=lambda: array("q"))

    def add(self, sample: CuratedSample) -> None:
        """Count one sample."""
        data = sample.metadata
        self.authors[data.reply_author] += 1
        self.languages[data.language] += 1
        self.questions[data.question or ("stock" if data.prompted else "own")] += 1
        earlier = sample.context
        self.turns[1 + len(earlier)] += 1
        self.trained[1 + sum([exchange.trained for exchange in earlier]) if earlier else 1] += 1
        # hash() differs from process to process; that it is equal for equal texts, which is all that counts, does not.
        self._prompts.append(hash(sample.user_text))
        if data.reply_author in _CLEANED:
            if data.language == UNDETERMINED or self.has_fillers(data.language):
                self.looked_at += 1
                self.fillers += self.still_filler(sample.assistant_text)
            else:
                self.unlisted[data.language] += 1

    def repeated(self, prompt_of: Callable[[int], str]) -> tuple[RepeatedPrompt, ...]:
        """Return the prompts that most samples share, the most frequent first; `prompt_of(n)` gives the nth's text."""
        _, firsts, counts = np.unique(as_numpy(self._prompts), return_index=True, return_counts=True)
        order = np.lexsort((firsts, -counts))[:_MOST_PROMPTS]
        return tuple(
            RepeatedPrompt(prompt_of(int(firsts[place]))[:200], int(counts[place]))
            for place in order.tolist()
            if counts[place] > 1
        )
