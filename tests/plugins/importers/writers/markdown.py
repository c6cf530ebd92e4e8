"""A vault of Obsidian: a folder a journal, a note an entry, with its time in the front matter."""

from __future__ import annotations

import re
from pathlib import Path

from importers.talk import ZONE, Keeps, Talk

FORMAT = "markdown"
ANY_TEXT = True
KEEPS = Keeps(own_only=True, groups=False, wall=True)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write each talk into a folder of notes."""
    (folder / ".obsidian").mkdir()
    (folder / ".obsidian" / "app.json").write_text("{}")
    for number, talk in enumerate(talks):
        place = folder / f"{number} {re.sub(r'[^a-zA-Z]', '_', talk.name)}"
        place.mkdir()
        for said in talk.said:
            here = said.time.astimezone(ZONE)
            front = f"---\ncreated: {here.isoformat()}\ntags: [daily]\n---\n"
            text = f"{front}# {here:%Y-%m-%d}\n\n{said.text}\n\n## Grateful for\n"
            (place / f"{here:%Y-%m-%d} {said.number}.md").write_text(text, "utf-8")
