"""WhatsApp's exported chats, as an iPhone in American English writes them: one zip a chat."""

from __future__ import annotations

import zipfile
from pathlib import Path

from importers.talk import OWNER, ZONE, Keeps, Talk

FORMAT = "whatsapp"
KEEPS = Keeps(wall=True, edits=True, deletions=True, tricky=("null",))
OWNERS = (OWNER,)
_NOTICE = "\u200eMessages and calls are end-to-end encrypted. No one outside of this chat can read them."


def write(folder: Path, talks: list[Talk]) -> None:
    """Write one zip a talk."""
    for talk in talks:
        lines = [f"[1/13/24, 10:00:00\u202fAM] {talk.name}: {_NOTICE}"]
        for one in talk.said:
            shown = one.time.astimezone(ZONE)
            head = (
                f"[{shown.month}/{shown.day}/{shown:%y}, {shown.hour % 12 or 12}:{shown:%M:%S\u202f%p}] {one.sender}: "
            )
            text = one.text + (" \u200e<This message was edited>" if one.edited else "")
            if one.deleted:
                head, text = (
                    f"\u200e{head}",
                    f"\u200e{'You deleted this message.' if one.own else 'This message was deleted.'}",
                )
            lines.append(head + text)
        with zipfile.ZipFile(folder / f"WhatsApp Chat - {talk.name}.zip", "w") as archive:
            archive.writestr("_chat.txt", "\r\n".join(lines) + "\r\n")
