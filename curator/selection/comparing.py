"""Comparing candidates, stretch by stretch of the samples: in this process, or in several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np

from curator.config import NearDuplicateConfig
from curator.executing.arrays import ArrayFile, mapped
from curator.executing.executor import Desk
from curator.executing.spool import Spool, hash64
from curator.language.said import Said, differ
from curator.records import CuratedSample
from curator.sampling.joining import ScreenedSample
from curator.selection.near_duplicates import PARTED, TWINS, UNTOLD, Near, candidates, likely
from curator.selection.part import compared_text
from curator.selection.shingles import Rows, Sets, StoredSets, similarity

SAMPLES: Final = 1 << 13  # of a stretch
_REMEMBERED: Final = 1 << 11  # texts of which what they say is not worked out anew
SAMPLE_FILES: Final = ("samples", "ends")  # where the samples lie, and where each ends: as they are named on a desk
FILES: Final = (*SAMPLE_FILES, "signatures", "links", "shingles", "offsets")


class Meaning(Protocol):
    """Tells a correction from a duplicate, of texts by number."""

    def parts(self, younger: int, older: int) -> bool:
        """Tell whether two near texts say different things."""
        ...

    def kind(self, text: int) -> int:
        """Return a number that texts which may say the same have in common."""
        ...


class Meanings:
    """What samples say, by row. The last of them are remembered, since each comes with its twins."""

    def __init__(self, sample_at: Callable[[int], CuratedSample]) -> None:
        self._sample_at = sample_at
        self._of = lru_cache(maxsize=_REMEMBERED)(self._said)

    def _said(self, row: int) -> Said:
        sample = self._sample_at(row)
        # A tool's reply holds the call: the words in which it was asked for say nothing more.
        by_tool = sample.metadata.reply_author == "tool"
        return Said(sample.assistant_text if by_tool else compared_text(sample))

    def parts(self, younger: int, older: int) -> bool:
        """Tell whether the younger of two near-duplicates corrects the older."""
        return differ(self._of(older), self._of(younger))

    def kind(self, text: int) -> int:
        """Return a number for the facts that a sample has in common with a copy of it, the same in every process."""
        numbers, dates, negations, names = self._of(text).kind
        return hash64(repr((numbers, sorted(dates), negations, sorted(names))))


class Compared(NamedTuple):
    """What is compared: a signature a sample, what `link_buckets` wrote of them, the shingles, and what texts say."""

    signatures: ArrayFile
    links: ArrayFile
    sets: Sets
    meaning: Meaning | None


@dataclass(frozen=True)
class ComparingWork:
    """What comparing needs to know besides the stretches: of how many samples, and what counts as near.

    `compared` is what is compared where no other process can read it.
    """

    samples: int
    near: NearDuplicateConfig
    compared: Compared | None = None


class Comparer:
    """Finds which texts are near older ones. `near.bands` is that of the links."""

    def __init__(self, compared: Compared, near: NearDuplicateConfig) -> None:
        self._signatures, self._links, self._sets, self._meaning = compared
        self._near, self._count = near, len(compared.signatures)

    def __call__(self, stretch: tuple[int, int]) -> Near:
        """Return the near ones among the candidates of the texts from one to before another."""
        links = candidates(self._links, self._near.bands, *stretch)
        return self.compare(likely(self._signatures, links, self._near.threshold))

    def compare(self, links: Rows) -> Near:
        """Return which links, (links,), ascending, join texts that are near, by all their shingles."""
        values = similarity(self._sets, *np.divmod(links, max(self._count, 1)))
        close = values >= self._near.threshold
        links = links[close]
        told, kinds = np.full(len(links), TWINS, dtype=np.int8), np.zeros(len(links), dtype=np.int64)
        if (meaning := self._meaning) is not None:
            has_twin = -1  # the last text of which a twin was found, the oldest of those that it is compared with
            for number, link in enumerate(links.tolist()):
                younger, older = divmod(link, self._count)
                if younger == has_twin:
                    told[number] = UNTOLD
                elif meaning.parts(younger, older):
                    told[number], kinds[number] = PARTED, meaning.kind(younger)
                else:
                    has_twin = younger
        return Near(links, values[close], told, kinds)


def begin_comparing(work: ComparingWork, desk: Desk) -> Comparer:
    """Return what compares the samples of stretches."""
    return Comparer(work.compared or _attached(work, desk), work.near)


def _attached(work: ComparingWork, desk: Desk) -> Compared:
    near, count = work.near, work.samples
    signatures, links, *sets = (desk.files[name] for name in FILES[len(SAMPLE_FILES) :])
    spool = attached_samples(desk, count)
    return Compared(
        ArrayFile.attached(np.uint16, near.bands * near.rows, signatures, count),
        ArrayFile.attached(np.int32, 1, links, 2 * near.bands * count),
        StoredSets.attached((sets[0], sets[1]), count),
        Meanings(lambda row: spool.get(row).sample),
    )


def attached_samples(desk: Desk, count: int) -> Spool[ScreenedSample]:
    """Return so many samples that another process keeps."""
    samples, ends = (desk.files[name] for name in SAMPLE_FILES)
    return Spool.attached(ScreenedSample, samples, mapped(ends, count + 1))


def stretches(samples: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of stretches of so many samples."""
    for start in range(0, samples, SAMPLES):
        yield start, min(start + SAMPLES, samples)
