"""How people talk: messages to turns (bursts), turns to sessions, and which turn an answer answers."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from math import log2
from typing import Final, NamedTuple

import msgspec

from curator.config import PairingConfig
from curator.records import Author, Turn

_MINUTE = 60_000  # milliseconds
_MOST_LINES = 4  # turns of others, in a group, that one answer may follow


@dataclass
class Session:
    """The turns of one talk without a long silence. `places` says in which turn each message with an id stands."""

    turns: list[Turn] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)


class Spoken(NamedTuple):
    """An exchange: what was said, what was answered, whose words the answer is, and the places of the turns in it."""

    said: str
    answered: str
    author: Author
    asked: tuple[int, ...] = ()
    answer: int = 0


def sessions(messages: Sequence[Turn], config: PairingConfig) -> list[Session]:
    """Part the messages of one memory into sessions, and make one turn of each burst.

    A message without a time follows the one before it at once. What is returned is not to be changed.
    """
    return _sessions(tuple(messages), config.burst_minutes * _MINUTE, config.session_minutes * _MINUTE)


@lru_cache(maxsize=64)  # each tool call asks again of the memories before it
def _sessions(messages: tuple[Turn, ...], burst: float, silence: float) -> list[Session]:
    found: list[Session] = []
    texts: list[list[str]] = []  # of the last session's turns
    last = 0
    for message in messages:
        gap = message.time - last if message.time and last else 0
        last = message.time or last
        if not found or gap > silence:
            _join(found, texts)
            found.append(Session())
            texts = []
        session = found[-1]
        if session.turns and gap <= burst and _goes_on(session.turns[-1], message):
            texts[-1].append(message.text)
        else:
            session.turns.append(message)
            texts.append([message.text])
        if message.id:
            session.places[message.id] = len(session.turns) - 1
    _join(found, texts)
    return found


def _goes_on(turn: Turn, message: Turn) -> bool:
    """Tell whether a message is by the speaker of the turn before it, and answers nothing else."""
    same = (turn.speaker, turn.name) == (message.speaker, message.name)
    return same and message.reply_to in ("", turn.reply_to)


def _join(found: list[Session], texts: list[list[str]]) -> None:
    """Give each turn of the last session the texts of its burst, a line each; a message that says nothing has none."""
    for place, parts in enumerate(texts):
        if len(parts) > 1:
            text = "\n".join([part for part in parts if part.strip()])
            found[-1].turns[place] = msgspec.structs.replace(found[-1].turns[place], text=text)


def exchanges(session: Session, mode: str) -> list[Spoken]:
    """Pair up the turns of a session.

    In an imported chat the person answers in every mode but dual, where the person's side is the thought. Where several
    others speak, each of their lines bears its speaker's name.
    """
    asks, answers = sides(mode)
    turns = session.turns
    names = {turn.name for turn in turns if turn.speaker == "other" and turn.name}
    pairs = []
    for place, turn in enumerate(turns):
        if turn.speaker not in answers:
            continue
        asked = _asked(session, place, asks, names)
        if asked:
            said = "\n".join([_line(turns[one], len(names) > 1) for one in asked])
            pairs.append(Spoken(said, turn.text, turn.whose, asked, place))
    return pairs


def sides(mode: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return who asks and who answers in a mode."""
    return (("user", "me"), ("assistant", "other")) if mode == "dual" else (("user", "other"), ("assistant", "me"))


def _asked(session: Session, place: int, asks: tuple[str, ...], names: set[str]) -> tuple[int, ...]:
    """Return the places of the turns that a turn answers: by the id it names, by a name in it, or those before it."""
    turns = session.turns
    target = session.places.get(turns[place].reply_to, -1)
    if 0 <= target < place and turns[target].speaker in asks:
        return (target,)
    first = place
    while first and turns[first - 1].speaker in asks:
        first -= 1
    if first == place:
        return ()
    if len(names) < 2 or turns[place - 1].speaker != "other":
        return (place - 1,)
    last = place - 1
    for one in range(place - 1, first - 1, -1):
        if mentions(turns[place].text, turns[one].name):
            last = one
            break
    return tuple(range(max(first, last + 1 - _MOST_LINES), last + 1))


