"""Whose voice a set holds, in which languages, and whose questions it answers: counts over the written samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from curator.reports.figures import CLEANED, Kind, Numbers
from curator.reports.report import RepeatedPrompt

_MOST_PROMPTS = 10


@dataclass
class Voice:
    """Counts of authors, languages and prompts, of which `prompts` are hashes, (samples,).

    `unlisted` counts, by language, the replies in which fillers would be looked for if any were listed.
    """

    prompts: Numbers
    authors: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    questions: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    trained: Counter[int] = field(default_factory=Counter)
    fillers: int = 0
    looked_at: int = 0
    unlisted: Counter[str] = field(default_factory=Counter)

    def add(self, kind: Kind, count: int) -> None:
        """Count so many samples of a kind."""
        self.authors[kind.author] += count
        self.languages[kind.language] += count
        self.questions[kind.question] += count
        self.turns[kind.turns] += count
        self.trained[kind.trained] += count
        self.looked_at += count * kind.looked_at
        self.fillers += count * kind.filler
        if kind.author in CLEANED and not kind.looked_at:
            self.unlisted[kind.language] += count

    def repeated(self, prompt_of: Callable[[int], str]) -> tuple[RepeatedPrompt, ...]:
        """Return the prompts that most samples share, the most frequent first; `prompt_of(n)` gives the nth's text."""
        _, firsts, counts = np.unique(self.prompts, return_index=True, return_counts=True)
        order = np.lexsort((firsts, -counts))[:_MOST_PROMPTS]
        return tuple(
            RepeatedPrompt(prompt_of(int(firsts[place]))[:200], int(counts[place]))
            for place in order.tolist()
            if counts[place] > 1
        )
