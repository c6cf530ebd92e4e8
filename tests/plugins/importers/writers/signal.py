"""Signal's own export: JSON lines, first who is there, then what was said; some lines broken inside their strings."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import OWNER, Keeps, Talk

FORMAT = "signal"
KEEPS = Keeps(precision=1, edits=True, deletions=True)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; what the owner said is `outgoing`."""
    people = {
        name: str(place) for place, name in enumerate(sorted({name for talk in talks for name in talk.others}), 2)
    }
    lines = [_json({"version": "1", "backupTimeMs": "1736770000000"}), _json({"account": {"givenName": OWNER}})]
    lines.append(_json({"recipient": {"id": "1", "self": {}}}))
    for name, key in people.items():
        contact = {"e164": f"1555000{key}", "profileGivenName": name}
        lines.append(_json({"recipient": {"id": key, "contact": contact}}))
    for number, talk in enumerate(talks, 100):
        recipient = str(number) if talk.group else people[talk.others[0]]
        if talk.group:
            group = {"masterKey": f"key{number}", "snapshot": {"title": {"title": talk.name}}}
            lines.append(_json({"recipient": {"id": recipient, "group": group}}))
        lines.append(_json({"chat": {"id": f"c{number}", "recipientId": recipient}}))
        for said in talk.said:
            sent = str(int(said.time.timestamp() * 1000))
            item: dict[str, object] = {"chatId": f"c{number}", "dateSent": sent}
            item["authorId"] = "1" if said.own else people[said.sender]
            item["outgoing" if said.own else "incoming"] = {"dateReceived": sent}
            item.update(
                {"remoteDeletedMessage": {}} if said.deleted else {"standardMessage": {"text": {"body": said.text}}}
            )
            if said.edited:
                item["revisions"] = [{**item, "standardMessage": {"text": {"body": "first try"}}}]
            line = _json({"chatItem": item})
            raw = "\n" in said.text and "{" not in said.text
            lines.append(line.replace("\\n", "\n") if raw and said.number % 2 else line)
    (folder / "main.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
