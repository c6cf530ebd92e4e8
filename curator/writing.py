"""The last pass of a run, stretch by stretch of the chosen samples: tag, wrap, check, count, encode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from curator.contract.chat_format import ChatFormat
from curator.contract.cli_frame import Progress
from curator.contract.errors import ValidationFailed
from curator.contract.records import CURATED, FORMATTED, HOLDOUT, LINEAGE, TRAIN, WRAPPED
from curator.executing.executor import Desk, Executor
from curator.executing.spool import Spool, as_numpy
from curator.likeness.reference import Learnt
from curator.loading import Loading
from curator.plugin_manager import Registry
from curator.records import CuratedSample, DatasetLine, FormattedSample, LineageLine, MemoryEvent
from curator.reports.build import Tally, kept_secrets, no_secrets
from curator.reports.validation import SampleChecker
from curator.reports.voice import Voice
from curator.run_folder import RunFiles, tagged, wrapped
from curator.sampling.joining import ScreenedSample
from curator.selection.choose import Choice
from curator.selection.sample_store import SampleStore

SAMPLES: Final = 1_024  # of a stretch
SPOOL: Final = "samples"  # the name of the samples' file on a desk
_MOST_PROBLEMS: Final = 20
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chosen:
    """Samples to be written: where each begins and ends in the spool, its memory's time, whether it is held out.

    All arrays have the shape (samples,). `lines` are the numbers of training and held-out lines before them.
    """

    starts: Numbers
    stops: Numbers
    times: Numbers
    held: npt.NDArray[np.bool_]
    lines: tuple[int, int]


@dataclass
class Written:
    """What came of a stretch: the bytes of each file, what was counted, and what is wrong with samples of it."""

    files: dict[str, bytes]
    tally: Tally
    learnt: Learnt
    problems: list[str]


@dataclass(frozen=True)
class WritingWork:
    """What writing needs to know besides the samples. `secrets` says that samples with secrets were kept.

    `samples` is the spool that they lie in where no other process can read it; `dry` says that nothing is encoded.
    """

    loading: Loading
    samples: Spool[ScreenedSample] | None
    secrets: bool
    dry: bool


def begin_writing(work: WritingWork, desk: Desk) -> Writer:
    """Return what writes stretches of samples."""
    samples = work.samples
    if samples is None:
        samples = Spool.attached(ScreenedSample, desk.files[SPOOL], (0,))
    return Writer(work, samples)


class Writer:
    """Writes stretches of samples."""

    def __init__(self, work: WritingWork, samples: Spool[ScreenedSample]) -> None:
        registry, family = work.loading.load()
        self._work, self._samples, self._modes = work, samples, registry.mode_table
        self._chat_format = ChatFormat(family)
        self._checker = SampleChecker(self._modes, registry.control_tokens)
        self._filler_left = _filler_left(registry)
        self._encode = msgspec.json.Encoder().encode
        self._encode_lines = msgspec.json.Encoder().encode_lines

    def __call__(self, chosen: Chosen) -> Written:
        """Return what comes of a stretch."""
        settings = self._work.loading.settings
        voice = Voice(settings.fillers.covers, self._filler_left)
        tally = Tally(settings.targets, voice, kept_secrets if self._work.secrets else no_secrets)
        learnt, problems = Learnt(), list[str]()
        arrays: dict[str, list[bytes]] = {CURATED: [], FORMATTED: [], WRAPPED: []}
        lines: dict[str, list[object]] = {TRAIN: [], HOLDOUT: [], LINEAGE: []}
        next_line = dict(zip((TRAIN, HOLDOUT), chosen.lines, strict=True))
        rows = zip(
            chosen.starts.tolist(), chosen.stops.tolist(), chosen.times.tolist(), chosen.held.tolist(), strict=True
        )
        for start, stop, time, held in rows:
            screened = self._samples.between(start, stop)
            curated = _held_out(screened.sample) if held else screened.sample
            formatted = tagged(curated, self._modes[curated.mode])
            whole = wrapped(formatted, self._chat_format)
            problems += _problems(self._checker, formatted)
            tally.beside.update(screened.events[1:])
            learnt.add(curated, screened.events)
            tally.add(curated, whole, time, screened.changes)
            if self._work.dry:
                continue
            file = HOLDOUT if held else TRAIN
            next_line[file] += 1
            for name, record in ((CURATED, curated), (FORMATTED, formatted), (WRAPPED, whole)):
                arrays[name].append(self._encode(record))
            lines[file].append(DatasetLine(whole.input, whole.output))
            lines[LINEAGE].append(_lineage(screened, file, next_line[file]))
        files = {name: b",\n".join(parts) for name, parts in arrays.items()}
        files |= {name: self._encode_lines(parts) for name, parts in lines.items()}
        return Written(files, tally, learnt, problems)


@dataclass
class Result:
    """What was counted over all written samples, and what the training samples say."""

    tally: Tally
    learnt: Learnt


def write_samples(
    loading: Loading, store: SampleStore, choice: Choice, files: RunFiles | None, executor: Executor,
    progress: Progress, *, secrets: bool,
) -> Result:  # fmt: skip
    """Write every chosen sample; nothing that fails the check is ever published. Raises ValidationFailed."""
    store.spool.flush()
    own = store.spool if loading.settings.unlocked else None
    work = WritingWork(loading, own, secrets, dry=files is None)
    tally = Tally(loading.settings.targets, Voice(loading.settings.fillers.covers, lambda reply: False))
    result, problems, done = Result(tally, Learnt()), list[str](), 0
    for written in executor.map(begin_writing, work, _stretches(store, choice)):
        done += SAMPLES
        progress("writing", min(done, len(choice.rows)), len(choice.rows))
        result.tally.also(written.tally)
        result.learnt.also(written.learnt)
        problems += written.problems
        if files:
            files.samples(written.files)
    if problems:
        shown = "\n  ".join(problems[:_MOST_PROBLEMS])
        count = len(problems) - _MOST_PROBLEMS
        more = f"\n  and {count} more" if count > 0 else ""
        raise ValidationFailed(f"the set fails its own check; nothing was published:\n  {shown}{more}")
    return result


def _stretches(store: SampleStore, choice: Choice) -> Iterator[Chosen]:
    """Yield the chosen samples in stretches, in their order."""
    ends, times = store.spool.ends, as_numpy(store.columns.times)
    held = np.isin(choice.rows, choice.holdout.rows)
    before = np.concatenate([[0], np.cumsum(held)])
    for start in range(0, len(choice.rows), SAMPLES):
        rows, part = choice.rows[start : start + SAMPLES], held[start : start + SAMPLES]
        lines = (start - int(before[start]), int(before[start]))
        yield Chosen(ends[rows], ends[rows + 1], times[rows], part, lines)


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


def _lineage(screened: ScreenedSample, file: str, line: int) -> LineageLine:
    """Return the lineage of the sample's dataset line, which is that line of the file."""
    sample, data = screened.sample, screened.sample.metadata
    return LineageLine(
        file=file, line=line, sample_id=data.sample_id, mode=sample.mode, mode_source=data.mode_source,
        original_id=data.original_id, events=screened.events, sources=data.sources, changes=screened.changes,
    )  # fmt: skip


def _filler_left(registry: Registry) -> Callable[[str], bool]:
    """Return a test that tells whether a reply still holds a filler: the filler cleaner would change it."""
    cleaners = [cleaner.clean for _, cleaner in registry.cleaners if cleaner.name == "fillers"]
    nobody = MemoryEvent("", "", "", "", 0, "")

    def left(reply: str) -> bool:
        return any(clean(reply, nobody) != reply for clean in cleaners)

    return left
