"""Files of dialogues as people have them: JSONL, or one JSON array, in any of the shapes that tools write.

| shape | a row |
|---|---|
| messages | `[{"role", "content"}, ...]`, or that list under the key `messages` |
| ShareGPT | `{"conversations": [{"from", "value"}, ...]}` |
| Gemini | `{"contents": [{"role", "parts": [{"text"}]}, ...]}` |
| Alpaca | `{"instruction", "input", "output"}`; `input` may be empty or missing, `history` holds earlier pairs |
| pair | `{"input", "output"}`; `prompt`, `question` or `query`, with `completion`, `response` or `answer` |
| text | `{"text"}` of labelled lines (`Q:` and `A:`, `User:` and `Assistant:`, ...) or in a known model's template |

A file of text whose lines begin with such labels is read too. The content of a message is a text, or a list of parts
that are all texts. A row in none of the shapes is odd, and so is a message that is no text: it is left out, and named
by its file and line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from curator.contract.errors import UsageError, printable
from curator.contract.files import read_text
from curator.contract.records import Message
from curator.contract.strict_json import BadJson, parse_json

_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "ai": "assistant", "model": "assistant",
}  # fmt: skip
_LISTS = ("messages", "conversations", "contents")  # keys of a row that hold its messages
_ASKED = ("instruction", "prompt", "question", "query")
_MORE = ("input", "context")  # what a prompt is about; `input` alone is the prompt
_ANSWERED = ("output", "completion", "response", "answer")


@dataclass(frozen=True)
class OddMessage:
    """A message that is no text or of another role; `role` is "" for such a one, as for a tool's result."""

    role: Literal["system", "user", "assistant", ""]
    why: UsageError


Turn = Message | OddMessage


@dataclass(frozen=True)
class Row:
    """One row of a file: its messages in order. `where` names its file and line, `name` it within the file.

    Of an assistant's message, `train` is False where the file says that it is not to be learnt ("weight": 0).
    `is_pair` is True for a row of one `input` and one `output`, which may bear a model's template already.
    """

    name: str
    where: str
    messages: tuple[Turn, ...]
    is_pair: bool = False


def read_dialogue_file(path: Path) -> Iterator[Row | UsageError]:
    """Yield every row of a file; for one that is odd, the UsageError that names it. Raises UsageError for no text."""
    text, shown = read_text(path, lenient=True), printable(str(path))
    values = _values(text) if not _begins_with_label(text) else _blocks(text)
    for line, element, value in values:
        where = f"{shown}:{line}"
        name = f"element {element}" if element else f"line {line}"
        if isinstance(value, UsageError):
            yield UsageError(f"{where} {value.what}", value.next_step)
            continue
        try:
            messages, is_pair = turns_of(value)
        except UsageError as error:
            yield UsageError(f"{where}: {error.what}", error.next_step)
            continue
        named = [
            OddMessage(one.role, UsageError(f"{where}: {one.why.what}", one.why.next_step))
            if isinstance(one, OddMessage)
            else one
            for one in messages
        ]
        yield Row(name, where, tuple(named), is_pair)


def dialogue_of(value: Any) -> tuple[tuple[Message, ...], bool]:
    """Return the messages of a row, and whether it is a pair, which may bear a template.

    Raises UsageError where any message is odd.
    """
    turns, is_pair = turns_of(value)
    messages = []
    for turn in turns:
        if isinstance(turn, OddMessage):
            raise turn.why
        messages.append(turn)
    return tuple(messages), is_pair


def turns_of(value: Any) -> tuple[tuple[Turn, ...], bool]:
    """Return the messages of a row, odd ones too, and whether it is a pair. Raises UsageError for no known shape."""
    turns, is_pair = _fields(value) if isinstance(value, dict) else ([], False)
    turns = turns or _messages(value)
    if isinstance(value, dict):
        if system := value.get("system") or value.get("system_instruction") or value.get("systemInstruction"):
            turns.insert(0, Message("system", _text(system) or str(system)))
            is_pair = False
        if _says_not_to_train(value):
            turns = [_untrained(turn) for turn in turns]
    return tuple([_checked(turn) for turn in turns]), is_pair


