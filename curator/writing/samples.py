"""Stretch by stretch of the chosen samples: tag, wrap, check, count, encode; or copy what an earlier run wrote."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from curator.contract.chat_format import ChatFormat, line_markers
from curator.contract.cli_frame import Progress
from curator.contract.errors import ValidationFailed
from curator.contract.records import CURATED, FORMATTED, HOLDOUT, LINEAGE, TRAIN, WRAPPED
from curator.executing.executor import Desk, Executor
from curator.executing.spool import Spool
from curator.likeness.reference import Learnt
from curator.loading import Loading
from curator.plugin_manager import Registry
from curator.records import CuratedSample, DatasetLine, FormattedSample, LineageLine, MemoryEvent
from curator.reports.build import Tally, kept_secrets, no_secrets
from curator.reports.figures import Column, Figures, Measure, Numbers, joined
from curator.reports.validation import SampleChecker
from curator.run_folder import ARRAYS, RunFiles, tagged, wrapped
from curator.sampling.joining import ScreenedSample
from curator.selection.choose import Choice
from curator.selection.comparing import SAMPLE_FILES
from curator.selection.sample_store import SampleStore
from curator.writing.earlier import BETWEEN, HEADS, MOST_KNOWN, SIZED, Earlier, KnownSamples, digest, line_numbers

SAMPLES: Final = 1_024  # of a stretch
_MOST_PROBLEMS: Final = 20
_KEPT: Final = ("digest", "sizes")  # columns that the next run alone asks for
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Chosen:
    """Samples to be written: where each begins and ends in the spool, its memory's time, whether it is held out.

    All arrays have the shape (samples,).
    """

    starts: Numbers
    stops: Numbers
    times: Numbers
    held: Flags

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: slice | Flags) -> Chosen:
        """Return some of the samples, by a slice or by a flag for each, (samples,)."""
        return Chosen(self.starts[rows], self.stops[rows], self.times[rows], self.held[rows])

    def rows(self) -> Iterator[tuple[int, int, int, bool]]:
        """Yield where each begins and ends, its time, whether it is held out."""
        columns = (self.starts, self.stops, self.times, self.held)
        yield from zip(*(column.tolist() for column in columns), strict=True)


@dataclass
class Written:
    """What came of samples: the bytes of each file, what was counted, and what is wrong with samples of it.

    Of the lineage it is what follows the number of the line. The `sizes` among the figures are those of `SIZED`.
    """

    files: dict[str, bytes]
    figures: Figures
    problems: list[str]


@dataclass(frozen=True)
class WritingWork:
    """What writing needs to know besides the samples. `secrets` says that samples with secrets were kept.

    `samples` is the spool that they lie in where no other process can read it; `dry` says that nothing is encoded,
    `known` that digests of the samples are wanted.
    """

    loading: Loading
    samples: Spool[ScreenedSample] | None
    secrets: bool
    dry: bool
    known: bool


def begin_writing(work: WritingWork, desk: Desk) -> Writer:
    """Return what writes stretches of samples."""
    samples = work.samples
    if samples is None:
        samples = Spool.attached(ScreenedSample, desk.files[SAMPLE_FILES[0]], (0,))
    return Writer(work, samples)


class Writer:
    """Writes stretches of samples."""

    def __init__(self, work: WritingWork, samples: Spool[ScreenedSample]) -> None:
        registry, family = work.loading.load()
        self._work, self._samples, self._modes = work, samples, registry.mode_table
        self._chat_format = ChatFormat(family)
        self._checker = SampleChecker(self._modes, registry.control_tokens, line_markers(family))
        self._filler_left = _filler_left(registry)
        self._encode = msgspec.json.Encoder().encode
        self._line = msgspec.json.Encoder().encode_lines

    def __call__(self, chosen: Chosen) -> Written:
        """Return what comes of a stretch."""
        settings, encode = self._work.loading.settings, self._encode
        find_secrets = kept_secrets if self._work.secrets else no_secrets
        measure = Measure(settings.targets, settings.fillers.covers, self._filler_left, find_secrets)
        problems, digests, sizes = list[str](), list[bytes](), list[tuple[int, ...]]()
        parts: dict[str, list[bytes]] = {name: [] for name in BETWEEN}
        for start, stop, time, held in chosen.rows():
            data = self._samples.raw(start, stop)
            screened = self._samples.decoded(data)
            curated = _held_out(screened.sample) if held else screened.sample
            formatted = tagged(curated, self._modes[curated.mode])
            whole = wrapped(formatted, self._chat_format)
            problems += _problems(self._checker, formatted)
            measure.add(curated, whole, time, screened)
            digests.append(digest(data, time, held) if self._work.known else bytes(16))
            if self._work.dry:
                sizes.append((0,) * len(SIZED))
                continue
            file = HOLDOUT if held else TRAIN
            own = (
                (CURATED, encode(curated)), (FORMATTED, encode(formatted)), (WRAPPED, encode(whole)),
                (file, self._line([DatasetLine(whole.input, whole.output)])),
                (LINEAGE, self._line([_lineage(screened, file)])[len(HEADS[file]) + 1 :]),
            )  # fmt: skip
            for name, encoded in own:
                parts[name].append(encoded)
            sizes.append(tuple([len(encoded) for _, encoded in own]))
        more: dict[str, Column] = {
            "digest": np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2),
            "sizes": np.array(sizes, np.int32).reshape(-1, len(SIZED)),
        }
        files = {name: BETWEEN[name].join(own) for name, own in parts.items()}
        return Written(files, measure.figures(more), problems)


@dataclass
class Result:
    """What was counted over all written samples, and what the training samples say."""

    tally: Tally
    learnt: Learnt


def write_samples(
    loading: Loading, store: SampleStore, choice: Choice, files: RunFiles | None, executor: Executor,
    progress: Progress, *, known: KnownSamples, secrets: bool,
) -> Result:  # fmt: skip
    """Write every chosen sample; nothing that fails the check is ever published.

    Raises ValidationFailed, and NotTheSame where what an earlier run wrote of them is not what it was.
    """
    store.spool.flush()
    own = store.spool if loading.settings.unlocked else None
    known.keeps &= len(choice.rows) <= MOST_KNOWN
    work = WritingWork(loading, own, secrets, dry=files is None, known=known.keeps)
    chosen, earlier = _chosen(store, choice), known.earlier(files=files is not None)
    stretches = [slice(start, start + SAMPLES) for start in range(0, max(len(chosen), 1), SAMPLES)]  # of none, one
    rows = np.full(len(chosen), -1)
    if earlier:
        digests = b"".join(executor.map(begin_digests, work, map(chosen.take, stretches)))
        rows = earlier.rows(np.frombuffer(digests, np.uint64).reshape(-1, 2))
    tasks = (chosen.take(stretch).take(rows[stretch] < 0) for stretch in stretches)
    counted, problems, lines = list[Figures](), list[str](), line_numbers(chosen.held)
    for stretch, written in zip(stretches, executor.map(begin_writing, work, tasks), strict=True):
        progress("writing", min(stretch.stop, len(chosen)), len(chosen))
        problems += written.problems
        if files:
            splice = _Splice(written, earlier, rows[stretch], chosen.held[stretch], lines[stretch])
            files.samples({name: splice.of(name) for name in BETWEEN})
        if not known.keeps:
            for name in _KEPT:
                del written.figures.columns[name]
        counted.append(written.figures)
    known.prove()
    if problems:
        shown = "\n  ".join(problems[:_MOST_PROBLEMS])
        count = len(problems) - _MOST_PROBLEMS
        more = f"\n  and {count} more" if count > 0 else ""
        raise ValidationFailed(f"the set fails its own check; nothing was published:\n  {shown}{more}")
    figures = _in_order(counted, earlier, rows)
    known.figures = figures if files and known.keeps else None
    tally = Tally.of(figures, lambda number: store.spool.get(int(choice.rows[number])).sample)
    return Result(tally, _learnt(figures))


class _Splice:
    """The bytes of a stretch, some of them written just now and the others by an earlier run.

    `rows` (samples,) tells which of the earlier run's samples each is, -1 for those that are new.
    """

    def __init__(self, written: Written, earlier: Earlier | None, rows: Numbers, held: Flags, lines: Numbers) -> None:
        self._written, self._earlier, self._held, self._lines = written, earlier, held, lines
        self._rows, self._new = rows, rows < 0
        self._sizes = np.zeros((len(rows), len(SIZED)), np.int64)
        self._sizes[self._new] = written.figures.columns["sizes"]
        if earlier:
            self._sizes[~self._new] = earlier.figures.columns["sizes"][rows[~self._new]]

    def of(self, name: str) -> bytes:
        """Return the bytes of a file."""
        if name == LINEAGE:
            return self._lineage()
        kept = np.full(len(self._rows), True)
        if name not in ARRAYS:
            kept = self._held == (name == HOLDOUT)
        return BETWEEN[name].join(data for data, _ in self._runs(name, kept))

    def _lineage(self) -> bytes:
        """Return lines of the lineage, whose numbers are this run's."""
        tails = list[bytes]()
        for data, ends in self._runs(LINEAGE, np.full(len(self._rows), True)):
            tails += [data[start:stop] for start, stop in ends]
        heads = [HEADS[HOLDOUT if held else TRAIN] for held in self._held.tolist()]
        return b"".join([b"%b%d%b" % one for one in zip(heads, self._lines.tolist(), tails, strict=True)])

    def _runs(self, name: str, kept: Flags) -> Iterator[tuple[bytes, list[tuple[int, int]]]]:
        """Yield the bytes of samples that lie one behind the other, and where in them each begins and ends."""
        new, rows, gap = self._new[kept], self._rows[kept], len(BETWEEN[name])
        sizes = self._sizes[kept, SIZED.index(name) if name in SIZED else SIZED.index("dataset")]
        starts = np.zeros(len(rows), np.int64)
        starts[new] = np.cumsum(sizes[new] + gap) - sizes[new] - gap
        if self._earlier:
            starts[~new] = self._earlier.starts[name][rows[~new]]
        stops = starts + sizes
        after = 1 << 6 if name == LINEAGE else gap  # between two lines of the lineage stands what is told anew
        broken = (new[1:] != new[:-1]) | (starts[1:] < stops[:-1]) | (starts[1:] > stops[:-1] + after)
        edges = [0, *(np.flatnonzero(broken) + 1).tolist(), len(rows)] if len(rows) else []
        for first, end in pairwise(edges):
            start, stop = int(starts[first]), int(stops[end - 1])
            if new[first]:
                data = self._written.files[name][start:stop]
            else:
                assert self._earlier
                data = self._earlier.read(name, start, stop)
            ends = (starts[first:end] - start).tolist(), (stops[first:end] - start).tolist()
            yield data, list(zip(*ends, strict=True))


