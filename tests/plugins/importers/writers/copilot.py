"""Copilot's copilot-activity-history.csv: a mark of byte order, the newest row first, times of a clock."""

from __future__ import annotations

import csv
from pathlib import Path

from importers.talk import ZONE, Keeps, Talk

FORMAT = "copilot"
KEEPS = Keeps(wall=True, groups=False)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; their owner is the author Human."""
    rows = [
        (talk.name, f"{said.time.astimezone(ZONE):%Y-%m-%dT%H:%M:%S}", "Human" if said.own else "AI", said.text)
        for talk in talks
        for said in talk.said
    ]
    with (folder / "copilot-activity-history.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        csv.writer(file).writerow(("Conversation", "Time", "Author", "Message"))
        writer.writerows(rows[::-1])
