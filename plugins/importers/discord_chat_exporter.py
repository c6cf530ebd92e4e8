"""DiscordChatExporter's JSON: a file a channel, or several parts of it, with the messages of everybody."""

import re
from collections.abc import Iterator
from typing import Any

from curator import (
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    from_iso,
    hookimpl,
    json_items,
    outline,
    printable,
)

HOW = (
    "DiscordChatExporter (github.com/Tyrrrz/DiscordChatExporter): export your channels and direct messages with the "
    "format JSON. Name the file, or the folder that has them."
)
_PART = re.compile(r" \[part (\d+)\]")
# The kinds of messages that are somebody's words; newer kinds are written as their numbers, these too by old versions.
_WORDS = ("Default", "Reply", "0", "19")
_BOT_ANSWERS = ("20", "23", "ChatInputCommand", "ContextMenuCommand")


@hookimpl
def register_importers() -> list[Importer]:
    """Read what DiscordChatExporter writes."""
    title = "Discord (DiscordChatExporter)"
    return [Importer("discord_chat_exporter", title, HOW, find, read, order="time")]


def find(export: Export) -> Found | None:
    """Take the files that name a guild and a channel beside messages."""
    files = [entry for entry in export.ending(".json") if {"guild", "channel.id", "messages"} <= outline(entry)]
    return Found(tuple(sorted(files, key=_place)), "channels as JSON") if files else None


def _place(entry: Entry) -> tuple[str, int]:
    part = _PART.search(entry.base)
    return _PART.sub("", entry.name), int(part[1]) if part else 1


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each channel."""
    for entry in found.entries:
        yield from reading.guarded(entry, _channel(entry, reading))


def _channel(entry: Entry, reading: Reading) -> Iterator[Item]:
    channel, guild = (next(json_items(entry, name), None) or {} for name in ("channel", "guild"))
    talk = _Talk(channel, guild, reading)
    yield from reading.each(json_items(entry, "messages.item"), f"{entry.shown}: message", talk.read)


class _Talk:
    """Reads the messages of one channel."""

    def __init__(self, channel: dict[str, Any], guild: dict[str, Any], reading: Reading) -> None:
        self._id = str(channel.get("id") or "")
        self._name = str(channel.get("name") or self._id or "channel")
        self._guild = str(guild.get("name") or "") if str(guild.get("id") or "0") != "0" else ""
        self._reading = reading

    def read(self, record: dict[str, Any]) -> Iterator[Item]:
        """Yield a message, or why it is none."""
        author, text = record["author"], str(record.get("content") or "")
        reason = _reason(record) or ("" if text.strip() else _without_words(record))
        if reason:
            yield Skip(printable(f"{self._name}/{record.get('id')}"), reason)
            return
        name, account = str(author.get("name") or ""), str(author["id"])
        shown = str(author.get("nickname") or name or account)
        answered = record.get("reference") or {}
        here = str(answered.get("channelId") or self._id) == self._id
        yield ImportedMessage(
            id=str(record["id"]),
            conversation=self._name,
            conversation_id=self._id,
            title=self._guild,
            time=from_iso(record["timestamp"]),
            sender=shown,
            sender_id=account,
            is_owner=self._reading.is_owner(shown, name, account, f"{name}#{author.get('discriminator')}"),
            text=text,
            reply_to=str(answered.get("messageId") or "") if here else "",
            edited=bool(record.get("timestampEdited")),
            attachments=len(record.get("attachments") or ()),
        )


def _reason(record: dict[str, Any]) -> str:
    """Say why a message is not the words of its author; "" where it may be."""
    kind = str(record.get("type") or "Default")
    if record["author"].get("isBot") or kind in _BOT_ANSWERS:
        return "bot"
    if kind == "Call":
        return "call"
    if kind not in _WORDS:
        return "system"
    forwarded = record.get("forwardedMessage") or (record.get("reference") or {}).get("type") == "Forward"
    return "forwarded" if forwarded else ""


def _without_words(record: dict[str, Any]) -> str:
    if record.get("stickers"):
        return "sticker"
    return "media_only" if record.get("attachments") or record.get("embeds") else "empty"
