"""Takeout of Google Chat: a folder a group, dates in English or Spanish prose, U+202F before AM and PM."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from importers.talk import OWNER, Keeps, Said, Talk

FORMAT = "google_chat"
KEEPS = Keeps(edits=True, deletions=True)
_DAYS = "lunes martes miércoles jueves viernes sábado domingo".split()
_MONTHS = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; their owner is in user_info.json."""
    root = folder / "Takeout" / "Google Chat"
    user = {"user": _person(OWNER), "membership_info": []}
    _put(root / "Users" / "User 1000" / "user_info.json", user)
    for number, talk in enumerate(talks):
        place = root / "Groups" / f"{'Space' if talk.group else 'DM'} g{number}"
        _put(place / "group_info.json", {"members": [_person(name) for name in (OWNER, *talk.others)]})
        _put(place / "messages.json", {"messages": [_message(said, number) for said in talk.said]})


def _put(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")


def _person(name: str) -> dict[str, str]:
    return {"name": name, "email": f"{sum(map(ord, name))}@Example.org", "user_type": "Human"}


def _date(time: datetime, spanish: bool) -> str:
    if spanish:
        return f"{_DAYS[time.weekday()]}, {time.day} de {_MONTHS[time.month - 1]} de {time.year}, {time:%-H:%M:%S} UTC"
    return f"{time:%A, %B %-d, %Y at %-I:%M:%S}\u202f{time:%p} UTC"


def _message(said: Said, group: int) -> dict[str, object]:
    name, date = f"g{group}/t{said.number}/t{said.number}", _date(said.time, group == 1)
    if said.deleted:
        return {"message_state": "DELETED", "deleted_date": date, "topic_id": f"t{said.number}", "message_id": name}
    when = {"updated_date": date} if said.edited else {"created_date": date}
    return {
        "creator": _person(said.sender),
        **when,
        "text": said.text,
        "topic_id": f"t{said.number}",
        "message_id": name,
    }
