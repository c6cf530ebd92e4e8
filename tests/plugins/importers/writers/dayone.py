"""Day One's JSON: an entry a message, marks of Markdown behind backslashes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from importers.talk import Keeps, Said, Talk

FORMAT = "dayone"
KEEPS = Keeps(own_only=True, groups=False)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write each talk as a journal."""
    for number, talk in enumerate(talks):
        name = re.sub(r"[^\w]", "_", talk.name)
        journal = {"metadata": {"version": "1.0"}, "entries": [_entry(said) for said in talk.said]}
        (folder / f"{name} {number}.json").write_text(json.dumps(journal), "utf-8")


def _entry(said: Said) -> dict[str, object]:
    text = re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~])", r"\\\1", said.text)
    text += "\n\n![](dayone-moment://AB12)" if said.number % 4 == 0 else ""
    time = f"{said.time:%Y-%m-%dT%H:%M:%SZ}"
    return {"uuid": f"E{said.number}", "creationDate": time, "timeZone": "Europe/Berlin", "text": text, "tags": []}
