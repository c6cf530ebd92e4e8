"""ChatGPT's data export: `conversations.json`, or its shards. Each conversation is a tree; the branch that was open
last is read, and answers that were regenerated stand beside it as alternatives."""

from collections.abc import Iterator
from typing import Any

import msgspec

from curator import (
    Damaged,
    Differs,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    from_epoch,
    hookimpl,
    json_items,
    json_value,
    outline,
    printable,
)

HOW = (
    "chatgpt.com: Settings, Data controls, Export data; the link to a zip comes by mail. Name the zip, or the folder "
    "that you unpacked; an export of several zips goes into one command."
)
_THINKING = ("thoughts", "reasoning_recap")
_CONTEXT = ("user_editable_context", "model_editable_context")
_WORDS = ("text", "multimodal_text")
_RATINGS = {"thumbs_up": 1, "thumbs_down": -1}


@hookimpl
def register_importers() -> list[Importer]:
    """Read ChatGPT's exports."""
    return [Importer("chatgpt", "ChatGPT", HOW, find, read)]


def find(export: Export) -> Found | Differs | None:
    """Take the files whose conversations have a `mapping` of nodes."""
    files = sorted((entry for entry in export.ending(".json") if _prefix(outline(entry))), key=lambda one: one.name)
    if files:
        return Found(tuple(files), "conversations as trees", export)
    if any({"item.title", "item.create_time"} <= outline(entry) for entry in export.named("conversations.json")):
        return Differs("conversations.json is there, but its conversations have no `mapping`")
    return None


def _prefix(paths: frozenset[str]) -> str:
    """Return where the conversations stand in a file of these prefixes; "" where there are none."""
    return next((place for place in ("item", "conversations.item") if f"{place}.mapping" in paths), "")


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each conversation along its current branch."""
    ratings = _ratings(found.details)
    for entry in found.entries:
        conversations = json_items(entry, _prefix(outline(entry)))
        items = reading.each(conversations, f"{entry.shown}: conversation", lambda one: _conversation(one, ratings))
        yield from reading.guarded(entry, items)


def _ratings(export: Any) -> dict[str, int]:
    """Read which answers the person rated (message_feedback.json)."""
    ratings: dict[str, int] = {}
    for entry in export.named("message_feedback.json"):
        try:
            rows = json_value(entry)
        except Damaged:
            continue
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and row.get("rating") in _RATINGS:
                ratings[str(row.get("id"))] = _RATINGS[row["rating"]]
    return ratings


def _conversation(record: dict[str, Any], ratings: dict[str, int]) -> Iterator[Item]:
    nodes: dict[str, Any] = record["mapping"]
    name = str(record.get("conversation_id") or record.get("id") or record.get("title") or "conversation")
    path = _path(nodes, record.get("current_node"))
    on_path = set(path)
    talk = _Talk(name, str(record.get("title") or ""), record.get("create_time"), ratings)
    for key in path:
        yield from talk.read(key, nodes[key])
    for key, node in nodes.items():
        if key not in on_path and isinstance(node, dict) and node.get("message"):
            yield Skip(printable(f"{name}/{key}"), "other_branch")
            asked = _answers(key, nodes, on_path)
            for item in talk.read(key, node) if asked else ():
                if isinstance(item, ImportedMessage) and not item.is_owner:
                    yield msgspec.structs.replace(item, kind="alternative", reply_to=asked)


def _path(nodes: dict[str, Any], current: Any) -> list[str]:
    """Return the keys from the root to the current node; without one, to the leaf that was written last."""
    if current not in nodes:
        leaves = [key for key, node in nodes.items() if not node.get("children")]
        current = max(leaves, key=lambda key: (nodes[key].get("message") or {}).get("create_time") or 0, default=None)
    path: list[str] = []
    seen: set[str] = set()
    while current in nodes and current not in seen:  # a parent that is no node, or a circle, ends it
        seen.add(current)
        path.append(current)
        current = nodes[current].get("parent")
    return path[::-1]


def _answers(key: str, nodes: dict[str, Any], on_path: set[str]) -> str:
    """Return the message of the current branch that a node off it answers; "" where another prompt stands between."""
    seen: set[str] = set()
    while key in nodes and key not in seen:
        seen.add(key)
        role = ((nodes[key].get("message") or {}).get("author") or {}).get("role")
        if role == "user":
            return key if key in on_path else ""
        key = nodes[key].get("parent")
    return ""


class _Talk:
    """Reads the nodes of one conversation."""

    def __init__(self, name: str, title: str, begun: Any, ratings: dict[str, int]) -> None:
        self._name, self._title, self._ratings = name, title, ratings
        self._time = from_epoch(begun) if isinstance(begun, int | float) or begun else None

    def read(self, key: str, node: dict[str, Any]) -> Iterator[Item]:
        """Yield the message of a node, or why there is none."""
        message = node.get("message")
        if not message:
            return
        text, attachments = _text(message)
        reason = _reason(message) or ("" if text.strip() else "media_only" if attachments else "empty")
        if reason:
            yield Skip(printable(f"{self._name}/{key}"), reason)
            return
        created, owner = message.get("create_time"), message["author"]["role"] == "user"
        if created:
            self._time = from_epoch(created)
        yield ImportedMessage(
            id=str(message.get("id") or key),
            conversation=self._name,
            title=self._title,
            time=self._time,
            time_source="exact" if created else "conversation",
            sender="user" if owner else "ChatGPT",
            is_owner=owner,
            text=text,
            kind="assistant_chat",
            attachments=attachments,
            rating=self._ratings.get(str(message.get("id")), 0),
        )


def _reason(message: dict[str, Any]) -> str:
    """Say why a message is no turn of the talk; "" where it is one."""
    role, meta = message["author"]["role"], message.get("metadata") or {}
    kind = (message.get("content") or {}).get("content_type")
    if kind in _CONTEXT or meta.get("is_user_system_message"):
        return "custom_instructions"
    if kind in _THINKING:
        return "thinking"
    if role == "tool" or (role == "assistant" and message.get("recipient", "all") not in ("all", None)):
        return "tool"
    if meta.get("is_visually_hidden_from_conversation"):
        return "hidden"
    if role not in ("user", "assistant"):
        return "system"
    return "" if kind in _WORDS else "tool"


def _text(message: dict[str, Any]) -> tuple[str, int]:
    """Return the words of a message, its parts joined as they stand, and how many files came with it."""
    content = message.get("content") or {}
    words, files = [], 0
    for part in content.get("parts") or ():
        if isinstance(part, str):
            words.append(part)
        elif isinstance(part, dict) and part.get("content_type", "text") in ("text", "audio_transcription"):
            words.append(str(part.get("text") or ""))
        else:
            files += 1
    return "".join(words), files
