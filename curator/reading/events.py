"""From one JSON object, as MetaHuman OS and its ancestors wrote it, to a MemoryEvent. Unknown keys are tolerated."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from curator.reading import timestamps, writers
from curator.reading.messages import message_text, read_messages
from curator.records import MemoryEvent, ToolCall, Turn, TurnedDown

_compact = msgspec.json.Encoder().encode
_EMPTY: dict[str, Any] = {}


class BadShape(ValueError):
    """An object that is no memory: the message says which key was expected to hold what."""

    reason = "bad_shape"


class BadTime(BadShape):
    """A memory without any usable time: no timestamp, no digits in its id, no date in its path."""

    reason = "bad_time"


def event_key(path: str, sha256: str, turn: int = 0) -> str:
    """Return the 16 hex digits that name an event: a hash of its relative path, content hash and index."""
    return hashlib.blake2b(f"{path}\0{sha256}\0{turn}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def event_from_json(data: Any, path: str, sha256: str, turn: int = 0) -> MemoryEvent:
    """Read one memory object.

    `path` is relative to the profile, `sha256` the hash of the bytes it came from, `turn` its index among them.
    Raises BadShape or BadTime.
    """
    if type(data) is not dict:
        raise BadShape(f"expected an object with id, timestamp and content; found {_kind(data)}")
    get = data.get
    meta = get("metadata")
    if meta is None:
        meta = _EMPTY
    elif type(meta) is not dict:
        raise BadShape(f"metadata: expected an object; found {_kind(meta)}")
    memory_id = get("id", "")
    if type(memory_id) is not str:
        memory_id = str(memory_id)
    content = get("content")
    if type(content) is not str:
        content = _content(content)
    response = get("response")
    if response is not None and type(response) is not str:
        raise BadShape(f"response: expected text; found {_kind(response)}")
    stamp = get("timestamp")
    time, notes = _time(stamp, memory_id, path)
    if "importance" in data and not _is_share(data["importance"]):
        notes = (*notes, "odd_importance")
    tags = get("tags")
    words = tuple([tag for tag in tags if type(tag) is str]) if type(tags) is list else ()
    event_type = get("type")
    turns, turned_down = _turns(data, meta)
    tool = _tool(meta, content) if "toolName" in meta or "skillId" in meta else None
    if not (content or response or turns or turned_down or tool):
        raise BadShape("no content, response, messages, question or tool call: nothing to learn from")
    return MemoryEvent(
        key=event_key(path, sha256, turn),
        id=memory_id,
        path=path,
        sha256=sha256,
        time=time,
        type=event_type if type(event_type) is str and event_type else "unknown",
        timestamp=stamp if type(stamp) is str else "",
        content=content,
        response=response,
        turns=turns,
        turned_down=turned_down,
        tool=tool,
        mode=_text(meta, "cognitiveMode"),
        session=_text(meta, "conversationId") or _text(meta, "sessionId") or _chat_session(meta),
        tags=words,
        turn=turn,
        pruned="_pruned/" in path,
        notes=notes,
        **_marks(data, meta, words),
        **_writer(data, meta, words, event_type),
    )


def _content(content: Any) -> str:
    """Return the text of a content that is none: of parts, or the whole memory that MetaHuman's document ingestor put
    there. Raises BadShape."""
    if content is None:
        return ""
    text = message_text(content.get("content") if type(content) is dict else content)
    if text is None:
        raise BadShape(f"content: expected text; found {_kind(content)}")
    return text


def _writer(data: dict[str, Any], meta: dict[str, Any], tags: tuple[str, ...], event_type: Any) -> dict[str, Any]:
    """Read which program wrote the memory; a person's, which are most, keep the record's defaults."""
    marks: dict[str, Any] = {}
    kind = event_type if type(event_type) is str else ""
    program = writers.by_program(meta, tags, kind)
    model = "" if program else writers.by_model(data, meta, tags, kind)
    if program:
        marks["by_program"] = program
    if model:
        marks["by_model"] = model
    elif not program and meta and (tool := writers.by_tool(meta, kind)):
        marks["by_tool"] = tool
    if meta:
        if writers.captured(meta):
            marks["captured"] = True
        chat = meta.get("chat")
        start = timestamps.parse(chat.get("startDate")) if type(chat) is dict else None
        if start is not None:
            marks["chat_start"] = start
    return marks


def _time(stamp: Any, memory_id: str, path: str) -> tuple[int, tuple[str, ...]]:
    """Return the time in milliseconds and what had to be assumed. Raises BadTime."""
    time = timestamps.parse(stamp)
    if time is not None and timestamps.plausible(time):
        if type(stamp) is str and not (stamp[-1:] == "Z" or timestamps.has_zone(stamp)):
            return time, ("no_zone",)
        return time, ()
    guess = timestamps.guess(memory_id, path)
    if guess is not None:
        return guess, ("guessed_time",)
    if time is None:
        raise BadTime("no usable timestamp, no digits in the id and no date in the path")
    return time, ()


def _marks(data: dict[str, Any], meta: dict[str, Any], tags: tuple[str, ...]) -> dict[str, Any]:
    """Read the rarer marks; absent ones, which are most, keep the record's defaults."""
    marks: dict[str, Any] = {}
    if "validation" in data and type(data["validation"]) is dict:
        status = data["validation"].get("status")
        if status in ("rejected", "invalid", "incorrect"):
            by = data["validation"].get("by")
            marks["rejected"] = f"validation.status is {status!r}" + (f" ({by})" if isinstance(by, str) else "")
    if tags and ("multi_turn" in tags or "multi-turn" in tags):
        marks["multi_turn"] = True
    if not meta:
        return marks
    if meta.get("multi_turn") is True:
        marks["multi_turn"] = True
    if meta.get("discard") is True:
        marks["discard"] = True
    if meta.get("long_output") in (True, "allowed", "true"):
        marks["long_output"] = True
    if meta.get("priority") in (True, "high"):
        marks["priority"] = True
    signal = meta.get("reinforcementSignal")
    if isinstance(signal, int | float):
        marks["signal"] = (signal > 0) - (signal < 0)
        marks["target"] = _text(meta, "targetId")
    return marks