def _checked(turn: Turn) -> Turn:
    """Return a message as odd where UTF-8 cannot hold its text."""
    if isinstance(turn, OddMessage):
        return turn
    try:
        turn.content.encode("utf-8")
    except UnicodeEncodeError:
        why = UsageError("a text holds half of a surrogate pair", "expected text that UTF-8 can hold")
        return OddMessage(turn.role, why)
    return turn


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
    if not isinstance(row, dict):
        return None
    name = next((name for keys, name in _SHAPES if keys <= row.keys()), None)
    if isinstance(row.get("input"), str) and isinstance(row.get("output"), str) and "instruction" not in row:
        return None
    if name is None:
        return None
    try:
        return name, bool(dialogue_of(row)[0])
    except UsageError:
        return name, False


# --- the values of a file ------------------------------------------------------------------------------------------

_EXPECTED = 'expected {"input": ..., "output": ...} or a conversation a line, as JSON: curate docs small-model'
_DECODER = json.JSONDecoder()
_GAP = re.compile(r"[\s,]*")
_BEHIND = re.compile(r"[ \t]*(?:,|(?=[\n{\[\]]|\Z))")
_NO_UTF8 = re.compile("[\udc80-\udcff]")  # how `read_text` keeps a byte that is none
_Value = tuple[int, int, Any]  # line; number of the element of an array, 0 outside of one; value, or what is wrong


def _values(text: str) -> Iterator[_Value]:
    """Yield the values of a file of JSON: one array, a value a line, or values that go over several lines each."""
    place = _past_gap(text, 0)
    is_array = _is_array_of_rows(text, place)
    line, counted_to, element = 1, 0, 0
    place += is_array
    while True:
        place = _past_gap(text, place)
        if place >= len(text) or (is_array and text[place] == "]"):
            return
        line += text.count("\n", counted_to, place)
        counted_to, element = place, element + is_array
        value: Any
        try:
            value, end = _DECODER.raw_decode(text, place)
            behind = _BEHIND.match(text, end)
            if behind is None:
                raise ValueError(f"more text behind the value, at column {end - text.rfind(chr(10), 0, end)}")
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield line, element, UsageError(f"is no JSON: {reason[:120]}", _EXPECTED)
            place = _next_row(text, place)
        else:
            yield line, element, _strict(text[place:end], value)
            place = behind.end()


def _past_gap(text: str, place: int) -> int:
    gap = _GAP.match(text, place)
    return gap.end() if gap else place


def _is_array_of_rows(text: str, place: int) -> bool:
    """Tell one array of rows from a list of messages, on each line or alone."""
    if text[place : place + 1] != "[":
        return False
    try:
        first, _ = _DECODER.raw_decode(text, _past_gap(text, place + 1))
    except (ValueError, RecursionError):
        return text[place + 1 :].lstrip(" \t")[:1] in ("\n", "]")
    return not _is_message(first)


def _next_row(text: str, place: int) -> int:
    """Return where the next row may begin behind a broken one: a line that is indented as far and opens a value."""
    begin = text.rfind("\n", 0, place) + 1
    indent = text[begin:place]
    inside = text[place] in "{[" and not indent.strip()
    while (end := text.find("\n", place)) >= 0:
        place = end + 1
        rest = text[place : place + len(indent) + 1]
        if not inside or (rest.startswith(indent) and rest[len(indent) :] not in ("", " ", "\t", "\n", "}", "]", '"')):
            return place
    return len(text)


def _strict(raw: str, value: Any) -> Any:
    """Return a value, or the UsageError that says what in it is no JSON by the book."""
    if _NO_UTF8.search(raw):
        return UsageError("holds a byte that is no UTF-8", "save the file as UTF-8")
    try:
        parse_json(raw.encode())
    except BadJson as error:
        if "\\u" in raw and error.reason == "bad_json":  # half a surrogate pair; the message that holds it is named
            return value
        return UsageError(f"is no JSON: {error.detail}", _EXPECTED)
    return value


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and bool({"role", "from"} & value.keys() and {"content", "value"} & value.keys())


# --- the messages of a row -----------------------------------------------------------------------------------------


