"""Exchanges that follow each other become one sample: a conversation in which each of the replies is trained."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from curator.config import PairingConfig
from curator.contract.records import Exchange, Record
from curator.reading.drop_log import Stage
from curator.records import Change, CuratedSample, Drop, MemoryEvent, Pair

# An exchange that was turned down for no more than this may stand in a conversation, untrained.
_HARMLESS = ("too_short",)


class ScreenedSample(Record, frozen=True, gc=False):
    """A sample that passed every screen, with its lineage; it waits to be chosen."""

    sample: CuratedSample
    events: tuple[str, ...]
    changes: tuple[Change, ...] = ()


class Piece(NamedTuple):
    """An exchange of a conversation: its pair, and the sample that it is, or why it is none."""

    pair: Pair
    screened: ScreenedSample | None
    drop: Drop | None = None


@dataclass
class MemoryResult:
    """What one memory gave: its place in the order of time, its samples and its drops.

    `answered_by` is the place of the event that answers its thought, -1 where none does. `pieces` are exchanges that
    wait for others to become one sample with; `beside` holds, for a sample id, the places of the other memories in it.
    """

    event: MemoryEvent
    place: int
    samples: list[ScreenedSample] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    answered_by: int = -1
    pieces: list[Piece] = field(default_factory=list)
    beside: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def drop(self, stage: Stage, reason: str, detail: str = "", sample_id: str = "") -> None:
        """Add a drop of this memory, or of one of its samples."""
        event = self.event
        self.drops.append(
            Drop(
                event_ids=(event.key,),
                stage=stage,
                reason=reason,
                detail=detail,
                path=event.path,
                memory_id=event.id,
                sample_id=sample_id,
            )
        )


def may_join(pair: Pair) -> bool:
    """Tell whether a pair is an exchange of a conversation, and no answer to a question of ours or tool call."""
    return not pair.prompted and not pair.thought and pair.author != "tool"


@dataclass
class _Chain:
    """Exchanges that follow each other.

    `first` is the place of the first one's memory, `last` what the last one's gave, `result` what that of the last one
    gave which is trained, `places` those of the memories of the trained ones.
    """

    first: int
    result: MemoryResult
    last: MemoryResult
    pieces: list[Piece] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    @property
    def trained(self) -> int:
        return sum(piece.screened is not None for piece in self.pieces)

    def goes_on(self, piece: Piece, result: MemoryResult) -> bool:
        """Tell whether an exchange follows the last one of the chain."""
        last = self.pieces[-1].pair
        if not piece.pair.follows or (piece.pair.author, piece.pair.flipped) != (last.author, last.flipped):
            return False
        if result is self.last:
            return piece.pair.turn == last.turn + 1
        return piece.pair.turn == 0


class Joiner:
    """Takes what each memory gave, in the order of time, and gives it back in that order with its exchanges joined.

    A sample holds up to `turns` exchanges of a session, or all of a memory that is marked multi_turn. It belongs to the
    memory of its last exchange. What a memory gave is kept back until all conversations are over that began before it.
    `joined` counts the exchanges that stand in the sample of a later one.
    """

    def __init__(self, config: PairingConfig) -> None:
        self._config = config
        self._silence = config.session_minutes * 60_000
        self._open: dict[int, _Chain] = {}
        self._waiting: deque[MemoryResult] = deque()
        self.joined = 0

    def take(self, result: MemoryResult, group: int) -> Iterator[MemoryResult]:
        """Take in what a memory of the conversation `group` gave; yield all that is settled."""
        if self._config.turns == 1 and not result.pieces:
            yield result
            return
        self._waiting.append(result)
        time = result.event.time
        for other in [key for key, chain in self._open.items() if time - chain.last.event.time > self._silence]:
            self._close(other)
        alone = self._config.turns == 1 or result.event.multi_turn
        if alone or any(drop.stage == "event" for drop in result.drops):
            self._close(group)
        for piece in result.pieces:
            self._add(piece, result, group, 1 << 62 if result.event.multi_turn else self._config.turns)
        if alone:
            self._close(group)
        yield from self._settled()

    def rest(self) -> Iterator[MemoryResult]:
        """Yield what still waits: the memories are over."""
        for group in list(self._open):
            self._close(group)
        yield from self._settled()

    def _add(self, piece: Piece, result: MemoryResult, group: int, most: int) -> None:
        chain = self._open.get(group)
        if chain and not chain.goes_on(piece, result):
            self._close(group)
            chain = None
        if piece.drop and (chain is None or piece.drop.reason not in _HARMLESS):
            self._close(group)
            return
        if chain is None:
            if piece.pair.context and self._config.context == "drop" and most > 1:
                result.drop("pair", "needs_context", "begins a sample", f"{result.event.key}-{piece.pair.turn}")
                return
            chain = self._open[group] = _Chain(result.place, result, result)
        chain.pieces.append(piece)
        chain.last = result
        if piece.screened:
            chain.result = result
            chain.places.append(result.place)
        if chain.trained >= most:
            self._close(group)

    def _close(self, group: int) -> None:
        """Make the sample of a conversation, if one is open."""
        chain = self._open.pop(group, None)
        if chain is None:
            return
        while chain.pieces[-1].screened is None:
            chain.pieces.pop()
        sample = joined(chain.pieces)
        chain.result.samples.append(sample)
        chain.result.beside[sample.sample.metadata.sample_id] = tuple(dict.fromkeys(chain.places[:-1]))
        self.joined += chain.trained - 1

    def _settled(self) -> Iterator[MemoryResult]:
        earliest = min((chain.first for chain in self._open.values()), default=1 << 62)
        while self._waiting and self._waiting[0].place < earliest:
            yield self._waiting.popleft()


def joined(pieces: Sequence[Piece]) -> ScreenedSample:
    """Return the sample of exchanges that follow each other, of which the first and the last one are trained."""
    trained = [piece.screened for piece in pieces if piece.screened]
    last = trained[-1]
    if len(trained) == 1:
        return last
    context = [*trained[0].sample.context, *map(_exchange, pieces[:-1])]
    sources, events = [*last.sample.metadata.sources], [*last.events]
    for piece in pieces:
        sources += piece.screened.sample.metadata.sources if piece.screened else piece.pair.sources
        events += piece.screened.events if piece.screened else piece.drop.event_ids if piece.drop else ()
    metadata = msgspec.structs.replace(
        last.sample.metadata,
        multi_turn=True,
        sources=tuple(dict.fromkeys(sources)),
        long_output=any(one.sample.metadata.long_output for one in trained),
    )
    return ScreenedSample(
        msgspec.structs.replace(last.sample, context=tuple(context), metadata=metadata),
        tuple(dict.fromkeys(events)),
        tuple([change for one in trained for change in one.changes]),
    )


def _exchange(piece: Piece) -> Exchange:
    if piece.screened is None:
        return Exchange(piece.pair.user_text, piece.pair.assistant_text)
    sample = piece.screened.sample
    return Exchange(sample.user_text, sample.assistant_text, trained=True)
