"""Slack's workspace export: users and conversations listed, a file a day, text escaped."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from importers.talk import OWNER, ZONE, Keeps, Said, Talk

FORMAT = "slack"
KEEPS = Keeps(edits=True, deletions=True)
OWNERS = (OWNER,)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the workspace: direct talks by their ids, the others by name."""
    people = sorted({OWNER, *(name for talk in talks for name in talk.others)})
    ids = {name: f"U{place}" for place, name in enumerate(people)}
    users = [{"id": ids[name], "name": f"u{ids[name]}", "profile": {"display_name": name}} for name in people]
    channels = [{"id": f"C{n}", "name": f"crew{n}"} for n, talk in enumerate(talks) if talk.group]
    dms = [{"id": f"D{n}", "members": [ids[OWNER], ids[t.others[0]]]} for n, t in enumerate(talks) if not t.group]
    for name, rows in (("users", users), ("channels", channels), ("dms", dms)):
        (folder / f"{name}.json").write_text(json.dumps(rows), "utf-8")
    for number, talk in enumerate(talks):
        place = folder / (f"crew{number}" if talk.group else f"D{number}")
        place.mkdir()
        days: dict[str, list[object]] = defaultdict(list)
        for said in talk.said:
            days[said.time.astimezone(ZONE).date().isoformat()].append(_message(said, ids))
        for day, rows in days.items():
            (place / f"{day}.json").write_text(json.dumps(rows), "utf-8")


def _message(said: Said, ids: dict[str, str]) -> dict[str, object]:
    text = said.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = f"<{text}>" if text.startswith("https://") else text
    stamp = f"{said.time.timestamp():.6f}"
    message = {"type": "message", "user": ids[said.sender], "text": text, "ts": stamp}
    if said.edited:
        message["edited"] = {"user": ids[said.sender], "ts": stamp}  # type: ignore[assignment]
    if said.deleted:
        message.update(subtype="tombstone", user="USLACKBOT", text="This message was deleted.")
    return message
