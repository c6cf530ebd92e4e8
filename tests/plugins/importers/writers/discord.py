"""Discord's data package: own messages alone, newest first; a channel in three is CSV, as it was until 2024."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from importers.talk import Keeps, Said, Talk

FORMAT = "discord"
KEEPS = Keeps(own_only=True)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the package."""
    messages = folder / "package" / "Messages"
    messages.mkdir(parents=True)
    (folder / "package" / "Account").mkdir()
    user = {"id": "9", "username": "ana.sa", "discriminator": "0", "global_name": "Ana Sá"}
    (folder / "package" / "Account" / "user.json").write_text(json.dumps(user), "utf-8")
    index = {str(10**17 + number): f"Direct Message with {talk.name}" for number, talk in enumerate(talks)}
    (messages / "index.json").write_text(json.dumps(index), "utf-8")
    for number, talk in enumerate(talks):
        place = messages / f"c{10**17 + number}"
        place.mkdir()
        channel = {"id": str(10**17 + number), "type": "DM"}
        (place / "channel.json").write_text(json.dumps(channel), "utf-8")
        said = talk.said[::-1]
        if number % 3 == 2:
            (place / "messages.csv").write_text(_csv(said), "utf-8")
        else:
            (place / "messages.json").write_text(json.dumps([_record(one) for one in said]), "utf-8")


def _record(said: Said) -> dict[str, object]:
    time = said.time.strftime("%Y-%m-%d %H:%M:%S")
    return {"ID": 10**18 + said.number, "Timestamp": time, "Contents": said.text, "Attachments": ""}


def _csv(said: tuple[Said, ...]) -> str:
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["ID", "Timestamp", "Contents", "Attachments"])
    for one in said:
        rows.writerow([10**18 + one.number, one.time.isoformat(" "), one.text, ""])
    return out.getvalue()
