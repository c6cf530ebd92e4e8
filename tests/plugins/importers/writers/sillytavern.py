"""SillyTavern's chats: a file a character, dates in three of its forms, a swipe here and there."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import ZONE, Keeps, Said, Talk

FORMAT = "sillytavern"
KEEPS = Keeps(wall=True)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; their owner is is_user."""
    for talk in talks:
        place = folder / "chats" / talk.name
        place.mkdir(parents=True)
        head = {"user_name": "Ana", "character_name": talk.name, "create_date": "2024-1-1@00h00m00s"}
        lines = [json.dumps(one, ensure_ascii=False) for one in (head, *map(_message, talk.said))]
        (place / f"{talk.name} - 2024-1-1@00h00m00s.jsonl").write_text("\n".join(lines), "utf-8")


def _message(said: Said) -> dict[str, object]:
    shown = said.time.astimezone(ZONE)
    dates = (f"{shown:%Y-%m-%d@%Hh%Mm%Ss}", f"{shown:%Y-%-m-%-d @%Hh %Mm %Ss} 0ms", f"{shown:%Y-%m-%dT%H:%M:%S}")
    made = {"name": said.sender, "is_user": said.own, "is_system": False, "send_date": dates[said.number % 3]}
    swipes = {"swipes": ["not this one", said.text], "swipe_id": 1} if not said.own and said.number % 5 == 0 else {}
    return {**made, "mes": said.text, "extra": {}, **swipes}
