"""Whose voice a set holds, in which languages, and whose questions it answers: counts over the written samples."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from curator.executing.spool import as_numpy, hash64
from curator.language.identify import UNDETERMINED
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
        self._prompts.append(hash64(sample.user_text))
        if data.reply_author in _CLEANED:
            if data.language == UNDETERMINED or self.has_fillers(data.language):
                self.looked_at += 1
                self.fillers += self.still_filler(sample.assistant_text)
            else:
                self.unlisted[data.language] += 1

    def __getstate__(self) -> dict[str, Any]:
        """Return what was counted, without the functions, which cannot travel to another process."""
        return self.__dict__ | {"has_fillers": None, "still_filler": None}

    def also(self, other: Voice) -> None:
        """Count the samples that were counted elsewhere, which come after these."""
        self.fillers += other.fillers
        self.looked_at += other.looked_at
        self._prompts.extend(other._prompts)
        mine = (self.authors, self.languages, self.questions, self.turns, self.trained, self.unlisted)
        its = (other.authors, other.languages, other.questions, other.turns, other.trained, other.unlisted)
        for counts, more in zip(mine, its, strict=True):
            cast("Counter[Any]", counts).update(cast("Counter[Any]", more))

    def repeated(self, prompt_of: Callable[[int], str]) -> tuple[RepeatedPrompt, ...]:
        """Return the prompts that most samples share, the most frequent first; `prompt_of(n)` gives the nth's text."""
        _, firsts, counts = np.unique(as_numpy(self._prompts), return_index=True, return_counts=True)
        order = np.lexsort((firsts, -counts))[:_MOST_PROMPTS]
        return tuple(
            RepeatedPrompt(prompt_of(int(firsts[place]))[:200], int(counts[place]))
            for place in order.tolist()
            if counts[place] > 1
        )
