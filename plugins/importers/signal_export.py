"""What the program signal-export makes of Signal Desktop's database: a folder a chat, with data.json (or, from older
versions, chat.md alone)."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

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
    hookimpl,
    json_lines,
    printable,
    text_lines,
)

HOW = "signal-export (pipx install signal-export; sigexport FOLDER); name the folder that it made."
_KEYS: Final = {"date", "sender", "body", "attachments"}
_HEAD = re.compile(r"\[(\d{4}-\d{2}-\d{2}),? (\d{2}:\d{2}(?::\d{2})?)\] (.*?): ?(.*)", re.DOTALL)
_CALL = re.compile(r"(?:Incoming|Outgoing|Missed)(?: (?:voice|video|audio))? call(?: \(.*\))?")
_ATTACHED = re.compile(r"!?\[[^\]\n]*\]\(\./media/[^)\n]*\) {0,2}|\((?:media|attachment) not exported\) {0,2}")
_STICKER = re.compile(r"\n\(\( .* \)\)\Z|\[[^\]\n]*\]\(\.\./exported_stickers/[^)\n]*\) {0,2}")
_REACTIONS = re.compile(r"\n\(- .* -\)")
_QUOTED = re.compile(r"\A\n\n((?:> .*\n)+)\n")
_GONE: Final = "(This message was deleted)"
_BACKTICKS: Final = "signal-export takes every backtick (`) out of the words; the app's own export keeps them"
_QUOTE_MARK = re.compile(r"^> ?", re.MULTILINE)


@hookimpl
def register_importers() -> list[Importer]:
    """Read what signal-export makes."""
    return [Importer("signal_export", "Signal (signal-export)", HOW, find, read, clock="wall")]


def find(export: Export) -> Found | Differs | None:
    """Take data.json of each chat: JSON lines with a date, a sender and a body; chat.md where a folder has no other."""
    data = [entry for entry in export.ending(".json") if _is_data(entry)]
    have = {entry.folder for entry in data}
    pages = [entry for entry in export.named("chat.md", "index.md") if entry.folder not in have and _is_page(entry)]
    entries = sorted((*data, *pages), key=lambda entry: entry.name)
    return Found(tuple(entries), f"{len(entries):,} chats") if entries else None


def _is_data(entry: Entry) -> bool:
    try:
        record = json.loads(first_lines(entry, 1)[0])
    except (ValueError, IndexError, RecursionError):
        return False
    return isinstance(record, dict) and record.keys() >= _KEYS and bool({"quote", "reactions"} & record.keys())


def _is_page(entry: Entry) -> bool:
    lines = first_lines(entry, 1)
    return bool(lines and _HEAD.fullmatch(lines[0].rstrip("\r")))


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each chat in the order of its file."""
    reading.note(_BACKTICKS)
    for entry in found.entries:
        chat = entry.folder.rpartition("/")[2] or (entry.path.absolute().parent.name if entry.path else "") or "chat"
        records = _page(entry) if entry.base.endswith(".md") else _data(entry)
        items = reading.each(records, f"{entry.shown}: message", lambda one, chat=chat: _message(one, chat, reading))  # type: ignore[misc]
        yield from reading.guarded(entry, items)


def _data(entry: Entry) -> Iterator[Any]:
    return (value for _, value in json_lines(entry))


def _page(entry: Entry) -> Iterator[dict[str, Any]]:
    """Yield records as data.json has them from a page for people."""
    block: list[str] = []
    for _, line in text_lines(entry):
        if _HEAD.fullmatch(line) and block:
            yield _from_page("\n".join(block))
            block = []
        block.append(line)
    if block:
        yield _from_page("\n".join(block))


def _from_page(text: str) -> dict[str, Any]:
    head = _HEAD.match(text)
    if head is None:
        return {"unrecognised": True}
    date, time, sender, body = head[1], head[2], head[3], head[4].removesuffix("\n")
    quoted = _QUOTED.match(body)
    body = _REACTIONS.sub("", body[quoted.end() :] if quoted else body)
    attached, stickers = len(_ATTACHED.findall(body)), _STICKER.search(body)
    return {
        "date": f"{date}T{time}", "sender": sender, "body": _STICKER.sub("", _ATTACHED.sub("", body)),
        "quote": quoted[1] if quoted else "", "attachments": [None] * attached, "sticker": bool(stickers),
        "deleted": body.strip() == _GONE,
    }  # fmt: skip


def _message(record: Any, chat: str, reading: Reading) -> Iterator[Item]:
    """Yield the message of a record, or why there is none."""
    if isinstance(record, Damaged) or not isinstance(record, dict) or "unrecognised" in record:
        yield Skip(printable(chat), "unrecognised_line", record.what if isinstance(record, Damaged) else "no message")
        return
    sender, text = str(record["sender"]), str(record.get("body") or "").removesuffix("  ")
    files = len(record.get("attachments") or ())
    why = (
        "deleted" if record.get("deleted")
        else "call" if record.get("call") or ("call" not in record and _CALL.fullmatch(text))
        else "" if text.strip()
        else "sticker" if record.get("sticker")
        else "media_only" if files
        else "system" if sender == "No-Sender"
        else "empty"
    )  # fmt: skip
    shown = datetime.fromisoformat(str(record["date"])).replace(tzinfo=None)
    time = reading.clock.utc(shown, chat)  # of what gives no message too: the order of all tells a repeated hour
    if why:
        yield Skip(printable(f"{chat}, {record['date']}"), why)
        return
    yield ImportedMessage(
        id="",
        conversation=chat,
        time=time,
        time_source=reading.clock.source,
        sender=sender,
        is_owner=sender == "Me",
        text=text,
        attachments=files,
        quote=_QUOTE_MARK.sub("", str(record.get("quote") or "").strip("\n")),
    )
