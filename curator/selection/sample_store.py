"""The screened samples on disk, with what choosing needs in columns; signatures are made block by block."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from curator.config import Settings
from curator.contract.cli_frame import Progress
from curator.reading.drop_log import DropLog, Outcomes, Reason
from curator.reading.spool import FirstSeen, Spool, as_numpy
from curator.reading.timeline import Timeline
from curator.records import CuratedSample, MemoryEvent
from curator.sampling.sampler import SampleCounts, Sampler, ScreenedSample
from curator.selection import near_duplicates
from curator.selection.near_duplicates import Rows
from curator.selection.spread import Columns

_BLOCK = 4_096


@dataclass
class SampleStore:
    """Screened samples by number, in the order in which they came; the texts themselves lie in a spool."""

    settings: Settings
    folder: Path | None
    mode_names: list[str]
    columns: Columns = field(default_factory=Columns)
    type_names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spool = Spool(ScreenedSample, self.folder)
        self._type_numbers: dict[str, int] = {}
        self._questions: dict[str, int] = {}
        self._mode_numbers = {name: number for number, name in enumerate(self.mode_names)}
        self._texts: list[str] = []
        self._shingles = array("I")  # 32 bits
        self._ends = array("q", [0])
        self.thoughts: array[int] = array("l")
        self.links: list[tuple[int, int]] = []
        self._signatures: list[np.ndarray[tuple[int, int], np.dtype[np.uint16]]] = []
        self._seen = FirstSeen()

    def __len__(self) -> int:
        return len(self.spool)

    def close(self) -> None:
        """Give the disk space back."""
        self.spool.close()

    def add(self, screened: ScreenedSample, event: MemoryEvent, place: int, group: int) -> int:
        """Take in a sample; return -1, or the number of an older sample with the very same text."""
        text = compared_text(screened.sample)
        # hash() differs from process to process, but what it is used for, equality within this one, does not.
        older = self._seen.setdefault(hash(text), len(self.spool))
        if older != len(self.spool):
            return older
        self.spool.add(screened)
        if screened.sample.metadata.thought:
            self.thoughts.append(older)
        number = self._type_numbers.get(event.type)
        if number is None:
            number = self._type_numbers[event.type] = len(self.type_names)
            self.type_names.append(event.type)
        columns = self.columns
        columns.modes.append(self._mode_numbers[screened.sample.mode])
        columns.types.append(number)
        columns.times.append(event.time)
        columns.groups.append(group)
        columns.places.append(place)
        columns.priority.append(event.priority)
        columns.asked.append(self._question_number(screened.sample))
        self._texts.append(near_duplicates.plain(text))
        if len(self._texts) >= _BLOCK:
            self._sign()
        return -1

    def _question_number(self, sample: CuratedSample) -> int:
        """Return the number of the stock question that the person's words answer, -1 where they answer none."""
        if sample.metadata.question != "stock" or sample.metadata.reply_author != "person":
            return -1
        return self._questions.setdefault(sample.user_text, len(self._questions))

    def modes(self) -> dict[str, int]:
        """Return how many samples there are of each mode."""
        counts = np.bincount(as_numpy(self.columns.modes), minlength=len(self.mode_names))
        return dict(zip(self.mode_names, counts.tolist(), strict=True))

    def _sign(self) -> None:
        near = self.settings.curate.near_duplicates
        sets = near_duplicates.shingle_sets(self._texts, near.shingle_words)
        self._signatures.append(near_duplicates.signatures(sets, near.bands * near.rows))
        self._ends.extend((sets.offsets[1:] + self._ends[-1]).tolist())
        self._shingles.frombytes(sets.values.tobytes())
        self._texts = []

    def signatures(self) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
        """Return the MinHash signatures of all samples, shape (samples, permutations), and forget them."""
        if self._texts:
            self._sign()
        self._seen = FirstSeen()
        near = self.settings.curate.near_duplicates
        made = self._signatures or [np.zeros((0, near.bands * near.rows), dtype=np.uint16)]
        self._signatures = []
        return np.concatenate(made)

    def sets(self) -> near_duplicates.ShingleSets:
        """Return the word shingles of all samples; to be asked for after `signatures`."""
        return near_duplicates.ShingleSets(as_numpy(self._shingles), as_numpy(self._ends))

    def whole_sets(self, sets: near_duplicates.ShingleSets) -> tuple[near_duplicates.ShingleSets, Rows]:
        """Return sets in which thoughts stand with their answers, and for each sample the number of its set.

        Two thoughts that the same words of the world answer are no duplicates, but must not straddle the split.

        The numbers have the shape (samples,).
        """
        rows = as_numpy(self.thoughts).astype(np.int64)
        samples = (self.spool.get(row).sample for row in rows.tolist())
        texts = [near_duplicates.plain(f"{sample.user_text}\n{sample.assistant_text}") for sample in samples]
        whole = near_duplicates.shingle_sets(texts, self.settings.curate.near_duplicates.shingle_words)
        numbers = np.arange(len(sets))
        numbers[rows] = len(sets) + np.arange(len(rows))
        return sets.followed_by(whole), numbers


def compared_text(sample: CuratedSample) -> str:
    """Return the text by which duplicates are found: both sides, or only the own text of a one-sided memory."""
    if sample.metadata.prompted and sample.metadata.reply_author == "person":
        return sample.assistant_text
    if sample.metadata.thought:
        return sample.user_text
    return f"{sample.user_text}\n{sample.assistant_text}"


@dataclass(frozen=True)
class Collected:
    """What the first two passes left: all memories, all screened samples, and what became of the rest."""

    timeline: Timeline
    store: SampleStore
    log: DropLog
    outcomes: Outcomes
    counts: SampleCounts


def collect(sampler: Sampler, timeline: Timeline, store: SampleStore, log: DropLog, progress: Progress) -> Collected:
    """Put what every memory gives into the store and the log, the same text only once."""
    outcomes = Outcomes(len(timeline))
    for result in sampler.memories(progress):
        group = timeline.group(result.place)
        for screened in result.samples:
            metadata = screened.sample.metadata
            if metadata.thought and result.answered_by >= 0:
                store.links.append((group, timeline.group(result.answered_by)))
            older = store.add(screened, result.event, result.place, group)
            if older >= 0:
                twin = store.spool.get(older).sample.metadata.sample_id
                result.drop("screen", "duplicate", f"the same text as {twin}", metadata.sample_id)
        for drop in result.drops:
            log(drop)
            outcomes.note(result.place, Reason(drop.stage, drop.reason))
    return Collected(timeline, store, log, outcomes, sampler.counts)
