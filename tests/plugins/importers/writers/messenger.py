"""Messenger's download of one's information: newest first, parts of 10 messages, every text UTF-8 read as Latin-1."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import OWNER, Keeps, Talk

FORMAT = "messenger"
SAME_SHAPE = ("instagram",)
KEEPS = Keeps(precision=1)
_PART = 10
_ROOT = "your_facebook_activity/messages/inbox"


def spoilt(text: str) -> str:
    """Return a text as Meta writes it."""
    return text.encode().decode("latin-1")


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks and the profile, which names the owner."""
    for number, talk in enumerate(talks):
        write_thread(folder / _ROOT / f"chat{number}_{number + 100}", talk)
    profile = folder / "personal_information" / "profile_information" / "profile_information.json"
    profile.parent.mkdir(parents=True)
    profile.write_text(json.dumps({"profile_v2": {"name": {"full_name": spoilt(OWNER)}}}), "utf-8")


def write_thread(folder: Path, talk: Talk) -> None:
    """Write one conversation; part 1 is the newest."""
    folder.mkdir(parents=True)
    newest_first = list(reversed(talk.said))
    for number, start in enumerate(range(0, len(newest_first), _PART), 1):
        messages: list[dict[str, object]] = [
            {
                "sender_name": spoilt(said.sender),
                "timestamp_ms": int(said.time.timestamp() * 1000),
                "content": spoilt(said.text),
                "is_geoblocked_for_viewer": False,
            }
            for said in newest_first[start : start + _PART]
        ]
        thread = {
            "participants": [{"name": spoilt(name)} for name in (*talk.others, OWNER)],
            "messages": messages,
            "title": spoilt(talk.name),
            "thread_path": f"inbox/{folder.name}",
        }
        (folder / f"message_{number}.json").write_text(json.dumps(thread, indent=1), "utf-8")
