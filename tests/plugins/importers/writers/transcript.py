"""Talks in plain text: a line `Name: words` for each turn."""

from __future__ import annotations

from pathlib import Path

from importers.talk import OWNER, Keeps, Talk

FORMAT = "transcript"
KEEPS = Keeps(precision=0)
OWNERS = (OWNER,)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write one file a talk."""
    for talk in talks:
        turns = [f"{one.sender}: {one.text}\n" for one in talk.said]
        (folder / f"{talk.name}.txt").write_text("".join(turns), "utf-8")
