"""What signal-export makes: data.json of each chat, with two blanks behind all words, and no backticks in them."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import ZONE, Keeps, Talk

FORMAT = "signal_export"
KEEPS = Keeps(wall=True, deletions=True)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; the owner is "Me"."""
    for number, talk in enumerate(talks):
        place = folder / f"Chat{number}"
        place.mkdir()
        lines = []
        for said in talk.said:
            record: dict[str, object] = {"date": said.time.astimezone(ZONE).replace(tzinfo=None).isoformat()}
            record["sender"] = "Me" if said.own else said.sender
            record["body"] = "  " if said.deleted else f"{said.text}  "
            record["quote"] = "\n\n> something\n\n" if said.number % 4 == 0 else ""
            record |= {"sticker": None, "reactions": [], "attachments": [], "deleted": said.deleted, "call": False}
            lines.append(json.dumps(record, ensure_ascii=False))
        (place / "data.json").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        (place / "chat.md").write_text("the same for people\n", "utf-8")
