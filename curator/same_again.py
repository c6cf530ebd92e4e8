"""A run on which nothing has changed since an earlier one: its files are taken over, byte by byte and proven so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import cast

from curator.contract.errors import CuratorError
from curator.contract.records import REPORT, SUMMARY
from curator.executing.kept import Nothing
from curator.executing.packed import packed, unpacked
from curator.loading import Loading
from curator.reading.drop_log import DropLog
from curator.reading.timeline import Order
from curator.reports.report import Report, read_report
from curator.run_folder import RunFiles
from curator.sampling.sampler import Options


@dataclass(frozen=True)
class Earlier:
    """An earlier run, and the sha256 of each of its files."""

    folder: Path
    hashes: Mapping[str, str]

    def take_over(self, files: RunFiles | None) -> Report | None:
        """Give the files of a run the bytes of these; return its report. None where they are not what they were."""
        try:
            if sha256((self.folder / REPORT).read_bytes()).hexdigest() != self.hashes[REPORT]:
                return None
            if files is not None and not files.take_over(self.folder, self.hashes):
                return None
            return read_report(self.folder)
        except (OSError, CuratorError, KeyError):
            return None


class SameAgain:
    """Remembers, for all that a run depends on, the run that came of it."""

    def __init__(self, kept: Nothing, loading: Loading, options: Options, more: object) -> None:
        self._kept, self._loading, self._options, self._more = kept, loading, options, more
        self._key = b""

    def find(self, order: Order, log: DropLog, people: object) -> Earlier | None:
        """Return the earlier run of the same memories and people, None without one; `log` holds what was not read."""
        if type(self._kept) is Nothing:
            return None
        settings = self._loading.settings
        told = (
            self._loading.fingerprint(), sorted(settings.files.items()), repr(settings.curate.model_dump()),
            asdict(self._options), self._more, people, _of_run(self._options.since), log.told.hexdigest(),
        )  # fmt: skip
        found = blake2b(repr(told).encode("utf-8", "surrogateescape"), digest_size=20)
        found.update(order.identities(0, len(order)))
        self._key = found.digest()
        if self._kept.beside(self._key) is None:
            return None
        folder, hashes = unpacked(self._kept.get(self._key))
        return Earlier(Path(folder), cast("dict[str, str]", hashes))

    def remember(self, folder: Path, hashes: Mapping[str, str]) -> None:
        """Remember the run that was made of what was asked about last."""
        if self._key:
            self._kept.put(self._key, packed([str(folder), dict(hashes)]))


def _of_run(since: str | None) -> bytes:
    """Return what says which run `--since` names; raises nothing where there is none: choosing will."""
    try:
        return (Path(since) / SUMMARY).read_bytes() if since else b""
    except OSError:
        return b""
