"""WhatsApp's exported chats, as an Android phone in German writes them: one text file a chat."""

from __future__ import annotations

from pathlib import Path

from importers.talk import OWNER, ZONE, Keeps, Talk

FORMAT = "whatsapp"
KEEPS = Keeps(precision=60_000, wall=True, edits=True, deletions=True, tricky=("null",))
OWNERS = (OWNER,)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write one file a talk."""
    for talk in talks:
        lines = ["13.01.24, 10:00 - Nachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt. Niemand kann mitlesen."]
        for one in talk.said:
            text = one.text + (" <Diese Nachricht wurde bearbeitet.>" if one.edited else "")
            if one.deleted:
                text = "Du hast diese Nachricht gelöscht." if one.own else "Diese Nachricht wurde gelöscht."
            lines.append(f"{one.time.astimezone(ZONE):%d.%m.%y, %H:%M} - {one.sender}: {text}")
        (folder / f"WhatsApp Chat mit {talk.name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