def _fields(row: dict[str, Any]) -> tuple[list[Turn], bool]:
    """Return the messages of a row of a prompt and its reply, and whether it is those two alone; none for another.

    Raises UsageError where two fields could be the prompt or the reply, or what the prompt is about is no text.
    """
    asked = [key for key in _ASKED if row.get(key) not in (None, "")]
    more = [key for key in _MORE if row.get(key) not in (None, "", [])]
    answered = [key for key in _ANSWERED if row.get(key) is not None]
    texts = (row[key] for key in (*asked, *answered, *(("input",) if "input" in more else ())))
    known = any(key in row for key in (*_ASKED, "input"))
    if {*_LISTS, "chosen"} & row.keys() or not (known and answered and all(isinstance(text, str) for text in texts)):
        return [], False
    for keys, what in ((asked, "prompt"), (answered, "reply")):
        if len(keys) > 1:
            raise UsageError(f"{keys[0]!r} and {keys[1]!r} could both be the {what}", "leave one of them")
    if not isinstance(row.get("context", ""), str | NoneType):
        raise UsageError("the context is no text", "put it there as text, or leave it out")
    prompt = "\n\n".join([row[key] for key in (*asked, *more) if row[key].strip()])
    history = _history(row)
    last: list[Turn] = [Message("user", prompt), Message("assistant", row[answered[0]], train=True)]
    return [*history, *last], not history and len([*asked, *more]) == 1


def _history(row: dict[str, Any]) -> list[Turn]:
    """Return Alpaca's earlier pairs as messages, which are trained too, or earlier messages. Raises UsageError."""
    history = row.get("history")
    if not history:
        return []
    if isinstance(history, list) and all(map(_is_message, history)):
        return [_message(item) for item in history]
    pairs = isinstance(history, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in history)
    if not (pairs and all(isinstance(text, str) for pair in history for text in pair)):
        raise UsageError("expected a history of pairs of texts", 'such as [["asked", "answered"]]')
    return [
        Message("assistant", text, train=True) if place else Message("user", text)
        for pair in history
        for place, text in enumerate(pair)
    ]


def _messages(row: Any) -> list[Turn]:
    if isinstance(row, dict):
        names = next((key for key in _LISTS if key in row), "")
        if not names and isinstance(row.get("text"), str) and not {"chosen", "prompt"} & row.keys():
            return _of_text(row["text"])
        if not names and isinstance(row.get("prompt"), list) and isinstance(row.get("completion"), list):
            row = [*row["prompt"], *row["completion"]]  # TRL's
        elif names:
            row = row[names]
    if not isinstance(row, list):
        raise UsageError(
            "expected a list of messages or an object with input and output",
            'such as [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]',
        )
    return [_message(item) for item in row]


def _message(item: Any) -> Turn:
    if not isinstance(item, dict):
        return OddMessage("", UsageError("expected messages with role and content", "the content must be text"))
    name = item.get("role", item.get("from"))
    known = _ROLES.get(name.strip().casefold()) if isinstance(name, str) else None
    if known is None:
        return OddMessage("", UsageError(f"unknown role {name!r:.60}", "expected 'user', 'assistant' or 'system'"))
    text = _text(next((item[key] for key in ("content", "value", "parts") if key in item), None))
    if text is None:
        keys = ("from", "value") if "from" in item else ("role", "content")
        why = UsageError(f"expected messages with {keys[0]} and {keys[1]}", "the content must be text")
        return OddMessage(known, why)
    if known != "assistant":
        return Message(known, text)
    weight = item.get("weight")
    if weight not in (None, 0, 1):  # 1.0 and True are 1 too
        why = UsageError(f"the weight of a reply is {weight!r:.40}", "expected 1, or 0 for one that is not trained")
        return OddMessage(known, why)
    return Message(known, text, train=not _says_not_to_train(item))


def _says_not_to_train(item: dict[str, Any]) -> bool:
    """Tell whether a message or row is not to be trained: OpenAI's weight, and the flags of other tools."""
    weight = item.get("weight")
    off = any(item.get(key) is False for key in ("train", "training", "trainable", "loss"))
    return off or item.get("masked") is True or (isinstance(weight, int | float) and weight == 0)


def _untrained(turn: Turn) -> Turn:
    return Message(turn.role, turn.content) if isinstance(turn, Message) else turn


def _text(content: Any) -> str | None:
    """Return a content as text: a text, or parts that are all texts; None for another, such as a picture."""
    if isinstance(content, dict):
        content = content.get("parts")
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    texts = [part["text"] for part in content if _is_text(part)]
    return "".join(texts) if texts and len(texts) == len(content) else None


