"""WhatsApp's "Export chat": a text file, alone or in a zip, in whatever way the language of the phone writes it."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from curator import (
    AppWords,
    Dates,
    Differs,
    Entry,
    Export,
    Found,
    Heading,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    first_lines,
    folded,
    headed,
    hookimpl,
    printable,
    time_of,
    visible,
)

HOW = (
    "In WhatsApp, open a chat: on Android the three dots, More, Export chat; on an iPhone its name, Export chat. "
    "Each chat is one file or zip; give them all in one command, or a folder that holds them. Media are not needed."
)
_APP = AppWords(Path(__file__).with_name("whatsapp.json"))
_NOTICES = tuple(_APP.texts("notices"))
# The chat's name in that of a file or zip: "WhatsApp Chat with Jon", "Chat de WhatsApp con Jon", "与王的WhatsApp聊天".
_TITLE = re.compile(
    r"(?i)(?:.*?whatsapp(?:[ _-][^\W_]*chat[^\W_]*)?[ _](?:-|[^\W\d_]{1,5})[ _](.+)|[与與](.+)的[ _]?whatsapp.*"
    r"|(.+?)(?:[ _]?とのwhatsapp|님과의[ _]?whatsapp|[ _]ile[ _]whatsapp).*)"
)
_COPY = re.compile(r"(?i)([ _]?\(\d{1,3}\))?\.(?:txt|zip)\Z")
_QUOTE = re.compile('["“”„«»「」『』]')
_MOST_NAMES = 20_000
_ENCRYPTED = re.compile(r"\.crypt1\d\Z")
_DATED = re.compile(r"\W{0,3}\d{1,4}\D{1,12}\d")


@hookimpl
def register_importers() -> list[Importer]:
    """Read WhatsApp's exported chats."""
    return [Importer("whatsapp", "WhatsApp", HOW, find, read, clock="wall")]


def find(export: Export) -> Found | Differs | None:
    """Take the text files of which two lines of the first begin with a date, a time and a name."""
    texts = export.ending(".txt")
    chats = [(entry, heading) for entry in texts if (heading := _heading(entry))]
    if chats:
        return Found(tuple(entry for entry, _ in chats), "exported chats", [heading for _, heading in chats])
    if any(_ENCRYPTED.search(entry.name) for entry in export.entries):
        return Differs("an encrypted backup of WhatsApp: expected chats that were exported one by one")
    for entry in filter(_is_named, texts):
        line = next(filter(str.strip, first_lines(entry)), "")
        if _DATED.match(line):
            return Differs(f"{entry.shown} is named as WhatsApp names chats, but begins {printable(line[:40])!r}")
    return None


def _is_named(entry: Entry) -> bool:
    return entry.base == "_chat.txt" or bool(_title_in(entry.base))


def _heading(entry: Entry) -> Heading | None:
    lines = first_lines(entry, 200)
    heading, named = Heading.of(lines), _is_named(entry)
    if heading is None or heading.count < 2 - named or (heading.seconds and not heading.bracket and not named):
        return None  # one line alone, or seconds before a dash, as logs of programs have them
    rests = [head[7] for line in lines if (head := heading.match(line))]
    return heading if any(": " in rest or (heading.bracket and ":" in rest) for rest in rests) else None


