"""Claude's data export: `conversations.json`. A conversation is a tree since 2025, a plain list before: the branch that
was written last is read, and answers that were regenerated stand beside it as alternatives."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from curator import (
    Differs,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    from_iso,
    hookimpl,
    json_items,
    outline,
    printable,
)

HOW = (
    "claude.ai: Settings, Privacy, Export data; the link to a zip comes by mail. Name the zip, or the folder that you "
    "unpacked."
)
_PLACES = ("item", "conversations.item", "")  # an array, an array by its name, one conversation alone
_SIDE_FILES = ("projects.json", "memories.json", "users.json")
_SENDERS = {"human": "human", "assistant": "Claude"}
_SPOKEN = ("text", "voice_note")
_FILES = ("image", "document")
_NO_PARENT = ("", "00000000-0000-4000-8000-000000000000", "00000000-0000-0000-0000-000000000000")
# Claude wrote this into the flat text in the place of each block that an older app could not show.
_FENCE = re.compile(r"```\nThis block is not supported on your current device yet\.\n```\n*")


@hookimpl
def register_importers() -> list[Importer]:
    """Read Claude's exports."""
    return [Importer("claude", "Claude", HOW, find, read)]


def find(export: Export) -> Found | Differs | None:
    """Take the files whose conversations have `chat_messages`."""
    files = [one for one in export.ending(".json") if _place(outline(one)) is not None]
    if files:
        return Found(tuple(sorted(files, key=lambda one: one.name)), "conversations with chat_messages", export)
    if any({"item.uuid", "item.name", "item.account"} <= outline(one) for one in export.named("conversations.json")):
        return Differs("conversations.json is there, but its conversations have no `chat_messages`")
    return None


def _place(paths: frozenset[str]) -> str | None:
    """Return where the conversations stand in a file of these prefixes; None where there are none."""
    for place in _PLACES:
        messages = f"{place}.chat_messages".removeprefix(".")
        if f"{messages}.item.sender" in paths or (messages in paths and f"{place}.uuid".removeprefix(".") in paths):
            return place
    return None


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each conversation along the branch that was written last."""
    for entry in found.entries:
        conversations = json_items(entry, _place(outline(entry)) or "")
        what = f"{entry.shown}: conversation"
        yield from reading.guarded(entry, reading.each(conversations, what, lambda one: _conversation(one, reading)))
    assert isinstance(found.details, Export)
    if beside := [entry.shown for entry in found.details.named(*_SIDE_FILES) if entry not in found.entries]:
        yield Skip(", ".join(beside), "not_messages", "projects, memories and the account: nobody said them in a talk")


def _conversation(record: dict[str, Any], reading: Reading) -> Iterator[Item]:
    messages: list[dict[str, Any]] = [one for one in record["chat_messages"] if isinstance(one, dict)]
    name = str(record.get("uuid") or record.get("name") or "conversation")
    if odd := len(record["chat_messages"]) - len(messages):
        yield Skip(printable(name), "bad_shape", "no message, but another value", odd)
    elif not messages:
        yield Skip(printable(name), "empty", "a conversation without a message")
    talk = _Talk(name, str(record.get("name") or ""), str(record.get("created_at") or ""))
    parents = _parents(messages)
    path = _path(messages, parents, record.get("current_leaf_message_uuid"))
    yield from reading.each([messages[place] for place in path], f"{printable(name)}: message", talk.read)
    on_path = set(path)
    for place, message in enumerate(messages):
        if place not in on_path:
            yield Skip(talk.where(message), "other_branch")
            asked = _asked(place, messages, parents, on_path)
            for item in reading.each((message,) if asked else (), talk.where(message), talk.read):
                if isinstance(item, ImportedMessage) and not item.is_owner:
                    yield msgspec.structs.replace(item, kind="alternative", reply_to=asked)


def _parents(messages: list[dict[str, Any]]) -> list[int | None]:
    """Return the place of the message that each goes on from, None where it begins a branch.

    A message without a parent goes on from the one before it while that has none either, as in files of before 2025;
    one whose parent is not in the file goes on from the one before it too.
    """
    places = {_id(message): place for place, message in enumerate(messages)}
    named = [str(message.get("parent_message_uuid") or "") for message in messages]
    parents: list[int | None] = []
    for place, parent in enumerate(named):
        before = place - 1 if place else None
        if parent in _NO_PARENT:
            parents.append(None if parent or before is None or named[before] else before)
        else:
            parents.append(places.get(parent, before))
    return parents


def _path(messages: list[dict[str, Any]], parents: list[int | None], leaf: Any) -> list[int]:
    """Return the places from the first message to the leaf: the one that is named, else the last of the file."""
    named = (place for place, message in enumerate(messages) if leaf and _id(message) == leaf)
    place: int | None = next(named, len(messages) - 1 if messages else None)
    path: list[int] = []
    seen: set[int] = set()
    while place is not None and place not in seen:  # a circle ends it
        seen.add(place)
        path.append(place)
        place = parents[place]
    return path[::-1]


def _asked(place: int, messages: list[dict[str, Any]], parents: list[int | None], on_path: set[int]) -> str:
    """Return the id of the owner's message on the path that a message off it answers; "" where there is none."""
    at: int | None = place
    seen: set[int] = set()
    while at is not None and at not in seen:
        seen.add(at)
        if messages[at].get("sender") == "human":
            return _id(messages[at]) if at in on_path else ""
        at = parents[at]
    return ""


