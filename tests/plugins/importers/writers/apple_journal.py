"""Apple's Journal: a page of HTML an entry, with the day in prose and no time."""

from __future__ import annotations

import html
from datetime import datetime
from pathlib import Path

from importers.talk import ZONE, Keeps, Said, Talk

FORMAT = "apple_journal"
KEEPS = Keeps(own_only=True, groups=False, wall=True, lines=False, tricky=("tab\there",))


def write(folder: Path, talks: list[Talk]) -> None:
    """Write every message as an entry."""
    place = folder / "AppleJournalEntries" / "Entries"
    place.mkdir(parents=True)
    (place.parent / "index.html").write_text("<html><body>Journal</body></html>", "utf-8")
    for said in (said for talk in talks for said in talk.said):
        day = said.time.astimezone(ZONE)
        prompt = '<div class="reflectionPrompt">What made you smile?</div>' if said.number % 4 == 0 else ""
        page = (
            f'<!DOCTYPE html><html><head><meta charset="utf-8"></head><body><div class="pageHeader">'
            f'{day:%A, %d %B %Y}</div>{prompt}<div class="bodyText"><p class="p2"><span class="s2">'
            f"{html.escape(said.text)}</span></p></div></body></html>"
        )
        (place / f"{said.number:05} {day:%Y-%m-%d}.html").write_text(page, "utf-8")


def expected(talks: list[Talk]) -> list[list[tuple[object, ...]]]:
    """Return the one journal that a reader gives: each entry at the midnight of its day."""
    return [[(_midnight(said), True, said.text, False) for talk in talks for said in talk.said]]


def _midnight(said: Said) -> int:
    day = said.time.astimezone(ZONE)
    return int(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp() * 1000)
