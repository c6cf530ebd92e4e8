"""Messenger's download of encrypted chats: a file a chat in one folder, plain UTF-8, newest first."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import OWNER, Keeps, Talk

FORMAT = "messenger"
SAME_SHAPE = ("instagram",)
KEEPS = Keeps(precision=1)
OWNERS = (OWNER,)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks, and a file that is none of them."""
    for number, talk in enumerate(talks, 40):
        messages = [
            {
                "isUnsent": False,
                "media": [],
                "reactions": [],
                "senderName": said.sender,
                "text": said.text,
                "timestamp": int(said.time.timestamp() * 1000),
                "type": "link" if said.text.startswith("https:") else "text",
            }
            for said in reversed(talk.said)
        ]
        name = f"{talk.name}_{number}"
        thread = {"participants": [*talk.others, OWNER], "threadName": name, "messages": messages}
        (folder / f"{name}.json").write_text(json.dumps(thread, ensure_ascii=False), "utf-8")
    (folder / "autofill_information.json").write_text('{"autofill_information_v2": {}}', "utf-8")
