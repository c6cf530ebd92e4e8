"""Old exports of Telegram Desktop, a file a chat: accounts are numbers, times those of a clock without a zone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from importers.talk import OWNER, ZONE, Keeps, Talk
from importers.writers import telegram

FORMAT = "telegram"
KEEPS = Keeps(wall=True, replies=True, edits=True)
OWNERS = (OWNER,)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write a result.json for each talk."""
    for number, talk in enumerate(talks):
        place = folder / f"ChatExport_{number}"
        place.mkdir()
        chat: Any = telegram.chat(talk, number)
        for message, said in zip(chat["messages"][1:], talk.said, strict=True):
            del message["date_unixtime"], message["text_entities"]
            message["from_id"] = int(message["from_id"].removeprefix("user"))
            message.pop("edited_unixtime", None)
            clock = said.time.astimezone(ZONE).strftime("%Y-%m-%dT%H:%M:%S")
            message["edited"] = clock if said.edited else "1970-01-01T01:00:00"
        (place / "result.json").write_text(json.dumps(chat, ensure_ascii=False, indent=1), "utf-8")
