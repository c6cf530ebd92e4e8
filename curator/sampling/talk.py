"""Conversations to pairs: what each exchange of a session says, and what it needs of the ones before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from curator.contract.records import Exchange
from curator.hooks import Pairing
from curator.records import MemoryEvent, Pair
from curator.sampling.truncation import note_left_out
from curator.sampling.turns import Session, Spoken, exchanges, sessions

THOUGHT_IS_USER = "thought-is-user"
THOUGHT_IS_ASSISTANT = "thought-is-assistant"
_ACCOUNT = "makes sense only with the turn before it"
_TURNED_DOWN = f"{_ACCOUNT}, whose memory was turned down"


def conversation(event: MemoryEvent, pairing: Pairing, mode: str) -> Iterator[Pair]:
    """Make a pair of each exchange of a conversation; one that leans on what went before it takes that along."""
    talks = sessions(pairing.shape(event).turns, pairing.settings.curate.pairing)
    spoken = [exchanges(talk, mode) for talk in talks]
    left_out = note_left_out(event, pairing)
    if not any(spoken):
        if not left_out:
            pairing.on_drop("no_reply", "nobody answers in this conversation", 0)
        return
    _note_unanswered(talks, spoken, pairing)
    flip = mode == "dual" and pairing.dual_direction == THOUGHT_IS_ASSISTANT and not event.by_model
    turn = 0
    for number, pairs in enumerate(spoken):
        pairs = _flipped(pairs) if flip else pairs
        for place, one in enumerate(pairs):
            before = _before(event, pairing, pairs[:place], one, (mode, flip), at_start=not number)
            if before.missing:
                pairing.on_drop("needs_context", before.missing, turn)
            else:
                yield Pair(
                    one.said, one.answered, one.author, turn, flipped=flip,
                    context=tuple([Exchange(earlier.said, earlier.answered) for earlier in before.exchanges]),
                    events=tuple([memory.key for memory in before.memories]),
                    sources=(*event.sources, *[source for one in before.memories for source in one.sources]),
                    follows=bool(place or not number),
                )  # fmt: skip
            turn += 1


@dataclass
class _Before:
    """What an exchange takes along: exchanges, oldest first, and the other memories in which they stand.

    `missing` says why it cannot stand without what it does not get.
    """

    exchanges: list[Spoken]
    memories: list[MemoryEvent]
    missing: str = ""


def _before(
    event: MemoryEvent, pairing: Pairing, spoken: list[Spoken], one: Spoken, way: tuple[str, bool], at_start: bool
) -> _Before:
    """Return what an exchange needs of those before it. `spoken` are those of its session and memory.

    `at_start` says that no silence parts them from the memories before.
    """
    config, (mode, flip) = pairing.settings.curate.pairing, way
    if not pairing.leans_on_context(*((one.answered, one.said) if flip else (one.said, one.answered))):
        return _Before([], [])
    before = _Before(spoken[-config.context_turns :], [])
    for memory in pairing.earlier(event) if at_start and len(before.exchanges) < config.context_turns else ():
        if memory is None:
            return before if before.exchanges else _Before([], [], _TURNED_DOWN)
        talks = sessions(pairing.shape(memory).turns, config)
        earlier = exchanges(talks[-1], mode)[len(before.exchanges) - config.context_turns :] if talks else []
        if earlier:
            before.exchanges[:0] = _flipped(earlier) if flip else earlier
            before.memories.append(memory)
        if len(before.exchanges) >= config.context_turns or len(talks) > 1:
            break
    joined = config.turns > 1 or event.multi_turn  # then what it leans on mostly stands in its sample anyway
    if before.exchanges and config.context == "drop" and not joined:
        return _Before([], [], _ACCOUNT)
    return before


def _note_unanswered(talks: list[Session], spoken: list[list[Spoken]], pairing: Pairing) -> None:
    """Report each turn that is in no exchange: a second question before the answer, a second answer, a last word."""
    start = 0
    for talk, pairs in zip(talks, spoken, strict=True):
        paired = {place for one in pairs for place in (*one.asked, one.answer)}
        for place in range(len(talk.turns)):
            if place not in paired:
                pairing.on_drop("no_reply", "a turn that nobody answers, or that answers nobody", f"m{start + place}")
        start += len(talk.turns)


def _flipped(pairs: list[Spoken]) -> list[Spoken]:
    """MetaHuman's aggregator: the assistant's words are the thought, the person's are the world's answer."""
    return [Spoken(one.answered, one.said, "person") for one in pairs]
