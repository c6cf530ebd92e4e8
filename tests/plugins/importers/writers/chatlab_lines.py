"""ChatLab's exchange format, JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import OWNER, Talk
from importers.writers import chatlab

FORMAT = "chatlab"
KEEPS = chatlab.KEEPS
OWNERS = (OWNER,)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write a file a talk, with a comment at its head."""
    for number, talk in enumerate(talks):
        header, members, messages = chatlab.parts(talk)
        rows = [{"_type": "header", **header}]
        rows += [{"_type": "member", **one} for one in members] + [{"_type": "message", **one} for one in messages]
        lines = ["# a note", *(json.dumps(row, ensure_ascii=False) for row in rows)]
        (folder / f"chat{number}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
