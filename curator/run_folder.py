"""The folder of a run: built under another name, and renamed once every file is complete and on the disk."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from curator.contract.chat_format import ChatFormat
from curator.contract.errors import PUBLISHED, HostError, disk_error, printable
from curator.contract.files import HashedFile, locked, make_folders, open_file, sync_folder, take_away, unmake_folders
from curator.contract.modes import Tags
from curator.contract.records import (
    CURATED,
    DROPPED,
    FORMATTED,
    HOLDOUT,
    LINEAGE,
    SUMMARY,
    TRAIN,
    WRAPPED,
    Exchange,
)
from curator.encryption.veil import VeiledFile, appear_together
from curator.records import CuratedSample, Drop, FormattedSample, RunSummary, SchemaSample

ARRAYS = (CURATED, FORMATTED, WRAPPED)
LINES = (TRAIN, HOLDOUT, DROPPED, LINEAGE)
NOTHING = "nothing was published"
_OUT = "--out DIR"
_BATCH = 256
_encode, _encode_lines = msgspec.json.Encoder().encode, msgspec.json.Encoder().encode_lines


def tagged(sample: CuratedSample, tags: Tags) -> FormattedSample:
    """Return a sample with the mode's tags before its two texts, and before those of the context."""
    context = sample.context
    if context:
        context = tuple(
            [Exchange(tags.user + one.user_text, tags.assistant + one.assistant_text, one.trained) for one in context]
        )
    asked, answered = tags.user + sample.user_text, tags.assistant + sample.assistant_text
    return FormattedSample(sample.mode, asked, answered, sample.metadata, context)


def wrapped(sample: FormattedSample, chat_format: ChatFormat) -> SchemaSample:
    """Return a formatted sample with a family's texts around it."""
    prompt, reply = chat_format.prompt_and_completion(sample.input, sample.output, sample.context)
    family = chat_format.family.family
    return SchemaSample(
        mode=sample.mode,
        input=prompt,
        output=reply,
        raw_input=sample.input,
        raw_output=sample.output,
        schema_family=family,
        metadata=sample.metadata,
        context=sample.context,
    )


