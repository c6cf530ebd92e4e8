"""Who the person is in an export: by what its file says, by a name that was given, by evidence; never by a guess.

Sides that are swapped are the worst that an import can do: the model would learn to be somebody else. So where nothing
proves it, the import stops and asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from curator.contract.errors import UsageError, counted, printable, similar
from curator.importing.importer import Reading
from curator.language.names import folded
from curator.records import ImportedMessage

_ENOUGH: Final = 3  # conversations of which exactly one sender must be in each
_SHOWN: Final = 12


class Sender(NamedTuple):
    """A sender as an export names them."""

    name: str
    account: str


@dataclass
class Count:
    """How many messages a sender has, how many of which the file says that they are the person's (or are not)."""

    messages: int = 0
    own: int = 0
    others: int = 0
    conversations: set[int] = field(default_factory=set)


@dataclass
class Senders:
    """Everybody in an export, with counts."""

    counts: dict[Sender, Count] = field(default_factory=dict)

    def add(self, message: ImportedMessage, conversation: int) -> None:
        """Count a message; `conversation` is the number of its conversation."""
        sender = Sender(message.sender, message.sender_id)
        count = self.counts.get(sender)
        if count is None:
            count = self.counts[sender] = Count()
        count.messages += 1
        count.own += message.is_owner is True
        count.others += message.is_owner is False
        count.conversations.add(conversation)

    @property
    def unsettled(self) -> bool:
        """Whether the file leaves it open for any message."""
        return any(count.own + count.others < count.messages for count in self.counts.values())

    def ranked(self) -> list[tuple[Sender, Count]]:
        """Everybody, those with the most messages first."""
        return sorted(self.counts.items(), key=lambda one: (-one[1].messages, one[0]))


@dataclass(frozen=True)
class Settled:
    """Who the person is: the senders that are theirs, and by what that is known.

    `senders` holds those of whom the file does not say it of each message.
    """

    senders: frozenset[Sender]
    names: tuple[str, ...]
    evidence: str

    def owns(self, message: ImportedMessage) -> bool:
        """Tell whether a message is the person's."""
        if message.is_owner is not None:
            return message.is_owner
        return Sender(message.sender, message.sender_id) in self.senders

    def is_me(self, sender: Sender, count: Count) -> bool:
        """Tell whether a sender is the person."""
        return sender in self.senders or bool(count.own)


def settle(senders: Senders, conversations: int, reading: Reading, given: tuple[str, ...]) -> Settled:
    """Settle who the person is. `given` are the names of --owner.

    Raises UsageError where nothing proves it, or where a name that was given is nobody's in this export.
    """
    told = tuple(sorted({sender.name for sender, count in senders.counts.items() if count.own}))
    if not senders.unsettled and not reading.matched:
        if told and given and not set(map(folded, given)) & _own_names(senders):
            shown = ", ".join(map(printable, told))
            reading.note(f"the export itself says who you are ({shown}); --owner was not needed")
        return Settled(frozenset(), told, "the export itself says whose each message is")
    for names, why in ((given, "--owner"), (reading.owners, "the profile's people.json or persona/core.json")):
        found = _named(senders, names)
        if reading.matched & set(map(folded, names)):  # by a name that the reader alone sees, such as an address
            found |= frozenset(sender for sender, count in senders.counts.items() if count.own)
        if found:
            return _settled(found, why)
        if names is given and given:
            raise _nobody(senders, given)
    by_file = _named(senders, tuple(reading.evidence))
    if len({sender.account or sender.name for sender in by_file}) == 1:  # two may be two people: that is to be asked
        return _settled(by_file, "; ".join(dict.fromkeys(reading.evidence.values())))
    everywhere = [sender for sender, count in senders.counts.items() if len(count.conversations) == conversations]
    if conversations >= _ENOUGH and len(everywhere) == 1:
        return _settled(frozenset(everywhere), f"the only one who is in all {counted(conversations, 'conversation')}")
    raise _ask(senders)


def _own_names(senders: Senders) -> set[str]:
    return {folded(part) for sender, count in senders.counts.items() if count.own for part in sender if part}


def _named(senders: Senders, names: tuple[str, ...]) -> frozenset[Sender]:
    wanted = {folded(name) for name in names}
    return frozenset(one for one in senders.counts if {folded(part) for part in one if part} & wanted)


def _settled(found: frozenset[Sender], why: str) -> Settled:
    return Settled(found, tuple(sorted({sender.name for sender in found})), why)


def _nobody(senders: Senders, given: tuple[str, ...]) -> UsageError:
    names = [sender.name for sender, _ in senders.ranked()]
    near = similar(given[0], names)
    shown = ", ".join(printable(name) for name in given)
    meant = f"; did you mean {printable(near)!r}?" if near else ""
    return UsageError(f"--owner {shown}: nobody of that name is in this export{meant}", _choices(senders))


def _ask(senders: Senders) -> UsageError:
    return UsageError(
        "nothing in this export says which of its senders you are; nothing was imported", _choices(senders)
    )


def _choices(senders: Senders) -> str:
    ranked = senders.ranked()
    lines = [f"  --owner {_quoted(sender.name)}   ({_messages(count)})" for sender, count in ranked[:_SHOWN]]
    more = [f"  and {counted(len(ranked) - _SHOWN, 'sender')} more"] if len(ranked) > _SHOWN else []
    return "\n".join(["add the one that you are:", *lines, *more])


def _messages(count: Count) -> str:
    return f"{counted(count.messages, 'message')} in {counted(len(count.conversations), 'conversation')}"


def _quoted(name: str) -> str:
    import shlex

    return shlex.quote(printable(name))
