"""Talks with characters that were saved as one JSON object: Character.AI's old dump, oobabooga's and Agnai's chats."""

import html
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from curator import (
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    from_epoch,
    from_iso,
    hookimpl,
    json_items,
    outline,
    printable,
)

HOW = (
    "Character.AI gives no export of chats: name a dump that CAI Tools saved (JSON), a chat of oobabooga (the history "
    "file below logs), or one that Agnai exported (JSON)."
)
_BEGIN = "<|BEGIN-VISIBLE-CHAT|>"  # oobabooga's mark where only the character has spoken


@hookimpl
def register_importers() -> list[Importer]:
    """Read chats with characters."""
    return [Importer("characterai", "Character.AI and character chats", HOW, find, read)]


def find(export: Export) -> Found | None:
    """Take the files of the shapes that are known."""
    files = [(entry, shape) for entry in export.ending(".json") if (shape := _shape(outline(entry)))]
    if not files:
        return None
    files.sort(key=lambda one: one[0].name)
    return Found(tuple(entry for entry, _ in files), "chats with characters", [shape for _, shape in files])


def _shape(paths: frozenset[str]) -> "Callable[[Entry, Reading], Iterator[Item]] | None":
    if "histories.histories.item.msgs" in paths:
        return _histories
    if {"data_visible.item.item"} <= paths or {"visible.item.item", "internal.item.item"} <= paths:
        return _pairs
    if "messages.item.msg" in paths and not {"guild", "channel", "participants.item"} & paths:
        return _agnai
    return None


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each talk."""
    assert isinstance(found.details, list)
    for entry, shape in zip(found.entries, found.details, strict=True):
        yield from reading.guarded(entry, shape(entry, reading))


def _histories(entry: Entry, reading: Reading) -> Iterator[Item]:
    """Read Character.AI's dump: histories of messages."""
    named = json_items(entry, "info.character.name") if "info.character.name" in outline(entry) else iter(())
    character = str(next(named, "") or entry.base.rpartition(".")[0])

    def talk(history: dict[str, Any]) -> Iterator[Item]:
        name = str(history.get("external_id") or history.get("id") or entry.base.rpartition(".")[0])
        begun, asked = history.get("created"), ""

        def message(record: dict[str, Any]) -> Iterator[Item]:
            nonlocal asked
            beside = record.get("src")
            source: dict[str, Any] = beside if isinstance(beside, dict) else {}
            own = source["is_human"] if "is_human" in source else record["src__is_human"]
            said = record.get("created")
            made = ImportedMessage(
                id=str(record.get("id") or record.get("uuid") or ""),
                conversation=name,
                title=character,
                time=_time(said or begun),
                time_source=("exact" if said else "conversation") if said or begun else "",
                sender=str(source.get("name") or record.get("src__name") or ("user" if own else character)),
                is_owner=own is True,
                text=str(record.get("text") or ""),
                kind="role_play",
            )
            item = _kept(made, f"{printable(name)}/{made.id}", bool(record.get("image_rel_path")))
            if record.get("deleted"):
                yield Skip(f"{printable(name)}/{made.id}", "deleted")
            elif record.get("is_alternative") is True:
                yield Skip(f"{printable(name)}/{made.id}", "other_branch")
                if isinstance(item, ImportedMessage) and not own:
                    yield msgspec.structs.replace(item, kind="alternative", reply_to=asked)
            else:
                asked = made.id if own else asked
                yield item

        yield from reading.each(history["msgs"], f"{printable(name)}: message", message)

    yield from reading.each(json_items(entry, "histories.histories.item"), f"{entry.shown}: history", talk)


def _pairs(entry: Entry, reading: Reading) -> Iterator[Item]:
    """Read oobabooga's history: pairs of what was said and answered, as shown and as the model saw it."""
    paths = outline(entry)
    shown, meant = ("data_visible", "data") if "data_visible.item.item" in paths else ("visible", "internal")
    exact = json_items(entry, f"{meant}.item") if f"{meant}.item.item" in paths else iter(())
    name = entry.base.rpartition(".")[0]

    def pair(record: list[Any]) -> Iterator[Item]:
        raw = next(exact, None)
        for place, text in enumerate(record[:2]):
            own = place == 0
            other = raw[place] if isinstance(raw, list) and len(raw) > place else None
            if own and (text == _BEGIN or (text == "" and other in (_BEGIN, ""))):
                continue
            if other is not None and html.unescape(str(text)) == other:
                text = other  # it was escaped to be shown
            message = ImportedMessage(
                id="",
                conversation=name,
                time=None,
                time_source="",
                sender="user" if own else "character",
                is_owner=own,
                text=str(text or ""),
                kind="role_play",
            )
            yield _kept(message, f"{entry.shown}: {message.sender}")

    yield from reading.each(json_items(entry, f"{shown}.item"), f"{entry.shown}: pair", pair)


def _agnai(entry: Entry, reading: Reading) -> Iterator[Item]:
    """Read Agnai's export: messages, those of a person with a userId, each with the answers before it."""
    name = entry.base.rpartition(".")[0]
    asked = ""

    def message(record: dict[str, Any]) -> Iterator[Item]:
        nonlocal asked
        own, said = bool(record.get("userId")), record.get("createdAt")
        made = ImportedMessage(
            id=str(record.get("_id") or ""),
            conversation=name,
            time=_time(said),
            time_source="exact" if said else "",
            sender=str(record.get("handle") or ("user" if own else "character")),
            is_owner=own,
            text=str(record["msg"] or ""),
            kind="role_play",
        )
        where = f"{entry.shown}: message {printable(made.id)}".rstrip()
        yield Skip(where, "system") if record.get("system") else _kept(made, where)
        for number, retry in enumerate(() if own else record.get("retries") or ()):
            yield Skip(f"{where} retry {number}", "other_branch")
            again = msgspec.structs.replace(made, text=str(retry), kind="alternative", reply_to=asked)
            if again.text.strip() and again.text != made.text:
                yield msgspec.structs.replace(again, id=f"{made.id}-retry-{number}" if made.id else "")
        asked = made.id if own else asked

    yield from reading.each(json_items(entry, "messages.item"), f"{entry.shown}: message", message)


def _kept(message: ImportedMessage, where: str, picture: bool = False) -> Item:
    return message if message.text.strip() else Skip(where, "media_only" if picture else "empty")


def _time(value: Any) -> str | None:
    """Return a time in seconds, in milliseconds or as ISO 8601; None for none. Raises ValueError."""
    if not value:
        return None
    digits = str(value).partition(".")[0]
    return from_epoch(str(value), 1000 if len(digits) > 10 else 1) if digits.isdigit() else from_iso(str(value))
