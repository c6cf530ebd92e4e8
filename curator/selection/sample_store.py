"""The screened samples on disk, with what choosing needs in columns; signatures are made block by block."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from curator.config import Settings
from curator.contract.cli_frame import Progress
from curator.language.words import count_words
from curator.reading.drop_log import DropLog, Outcomes, Reason
from curator.reading.spool import FirstSeen, Spool, as_numpy
from curator.reading.timeline import Timeline
from curator.records import AUTHORS, CuratedSample, MemoryEvent
from curator.sampling.joining import ScreenedSample
from curator.sampling.sampler import SampleCounts, Sampler
from curator.sampling.tool_calls import OUTCOME
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
        self.spool = Spool(ScreenedSample, self.folder, veiled=self.settings.unlocked is not None)
        self._type_numbers: dict[str, int] = {}
        self._questions: dict[str, int] = {}
        self._mode_numbers = {name: number for number, name in enumerate(self.mode_names)}
        self._texts: list[str] = []
        self._shingles, self._reply_shingles = array("I"), array("I")  # 32 bits
        self._ends, self._reply_ends = array("q", [0]), array("q", [0])
        self.partly: array[int] = array("l")
        self._with_context, self._told_by = (
            array("l"),
            array("l"),
        )  # a sample of several exchanges, the one that tells one
        self.links: list[tuple[int, int]] = []
        self.copies: list[tuple[int, str, tuple[str, ...]]] = []
        self.beside: dict[int, tuple[int, ...]] = {}  # row -> places of the other memories that it holds exchanges of
        self.spared: list[Rows] = []  # rows that were not chosen, though nothing was wrong with them
        self._signatures: list[np.ndarray[tuple[int, int], np.dtype[np.uint16]]] = []
        self._seen = FirstSeen()

    def __len__(self) -> int:
        return len(self.spool)

    def close(self) -> None:
        """Give the disk space back."""
        self.spool.close()

    def add(self, screened: ScreenedSample, event: MemoryEvent, place: int, group: int) -> int:
        """Take in a sample; return -1, or the number of an older sample with the very same text."""
        sample, number = screened.sample, len(self.columns)
        prompt, reply = _sides(sample)
        # hash() differs from process to process, but what it is used for, equality within this one, does not.
        older = self._seen.setdefault(hash(_joined(prompt, reply)), number)
        if older != number:
            return older
        self.spool.add(screened)
        if sample.metadata.thought or sample.metadata.reply_author == "tool":
            self.partly.append(number)
        self._note_context(sample, number, group)
        self._note(sample, event, place, group)
        self._texts.append(near_duplicates.compared(prompt, reply))
        if len(self._texts) >= _BLOCK:
            self._sign()
        return -1

    def _note(self, sample: CuratedSample, event: MemoryEvent, place: int, group: int) -> None:
        """Put what choosing needs to know of a sample into the columns."""
        number = self._type_numbers.get(event.type)
        if number is None:
            number = self._type_numbers[event.type] = len(self.type_names)
            self.type_names.append(event.type)
        columns = self.columns
        columns.modes.append(self._mode_numbers[sample.mode])
        columns.types.append(number)
        columns.authors.append(AUTHORS.index(sample.metadata.reply_author))
        columns.times.append(event.time)
        columns.groups.append(group)
        columns.places.append(place)
        columns.priority.append(event.priority)
        columns.asked.append(self._question_number(sample))

    def _note_context(self, sample: CuratedSample, number: int, group: int) -> None:
        """Note of each exchange in a sample's context which older sample of its conversation is just that, or -1."""
        for one in sample.context:
            told_by = -1
            if not sample.metadata.multi_turn:
                told_by = self._seen.get(hash(_joined(one.user_text, one.assistant_text)))
            same = told_by >= 0 and self.columns.groups[told_by] == group
            self._with_context.append(number)
            self._told_by.append(told_by if same else -1)

    def places(self, rows: Rows) -> set[int]:
        """Return the places of the memories that have a sample, or an exchange in one, among these rows, (samples,)."""
        places = set(as_numpy(self.columns.places)[rows].tolist())
        if self.beside:
            places.update(place for row in rows.tolist() for place in self.beside.get(row, ()))
        return places

    def memories(self, rows: Rows) -> int:
        """Return how many memories have a sample, or an exchange in one, among these rows, shape (samples,)."""
        return len(self.places(rows))

    def _question_number(self, sample: CuratedSample) -> int:
        """Return the number of the stock question that a text answers, -1 where it answers none, or a tool is asked."""
        if sample.metadata.question != "stock" or sample.metadata.reply_author == "tool":
            return -1
        return self._questions.setdefault(sample.user_text, len(self._questions))

    def modes(self) -> dict[str, int]:
        """Return how many samples there are of each mode."""
        counts = np.bincount(as_numpy(self.columns.modes), minlength=len(self.mode_names))
        return dict(zip(self.mode_names, counts.tolist(), strict=True))

    def _sign(self) -> None:
        near = self.settings.curate.near_duplicates
        found = near_duplicates.shingles(self._texts, near.shingle_words)
        self._texts = []
        sets, replies = near_duplicates.whole_and_reply_sets(found)
        self._signatures.append(near_duplicates.signatures(sets, near.bands * near.rows))
        self._ends.extend((sets.offsets[1:] + self._ends[-1]).tolist())
        self._shingles.frombytes(sets.values.tobytes())
        self._reply_ends.extend((replies.offsets[1:] + self._reply_ends[-1]).tolist())
        self._reply_shingles.frombytes(replies.values.tobytes())

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

    def reply_sets(self) -> near_duplicates.ShingleSets:
        """Return the word shingles of the replies, empty where one is too short; to be asked for after `signatures`."""
        return near_duplicates.ShingleSets(as_numpy(self._reply_shingles), as_numpy(self._reply_ends))

    def whole_sets(self) -> tuple[near_duplicates.ShingleSets, near_duplicates.ShingleSets, Rows]:
        """Return sets in which thoughts stand with their answers and calls with their outcomes, and those of replies.

        With them comes where each sample's are.

        Two thoughts that the same words of the world answer are no duplicates, but must not straddle the split; nor
        two calls with one outcome.

        The numbers have the shape (samples,).
        """
        sets = self.sets()
        replies = self.reply_sets()
        rows = as_numpy(self.partly).astype(np.int64)
        samples = (self.spool.get(row).sample for row in rows.tolist())
        texts = [near_duplicates.compared(sample.user_text, sample.assistant_text) for sample in samples]
        found = near_duplicates.shingles(texts, self.settings.curate.near_duplicates.shingle_words)
        numbers = np.arange(len(sets))
        numbers[rows] = len(sets) + np.arange(len(rows))
        more, more_replies = near_duplicates.whole_and_reply_sets(found)
        return sets.followed_by(more), replies.followed_by(more_replies), numbers

    def context_sets(self, rows: Rows) -> tuple[near_duplicates.ShingleSets, Rows]:
        """Return the sets of the single exchanges in samples of several, and for each its sample's place in `rows`.

        What stands in a held-out conversation, as context or trained, must not be near a training sample either. Left
        out are samples of which each exchange is itself a sample of `rows` in the same conversation. The places have
        the shape (exchanges,); `rows` are ascending.
        """
        texts: list[str] = []
        places: list[int] = []
        told_by = as_numpy(self._told_by)
        alone = as_numpy(self._with_context)[(told_by < 0) | ~np.isin(told_by, rows)]
        for row in np.intersect1d(alone, rows).tolist():
            found = [near_duplicates.compared(*both) for both in _exchanges(self.spool.get(row).sample)]
            texts += found
            places += [int(np.searchsorted(rows, row))] * len(found)
        words = self.settings.curate.near_duplicates.shingle_words
        return near_duplicates.shingle_sets(texts, words), np.array(places, dtype=np.int64)


