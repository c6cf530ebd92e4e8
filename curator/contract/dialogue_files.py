"""Files of dialogues as people have them: JSONL, or one JSON array, in any of the shapes that tools write.

| shape | a row |
|---|---|
| messages | `[{"role", "content"}, ...]`, or that list under the key `messages` |
| ShareGPT | `{"conversations": [{"from", "value"}, ...]}` |
| Alpaca | `{"instruction", "input", "output"}`; `input` may be empty or missing |
| pair | `{"input", "output"}` |
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from curator.contract.errors import UsageError, printable
from curator.contract.files import read_text
from curator.contract.records import Message

_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system", "user": "user", "assistant": "assistant", "human": "user", "gpt": "assistant",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row of a file: its messages in order. `number` is that of its line or element, from 1; `where` names it.

    `is_pair` is True for a row of one `input` and one `output`, which may bear a model's template already.
    """

    number: int
    where: str
    messages: tuple[Message, ...]
    is_pair: bool = False


def read_dialogue_file(path: Path) -> Iterator[Row]:
    """Yield every row of a file. Raises UsageError with the line of the first row that is in none of the shapes."""
    text, shown = read_text(path), printable(str(path))
    for number, row in _values(text, shown):
        where = f"{shown}:{number}"
        if _is_pair(row):
            pair = (Message("user", row["input"]), Message("assistant", row["output"]))
            yield Row(number, where, pair, is_pair=True)
        else:
            yield Row(number, where, _messages(row, where))


# Keys that tell a shape, and its name. The first four are read here; the others are known, to be named.
_SHAPES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"messages"}), "messages format (OpenAI's)"),
    (frozenset({"conversations"}), "ShareGPT's format"),
    (frozenset({"instruction", "output"}), "Alpaca's format"),
    (frozenset({"role", "content"}), "messages format, with a message where a conversation should stand"),
    (frozenset({"prompt", "chosen"}), "preference format (prompt, chosen, rejected)"),
    (frozenset({"prompt", "completion"}), "prompt-completion format (TRL's)"),
    (frozenset({"prompt", "response"}), "prompt-response format"),
    (frozenset({"question", "answer"}), "question-answer format"),
    (frozenset({"contents"}), "Gemini's format"),
    (frozenset({"text"}), "plain text format"),
)


def shape_of(row: Any) -> tuple[str, bool] | None:
    """Return the name of a row's shape, and whether `read_dialogue_file` takes it; None for a pair and the unknown."""
    if isinstance(row, list) and row and _is_message(row[0]):
        row = {"messages": row}
    if not isinstance(row, dict) or _is_pair(row):
        return None
    name = next((name for keys, name in _SHAPES if keys <= row.keys()), None)
    if name is None:
        return None
    try:
        return name, bool(_messages(row, ""))
    except UsageError:
        return name, False


def _values(text: str, shown: str) -> Iterator[tuple[int, Any]]:
    """Yield (line, value); of one JSON array, (place, element)."""
    whole = None
    if text.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):  # else a list of messages on each line
            whole = json.loads(text)
    if isinstance(whole, list) and not _is_message(whole[0] if whole else None):
        yield from enumerate(whole, 1)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                expected = (
                    'expected {"input": ..., "output": ...} or a conversation a line, as JSON: curate docs small-model'
                )
                raise UsageError(f"{shown}:{number} is no JSON: {str(error)[:120]}", expected) from None


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value and "content" in value


def _is_pair(row: Any) -> bool:
    pair = isinstance(row, dict) and isinstance(row.get("input"), str) and isinstance(row.get("output"), str)
    return pair and not {"messages", "conversations", "instruction"} & row.keys()


def _messages(row: Any, where: str) -> tuple[Message, ...]:
    if isinstance(row, dict) and isinstance(row.get("instruction"), str) and isinstance(row.get("output"), str):
        more = row.get("input")
        asked = f"{row['instruction']}\n\n{more}" if isinstance(more, str) and more.strip() else row["instruction"]
        return Message("user", asked), Message("assistant", row["output"])
    role, content = "role", "content"
    if isinstance(row, dict) and "messages" in row:
        row = row["messages"]
    elif isinstance(row, dict) and "conversations" in row:
        row, role, content = row["conversations"], "from", "value"
    if not isinstance(row, list):
        raise UsageError(
            f"{where}: expected a list of messages or an object with input and output",
            'such as [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]',
        )
    return tuple([_message(item, role, content, where) for item in row])


def _message(item: Any, role: str, content: str, where: str) -> Message:
    if not isinstance(item, dict) or not isinstance(item.get(content), str):
        raise UsageError(f"{where}: expected messages with {role} and {content}", "the content must be text")
    name = item.get(role)
    known = _ROLES.get(name) if isinstance(name, str) else None
    if known is None:
        raise UsageError(f"{where}: unknown role {name!r}", "expected 'user', 'assistant' or 'system'")
    return Message(known, item[content])
