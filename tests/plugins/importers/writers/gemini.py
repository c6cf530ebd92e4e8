"""Gemini in Google's My Activity: a record a prompt, the newest first, some with the answer as HTML."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import Keeps, Talk, moment

FORMAT = "gemini"
KEEPS = Keeps(own_only=True, groups=False)
ANSWER = "A drum & a pawl."


def write(folder: Path, talks: list[Talk]) -> None:
    """Write every message as a prompt; each third is answered."""
    place = folder / "Takeout" / "My Activity" / "Gemini Apps"
    place.mkdir(parents=True)
    records = []
    for said in sorted((said for talk in talks for said in talk.said), key=lambda said: (said.time, said.number)):
        record: dict[str, object] = {
            "header": "Gemini Apps", "title": f"Prompted {said.text}", "time": f"{said.time:%Y-%m-%dT%H:%M:%S.000Z}",
            "products": ["Gemini Apps"],
        }  # fmt: skip
        if said.number % 3 == 0:
            record["safeHtmlItem"] = [{"html": "<p>A drum &amp; a <b>pawl</b>.</p>"}]
        records.append(record)
    (place / "MyActivity.json").write_text(json.dumps(records[::-1], ensure_ascii=False), "utf-8")


def expected(talks: list[Talk]) -> list[list[tuple[object, ...]]]:
    """Return the talks that a reader gives: each prompt by itself, with its answer at the same time."""
    return [
        [(moment(said.time, KEEPS), True, said.text, False)]
        + ([(moment(said.time, KEEPS), False, ANSWER, False)] if said.number % 3 == 0 else [])
        for talk in talks
        for said in talk.said
    ]