def _id(message: dict[str, Any]) -> str:
    return str(message.get("uuid") or "")


class _Talk:
    """Reads the messages of one conversation."""

    def __init__(self, name: str, title: str, begun: str) -> None:
        self._name, self._title, self._begun = name, title, begun

    def where(self, message: dict[str, Any]) -> str:
        """Name a message, safe to print."""
        return printable(f"{self._name}/{_id(message)}")

    def read(self, message: dict[str, Any]) -> Iterator[Item]:
        """Yield a message, and what of it is no word of the talk."""
        blocks = [block for block in message.get("content") or () if isinstance(block, dict)]
        text = "".join(str(one.get("text") or "") for one in blocks if one.get("type") in _SPOKEN)
        if not blocks:
            text = _FENCE.sub("", str(message.get("text") or ""))
        if beside := [(place, kind) for place, block in enumerate(blocks) if (kind := _aside(block))]:
            places = f"{beside[0][0]}-{beside[-1][0]}" if len(beside) > 1 else f"{beside[0][0]}"
            yield Skip(f"{self.where(message)} blocks {places}", ", ".join(sorted({kind for _, kind in beside})))
        pasted = len(message.get("attachments") or ())
        files = len(message.get("files") or ()) + sum(block.get("type") in _FILES for block in blocks)
        if message["sender"] not in _SENDERS:
            yield Skip(self.where(message), "system")
        elif not text.strip():
            if pasted or files or not beside:  # else the skip of its blocks says it all
                yield Skip(self.where(message), "attachment_only" if pasted else "media_only" if files else "empty")
        else:
            said = message.get("created_at")
            yield ImportedMessage(
                id=_id(message),
                conversation=self._name,
                title=self._title,
                time=from_iso(said or self._begun) if said or self._begun else None,
                time_source="exact" if said else "conversation" if self._begun else "",
                sender=_SENDERS[message["sender"]],
                is_owner=message["sender"] == "human",
                text=text,
                kind="assistant_chat",
                attachments=pasted + files,
            )


def _aside(block: dict[str, Any]) -> str:
    """Say what a block is that holds no word of the talk; "" for one that does, and for a file."""
    kind = str(block.get("type"))
    if kind in (*_SPOKEN, *_FILES):
        return ""
    if kind == "token_budget":
        return "system"
    return "thinking" if "thinking" in kind else "tool" if "tool" in kind else "unsupported"
