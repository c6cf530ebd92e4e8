"""PyWxDump's CSV files as WeClone reads them: pages of a chat, times of a clock."""

from __future__ import annotations

import csv
from pathlib import Path

from importers.talk import ZONE, Keeps, Talk

FORMAT = "wechat"
KEEPS = Keeps(wall=True)
_NAMES = ("id", "MsgSvrID", "type_name", "is_sender", "talker", "room_name", "msg", "src", "CreateTime")
_PAGE = 12


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; a message of their owner has is_sender 1."""
    for talk in talks:
        room = f"{talk.name}@chatroom" if talk.group else talk.name
        rows = [
            (
                said.number, 7_000_000_000_000_000_000 + said.number, "文本", int(said.own), said.sender, room,
                said.text, "", f"{said.time.astimezone(ZONE):%Y-%m-%d %H:%M:%S}",
            )
            for said in talk.said
        ]  # fmt: skip
        for start in range(0, len(rows), _PAGE):
            path = folder / "csv" / talk.name / f"{talk.name}_{start}_{start + _PAGE}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows((_NAMES, *rows[start : start + _PAGE]))
