"""Conversations to pairs: who asks, who answers, and what an exchange needs of the ones before it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import msgspec

from curator.contract.records import Exchange
from curator.hooks import Pairing
from curator.records import Author, MemoryEvent, Pair, Turn
from curator.sampling.truncation import note_left_out, whole_shape

THOUGHT_IS_USER = "thought-is-user"
THOUGHT_IS_ASSISTANT = "thought-is-assistant"


class Spoken(NamedTuple):
    """An exchange of a conversation: what was said, what was answered, and whose words the answer is."""

    said: str
    answered: str
    author: Author


def joined(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Join the messages that one speaker of an imported chat sent in a row; other shapes hold whole turns."""
    runs: list[Turn] = []
    for turn in turns:
        last = runs[-1] if runs else None
        if last and turn.time and last.speaker == turn.speaker and turn.speaker in ("me", "other"):
            runs[-1] = msgspec.structs.replace(last, text=f"{last.text}\n{turn.text}")
        else:
            runs.append(turn)
    return tuple(runs)


def exchanges(turns: tuple[Turn, ...], mode: str) -> list[Spoken]:
    """Pair up turns.

    In an imported chat the person answers in every mode but dual, where the person's side is the thought.
    """
    asks, answers = _sides(mode)
    pairs = []
    for first, second in pairwise(joined(turns)):
        if first.speaker in asks and second.speaker in answers:
            pairs.append(Spoken(first.text, second.text, second.whose))
    return pairs


def conversation(event: MemoryEvent, pairing: Pairing, mode: str) -> Iterator[Pair]:
    """Make single-turn pairs of a conversation, or one sample of it all where it is tagged multi_turn."""
    shape = pairing.shape(event)
    pairs = exchanges(shape.turns, mode)
    left_out = note_left_out(event, pairing)
    if not pairs:
        if not left_out:
            pairing.on_drop("no_reply", "nobody answers in this conversation", 0)
        return
    flip = mode == "dual" and pairing.dual_direction == THOUGHT_IS_ASSISTANT and not event.by_model
    source = event.sources
    _note_unanswered(joined(shape.turns), mode, pairing)
    pairs = _flipped(pairs) if flip else pairs
    if event.multi_turn and len(pairs) > 1:
        earlier = tuple([Exchange(said, answered) for said, answered, _ in pairs[:-1]])
        said, answered, author = pairs[-1]
        yield Pair(said, answered, author, len(pairs) - 1, flipped=flip, context=earlier, sources=source)
        return
    config = pairing.settings.curate.pairing
    for turn, (said, answered, author) in enumerate(pairs):
        context: tuple[Exchange, ...] = ()
        if pairing.leans_on_context(*((answered, said) if flip else (said, answered))):
            earlier_turns = pairs[max(0, turn - config.context_turns) : turn] or _turns_before(
                event, pairing, mode, flip
            )
            if earlier_turns and config.context == "drop":
                pairing.on_drop("needs_context", "makes sense only with the turn before it", turn)
                continue
            context = tuple([Exchange(a, b) for a, b, _ in earlier_turns])
        yield Pair(said, answered, author, turn, flipped=flip, context=context, sources=source)


def _note_unanswered(turns: tuple[Turn, ...], mode: str, pairing: Pairing) -> None:
    """Report each turn that is in no exchange: a second question before the answer, a second answer, a last word."""
    asks, answers = _sides(mode)
    paired = {
        place + step
        for place in range(len(turns) - 1)
        if turns[place].speaker in asks and turns[place + 1].speaker in answers
        for step in (0, 1)
    }
    for place in range(len(turns)):
        if place not in paired:
            pairing.on_drop("no_reply", "a turn that nobody answers, or that answers nobody", f"m{place}")


def _sides(mode: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return who asks and who answers in a mode."""
    return (("user", "me"), ("assistant", "other")) if mode == "dual" else (("user", "other"), ("assistant", "me"))


def _flipped(pairs: list[Spoken]) -> list[Spoken]:
    """MetaHuman's aggregator: the assistant's words are the thought, the person's are the world's answer."""
    return [Spoken(answered, said, "person") for said, answered, _ in pairs]


def _turns_before(event: MemoryEvent, pairing: Pairing, mode: str, flip: bool) -> list[Spoken]:
    previous = pairing.before(event)
    pairs = exchanges(whole_shape(previous, pairing).turns, mode)[-1:] if previous else []
    return _flipped(pairs) if flip else pairs