def mentions(text: str, name: str) -> bool:
    """Tell whether a text names somebody, by the whole name or its first part, case apart."""
    text = text.casefold()
    for part in {name.casefold().lstrip("@"), *name.casefold().split()[:1]}:
        if len(part) < 2 or part not in text:
            continue
        # In a script without capitals a name may stand between letters: no blanks, or a particle joined to it.
        if part[-1].upper() == part[-1] or re.compile(rf"(?<!\w){re.escape(part)}(?!\w)").search(text):
            return True
    return False


def _line(turn: Turn, named: bool) -> str:
    return f"{turn.name}: {turn.text}" if named and turn.speaker == "other" and turn.name else turn.text


def silences(messages: Sequence[Turn]) -> Iterator[int]:
    """Yield the milliseconds between each message with a time and the next one."""
    times = [message.time for message in messages if message.time]
    for before, after in pairwise(times):
        yield max(0, after - before)


_EDGES: Final = (1, 5, 15, 30, 60, 120, 240, 480, 1_440, 10_080)  # minutes
_LABELS: Final = ("1 min", "5 min", "15 min", "30 min", "1 h", "2 h", "4 h", "8 h", "1 day", "1 week")
_ROUND: Final = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720)  # minutes
_FEWEST = 50


@dataclass
class Gaps:
    """The silences between one message or memory of a conversation and the next, as a histogram."""

    halves: Counter[int] = field(default_factory=Counter)  # by twice the logarithm to base 2 of the seconds
    _counts: Counter[int] = field(default_factory=Counter)

    def add(self, milliseconds: int) -> None:
        """Count one silence."""
        minutes = milliseconds / _MINUTE
        self._counts[bisect_left(_EDGES, minutes)] += 1
        self.halves[int(2 * log2(1 + milliseconds / 1_000))] += 1

    def tree(self) -> list[dict[int, int]]:
        """Return the counts as plain values; `of` reads them."""
        return [self.halves, self._counts]

    @classmethod
    def of(cls, tree: list[dict[int, int]]) -> Gaps:
        """Return the silences of a tree."""
        return cls(Counter(tree[0]), Counter(tree[1]))

    def also(self, other: Gaps) -> None:
        """Count the silences that were counted elsewhere."""
        self.halves.update(other.halves)
        self._counts.update(other._counts)

    @property
    def counts(self) -> dict[str, int]:
        """The histogram: "up to 5 min" -> how many, shortest first; empty where no silence is known."""
        if not self._counts:
            return {}
        names = [*(f"up to {label}" for label in _LABELS), "longer"]
        return {name: self._counts[number] for number, name in enumerate(names)}

    @property
    def suggested_minutes(self) -> int:
        """The silence that parts short ones from long ones best; 0 where they are too few or are of one kind.

        Otsu's threshold on the logarithm: the cut at which the two sides differ most. It is believed where their means
        are a factor of 16 apart and the longer side has two in a hundred.
        """
        total = self.halves.total()
        if total < _FEWEST:
            return 0
        best, cut = 0.0, 0
        for edge in range(min(self.halves) + 1, max(self.halves) + 1):
            short = {one: count for one, count in self.halves.items() if one < edge}
            few, sum_short = sum(short.values()), sum(one * count for one, count in short.items())
            many = total - few
            if not few or many < total / 50:
                continue
            sum_long = sum(one * count for one, count in self.halves.items()) - sum_short
            apart = sum_long / many - sum_short / few
            if apart >= 8 and few * many * apart * apart > best:
                best, cut = few * many * apart * apart, edge
        if not cut:
            return 0
        # The middle of the empty stretch before the cut, where there is one.
        below = max(one for one in self.halves if one < cut)
        minutes = 2 ** ((below + 1 + cut) / 4) / 60
        return min(_ROUND, key=lambda one: abs(log2(one) - log2(max(minutes, 1 / 60))))