def packed(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return arrays (N,) as an .npz; the same arrays give the same bytes."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # an array named allow_pickle would be none
    return file.getvalue()


class RunFiles:
    """The open files of a run being built in `folder`.

    `taken` are the sha256 of files that were taken over from another run. Where they hold what was encrypted they are
    `veiled`: nothing that another process could read has a name before `summary`, and then they are their owner's
    alone.
    """

    def __init__(self, folder: Path, *, veiled: bool = False) -> None:
        self.folder, self._kind = folder, VeiledFile if veiled else HashedFile
        self._files: dict[str, HashedFile | VeiledFile] = {}
        try:
            for name in (*ARRAYS, *LINES):
                self._files[name] = self._kind(folder / name)
        except OSError:
            self.abandon()
            raise
        self._begun: dict[str, bool] = {}
        self._waiting: list[Drop] = []
        self.taken: dict[str, str] = {}
        for name in ARRAYS:
            self._files[name].write(b"[\n")

    def drop(self, drop: Drop) -> None:
        """Add a line to dropped.jsonl, once there are enough to encode at once."""
        self._waiting.append(drop)
        if len(self._waiting) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._files[DROPPED].write(_encode_lines(self._waiting))
            self._waiting = []

    def drop_lines(self, lines: bytes) -> None:
        """Add lines to dropped.jsonl."""
        if lines:
            self._flush()
            self._files[DROPPED].write(lines)

    def samples(self, files: Mapping[str, bytes]) -> None:
        """Add samples to all files: what each gets, those of arrays with a comma between them."""
        for name, data in files.items():
            if data and name in ARRAYS:
                join = b",\n" if self._begun.get(name) else b""
                self._files[name].write(join + data)
                self._begun[name] = True
            elif data:
                self._files[name].write(data)

    def take_over(self, folder: Path, hashes: Mapping[str, str]) -> bool:
        """Become a copy of these files of another run; False where one of them is not what it was. Raises OSError."""
        self.abandon()
        for name in [*self._files, *hashes]:
            (self.folder / name).unlink(missing_ok=True)
        for name in hashes:
            copy = self._files[name] = self._kind(self.folder / name)
            with open_file(folder / name) as file:
                while block := file.read(1 << 20):
                    copy.write(block)
            if copy.close() != hashes[name]:
                return False
        self.taken = dict(hashes)
        return True

    def whole(self, name: str, data: bytes) -> None:
        """Write one more file at once."""
        self._files[name] = self._kind(self.folder / name)
        self._files[name].write(data)

    def finish(self) -> dict[str, str]:
        """Close every file and return their sha256 by name."""
        if self.taken:
            return self.taken
        self._flush()
        for name in ARRAYS:
            self._files[name].write(b"\n]\n" if self._begun.get(name) else b"]\n")
        return {name: self._files[name].close() for name in sorted(self._files)}

    def summary(self, summary: RunSummary) -> None:
        """Write run-summary.json, the last file: with it the folder is a run. To be called after `finish`."""
        self.whole(SUMMARY, msgspec.json.format(_encode(summary), indent=2) + b"\n")
        self._files[SUMMARY].close()
        if veiled := [file for file in self._files.values() if isinstance(file, VeiledFile)]:
            appear_together(veiled)

    def abandon(self) -> None:
        """Close everything: after a failure, or once the run is in its place."""
        for file in self._files.values():
            file.abandon()


@contextmanager
def run_folder(runs: Path, label: str, now: datetime, *, veiled: bool = False) -> Iterator[tuple[Path, Path]]:
    """Give (folder to build in, folder it will be) below `runs`, under a lock that only one run of a profile holds.

    On a normal exit the folder is renamed into its place; on an error it is removed. What a killed run left behind is
    removed first. A `veiled` run has just given its files their names: it is not to be seen before it is in its place,
    so the disk is waited for afterwards. Raises HostError where the lock is held or the disk refuses.
    """
    day = runs / now.strftime("%Y-%m-%d")
    made = _make_folders(day)
    with _lock(runs):
        take_away(*runs.glob("*/.tmp-*"))
        building = day / f".tmp-{label}"
        place = _free_place(day, label)
        published = False
        try:
            building.mkdir(parents=True, mode=0o700)
            yield building, place
            if not veiled:
                sync_folder(building)
            building.rename(place)
            published = True
            sync_folder(place)
            sync_folder(day)
        except OSError as error:
            kept = PUBLISHED if published else NOTHING
            raise disk_error(error, "cannot write the run", place, kept, option=_OUT) from error
        finally:
            if not published:
                take_away(building)
                unmake_folders(made)


def _make_folders(day: Path) -> list[Path]:
    """Make the folders down to `day`; return those that were not there, deepest first."""
    try:
        return make_folders(day)
    except OSError as error:
        raise disk_error(error, "cannot make the folder of the run", day, NOTHING, option=_OUT) from error


def _free_place(day: Path, label: str) -> Path:
    place, number = day / label, 2
    while place.exists():
        place, number = day / f"{label}-{number}", number + 1
    return place


@contextmanager
def _lock(runs: Path) -> Iterator[None]:
    """Hold the profile's lock; a note beside it names our process."""
    note = runs / ".lock.pid"

    def held() -> HostError:
        problem = f"another run holds {printable(str(runs / '.lock'))} (process {_read_note(note)})"
        return HostError(problem, "wait for it to end, or stop it")

    with locked(runs, held):
        try:
            try:
                note.write_text(str(os.getpid()), "ascii")
            except OSError as error:
                raise disk_error(error, "cannot lock", runs, NOTHING, option=_OUT) from error
            yield
        finally:
            take_away(note)


def _read_note(note: Path) -> str:
    try:
        return note.read_text("ascii").strip() or "unknown"
    except (OSError, UnicodeDecodeError):
        return "unknown"
