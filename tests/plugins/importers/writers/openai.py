"""A training file as OpenAI has them: a list of messages a line."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import Keeps, Talk

FORMAT = "training_files"
KEEPS = Keeps(precision=0, groups=False)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; their owner is the user."""
    rows = [
        {"messages": [{"role": "user" if said.own else "assistant", "content": said.text} for said in talk.said]}
        for talk in talks
    ]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
