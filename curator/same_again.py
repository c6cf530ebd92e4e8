"""A run on which nothing has changed since an earlier one: its files are taken over, byte by byte and proven so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import blake2b, sha256
from pathlib import Path
from typing import cast

from curator.contract.errors import CuratorError
from curator.contract.files import read_bytes
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
            if sha256(read_bytes(self.folder / REPORT)).hexdigest() != self.hashes[REPORT]:
                return None
            if files is not None and not files.take_over(self.folder, self.hashes):
                return None
            return read_report(self.folder)
        except (OSError, CuratorError, KeyError):
            return None


class SameAgain:
    """Remembers, for all that a run depends on, the run that came of it."""

    def __init__(self, kept: Nothing, loading: Loading, options: Options, more: object) -> None:
        """`more` is what else a run depends on, besides memories, settings, plugins and options."""
        self._kept, self._loading, self._options, self._more = kept, loading, options, more
        self._keys = list[bytes]()
        self.found: Earlier | None = None

    @cached_property
    def _all(self) -> bytes:
        """All that a run depends on besides memories."""
        settings = self._loading.settings
        told = (
            self._loading.fingerprint(), sorted(settings.files.items()), repr(settings.curate.model_dump()),
            asdict(self._options), self._more, _of_run(self._options.since),
        )  # fmt: skip
        return repr(told).encode("utf-8", "surrogateescape")

    def by_files(self, seen: bytes) -> bool:
        """Tell whether a run was made of the files of which this is a hash; it is `found`."""
        return self._find(b"files" + seen)

    def doubt(self) -> None:
        """Forget which files were asked about: how they look does not tell what the run made of them."""
        self._keys.clear()

    def by_memories(self, order: Order, log: DropLog) -> bool:
        """Tell whether a run was made of these memories, `log` holding what was not read; it is `found`."""
        return self._find(order.identities(0, len(order)) + log.told.digest())

    def _find(self, seen: bytes) -> bool:
        if type(self._kept) is Nothing:
            return False
        key = blake2b(self._all + seen, digest_size=20).digest()
        self._keys.append(key)
        if self._kept.beside(key) is None:
            return False
        folder, hashes = unpacked(self._kept.get(key))
        self.found = Earlier(Path(folder), cast("dict[str, str]", hashes))
        return True

    def remember(self, folder: Path, hashes: Mapping[str, str]) -> None:
        """Remember the run that was made of what was asked about."""
        for key in self._keys:
            self._kept.put(key, packed([str(folder), dict(hashes)]), room=True)


def _of_run(since: str | None) -> bytes:
    """Return what says which run `--since` names; raises nothing where there is none: choosing will."""
    try:
        return read_bytes(Path(since) / SUMMARY) if since else b""
    except OSError:
        return b""
