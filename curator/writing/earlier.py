"""What an earlier run wrote of samples that are written again: figures from the cache, bytes from its files.

A sample is known by a hash of all that its bytes depend on. Bytes are not kept a second time: they are copied from the
earlier run's folder, whose files are proven to be what they were while that is done.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from curator.contract.errors import CuratorError
from curator.contract.files import open_file, sha256_of
from curator.contract.records import CURATED, FORMATTED, HOLDOUT, LINEAGE, TRAIN, WRAPPED
from curator.executing.kept import Nothing
from curator.executing.packed import packed, unpacked
from curator.loading import Loading
from curator.reports.figures import Figures, Kind, Numbers
from curator.run_folder import ARRAYS

SPLITS: Final = (TRAIN, HOLDOUT)
SIZED: Final = (CURATED, FORMATTED, WRAPPED, "dataset", LINEAGE)  # the columns of "sizes": bytes of a sample in each
HEADS: Final = {name: f'{{"file":"{name}","line":'.encode() for name in SPLITS}  # of a line of the lineage
FILES: Final = (CURATED, FORMATTED, WRAPPED, TRAIN, HOLDOUT, LINEAGE)
BETWEEN: Final = {name: b",\n" if name in ARRAYS else b"" for name in FILES}
MOST_KNOWN: Final = 250_000  # samples of a run of which something is kept: it is held in memory
_BEGIN: Final = len(b"[\n")
_TENS: Final = 10 ** np.arange(1, 19)


class NotTheSame(Exception):
    """The files of an earlier run are not what they were."""


def digest(data: bytes | memoryview, time: int, held: bool) -> bytes:
    """Return 16 bytes by which a sample is known, of its record, its memory's time and whether it is held out."""
    return blake2b(data, digest_size=16, salt=time.to_bytes(8, "big", signed=True) + bytes([held])).digest()


def line_numbers(held: npt.NDArray[np.bool_]) -> Numbers:
    """Return the number of each sample's line in its file, counted from 1; both of shape (samples,)."""
    return np.where(held, np.cumsum(held), np.cumsum(~held))


class Earlier:
    """The samples of an earlier run. `figures` are theirs, `handles` its open files by name, (samples,) in order."""

    def __init__(self, figures: Figures, handles: Mapping[str, int]) -> None:
        self.figures, self.handles = figures, handles
        held = ~figures.where(lambda kind: kind.train)
        lines, sizes = line_numbers(held), figures.columns["sizes"].astype(np.int64)
        self.starts: dict[str, Numbers] = {}
        for name, own in zip(SIZED, sizes.T, strict=True):
            if name in ARRAYS:
                self.starts[name] = _BEGIN + _before(own + len(BETWEEN[name]))
            elif name == LINEAGE:
                heads = np.where(held, len(HEADS[HOLDOUT]), len(HEADS[TRAIN]))
                heads += np.searchsorted(_TENS, lines, "right") + 1
                self.starts[name] = _before(heads + own) + heads
            else:
                self.starts |= {file: _before(own * rows) for file, rows in zip(SPLITS, (~held, held), strict=True)}

    def rows(self, digests: npt.NDArray[np.uint64]) -> Numbers:
        """Return which sample each is that is known by a digest, (n, 2); -1 where it is none of these; (n,)."""
        known = self.figures.columns["digest"]
        order = np.argsort(known[:, 0], kind="stable")
        places = np.minimum(np.searchsorted(known[order, 0], digests[:, 0]), len(order) - 1)
        found = order[places]
        return np.where((known[found] == digests).all(1), found, -1)

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Return bytes of a file. Raises NotTheSame where it ends before them."""
        data = os.pread(self.handles[name], stop - start, start)
        if len(data) != stop - start:
            raise NotTheSame
        return data


class KnownSamples:
    """What of a run is kept for the next one. To be closed. `keeps` tells whether anything is.

    `told` is what the bytes and the figures of a sample depend on besides the sample, `mode` which of the kept runs is
    asked for: that of the same modes has most.
    """

    def __init__(self, kept: Nothing, loading: Loading, mode: str | None, *, secrets: bool) -> None:
        self.keeps = type(kept) is not Nothing
        told = (mode, secrets, repr(loading.settings.targets))
        self._kept, self._stack = kept, ExitStack()
        self._key = (
            blake2b(b"samples" + loading.fingerprint(repr(told)), digest_size=20).digest() if self.keeps else b""
        )
        self._proofs: list[tuple[str, Future[str]]] = []
        self.figures: Figures | None = None  # of this run's samples

    def earlier(self, *, files: bool) -> Earlier | None:
        """Return the samples of an earlier run, None where there is none; with its `files` unless nothing is written.

        These are proven to be what they were from now on; see `prove`.
        """
        if not self.keeps or self._kept.beside(self._key) is None:
            return None
        data = self._kept.get(self._key)
        if not data:
            return None
        folder, hashes, kinds, columns, texts, beside = unpacked(data)
        kinds = [Kind._make([*one[:-2], *map(tuple, one[-2:])]) for one in kinds]
        handles = {}
        if files:
            try:
                for name in FILES:
                    file = self._stack.enter_context(open_file(Path(folder) / name))
                    handles[name] = file.fileno()
            except OSError:
                return None
            threads = ThreadPoolExecutor(1)
            self._stack.callback(threads.shutdown, cancel_futures=True)
            self._proofs = [(hashes[name], threads.submit(sha256_of, Path(folder) / name)) for name in FILES]
        return Earlier(Figures(kinds, columns, texts, beside), handles)

    def prove(self) -> None:
        """Wait until it is known that the earlier run's files are what they were. Raises NotTheSame."""
        for wanted, proof in self._proofs:
            try:
                same = proof.result() == wanted
            except CuratorError:
                same = False
            if not same:
                self.forget()
                raise NotTheSame

    def forget(self) -> None:
        """Forget the earlier run, so that the next one does not stumble over it again."""
        self._kept.put(self._key, b"")

    def remember(self, folder: Path, hashes: Mapping[str, str]) -> None:
        """Keep what the run has written into `folder`, for the next one."""
        if (figures := self.figures) is not None:
            tree = [figures.kinds, figures.columns, figures.texts, figures.beside]
            self._kept.put(self._key, packed([str(folder), {name: hashes[name] for name in FILES}, *tree]))

    def close(self) -> None:
        """Close the earlier run's files."""
        self._stack.close()


def _before(sizes: Numbers) -> Numbers:
    """Return the sum of the sizes before each, (n,)."""
    return np.cumsum(sizes) - sizes
