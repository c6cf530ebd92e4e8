"""What `msgvault export-messages` writes: one file, in phases, counted at its end."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import OWNER, Keeps, Talk

FORMAT = "msgvault"
KEEPS = Keeps()
OWNERS = (OWNER,)
_SOURCE = {"source_type": "discord", "source_identifier": "42"}


def write(folder: Path, talks: list[Talk]) -> None:
    """Write all talks into one file."""
    rows: list[dict[str, object]] = [
        {"record_type": "manifest", "schema": "msgvault-message-export/1", "msgvault_version": "v0.19.0"},
        {"record_type": "source", "source_type": "discord", "identifier": "42", "display_name": "Harbour"},
    ]
    for number, talk in enumerate(talks):
        kind = "group_chat" if talk.group else "direct_chat"
        row = {"id": f"c{number}", "title": talk.name, "conversation_type": kind, "parent_id": None}
        rows.append({"record_type": "conversation", **_SOURCE, **row})
    for number, talk in enumerate(talks):
        for said in talk.said:
            rows.append({
                "record_type": "message", **_SOURCE, "id": str(said.number), "conversation_id": f"c{number}",
                "message_type": "discord", "subject": "", "text": said.text,
                "author": {"display_name": said.sender, "address": ""},
                "occurred_at": said.time.strftime("%Y-%m-%dT%H:%M:%SZ"), "deleted_from_source": False,
            })  # fmt: skip
    counts = {"sources": 1, "conversations": len(talks), "messages": sum(len(talk.said) for talk in talks)}
    rows.append({"record_type": "complete", "counts": counts})
    text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    (folder / "messages.jsonl").write_text(text, "utf-8")
