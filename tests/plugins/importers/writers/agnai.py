"""Agnai's export of a chat."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import Keeps, Talk

FORMAT = "characterai"
KEEPS = Keeps(precision=1)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; a message of their owner has a userId."""
    for talk in talks:
        messages = [
            {
                "_id": f"m{said.number}", "handle": said.sender, "msg": said.text, "createdAt": said.time.isoformat(),
                **({"userId": "u"} if said.own else {"characterId": "c"}),
            }
            for said in talk.said
        ]  # fmt: skip
        whole = {"name": talk.name, "greeting": "", "scenario": "", "messages": messages}
        (folder / f"{talk.name}.json").write_text(json.dumps(whole), "utf-8")
