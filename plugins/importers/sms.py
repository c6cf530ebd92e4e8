"""SMS and MMS as the Android app SMS Backup & Restore saves them, and as Silence and Signal's old backup did: XML."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from curator import (
    Damaged,
    Differs,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    Tapbacks,
    XmlMender,
    first_lines,
    from_epoch,
    hookimpl,
    printable,
    utf8,
)

HOW = "SMS Backup & Restore (Android): Back up now, messages; name the file sms-....xml, or the zip."
_NOTHING: Final = ("", "null")
_BLOCK: Final = 1 << 16
_BEFORE_ROOT = re.compile(r"\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>]*>", re.DOTALL)
_LOST: Final = "a character that the backup had broken became U+FFFD"
_BOXES: Final = {"3": "draft", "4": "not_sent", "5": "not_sent", "6": "not_sent"}
_FROM: Final = "137"
_OWN_NUMBER: Final = "insert-address-token"
_ROOT = re.compile(r"<([A-Za-z]+)[\s>/]")
_NO_DIGIT = re.compile(r"\D")


@hookimpl
def register_importers() -> list[Importer]:
    """Read backups of SMS Backup & Restore."""
    return [Importer("sms", "SMS Backup & Restore", HOW, find, read, order="time")]


def find(export: Export) -> Found | Differs | None:
    """Take the XML files whose root is `smses`."""
    roots = {entry.name: _root(entry) for entry in export.ending(".xml", ".txt")}
    entries = tuple(entry for entry in export.entries if roots.get(entry.name) == "smses")
    if not entries and "calls" in roots.values():
        return Differs("it holds calls alone (root `calls`); messages are in a file of their own, sms-....xml")
    return Found(entries, "a backup of messages") if entries else None


def _root(entry: Entry) -> str:
    text = "\n".join(first_lines(entry))
    while match := _BEFORE_ROOT.match(text):
        text = text[match.end() :]
    found = _ROOT.match(text)
    return found[1] if found else ""


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages in the order of the file."""
    for entry in found.entries:
        phone = _Phone()
        yield from reading.guarded(entry, reading.each(_records(entry, reading), f"{entry.shown}: message", phone.read))


# --- the file ---------------------------------------------------------------------------------------------------------


def _records(entry: Entry, reading: Reading) -> Iterator[dict[str, Any]]:
    """Yield each message's attributes; of an MMS with its "parts" and "addrs". Raises Damaged."""
    target = _Records()
    parser = DefusedXMLParser(target=target, encoding="utf-8", forbid_dtd=True)
    try:
        with utf8(entry, XmlMender(lambda: reading.note(_LOST)).mend) as file:
            while block := file.read(_BLOCK):
                parser.feed(block)
                yield from target.take()
        parser.close()
    except (ParseError, DefusedXmlException) as error:
        yield from target.take()
        raise Damaged(f"no XML from here on: {error}", entry.name) from None


@dataclass
class _Records:
    """Takes the parser's calls, and holds the records that are whole."""

    ready: list[dict[str, Any]] = field(default_factory=list)
    mms: dict[str, Any] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in ("sms", "mms"):
            record: dict[str, Any] = {**attributes, "parts": [], "addrs": [], "kind": tag}
            self.mms = record if tag == "mms" else None
            if tag == "sms":
                self.ready.append(record)
        elif self.mms is not None and tag in ("part", "addr"):
            attributes.pop("data", None)
            self.mms[f"{tag}s"].append(attributes)

    def end(self, tag: str) -> None:
        if tag == "mms" and self.mms is not None:
            self.ready.append(self.mms)
            self.mms = None

    def data(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> list[dict[str, Any]]:
        ready, self.ready = self.ready, []
        return ready


# --- the messages -----------------------------------------------------------------------------------------------------


@dataclass
class _Phone:
    """Reads records, and learns the names of numbers from them."""

    names: dict[str, str] = field(default_factory=dict)
    tapbacks: Tapbacks = field(default_factory=Tapbacks)

    def read(self, record: dict[str, Any]) -> Iterator[Item]:
        """Yield the message of a record, or why there is none."""
        address, box = record.get("address") or "", record.get("type") or record.get("msg_box") or ""
        where = printable(f"{address}, {record.get('date')}")
        if box not in ("1", "2"):
            yield Skip(where, _BOXES.get(box, "unsupported"))
            return
        text, files = _words(record)
        conversation = address if address not in _NOTHING else "unknown"
        self._learn(address, record.get("contact_name") or "")
        if not text.strip():
            self.tapbacks.is_one(conversation, "")
            yield Skip(where, "media_only" if files else "empty")
            return
        if self.tapbacks.is_one(conversation, text):
            yield Skip(where, "reaction")
            return
        own, sender, date = box == "2", _sender(record, address), int(record["date"])
        yield ImportedMessage(
            id="",
            conversation=conversation,
            time=from_epoch(date, 1000) if date else None,
            time_source="exact" if date else "",
            sender="Me" if own else self.names.get(_plain(sender), sender) or "unknown",
            sender_id="" if own else sender,
            is_owner=own,
            text=text,
            attachments=files,
        )

    def _learn(self, address: str, contact: str) -> None:
        """Keep the name of a number; of a group there are as many names as numbers, in the same order."""
        numbers = address.split("~")
        names = [contact] if len(numbers) == 1 else [name.strip() for name in contact.split(",")]
        for number, name in zip(numbers, names, strict=True) if len(numbers) == len(names) else ():
            if name not in _NOTHING and not name.startswith("("):  # "(Unknown)", in the phone's language
                self.names.setdefault(_plain(number), name)


def _plain(number: str) -> str:
    """Return what two ways to write a number have in common: +1 555 000 0001 and 5550000001."""
    digits = _NO_DIGIT.sub("", number)
    return digits[-9:] if len(digits) >= 7 else number


def _sender(record: dict[str, Any], address: str) -> str:
    """Return the number that a message came from; a group's message names it apart."""
    sent_from = (one.get("address") or "" for one in record["addrs"] if one.get("type") == _FROM)
    known = next((one for one in sent_from if one not in (*_NOTHING, _OWN_NUMBER)), "")
    return known or (address if "~" not in address and address not in _NOTHING else "")


def _words(record: dict[str, Any]) -> tuple[str, int]:
    """Return the words of a record, and how many files came with it. The word "null" stands for nothing."""
    if record["kind"] == "sms":
        body = record.get("body") or ""
        return ("" if body in _NOTHING else body), 0
    texts, files = [], 0
    for part in record["parts"]:
        kind, text = part.get("ct") or "", part.get("text") or ""
        if kind == "text/plain":
            texts.append("" if text in _NOTHING else text)
        elif kind != "application/smil":
            files += 1
    return "\n".join(text for text in texts if text), files
