"""What `msgvault export-messages` writes: JSON lines in phases, from many sources, with a count at their end."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

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
    first_lines,
    from_iso,
    hookimpl,
    json_lines,
    outline,
    own_words,
    passes_on,
    printable,
)

HOW = (
    "msgvault export-messages --start 2000-01-01T00:00:00Z --end 2100-01-01T00:00:00Z > messages.jsonl; name the file, "
    "and yourself with --owner, by address or name."
)
_ENDS = (".jsonl", ".ndjson", ".json", ".txt")
_SCHEMA = "msgvault-message-export/1"
_PHASES = ("manifest", "source", "conversation", "message", "complete")
_COUNTED = ("source", "conversation", "message")
_MAIL = "email_thread"
_NO_TALKS = ("meeting", "calendar")
Key = tuple[str, str, str]


@hookimpl
def register_importers() -> list[Importer]:
    """Read msgvault's exports of messages."""
    return [Importer("msgvault", "msgvault", HOW, find, read)]


def find(export: Export) -> Found | Differs | None:
    """Take the files whose first line is the manifest of the schema that is known."""
    starts = [(entry, next(iter(first_lines(entry, 1)), "")) for entry in export.ending(*_ENDS) if _may_be(entry)]
    files = [entry for entry, line in starts if f'"{_SCHEMA}"' in line]
    if files:
        return Found(tuple(sorted(files, key=lambda one: one.name)), "export of messages")
    if starts:
        return Differs(f"the manifest is not of the schema {_SCHEMA}")
    return None


def _may_be(entry: Entry) -> bool:
    head = entry.head(512)
    return b'"manifest"' in head and b'"msgvault-message-export/' in head and "record_type" in outline(entry)


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each file that is whole; of one that broke off, none."""
    for entry in found.entries:
        yield from reading.guarded(entry, _file(entry, reading))


def _file(entry: Entry, reading: Reading) -> Iterator[Item]:
    fault = _fault(entry)
    if fault:
        yield Skip(entry.shown, "damaged", f"{fault}; export it again: a part of it may be missing anywhere")
        return
    archive = _Archive(reading)
    for number, record in json_lines(entry):
        if record["record_type"] == "conversation":
            archive.learn(record)
        elif record["record_type"] == "message":
            yield from reading.each([record], f"{entry.shown}: line {number:,}, message", archive.read)


def _fault(entry: Entry) -> str:
    """Say what makes an export no whole one, as msgvault asks of its readers; "" where nothing does."""
    seen: Counter[str] = Counter()
    phase, told = -1, None
    for number, record in json_lines(entry):
        if isinstance(record, Damaged):
            return f"line {number:,} is no JSON"
        kind = record.get("record_type") if isinstance(record, dict) else None
        if kind not in _PHASES:
            return f"line {number:,} is no record that is known"
        place = _PHASES.index(kind)
        if place < phase or (kind in seen and kind not in _COUNTED) or (phase < 0 < place):
            return f"line {number:,}: a {kind} record stands out of its order"
        phase = place
        seen[kind] += 1
        told = record.get("counts") if kind == "complete" else None
    if not seen["complete"]:
        return "it breaks off: its last record, `complete`, is missing"
    agrees = isinstance(told, dict) and all(told.get(f"{kind}s") == seen[kind] for kind in _COUNTED)
    return "" if agrees else "its last record counts other records than there are"


class _Archive:
    """Reads the messages, with what was said of their conversations before."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._conversations: dict[Key, tuple[str, str]] = {}

    def learn(self, record: dict[str, Any]) -> None:
        """Take note of a conversation: its title and kind."""
        kind = str(record.get("conversation_type") or "")
        self._conversations[_key(record, "id")] = str(record.get("title") or ""), kind

    def read(self, record: dict[str, Any]) -> Iterator[Item]:
        """Yield a message, or why it is none."""
        key = _key(record, "conversation_id")
        title, kind = self._conversations.get(key, ("", ""))
        text, author, quote = str(record.get("text") or ""), record.get("author") or {}, ""
        name, address = str(author.get("display_name") or ""), str(author.get("address") or "")
        reason = _reason(record, kind) or ("" if name or address else "not_authored")
        if kind == _MAIL and not reason and text.strip():
            text, quote, forwards = own_words(text)
            if not text.strip():
                reason = "forwarded" if forwards or passes_on(str(record.get("subject") or "")) else "not_authored"
        if reason or not text.strip():
            yield Skip(printable(f"{title or key[2]}/{record.get('id')}"), reason or "empty")
            return
        yield ImportedMessage(
            id=str(record["id"]),
            conversation=title or key[2],
            conversation_id=":".join(key),
            time=from_iso(record.get("occurred_at") or record["sent_at"]),
            sender=name or address,
            sender_id=address,
            is_owner=self._is_owner(key[1], name, address),
            text=text,
            quote=quote,
            kind="mail" if kind == _MAIL else "message",
        )

    def _is_owner(self, source: str, name: str, address: str) -> bool | None:
        if "@" in source and address.casefold() == source.casefold():
            self._reading.owner_is(address, f"the archive's account is {printable(source)}")
        return self._reading.is_owner(name, address)


def _key(record: dict[str, Any], name: str) -> Key:
    return str(record["source_type"]), str(record["source_identifier"]), str(record[name])


def _reason(record: dict[str, Any], kind: str) -> str:
    """Say why a message is not the words of its author; "" where it may be."""
    if kind in _NO_TALKS:
        return "not_messages"
    # A mail that is gone from its account was tidied away, a message that is gone from a chat was taken back.
    return "deleted" if record.get("deleted_from_source") and kind != _MAIL else ""
