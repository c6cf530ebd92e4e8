"""Claude's conversations.json: content blocks, parents, and an answer that was regenerated here and there."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import Keeps, Talk

FORMAT = "claude"
KEEPS = Keeps(precision=1, groups=False)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; their owner is the sender human."""
    (folder / "conversations.json").write_text(json.dumps([_conversation(talk) for talk in talks]), "utf-8")


def _conversation(talk: Talk) -> dict[str, object]:
    messages, last = [], "00000000-0000-4000-8000-000000000000"
    for said in talk.said:
        key, sender = f"m{said.number}", "human" if said.own else "assistant"
        if not said.own and said.number % 5 == 0:
            messages.append(_message(f"{key}-first", last, sender, "an answer that was thrown away"))
        messages.append({**_message(key, last, sender, said.text), "created_at": said.time.isoformat()})
        last = key
    began = talk.said[0].time.isoformat()
    return {"uuid": f"c-{last}", "name": talk.name, "created_at": began, "chat_messages": messages}


def _message(key: str, parent: str, sender: str, text: str) -> dict[str, object]:
    half = len(text) // 2
    blocks = [{"type": "text", "text": part, "citations": []} for part in (text[:half], text[half:])]
    thinking = [{"type": "thinking", "thinking": "hm"}] if sender == "assistant" else []
    flat = f" hm\n```\nThis block is not supported on your current device yet.\n```\n{text}"
    return {
        "uuid": key, "sender": sender, "text": flat, "content": [*thinking, *blocks], "parent_message_uuid": parent,
        "created_at": "2024-01-01T00:00:00.000001Z", "attachments": [], "files": [],
    }  # fmt: skip