def _is_text(part: Any) -> bool:
    kinds = (None, "text", "input_text", "output_text")
    return (
        isinstance(part, dict)
        and isinstance(part.get("text"), str)
        and part.get("type") in kinds
        and not part.get("thought")
    )


# --- labelled and wrapped text -------------------------------------------------------------------------------------

# What opens a turn in the templates of well-known models: ChatML, Llama 3, Gemma, Zephyr and Phi, Llama 2.
_OPENING = re.compile(
    r"<\|im_start\|>(\w+)\n|<\|start_header_id\|>(\w+)<\|end_header_id\|>|<start_of_turn>(\w+)\n"
    r"|<\|(system|user|assistant)\|>|(\[/?INST\])"
)
_CLOSING = re.compile(
    r"(?:\s|</?s>|<\|(?:im_end|eot_id|end|endoftext|end_of_text|begin_of_text)\|>|<end_of_turn>|<[be]os>)+"
)
_SYSTEM = re.compile(r"<<SYS>>([^<]*)<</SYS>>")
_LABELS = {"q": ("a",), "question": ("answer",), "user": ("assistant",), "human": ("assistant", "ai"),
           "instruction": ("response",)}  # fmt: skip
_LABEL = re.compile(rf"^(#{{0,4}}) ?({'|'.join(_LABELS)})[ \t]*:", re.IGNORECASE | re.MULTILINE)


def _begins_with_label(text: str) -> bool:
    return _LABEL.match(text.lstrip()) is not None


def _blocks(text: str) -> Iterator[_Value]:
    """Yield the conversations of a file of labelled lines; a question behind an empty line begins a new one."""
    lines: list[str] = []
    begun = 0
    for number, line in enumerate(text.split("\n"), 1):
        if begun and not lines[-1].strip() and _LABEL.match(line):
            yield begun, 0, {"text": "\n".join(lines).rstrip()}
            lines, begun = [], 0
        if line.strip() or begun:
            begun = begun or number
            lines.append(line)
    yield begun, 0, {"text": "\n".join(lines).rstrip()}


def _of_text(text: str) -> list[Turn]:
    """Return the turns of a text that has labelled lines or bears a known template. Raises UsageError for another."""
    turns = _of_template(text) if _OPENING.search(text) else _of_labels(text)
    if not any(turn.role == "assistant" for turn in turns):
        raise UsageError(
            "the text has no turns", "expected lines that begin with Q: and A:; trainer pretrain takes plain text"
        )
    return turns


def _of_template(text: str) -> list[Turn]:
    parts = _OPENING.split(text)
    if _CLOSING.sub("", parts[0]):
        return []  # words before the first turn
    turns: list[Turn] = []
    for start in range(1, len(parts), 6):
        name = next(filter(None, parts[start : start + 5]))
        role = {"[INST]": "user", "[/INST]": "assistant"}.get(name) or _ROLES.get(name.casefold())
        content = parts[start + 5]
        ends = list(_CLOSING.finditer(content))
        if ends and ends[-1].end() == len(content):
            content = content[: ends[-1].start()]
        content = content.strip()
        if system := _SYSTEM.match(content):
            turns.append(Message("system", system[1].strip()))
            content = content[system.end() :].strip()
        if role is None:
            turns.append(OddMessage("", UsageError(f"unknown role {name!r:.60}", "expected 'user' or 'assistant'")))
        elif content:
            turns.append(Message(role, content, train=role == "assistant"))  # type: ignore[arg-type]
    return turns


def _of_labels(text: str) -> list[Turn]:
    first = _LABEL.search(text)
    if not first or (text[: first.start()].strip() and not first[1]):  # Alpaca's text has a line before its first ###
        return []
    hashes, asked = first[1], first[2].casefold()
    names = "|".join((asked, *_LABELS[asked], *(("input",) if hashes else ())))
    parts = re.compile(rf"^{hashes} ?({names})[ \t]*:", re.IGNORECASE | re.MULTILINE).split(text)
    turns: list[Turn] = [Message("system", parts[0].strip())] if parts[0].strip() else []
    for label, content in zip(parts[1::2], parts[2::2], strict=True):
        if label.casefold() in (asked, "input"):
            turns.append(Message("user", content.strip()))
        else:
            turns.append(Message("assistant", content.strip(), train=True))
    return turns
