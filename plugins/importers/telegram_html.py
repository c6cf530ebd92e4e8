"""Telegram Desktop's HTML: the pages `messages.html`, `messages2.html` and on of each chat, 1,000 messages a page.

A page is laid out with line breaks and blanks of its own; the line breaks of the words are `<br>`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from curator import (
    Element,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    hookimpl,
    html_events,
    iso,
    outline,
    printable,
    said_and_quoted,
)

HOW = (
    "Telegram Desktop: in a chat the three dots, Export chat history; name the folder with messages.html. The format "
    "Machine-readable JSON says more: exact times, who you are, which messages were edited."
)
_PAGE = b'class="page_body chat_page"'
_REPLY = re.compile(r"go_to_message(-?\d+)")
_DATE = re.compile(r"(\d\d)\.(\d\d)\.(\d{4}) (\d\d):(\d\d):(\d\d)(?: UTC([+-]\d\d):?(\d\d))?")
_VIA = re.compile(r" via @\w+\Z")
_BREAK = "\ufdd0"  # a line break of the words: what else breaks lines is the layout
_AROUND = re.compile(r"\A\r?\n|\r?\n[ \t]*\Z")
_QUOTE, _QUOTE_ENDS = "\ufdd1", "\ufdd2"
_FILES = {
    "photo_wrap", "video_file_wrap", "animated_wrap", "media_photo", "media_video", "media_voice_message",
    "media_audio_file", "media_file",
}  # fmt: skip
_WINTER = "times are by the zone's winter time, as the pages have it: in summer an hour late; --timezone mends it"
_PAGE_NUMBER = re.compile(r"(?<!\d)(\d+)\.html$")
_QUOTE_MARKS = re.compile(f"[{_QUOTE}{_QUOTE_ENDS}]")


@hookimpl
def register_importers() -> list[Importer]:
    """Read Telegram's HTML exports."""
    return [Importer("telegram_html", "Telegram (HTML)", HOW, find, read, clock="wall")]


def find(export: Export) -> Found | None:
    """Take the pages of chats; those of a folder are one chat, in the order of their numbers."""
    jsons = [one for one in export.named("result.json") if outline(one) & {"messages", "chats"}]
    better = tuple(f"{one.folder}/".lstrip("/") for one in jsons)  # in both formats everything is there twice
    pages = [one for one in export.ending(".html") if _PAGE in one.head() and not f"{one.folder}/".startswith(better)]
    return Found(tuple(sorted(pages, key=_place)), "pages of chats") if pages else None


def _place(entry: Entry) -> tuple[str, int, str]:
    number = _PAGE_NUMBER.search(entry.base.casefold())
    return entry.folder, int(number[1]) if number else 1, entry.base


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each chat, page after page."""
    chat: _Chat | None = None
    for entry in found.entries:
        if chat is None or chat.folder != entry.folder:
            chat = _Chat(entry.folder, reading)
        items = reading.each(_messages(entry, chat), f"{entry.shown}: message", chat.read)
        yield from reading.guarded(entry, items)


@dataclass
class _Message:
    """What a page says of a message; `classes` are those of all in it. `joined`: it has the sender before it."""

    id: str
    service: bool
    joined: bool
    classes: set[str] = field(default_factory=set)
    date: str = ""
    reply_to: str = ""
    name: str = ""
    title: str = ""
    text: str = ""

    def begin(self, element: Element) -> None:
        """Take note of an element in it."""
        self.classes |= element.classes
        if {"pull_right", "date"} <= element.classes:
            self.date = element.attributes.get("title", "")
        elif element.tag == "a" and element.parent and "reply_to" in element.parent.classes:
            found = _REPLY.search(element.attributes.get("href", ""))
            self.reply_to = found[1] if found else ""
        elif element.tag in ("br", "blockquote"):
            self.add(element, _BREAK if element.tag == "br" else _QUOTE)

    def add(self, element: Element, text: str) -> None:
        """Take note of a text in an element in it."""
        block = next((one.classes for one in element.around() if one.tag == "div"), frozenset())
        if "text" in block:
            self.text += text
        elif "from_name" in block and element.tag == "div" and "forwarded" not in self.classes:
            self.name += text
        elif "title" in block:
            self.title += text


def _messages(entry: Entry, chat: "_Chat") -> Iterator[_Message]:
    """Yield the messages of a page, and tell the chat its name."""
    message: _Message | None = None
    begun: Element | None = None
    for event, element, text in html_events(entry):
        if message is None:
            if event == "start" and "message" in element.classes and element.attributes.get("id"):
                begun, given = element, element.classes
                message = _Message(element.attributes["id"], "service" in given, "joined" in given)
            elif event == "text" and "text" in element.classes and not chat.named:
                chat.name += text if any("page_header" in one.classes for one in element.around()) else ""
            chat.named = chat.named or "page_body" in element.classes
        elif element is begun and event == "end":
            yield message
            message = None
        elif event == "start":
            message.begin(element)
        elif event == "text" or element.tag == "blockquote":
            message.add(element, text or _QUOTE_ENDS)


class _Chat:
    """Reads the messages of a chat."""

    def __init__(self, folder: str, reading: Reading) -> None:
        self.folder, self.name, self.named = folder, "", False
        self._reading = reading
        self._sender, self._by_bot = "", False

    def read(self, one: _Message) -> Iterator[Item]:
        """Yield a message, or why it is none."""
        if not one.service and not one.joined:
            sender = one.name.strip()
            self._sender, self._by_bot = _VIA.sub("", sender), bool(_VIA.search(sender))
        text, quote = said_and_quoted(_parts(_AROUND.sub("", one.text).replace(_BREAK, "\n")))
        reason = self._reason(one)
        if not reason and not text.strip():
            reason = "not_authored" if quote else "media_only" if "media_wrap" in one.classes else "empty"
        name = self.name.strip() or self.folder.rpartition("/")[2] or "chat"
        if reason:
            yield Skip(printable(f"{name}/{one.id}"), reason)
            return
        time, source = self._time(one.date)
        yield ImportedMessage(
            id=one.id.removeprefix("message"),
            conversation=name,
            conversation_id=self.folder,
            time=time,
            time_source=source,
            sender=self._sender,
            is_owner=self._reading.is_owner(self._sender),
            text=text,
            quote=quote,
            reply_to=one.reply_to,
            attachments=int(bool(one.classes & _FILES)),
        )

    def _reason(self, one: _Message) -> str:
        if one.service:
            return "system"
        for mark, reason in (("media_call", "call"), ("forwarded", "forwarded"), ("media_poll", "poll")):
            if mark in one.classes:
                return reason
        if self._by_bot:
            return "via_bot"
        sticker = "sticker_wrap" in one.classes or ("media_photo" in one.classes and one.title.strip() == "Sticker")
        return "sticker" if sticker and not one.text else ""

    def _time(self, shown: str) -> tuple[str | None, str]:
        """Return the time: that of the clock where its zone is given, else by the offset that is written beside it."""
        found = _DATE.search(shown)
        if not found:
            return None, ""
        day, month, year, hour, minute, second = map(int, found.groups()[:6])
        moment = datetime(year, month, day, hour, minute, second)
        clock = self._reading.clock
        if clock.given or found[7] is None:
            return clock.utc(moment, self.folder), clock.source
        self._reading.note(_WINTER)
        minutes = int(found[7]) * 60 + int(found[7][0] + found[8])
        return iso(moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))), "wall"


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of a text, and whether each is a quotation."""
    for number, piece in enumerate(_QUOTE_MARKS.split(text)):
        yield piece, number % 2 == 1
