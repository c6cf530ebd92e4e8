"""A diary as text: under each line of a date and a time an entry, by a clock that shows UTC."""

from __future__ import annotations

from pathlib import Path

from importers.talk import Keeps, Talk

FORMAT = "diary"
KEEPS = Keeps(own_only=True, groups=False, precision=60_000)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write each talk as a diary."""
    for number, talk in enumerate(talks):
        entries = [f"{said.time:%A, %d %B %Y, %H:%M}\n\n{said.text}\n" for said in talk.said]
        (folder / f"{number} diary.txt").write_text("\n".join(entries), "utf-8")
