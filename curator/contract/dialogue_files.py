"""Files of dialogues as people have them: JSONL, or one JSON array, in any of the shapes that tools write.

| shape | a row |
|---|---|
| messages | `[{"role", "content"}, ...]`, or that list under the key `messages` |
| ShareGPT | `{"conversations": [{"from", "value"}, ...]}` |
| Gemini | `{"contents": [{"role", "parts": [{"text"}]}, ...]}` |
| Alpaca | `{"instruction", "input", "output"}`; `input` may be empty or missing, `history` holds earlier pairs |
| pair | `{"input", "output"}`, and the same under `prompt` and `completion` or `response`, `question` and `answer` |

The content of a message is a text, or a list of parts that are all texts. A row in none of the shapes is odd: it is
left out, and named by its file and line.
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
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant", "model": "assistant",
}  # fmt: skip
_PAIRS = (("input", "output"), ("prompt", "completion"), ("prompt", "response"), ("question", "answer"))


@dataclass(frozen=True)
class Row:
    """One row of a file: its messages in order. `number` is that of its line or element, from 1; `where` names it.

    `is_pair` is True for a row of one `input` and one `output`, which may bear a model's template already.
    """

    number: int
    where: str
    messages: tuple[Message, ...]
    is_pair: bool = False


def read_dialogue_file(path: Path) -> Iterator[Row | UsageError]:
    """Yield every row of a file; for one that is odd, the UsageError that names it. Raises UsageError for no text."""
    text, shown = read_text(path), printable(str(path))
    for number, value in _values(text):
        where = f"{shown}:{number}"
        if isinstance(value, UsageError):
            yield UsageError(f"{where} {value.what}", value.next_step)
            continue
        try:
            messages, is_pair = dialogue_of(value)
        except UsageError as error:
            yield UsageError(f"{where}: {error.what}", error.next_step)
        else:
            yield Row(number, where, messages, is_pair)


def dialogue_of(value: Any) -> tuple[tuple[Message, ...], bool]:
    """Return the messages of a row, and whether it is a pair, which may bear a template. Raises UsageError."""
    pair = _pair(value)
    messages = pair or _messages(value)
    try:
        "".join(message.content for message in messages).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("a text holds half of a surrogate pair", "expected text that UTF-8 can hold") from None
    return messages, bool(pair)


# Keys that tell a shape, and its name. Not all are read: the others are known, to be named.
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
    if not isinstance(row, dict) or ("input" in row and _pair(row)):
        return None
    name = next((name for keys, name in _SHAPES if keys <= row.keys()), None)
    if name is None:
        return None
    try:
        return name, bool(dialogue_of(row)[0])
    except UsageError:
        return name, False


def _values(text: str) -> Iterator[tuple[int, Any]]:
    """Yield (line, value); of one JSON array, (place, element). A line that is no JSON gives a UsageError."""
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
                yield number, json.loads(line.rstrip().removesuffix(","))  # an array, cut to lines, has commas
            except (ValueError, RecursionError) as error:
                expected = (
                    'expected {"input": ..., "output": ...} or a conversation a line, as JSON: curate docs small-model'
                )
                yield number, UsageError(f"is no JSON: {str(error)[:120]}", expected)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value and "content" in value


def _pair(row: Any) -> tuple[Message, ...]:
    """Return the two messages of a row of a prompt and its reply; none for another."""
    if not isinstance(row, dict) or {"messages", "conversations", "instruction", "chosen"} & row.keys():
        return ()
    for asked, answered in _PAIRS:
        if isinstance(row.get(asked), str) and isinstance(row.get(answered), str):
            return Message("user", row[asked]), Message("assistant", row[answered])
    return ()


def _messages(row: Any) -> tuple[Message, ...]:
    if isinstance(row, dict) and isinstance(row.get("instruction"), str) and isinstance(row.get("output"), str):
        more = row.get("input")
        asked = f"{row['instruction']}\n\n{more}" if isinstance(more, str) and more.strip() else row["instruction"]
        earlier = [text for pair in row.get("history") or () for text in pair] if _is_history(row) else []
        texts = [*earlier, asked, row["output"]]
        return tuple(Message("assistant" if place % 2 else "user", text) for place, text in enumerate(texts))
    names = next((key for key in ("messages", "conversations", "contents") if isinstance(row, dict) and key in row), "")
    role, content = {"conversations": ("from", "value"), "contents": ("role", "parts")}.get(names, ("role", "content"))
    if isinstance(row, dict) and not names and isinstance(row.get("prompt"), list) and "completion" in row:
        row = [*row["prompt"], *row["completion"]] if isinstance(row["completion"], list) else None  # TRL's
    elif names:
        row = row[names]
    if not isinstance(row, list):
        raise UsageError(
            "expected a list of messages or an object with input and output",
            'such as [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]',
        )
    return tuple([_message(item, role, content) for item in row])


def _is_history(row: dict[str, Any]) -> bool:
    """Tell whether Alpaca's earlier pairs are pairs of texts. Raises UsageError where they are something else."""
    history = row.get("history")
    pairs = isinstance(history, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in history)
    if history and not (pairs and all(isinstance(text, str) for pair in history for text in pair)):
        raise UsageError("expected a history of pairs of texts", 'such as [["asked", "answered"]]')
    return bool(history)


def _message(item: Any, role: str, content: str) -> Message:
    text = _text(item.get(content)) if isinstance(item, dict) else None
    if text is None:
        raise UsageError(f"expected messages with {role} and {content}", "the content must be text")
    name = item.get(role)
    known = _ROLES.get(name.casefold()) if isinstance(name, str) else None
    if known is None:
        raise UsageError(f"unknown role {name!r:.60}", "expected 'user', 'assistant' or 'system'")
    return Message(known, text)


def _text(content: Any) -> str | None:
    """Return a content as text: a text, or parts that are all texts; None for another, such as a picture."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return "".join(texts) if texts and len(texts) == len(content) else None
