"""DiscordChatExporter's JSON, a channel in two parts."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import OWNER, ZONE, Keeps, Said, Talk

FORMAT = "discord_chat_exporter"
KEEPS = Keeps(precision=1, replies=True, edits=True)
OWNERS = (OWNER,)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write two files a talk."""
    for number, talk in enumerate(talks):
        half = len(talk.said) // 2
        for part, said in enumerate((talk.said[:half], talk.said[half:]), 1):
            name = f"Direct Messages - {number} [{700 + number}]{f' [part {part}]' if part > 1 else ''}.json"
            (folder / name).write_text(json.dumps(_file(talk, number, said), indent=2), "utf-8")


def _file(talk: Talk, number: int, said: tuple[Said, ...]) -> dict[str, object]:
    return {
        "guild": {"id": "0", "name": "Direct Messages"},
        "channel": {"id": str(700 + number), "type": "DirectTextChat", "category": None, "name": talk.name},
        "dateRange": {"after": None, "before": None}, "exportedAt": "2025-02-01T00:00:00+02:00",
        "messages": [_message(one, number) for one in said], "messageCount": len(said),
    }  # fmt: skip


def _message(said: Said, number: int) -> dict[str, object]:
    clock = said.time.astimezone(ZONE).isoformat()
    author = {"id": str(sum(said.sender.encode())), "name": said.sender.lower(), "discriminator": "0000"}
    message = {
        "id": str(said.number), "type": "Reply" if said.reply_to else "Default", "timestamp": clock,
        "timestampEdited": clock if said.edited else None, "content": said.text,
        "author": {**author, "nickname": said.sender, "isBot": False}, "attachments": [], "embeds": [], "stickers": [],
    }  # fmt: skip
    if said.reply_to:
        message["reference"] = {"type": "Default", "messageId": str(said.reply_to), "channelId": str(700 + number)}
    return message
