"""Lists of messages, as chat programs and model vendors write them, turned into turns, or into reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from curator.reading import timestamps
from curator.records import Author, Turn, TurnedDown

# What a role says of its message: who speaks, and whose words these are where the speaker alone would tell it wrongly.
_SPEAKERS: Final[dict[str, tuple[str, Author | None]]] = {
    "user": ("user", None), "human": ("user", None),
    "assistant": ("assistant", None), "ai": ("assistant", None), "metahuman": ("assistant", None),
    "model": ("assistant", None), "gpt": ("assistant", None), "bot": ("assistant", None),
    # Not MetaHuman's: how our own readers say that an answer is the person's own, and that a model asked.
    "me": ("me", None), "other": ("other", None), "interviewer": ("other", "assistant"),
}  # fmt: skip
# Roles of programs: instructions, and what tools gave back.
_PROGRAMS: Final = ("system", "developer", "tool", "function", "tool_call", "tool_result", "observation")
_TEXT_PARTS: Final = ("text", "input_text", "output_text")


def read_messages(messages: list[Any]) -> tuple[tuple[Turn, ...], tuple[TurnedDown, ...]]:
    """Return the turns of a list of messages, and each message that gives none with its reason.

    Known keys: role, content, name (ShareGPT: from, value), and id, reply_to, timestamp where a chat program has them.
    """
    turns: list[Turn] = []
    down: list[TurnedDown] = []
    for place, message in enumerate(messages):
        read = _message(message)
        if isinstance(read, Turn):
            turns.append(read)
        else:
            down.append(TurnedDown(*read, place))
    return tuple(turns), tuple(down)


def _message(message: Any) -> Turn | tuple[str, str]:
    """Read one message: a Turn, or a reason and a detail."""
    if type(message) is not dict:
        return "unknown_author", "a message that is no object with role and content"
    role = message.get("role", message.get("from"))
    if not isinstance(role, str):
        return "unknown_author", "a message without a role"
    plain = role.strip().lower()
    known = _SPEAKERS.get(plain)
    if known is None and plain in _PROGRAMS:
        return "no_words", f"a message of the role {role[:40]!r}: a program's, nobody's words"
    if known is None:
        return "unknown_author", f"a message of the role {role[:40]!r}, which is not known"
    text = message_text(message.get("content", message.get("value")))
    if text is None:
        return "no_words", f"a message of the role {role[:40]!r} without a text"
    return _turn(message, known, text, role)


def _turn(message: Mapping[str, Any], known: tuple[str, Author | None], text: str, role: str) -> Turn:
    speaker, author = known
    time = None
    for key in ("timestamp", "time", "created_at", "date"):
        if key in message:
            time = timestamps.parse(message[key])
            break
    return Turn(
        speaker,  # type: ignore[arg-type]
        text,
        name=_first(message, "name", "sender") or role,
        time=time if time is not None and timestamps.plausible(time) else 0,
        id=_first(message, "id", "message_id"),
        reply_to=_first(message, "reply_to", "replyTo", "reply_to_id", "reply_to_message_id"),
        author=author,
    )


def _first(message: Mapping[str, Any], *keys: str) -> str:
    """Return the first text or whole number under one of the keys, as text."""
    for key in keys:
        value = message.get(key)
        if type(value) is str or type(value) is int:
            return str(value)
    return ""


def message_text(content: Any) -> str | None:
    """Return the text of a content, itself a text or a list of parts; None where it has none."""
    if type(content) is str:
        return content
    if type(content) is not list:
        return None
    texts = []
    for part in content:
        if type(part) is str:
            texts.append(part)
        elif type(part) is dict and part.get("type", "text") in _TEXT_PARTS and type(part.get("text")) is str:
            texts.append(part["text"])
    return "\n".join(texts) if texts else None
