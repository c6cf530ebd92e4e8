"""WeFlow's JSON, a file a chat, with a picture before the messages."""

from __future__ import annotations

import json
from pathlib import Path

from importers.talk import Keeps, Talk

FORMAT = "wechat"
KEEPS = Keeps()


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; a message of their owner has isSend 1."""
    for number, talk in enumerate(talks):
        session = {"wxid": f"wxid_{number}", "displayName": talk.name, "type": "群聊" if talk.group else "私聊"}
        messages = [
            {
                "localId": said.number, "createTime": int(said.time.timestamp()), "type": "文本消息", "localType": 3,
                "content": said.text, "isSend": int(said.own), "senderUsername": f"wxid_{sum(map(ord, said.sender))}",
                "senderDisplayName": said.sender,
            }
            for said in talk.said
        ]  # fmt: skip
        whole = {"weflow": {"version": "1"}, "session": {**session, "avatar": "A" * 70_000}, "messages": messages}
        (folder / f"chat-{number}.json").write_text(json.dumps(whole, ensure_ascii=False), "utf-8")
