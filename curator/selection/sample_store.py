"""The screened samples on disk, with what choosing needs in columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from curator.config import Settings
from curator.executing.arrays import ArrayFile
from curator.executing.spool import FirstSeen, Spool, as_numpy
from curator.reading.drop_log import DropLog, Outcomes, Reason
from curator.reading.timeline import Order, Timeline
from curator.records import Drop
from curator.sampling.joining import ScreenedSample
from curator.sampling.sampler import SampleCounts
from curator.selection import shingles
from curator.selection.comparing import FILES, Compared, ComparingWork, Meanings
from curator.selection.near_duplicates import link_buckets
from curator.selection.part import Part, exchanges_of
from curator.selection.shingles import Both, Rows, Sets, StoredSets
from curator.selection.spread import Columns

_AT_ONCE: Final = 1 << 12  # samples whose texts are held
_RELEASED: Final = 1 << 14  # memories after which what was read of the order is let go of


@dataclass
class SampleStore:
    """Screened samples by number, in the order in which they came.

    The texts themselves lie in a spool, and on disk too lie the shingles by which they are compared. `order` gives the
    conversation of a memory by its place. Which samples a copy was found of is kept where asked.
    """

    settings: Settings
    folder: Path | None
    mode_names: list[str]
    order: Order
    keeps_copies: bool = False
    columns: Columns = field(default_factory=Columns)
    type_names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        veiled, near = self.settings.unlocked is not None, self.settings.curate.near_duplicates
        self.spool = Spool(ScreenedSample, self.folder, veiled=veiled)
        self._type_numbers: dict[str, int] = {}
        self._questions: dict[str, int] = {}
        self._signatures = ArrayFile(np.uint16, near.bands * near.rows, self.folder, veiled=veiled)
        self._links = self._signatures.like_this(np.int32, 1)
        self._ends = self._signatures.like_this(np.int64, 1)
        self.reply_signatures = self._signatures.like_this(width=3 * shingles.REPLY_BANDS)
        self._more: tuple[StoredSets, ...] = ()
        self.sets, self.reply_sets = (StoredSets.empty(self.folder, veiled=veiled) for _ in range(2))
        self.partly: array[int] = array("l")
        self._with_context, self._told_by = (
            array("l"),
            array("l"),
        )  # a sample of several exchanges, the one that tells one
        self._answers = array("q")  # places of memories, in turn with those of the memories that answer them
        self.copies: list[tuple[int, str, tuple[str, ...]]] = []
        self.beside: dict[int, tuple[int, ...]] = {}  # row -> places of the other memories that it holds exchanges of
        self.spared: list[Rows] = []  # rows that were not chosen, though nothing was wrong with them
        self._seen = FirstSeen()

    def __len__(self) -> int:
        return len(self.spool)

    @property
    def files(self) -> dict[str, int]:
        """The open files that other processes need, by name."""
        handles = (self.spool.handle, self._ends.handle, self._signatures.handle, self._links.handle)
        return dict(zip(FILES, (*handles, *self.sets.handles), strict=True))

    def close(self) -> None:
        """Give the disk space back."""
        arrays = (self._signatures, self._links, self._ends, self.reply_signatures)
        for array_file in arrays:
            array_file.close()
        for sets in (self.sets, self.reply_sets, *self._more):
            sets.close()
        self.spool.close()

    def extend(self, part: Part) -> list[tuple[int, int]]:
        """Take in the samples of a part; return (number in the part, older sample) of those with the very same text.

        They are left out.
        """
        own, first = part.columns, len(self)
        kept, twins = array("l"), list[tuple[int, int]]()
        setdefault, memories = self._seen.setdefault, own.memories
        exchanges: list[tuple[int | None, int]] = []
        for row, text in enumerate(own.texts):
            number = first + len(kept)
            older = setdefault(text, number)
            if older != number:
                twins.append((row, older))
                continue
            kept.append(row)
            for exchange in part.exchanges.get(row, ()):
                exchanges.append((exchange, number))
            if row in part.answers:
                self._answers.extend((part.first + memories[row], part.answers[row]))
            if row in part.beside:
                self.beside[number] = part.beside[row]
        self._take(part, as_numpy(kept), first, whole=not twins)
        for exchange, number in exchanges:
            self._note_exchange(exchange, number)
        return twins

    def _take(self, part: Part, rows: Rows, first: int, *, whole: bool) -> None:
        """Put what is kept of a part, rows (samples,), behind what there is; `first` is the number of the first."""
        sizes = as_numpy(part.columns.sizes)
        data = part.data
        if not whole:
            ends = np.concatenate([[0], np.cumsum(sizes)])
            data = b"".join([part.data[start:stop] for start, stop in zip(ends[rows], ends[rows + 1], strict=True)])
        self.spool.extend(data, sizes[rows])
        types = np.array([self._number_of(name) for name in part.type_names], dtype=np.int16)
        asked = np.array([self._asked(text) for text in part.questions] + [-1], dtype=np.int64)  # -1 is none: the last
        columns, own = self.columns, part.columns
        columns.modes.frombytes(as_numpy(own.modes)[rows].tobytes())
        columns.types.frombytes(types[as_numpy(own.types)[rows]].tobytes() if len(rows) else b"")
        columns.authors.frombytes(as_numpy(own.authors)[rows].tobytes())
        columns.priority.frombytes(as_numpy(own.priority)[rows].tobytes())
        columns.places.extend((as_numpy(own.memories)[rows] + part.first).tolist())
        columns.asked.extend(asked[as_numpy(own.asked)[rows]].tolist())
        self.partly.extend((first + np.flatnonzero(as_numpy(own.partly)[rows])).tolist())
        sets, replies = (part.sets, part.replies) if whole else (part.sets.take(rows), part.replies.take(rows))
        self.sets.extend(sets)
        self.reply_sets.extend(replies)
        self._signatures.extend(part.signatures[rows])
        self.reply_signatures.extend(part.reply_signatures[rows])

    def _number_of(self, name: str) -> int:
        """Return the number of a type of memories."""
        number = self._type_numbers.setdefault(name, len(self.type_names))
        if number == len(self.type_names):
            self.type_names.append(name)
        return number

    def _asked(self, question: str) -> int:
        """Return the number of a stock question."""
        return self._questions.setdefault(question, len(self._questions))

    def _note_exchange(self, text: int | None, number: int) -> None:
        """Note of an exchange in a sample's context which older sample of its conversation is just that, or -1."""
        told_by, places, group = -1 if text is None else self._seen.get(text), self.columns.places, self.order.group
        same = 0 <= told_by < number and group(places[told_by]) == group(places[number])
        self._with_context.append(number)
        self._told_by.append(told_by if same else -1)

    def groups(self, rows: Rows) -> Rows:
        """Return the numbers of the conversations of samples, of the shape of `rows`."""
        return self.order.groups_at(as_numpy(self.columns.places)[rows])

    def times(self, rows: Rows) -> Rows:
        """Return the times of the memories of samples in milliseconds, both of shape (samples,)."""
        return self.order.times_at(as_numpy(self.columns.places)[rows])

    def answered(self) -> Rows:
        """Return the conversations of a thought and of what answers it, shape (answers, 2)."""
        return self.order.groups_at(as_numpy(self._answers)).reshape(-1, 2)

    def places(self, rows: Rows) -> Rows:
        """Return the places of the memories that have a sample, or an exchange in one, among these rows, (samples,).

        They have the shape (memories,), each once, ascending.
        """
        places = np.unique(as_numpy(self.columns.places)[rows].astype(np.int64))
        having = rows[np.isin(rows, np.fromiter(self.beside, np.int64, len(self.beside)))]
        return np.union1d(places, np.array([place for row in having.tolist() for place in self.beside[row]], np.int64))

    def memories(self, rows: Rows) -> int:
        """Return how many memories have a sample, or an exchange in one, among these rows, shape (samples,)."""
        return len(self.places(rows))

    def modes(self) -> dict[str, int]:
        """Return how many samples there are of each mode."""
        counts = np.bincount(as_numpy(self.columns.modes), minlength=len(self.mode_names))
        return dict(zip(self.mode_names, counts.tolist(), strict=True))

    def comparing(self) -> ComparingWork:
        """Return the work of comparing all samples, once all are there: no text is known by its hash any more."""
        self._seen = FirstSeen()
        near = self.settings.curate.near_duplicates
        link_buckets(self._signatures, near.bands, self._links)
        if self.settings.unlocked:
            meanings = Meanings(lambda row: self.spool.get(row).sample)
            return ComparingWork(len(self), near, Compared(self._signatures, self._links, self.sets, meanings))
        self._ends.extend(self.spool.ends)
        for file in (self.spool, self._ends, self._signatures, self._links, self.sets):
            file.flush()
        return ComparingWork(len(self), near)

    def whole_sets(self) -> tuple[Sets, Sets, Rows]:
        """Return sets in which thoughts stand with their answers and calls with their outcomes, and those of replies.

        Two thoughts that the same words of the world answer are no duplicates, but must not straddle the split; nor
        two calls with one outcome. With the sets comes where each sample's are, shape (samples,); `reply_signatures`
        has a row for each as well. To be asked for once.
        """
        numbers = np.arange(len(self))
        rows = as_numpy(self.partly)
        numbers[rows] = len(self) + np.arange(len(rows))
        more, more_replies = self._more = self.sets.like_these(), self.reply_sets.like_these()
        for start in range(0, len(rows), _AT_ONCE):
            samples = (self.spool.get(row).sample for row in rows[start : start + _AT_ONCE].tolist())
            texts = [shingles.compared(sample.user_text, sample.assistant_text) for sample in samples]
            found = shingles.shingles(texts, self.settings.curate.near_duplicates.shingle_words)
            sets, replies = shingles.whole_and_reply_sets(found)
            more.extend(sets)
            more_replies.extend(replies)
            self.reply_signatures.extend(shingles.reply_signatures(replies))
        return Both(self.sets, more), Both(self.reply_sets, more_replies), numbers

    def context_sets(self, rows: Rows) -> tuple[Sets, Rows]:
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
            found = [shingles.compared(*both) for both in exchanges_of(self.spool.get(row).sample)]
            texts += found
            places += [int(np.searchsorted(rows, row))] * len(found)
        words = self.settings.curate.near_duplicates.shingle_words
        return shingles.shingle_sets(texts, words), np.array(places, dtype=np.int64)


