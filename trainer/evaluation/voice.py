"""How much a model's replies sound like the person whose run it was trained on: `curate docs voice` has the definition.

<run>/voice-reference.npz --read_voice--> Voice --score--> Voiced, beside the figure for recital and never without it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curator.contract.records import VOICE_REFERENCE
from curator.contract.voice.reference import Judge, Place, Reference
from curator.contract.voice.stored import read_reference


@dataclass(frozen=True)
class Voiced:
    """Where a model's replies stand: topic-free, and with all their words, 0 as others and 100 as the person."""

    topic_free: Place
    full: Place

    @property
    def score(self) -> float | None:
        """Return the topic-free score, None where there is too little to tell."""
        return self.topic_free.score

    @property
    def margin(self) -> float | None:
        """Return half the width of the topic-free score's interval of 95%, points."""
        low, high = self.topic_free.low, self.topic_free.high
        return None if low is None or high is None else (high - low) / 2


class Voice:
    """Scores texts by the words of a person that are in no training sample."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._topic_free, self._full = Judge(reference), Judge(reference, full=True)

    def lacking(self) -> str:
        """Return why nothing can be told of any text, or ''."""
        return self._topic_free.lacking()

    def score(self, texts: Sequence[str]) -> Voiced:
        """Return where texts of one author stand together."""
        return Voiced(self._topic_free.place(texts), self._full.place(texts))

    def ends(self) -> tuple[Voiced, Voiced]:
        """Return where others and the person stand: each half of their documents on the other half's scale."""
        (floor, ceiling), (bottom, top) = self._topic_free.ends(), self._full.ends()
        return Voiced(floor, bottom), Voiced(ceiling, top)


def read_voice(run: Path | None) -> Voice | None:
    """Return what scores texts by a run's reference, None where the run has none (or there is no run).

    Raises UsageError where the file is damaged.
    """
    path = run / VOICE_REFERENCE if run else None
    return Voice(read_reference(path)) if path and path.is_file() else None
