"""imessage-exporter's text: a file a chat; replies stand under what they answer too, edits with what was before."""

from __future__ import annotations

from pathlib import Path

from importers.talk import ZONE, Keeps, Said, Talk

FORMAT = "imessage_txt"
KEEPS = Keeps(wall=True, edits=True, deletions=True)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; the owner is "Me"."""
    for number, talk in enumerate(talks):
        parts = []
        for said in talk.said:
            receipt = " (Read by you after 5 seconds)" if not said.own and said.number % 3 == 0 else ""
            parts.append(f"{_date(said)}{receipt}\n{_sender(said)}\n{_words(said)}\n{_below(said, talk)}\n")
        (folder / f"{talk.name} - {number}.txt").write_text("".join(parts), "utf-8")


def _date(said: Said) -> str:
    shown = said.time.astimezone(ZONE)
    return f"{shown:%b %d, %Y} {(shown.hour - 1) % 12 + 1:2}:{shown:%M:%S %p}"


def _sender(said: Said) -> str:
    return "Me" if said.own else said.sender


def _words(said: Said) -> str:
    if said.deleted:
        return f"{'You' if said.own else 'They'} deleted a message."
    if said.edited:
        return f"{_date(said)} first try\nEdited 1 minute, 5 seconds later: {said.text}"
    return said.text


def _below(said: Said, talk: Talk) -> str:
    """What the program puts below: a reaction, and what answers it, indented."""
    if said.deleted or said.edited:
        return ""
    loved = "Reactions:\nLoved by Me\n\n" if said.number % 7 == 0 else ""
    after = [one for one in talk.said if one.number == said.number + 1 and one.number % 5 == 0]
    plain = [one for one in after if not one.deleted and not one.edited and "\n" not in one.text]
    answers = [f"    {_date(one)}\n    {_sender(one)}\n    {one.text}\n\n" for one in plain]
    return loved + "".join(answers)
