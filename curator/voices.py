"""How much a finished set sounds like the person, and the reference that it leaves: told side by side by workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from curator.contract.voice.stored import as_arrays
from curator.executing.executor import Desk, Executor
from curator.executing.spool import Spool
from curator.likeness.reference import Learnt, Unlearnt, unlearnt_reference
from curator.likeness.scores import Drawn, Likeness, likeness
from curator.likeness.texts import main_language
from curator.records import CuratedSample
from curator.run_folder import packed
from curator.sampling.joining import ScreenedSample
from curator.selection.choose import Choice
from curator.selection.comparing import attached_samples
from curator.selection.sample_store import Collected
from curator.selection.unused import unused

Question = Literal["reference", "likeness"]


class Told(NamedTuple):
    """The file of the reference, none without a word of the person's, and how alike the set is."""

    reference: bytes | None
    likeness: Likeness


@dataclass(frozen=True)
class VoiceWork:
    """What is to be told of: the rows of a run's samples, of which there are `count`, and what the set holds.

    `samples` is the spool where no other process can read it, `there` the number of samples by language.
    """

    samples: Spool[ScreenedSample] | None
    count: int
    rows: Unlearnt
    learnt: Learnt
    there: Mapping[str, int]


def begin_voices(work: VoiceWork, desk: Desk) -> Callable[[Question], Any]:
    """Return what answers the two questions."""
    samples = work.samples
    if samples is None:
        samples = attached_samples(desk, work.count)

    def sample_at(row: int) -> CuratedSample:
        return samples.get(row).sample

    def answer(question: Question) -> Any:
        if question == "reference":
            reference = unlearnt_reference(sample_at, work.rows, work.learnt)
            return packed(as_arrays(reference)) if reference else None  # which takes a third of the time
        language = main_language(work.learnt.characters)
        return likeness(Drawn.some(sample_at, work.rows.chosen, language, work.there))

    return answer


def voices(collected: Collected, choice: Choice, learnt: Learnt, there: Mapping[str, int], executor: Executor) -> Told:
    """Tell of the voice of a set; `there` is the number of its samples by language, `learnt` what it trains on.

    The reference is how the person writes where no training sample says it; of an encrypted profile, where the set
    itself does: hashed counts of runs of characters can be turned back into words by trying, and what the set does not
    hold stays shut.
    """
    store = collected.store
    for row in choice.learnt.tolist():
        screened = store.spool.get(row)
        learnt.learn(screened.sample, screened.events)
    free = choice.rows[:0] if store.settings.unlocked else unused(collected, choice, learnt.beside)
    rows = Unlearnt(held=choice.holdout.rows, unused=free, chosen=choice.rows)
    own = store.spool if store.settings.unlocked else None
    work = VoiceWork(own, len(store), rows, learnt, there)
    questions: tuple[Question, ...] = ("reference", "likeness")
    reference, alike = executor.map(begin_voices, work, questions)
    return Told(reference, alike)
