"""What an earlier run learnt and held out, so that a run of what is new learns nothing twice and nothing held out.

A run that was itself made since another is followed back to the first: each holds only what was new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from curator.contract.errors import UsageError, printable
from curator.contract.files import read_bytes
from curator.contract.records import DROPPED, HOLDOUT, LINEAGE, MAKE_AGAIN, read_summary
from curator.records import Drop, LineageLine

T = TypeVar("T", Drop, LineageLine)

# of a sample: learnt before, or turned down; held out before; new, but part of what was learnt; new
Standing = Literal["learnt", "held", "begun", "new"]


@dataclass(frozen=True)
class Earlier:
    """The samples of earlier runs by their ids, and the memories that they were made of, for each side.

    `read` are all memories that were there, those that came into no sample too.
    """

    learnt: frozenset[str]
    held: frozenset[str]
    learnt_events: frozenset[str]
    held_events: frozenset[str]
    read: frozenset[str]

    def standing(self, sample_id: str, events: Sequence[str]) -> Standing:
        """Say how a sample stands to the earlier runs. A conversation that has grown has another id than before."""
        if sample_id in self.held:
            return "held"
        if sample_id in self.learnt:
            return "learnt"
        if any(event in self.held_events and event not in self.learnt_events for event in events):
            return "held"
        if self.read.issuperset(events):
            return "learnt"
        return "begun" if any(event in self.learnt_events for event in events) else "new"


def read_earlier(folder: Path) -> Earlier:
    """Read what became of all memories in a run, and in those that it was made since.

    Raises UsageError where one is no whole run.
    """
    ids: tuple[set[str], set[str]] = (set(), set())
    events: tuple[set[str], set[str]] = (set(), set())
    read, turned_down, seen = set[str](), set[str](), set[Path]()
    place: Path | None = folder
    while place is not None and place not in seen:
        seen.add(place)
        try:
            summary = read_summary(place, ("options",))
            for line in _lines(place / LINEAGE, LineageLine):
                side = int(line.file == HOLDOUT)
                ids[side].add(line.sample_id)
                events[side].update(line.events)
            for drop in _lines(place / DROPPED, Drop):
                read.update(drop.event_ids)
                if drop.sample_id:  # of a sample of several memories the line names the first alone
                    turned_down.add(drop.sample_id)
        except UsageError as error:
            if place == folder:
                raise
            raise UsageError(
                f"{printable(str(folder))} holds what was new since {printable(str(place))}, which cannot be read: "
                f"{error.what}",
                "put that run back, or make a whole set first: curate run --username U",
            ) from None
        since = summary["options"].get("since", "None")
        place = None if since == "None" else Path(since)
    learnt, held, learnt_events, held_events = (frozenset(one) for one in (*ids, *events))
    known = learnt.union(turned_down - held)
    return Earlier(known, held, learnt_events, held_events, frozenset(read.union(*events)))


def _lines(path: Path, kind: type[T]) -> list[T]:
    try:
        return msgspec.json.Decoder(kind).decode_lines(read_bytes(path))
    except OSError:
        raise UsageError(f"{printable(str(path))} is missing", MAKE_AGAIN) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{printable(str(path))}: {error}", MAKE_AGAIN) from None
