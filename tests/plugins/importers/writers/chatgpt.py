"""ChatGPT's conversations.json: a tree, with an answer that was regenerated here and there."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import Keeps, Talk

FORMAT = "chatgpt"
KEEPS = Keeps(groups=False)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; their owner is the role user."""
    (folder / "conversations.json").write_text(json.dumps([_conversation(talk) for talk in talks]), "utf-8")


def _conversation(talk: Talk) -> dict[str, object]:
    mapping: dict[str, dict[str, object]] = {"root": {"id": "root", "parent": None, "children": [], "message": None}}
    last = "root"
    for said in talk.said:
        key = f"n{said.number}"
        if not said.own and said.number % 5 == 0:
            other = f"{key}-first"
            mapping[other] = _node(other, last, "assistant", "an answer that was thrown away", 0.0)
            mapping[last]["children"].append(other)  # type: ignore[attr-defined]
        mapping[key] = _node(key, last, "user" if said.own else "assistant", said.text, said.time.timestamp())
        mapping[last]["children"].append(key)  # type: ignore[attr-defined]
        last = key
    first = talk.said[0].time.timestamp()
    return {"title": talk.name, "create_time": first, "mapping": mapping, "current_node": last, "id": f"c-{last}"}


def _node(key: str, parent: str, role: str, text: str, time: float) -> dict[str, object]:
    content = {"content_type": "text", "parts": [text]}
    message = {"id": key, "author": {"role": role}, "create_time": time, "content": content, "recipient": "all"}
    return {"id": key, "parent": parent, "children": [], "message": message}