def _turns(data: dict[str, Any], meta: dict[str, Any]) -> tuple[tuple[Turn, ...], tuple[TurnedDown, ...]]:
    """Read the shapes that hold their turns in keys: messages, prompt, question, observation, card responses."""
    for key in ("messages", "conversations"):
        if type(data.get(key)) is list:
            return read_messages(data[key])
    return _keyed_turns(data, meta), ()


def _keyed_turns(data: dict[str, Any], meta: dict[str, Any]) -> tuple[Turn, ...]:
    if "prompt" in data or "question" in data:
        for ask_key, answer_key in (("prompt", "response"), ("question", "answer")):
            first, second = data.get(ask_key), data.get(answer_key)
            if type(first) is str and type(second) is str and (first or second):
                return (Turn("user", first), Turn("assistant", second))
    if type(data.get("observation")) is str and not data.get("content"):
        return (Turn("me", data["observation"]),)
    if type(meta.get("userMessage")) is str and type(meta.get("assistantResponse")) is str:
        return (Turn("user", meta["userMessage"]), Turn("assistant", meta["assistantResponse"]))
    return ()


def _tool(meta: dict[str, Any], content: str) -> ToolCall | None:
    """Read a tool call. A skill that is only named beside a text of its own (a task, an approval) is none."""
    name = _text(meta, "toolName")
    if not name and not (content.startswith("Invoked skill") or "toolOutputs" in meta):
        return None
    success = meta.get("success")
    outputs = meta.get("toolOutputs")
    inputs = meta.get("toolInputs", meta.get("skillInputs"))
    return ToolCall(
        name=name or _text(meta, "skillId"),
        inputs=_compact(inputs).decode() if inputs is not None else "{}",
        outputs=_compact(outputs).decode() if outputs is not None else "",
        success=success if type(success) is bool else None,
        error=meta["error"] if type(meta.get("error")) is str else "",
        instruction=_text(meta, "instruction"),
    )


def _is_share(value: Any) -> bool:
    """Tell whether an importance is one; null is none at all."""
    return value is None or (type(value) in (int, float) and 0 <= value <= 1)


def _chat_session(meta: dict[str, Any]) -> str:
    chat = meta.get("chat")
    return _text(chat, "conversationId") if type(chat) is dict else ""


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    return value if type(value) is str else ""


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