def _chosen(store: SampleStore, choice: Choice) -> Chosen:
    """Return the chosen samples in their order."""
    ends, rows = store.spool.ends, choice.rows
    return Chosen(ends[rows], ends[rows + 1], store.times(rows), np.isin(rows, choice.holdout.rows))


def begin_digests(work: WritingWork, desk: Desk) -> Callable[[Chosen], bytes]:
    """Return what gives the digests of samples, one after the other."""
    spool = work.samples or Spool.attached(ScreenedSample, desk.files[SAMPLE_FILES[0]], (0,))

    def digests(chosen: Chosen) -> bytes:
        return b"".join([digest(spool.raw(start, stop), time, held) for start, stop, time, held in chosen.rows()])

    return digests


def _in_order(counted: list[Figures], earlier: Earlier | None, rows: Numbers) -> Figures:
    """Return the figures of all samples: of those that were `counted` just now, and of the earlier run's `rows`."""
    if earlier is None:
        return joined(counted)
    places, new = rows.copy(), rows < 0
    places[new] = len(earlier.figures) + np.arange(new.sum())
    return joined([earlier.figures, *counted]).take(places)


def _learnt(figures: Figures) -> Learnt:
    """Return what the training samples say."""
    replies = np.bincount(figures.columns["kind"], figures.column("reply"), len(figures.kinds)).tolist()
    characters = Counter[str]()
    for kind, count in zip(figures.kinds, replies, strict=True):
        characters[kind.language] += int(count)
    train = figures.take(np.flatnonzero(figures.where(lambda kind: kind.train)))
    return Learnt(characters, {key for _, keys in train.beside for key in keys}, array("q", train.texts.tobytes()))


