"""Instagram's download: as Messenger's, but a message that was edited stands twice, the second time with a mark."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from importers.talk import OWNER, Keeps, Said, Talk
from importers.writers.messenger import write_thread

FORMAT = "instagram"
SAME_SHAPE = ("messenger",)
KEEPS = Keeps(precision=1, edits=True)
OWNERS = (OWNER,)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; nothing in them says who the owner is."""
    for number, talk in enumerate(talks):
        said: list[Said] = []
        for one in talk.said:
            if one.edited:
                said.append(replace(one, time=one.time - timedelta(milliseconds=300), text=f"{one.text} {one.number}"))
                one = replace(one, text=f"{one.text} (edited)")
            said.append(one)
        place = folder / "your_instagram_activity" / "messages" / "inbox" / f"chat_{number}"
        write_thread(place, replace(talk, said=tuple(said)))
