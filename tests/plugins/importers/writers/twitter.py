"""X's archive: direct messages, the newest first, in scripts that assign to window.YTD."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import Keeps, Said, Talk

FORMAT = "twitter"
KEEPS = Keeps(precision=1, edits=True)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; their owner is the account 42."""
    data = folder / "data"
    data.mkdir()
    account = [{"account": {"accountId": "42", "username": "ana", "accountDisplayName": "Ana"}}]
    (data / "account.js").write_text(f"window.YTD.account.part0 = {json.dumps(account)}", "utf-8")
    for group, name in ((False, "direct-messages"), (True, "direct-messages-group")):
        found = [_conversation(talk) for talk in talks if talk.group == group]
        script = f"window.YTD.{name.replace('-', '_')}.part0 = {json.dumps(found, ensure_ascii=False, indent=1)};\n"
        (data / f"{name}.js").write_text(script, "utf-8")


def _conversation(talk: Talk) -> dict[str, object]:
    messages = [{"messageCreate": _message(talk, said)} for said in reversed(talk.said)]
    name = "8888" if talk.group else f"42-{_number(talk, talk.others[0])}"
    return {"dmConversation": {"conversationId": name, "messages": messages}}


def _number(talk: Talk, name: str) -> str:
    return str(sum(map(ord, name)) + talk.others.index(name))


def _message(talk: Talk, said: Said) -> dict[str, object]:
    edits = [{"createdAtSec": "1", "editedText": "before"}] if said.edited else []
    return {
        "id": f"{said.number}", "senderId": "42" if said.own else _number(talk, said.sender), "text": said.text,
        "createdAt": said.time.isoformat().replace("+00:00", "Z"), "urls": [], "mediaUrls": [], "editHistory": edits,
    }  # fmt: skip