def _title_in(name: str) -> str:
    """Return the chat's name in that of a file; "" where it is not named as WhatsApp does."""
    stem = _COPY.sub("", visible(name))
    found = _TITLE.fullmatch(stem)
    title = next(filter(None, found.groups()), "").strip() if found else ""
    return title if " " in stem else title.replace("_", " ").strip()


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each chat."""
    headings: Any = found.details
    for entry, heading in zip(found.entries, headings, strict=True):
        yield from reading.guarded(entry, _Chat(entry, heading, reading).items())


class _Chat:
    """One chat's file, read twice: first all its headings, then its messages."""

    def __init__(self, entry: Entry, heading: Heading, reading: Reading) -> None:
        self._entry, self._heading, self._reading = entry, heading, reading
        self._names: Counter[str] = Counter()  # what stands before the colons
        self._known: dict[str, tuple[str, bool | None]] = {}
        self._people: set[str] = set()
        self._deleters: set[str] = set()
        self._day: tuple[str, date | None] = "", None
        self._source = reading.clock.source
        self._strange: Counter[str] = Counter()  # "<...>" that the table does not know
        self._colon, self._title, self._group, self._order = ": ", "", "", ""

    def items(self) -> Iterator[Item]:
        """Yield what the file holds, in its order."""
        dates, namesake = self._look()
        self._order = dates.order
        wrong = dates.impossible()
        if not self._order or wrong:
            reason, why = ("bad_shape", f"{wrong} is no date") if wrong else ("date_order_unknown", "")
            yield Skip(self._entry.shown, reason, why, max(1, self._names.total()))
            return
        if ranges := dates.quoted():
            self._reading.note("lines dated before the message that they stand in were read as part of it")
        self._title = self._name_of(namesake)
        others = [name for name, count in self._names.items() if count > 2 and _plain(name) != self._title]
        self._group = self._title if self._heading.bracket and len(others) > 2 else ""
        records = headed(self._entry, self._heading, ranges)
        yield from self._reading.each(records, f"{self._entry.shown}: message", self._read)
        self._tell_owner()

    def _look(self) -> tuple[Dates, str]:
        """Look at all headings: dates, names, and the name that the app's own first notice bears (that of the chat)."""
        dates, names, namesake = Dates(self._heading, self._reading.dates()), self._names, ""
        tight, heads, add = 0, 0, dates.add
        for number, head, _ in headed(self._entry, self._heading):
            if head:
                written, rest = head.group(1, 7)
                add(number, written)
                name, colon, text = rest.partition(": ")
                tight += rest.find(":") != rest.find(": ")
                heads += 1
                if colon and (name in names or len(names) < _MOST_NAMES):
                    names[name] += 1
                if text[:1] == "<" and text.rstrip("\r")[-1:] == ">" and (" " in text or not text.isascii()):
                    self._strange[text.rstrip("\r")] += len(self._strange) < _MOST_NAMES
                if not namesake and text.startswith("\u200e") and _APP.is_system(text):
                    namesake = _plain(name)
        if self._heading.bracket and tight * 2 > heads:
            self._colon = ":"  # "[...] Jon:text"
        return dates, namesake

    def _name_of(self, namesake: str) -> str:
        """Return the chat's name: from a file's name, else from the app's notice, else the other one's of two."""
        around = (self._entry.base, *self._entry.around)
        if title := next(filter(None, map(_title_in, around)), namesake):
            return title
        people = {_plain(name) for name, count in self._names.items() if count > 1}
        others = [name for name in people if not self._reading.is_owner(name)]
        if len(people) == 2 and len(others) == 1:
            return others[0]
        return next((stem for name in around if (stem := _COPY.sub("", name)) not in ("_chat", "")), "WhatsApp")

    def _read(self, record: tuple[int, re.Match[str] | None, str]) -> tuple[Item]:
        number, head, below = record
        if head is None:
            count = sum(map(bool, below.split("\n"))) or 1
            return (self._skip(number, "unrecognised_line", printable(below[:60]), count),)
        written, before, hour, minute, second, after, rest = head.groups()
        rest = rest.removesuffix("\r")
        if written != self._day[0]:
            self._day = written, self._heading.day(written, self._order)
        if self._day[1] is None:
            return (self._skip(number, "bad_shape", f"{written} is no date"),)
        shown = time_of(self._day[1], hour, minute, second, before or after)
        time = self._reading.clock.utc(shown, self._title)  # what gives no message has its place in the order too
        name, colon, text = rest.partition(self._colon)
        if not colon and rest.endswith(":"):
            name, colon = rest[:-1], ":"
        sender, own = self._known.get(name) or self._meet(name, colon, text)
        if not sender:
            return (self._skip(number, _APP.notice(rest)),)
        if below:
            text = f"{text}\n{below}"
        said = _APP.said(text, self._heading.bracket)
        if text[:1] == "<" and self._strange[text] > 2 and not (said and said.reason):
            return (self._skip(number, "unrecognised_line", printable(text[:60])),)
        if said and said.reason:
            if said.own:
                self._deleters.add(sender)
            return (self._skip(number, said.reason),)
        return (
            ImportedMessage(
                id="",
                conversation=self._title,
                time=time,
                time_source=self._source,
                sender=sender,
                is_owner=own,
                text=said.text if said else text,
                edited=bool(said and said.edited),
                attachments=said.files if said else 0,
            ),
        )

    def _skip(self, number: int, reason: str, detail: str = "", count: int = 1) -> Skip:
        return Skip(f"{self._entry.shown}:{number}", reason, detail, count)

    def _meet(self, name: str, colon: str, text: str) -> tuple[str, bool | None]:
        """Return a sender's name and whether that is the owner; "" where it is none, but part of a notice."""
        if not colon or self._is_notice(name, text):
            return "", None
        plain = _plain(name)
        if plain == self._group:  # on an iPhone notices bear the group's name
            return "", None
        own = self._reading.is_owner(plain, name)
        if self._names[name] > 2 and not _QUOTE.search(name):
            self._known[name] = plain, own
        self._people.add(plain)
        return plain, own

    def _is_notice(self, name: str, text: str) -> bool:
        """Tell whether what stands before the colon is no name, but a notice that goes on after it."""
        if len(name) > 120:
            return True
        opened = len(_QUOTE.findall(name)) % 2 and len(_QUOTE.findall(text)) % 2
        return bool(opened) or (self._names[name] < 3 and any(notice in name for notice in _NOTICES))

    def _tell_owner(self) -> None:
        """Say whose phone it was: theirs is "You deleted this message", and of two, who is not the chat's namesake."""
        if len(self._deleters) == 1:
            self._reading.owner_is(next(iter(self._deleters)), "it stands on a message that the owner deleted")
        others = [sender for sender in self._people if folded(sender) != folded(self._title)]
        if len(self._people) == 2 and len(others) == 1:
            self._reading.owner_is(others[0], f"the chat is named after the other one, {printable(self._title)}")


def _plain(name: str) -> str:
    """Return a sender's name without what the app puts around it: marks, and "~" before those in no address book."""
    name = visible(name).strip()
    return name.removeprefix("~").lstrip(" \u00a0\u202f") if name[:1] == "~" else name