@dataclass(frozen=True)
class Collected:
    """What the first two passes left: all memories, all screened samples, and what became of the rest."""

    timeline: Timeline
    store: SampleStore
    log: DropLog
    outcomes: Outcomes
    counts: SampleCounts


def collect(found: Iterable[Part], timeline: Timeline, store: SampleStore, log: DropLog) -> Collected:
    """Put what every memory gave into the store and the log, the same text only once."""
    outcomes, counts = Outcomes(len(timeline)), SampleCounts()
    released = 0
    for part in found:
        if part.first - released >= _RELEASED:
            timeline.release()
            released = part.first
        counts.add(part.counts)
        log.also(part.log)
        outcomes.note_all(part.first, part.outcomes, part.reasons)
        written, ends = 0, np.cumsum(as_numpy(part.drop_bytes))
        samples = np.concatenate([[0], np.cumsum(as_numpy(part.columns.sizes))])
        last, event = -1, None
        for row, older in store.extend(part):
            memory = part.columns.memories[row]
            if event is None or memory != last:  # one of four megabytes may hold as many copies as sentences
                last, event = memory, timeline.event(part.first + memory)
            end = int(ends[memory])
            log.write_lines(part.drops[written:end])  # what else became of the memory is told before
            written = max(written, end)
            twin = store.spool.get(older).sample.metadata.sample_id
            screened = store.spool.decoded(part.data[samples[row] : samples[row + 1]])
            sample_id = screened.sample.metadata.sample_id
            if store.keeps_copies:
                store.copies.append((older, sample_id, screened.events))
            detail = f"the same text as {twin}"
            named = {"path": event.path, "memory_id": event.id, "sample_id": sample_id}
            log(Drop((event.key,), "screen", "duplicate", detail, **named))
            for place in (part.first + memory, *part.beside.get(row, ())):
                outcomes.note(place, Reason("screen", "duplicate"))
        log.write_lines(part.drops[written:])
    return Collected(timeline, store, log, outcomes, counts)
