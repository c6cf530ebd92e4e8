"""Telegram Desktop's result.json of everything, laid out as it does: with `\\x0B` for a control character."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import ZONE, Keeps, Said, Talk

FORMAT = "telegram"
KEEPS = Keeps(replies=True, edits=True)
_OWN = 111000111


def write(folder: Path, talks: list[Talk]) -> None:
    """Write all talks into one file; personal_information tells whose they are."""
    export = {
        "about": "Here is the data you requested.",
        "personal_information": {"user_id": _OWN, "first_name": "Ana", "last_name": "Sá"},
        "contacts": {"about": "", "list": [{"user_id": 5, "first_name": "Jon", "date": "2025-01-13T10:00:00"}]},
        "chats": {"about": "", "list": [chat(talk, number) for number, talk in enumerate(talks)]},
    }
    folder = folder / "DataExport_2025-01-20"
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(export, ensure_ascii=False, indent=1), "utf-8")


def chat(talk: Talk, number: int) -> dict[str, object]:
    """Return a chat as Telegram has it."""
    kind = "private_supergroup" if talk.group else "personal_chat"
    accounts = {name: 500 + place + 10 * number for place, name in enumerate(talk.others)}
    messages = [_service(), *(_message(said, accounts.get(said.sender, _OWN)) for said in talk.said)]
    return {"name": talk.name, "type": kind, "id": 500 + 10 * number, "messages": messages}


def _service() -> dict[str, object]:
    return {"id": 0, "type": "service", "date_unixtime": "1736758800", "action": "joined_telegram", "text": ""}


def _message(said: Said, account: int) -> dict[str, object]:
    head, tail = said.text[:2], said.text[2:]
    parts: object = said.text if said.number % 3 else [head, {"type": "bold", "text": tail}]
    message = {
        "id": said.number, "type": "message", "date": said.time.astimezone(ZONE).strftime("%Y-%m-%dT%H:%M:%S"),
        "date_unixtime": str(int(said.time.timestamp())), "from": said.sender, "from_id": f"user{account}",
        "text": parts, "text_entities": [{"type": "plain", "text": said.text}],
    }  # fmt: skip
    if said.reply_to:
        message["reply_to_message_id"] = said.reply_to
    if said.edited:
        message["edited_unixtime"] = message["edited"] = message["date_unixtime"]
    return message