# Shorter exchanges ("Thanks." "You're welcome.") stand in any conversation and tell nothing of one.
_TELLING_WORDS = 8


def _exchanges(sample: CuratedSample) -> Iterator[tuple[str, str]]:
    """Yield the telling exchanges of a sample: those of its context, and its own where all are one text else."""
    both = [(one.user_text, one.assistant_text) for one in sample.context]
    if sample.metadata.multi_turn:
        both.append((sample.user_text, sample.assistant_text))
    for said, answered in both:
        if count_words(said) + count_words(answered) >= _TELLING_WORDS:
            yield said, answered


def compared_text(sample: CuratedSample) -> str:
    """Return the text by which duplicates are found: both sides of each exchange that is trained.

    Of a one-sided memory it is only its own text; of a tool call what asked for it and the call, not how it ended,
    since another call may end alike.
    """
    return _joined(*_sides(sample))


def _joined(prompt: str, reply: str) -> str:
    return f"{prompt}\n{reply}" if prompt and reply else prompt + reply


def _sides(sample: CuratedSample) -> tuple[str, str]:
    """Return what is compared of the prompt and of the reply; nothing where the other side alone tells a duplicate."""
    if sample.metadata.thought:
        return sample.user_text, ""
    if sample.metadata.prompted or sample.metadata.reply_author == "tool":
        reply = sample.assistant_text
        own = reply.partition(OUTCOME)[0] if sample.metadata.reply_author == "tool" else reply
        return "" if sample.metadata.prompted else sample.user_text, own
    if not sample.metadata.multi_turn:
        return sample.user_text, sample.assistant_text
    earlier = [f"{one.user_text}\n{one.assistant_text}" for one in sample.context if one.trained]
    return "\n".join([*earlier, sample.user_text]), sample.assistant_text


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
            beside, row = result.beside.get(metadata.sample_id, ()), len(store)
            older = store.add(screened, result.event, result.place, group)
            if older >= 0:
                twin = store.spool.get(older).sample.metadata.sample_id
                if sampler.options.since:
                    store.copies.append((older, metadata.sample_id, screened.events))
                result.drop("screen", "duplicate", f"the same text as {twin}", metadata.sample_id)
                for place in beside:
                    outcomes.note(place, Reason("screen", "duplicate"))
            elif beside:
                store.beside[row] = beside
        for drop in result.drops:
            log(drop)
            outcomes.note(result.place, Reason(drop.stage, drop.reason))
    return Collected(timeline, store, log, outcomes, sampler.counts)