def _held_out(sample: CuratedSample) -> CuratedSample:
    metadata = msgspec.structs.replace(sample.metadata, split="holdout")
    return msgspec.structs.replace(sample, metadata=metadata)


def _problems(checker: SampleChecker, sample: FormattedSample) -> Iterator[str]:
    """Yield what is wrong with a tagged sample or with an exchange before it."""
    texts = [(turn.user_text, turn.assistant_text) for turn in sample.context]
    texts.append((sample.input, sample.output))
    for asked, answered in texts:
        for mode, name, offset, problem in checker.check(asked, answered, sample.mode):
            yield f"{sample.metadata.sample_id} ({mode}): {name} at {offset}: {problem}"


def _lineage(screened: ScreenedSample, file: str) -> LineageLine:
    """Return the lineage of a sample that stands in a file, in the line 0: which one it is comes later."""
    sample, data = screened.sample, screened.sample.metadata
    return LineageLine(
        file=file, line=0, sample_id=data.sample_id, mode=sample.mode, mode_source=data.mode_source,
        original_id=data.original_id, events=screened.events, sources=data.sources, changes=screened.changes,
    )  # fmt: skip


def _filler_left(registry: Registry) -> Callable[[str], bool]:
    """Return a test that tells whether a reply still holds a filler: the filler cleaner would change it."""
    cleaners = [cleaner.clean for _, cleaner in registry.cleaners if cleaner.name == "fillers"]
    nobody = MemoryEvent("", "", "", "", 0, "")

    def left(reply: str) -> bool:
        return any(clean(reply, nobody) != reply for clean in cleaners)

    return left
