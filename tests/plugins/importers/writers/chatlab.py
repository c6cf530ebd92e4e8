"""ChatLab's exchange format, JSON."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import OWNER, Keeps, Talk

FORMAT = "chatlab"
KEEPS = Keeps(replies=True, deletions=True)
OWNERS = (OWNER,)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write a file a talk."""
    for number, talk in enumerate(talks):
        header, members, messages = parts(talk)
        chat = {**header, "members": members, "messages": messages}
        (folder / f"chat{number}.json").write_text(json.dumps(chat, ensure_ascii=False), "utf-8")


def parts(talk: Talk) -> tuple[dict[str, object], list[dict[str, object]], list[dict[str, object]]]:
    """Return the header, the members and the messages of a talk."""
    kind = "group" if talk.group else "private"
    header: dict[str, object] = {
        "chatlab": {"version": "0.0.2", "exportedAt": 1736758800},
        "meta": {"name": talk.name, "platform": "qq", "type": kind},
    }
    people = [{"platformId": f"id-{name}", "accountName": name} for name in (OWNER, *talk.others)]
    avatar = {"avatar": "data:image/jpeg;base64," + "A" * 3000}
    messages: list[dict[str, object]] = []
    for said in talk.said:
        row: dict[str, object] = {
            "platformMessageId": str(said.number), "sender": f"id-{said.sender}", "accountName": said.sender,
            "timestamp": int(said.time.timestamp()), "type": 81 if said.deleted else 0, "content": said.text,
        }  # fmt: skip
        if said.reply_to:
            row.update(type=25, replyToMessageId=str(said.reply_to))
        messages.append(row)
    return header, [{**one, **avatar} for one in people], messages
