"""A MetaHuman OS profile on disk: episodic memories in every layout, curated conversations, answered questions,
therapy sessions. Nothing is ever written to it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from curator import (
    BadJson,
    BadShape,
    Drop,
    MemoryEvent,
    MemorySource,
    Parts,
    Settings,
    Unreadable,
    event_from_json,
    event_key,
    hookimpl,
    parse_json,
    part_of,
    printable,
    read_once,
    walk,
)

# Folders below a profile that hold memories, and how a file of each becomes memory objects.
EPISODIC, CURATED = "memory/episodic", "memory/curated/conversations"
ANSWERED, THERAPY = "memory/curiosity/questions/answered", "persona/therapy"
_ENCRYPTED = (".enc", ".enc.chunked")


@hookimpl
def register_sources() -> list[MemorySource]:
    """Read profile folders."""
    return [MemorySource("metahuman", Path.is_dir, read)]


def read(profile: Path, settings: Settings) -> Iterator[MemoryEvent | Drop]:
    """Yield the memories of a profile folder, in the order of their paths within each of the four folders.

    Texts that an ingestor cut into parts come last, as the one memory that each was.
    """
    root, most, parts = os.fspath(profile), settings.curate.limits.max_file_bytes, Parts()
    for folder, shape in ((EPISODIC, None), (CURATED, curated), (ANSWERED, answered), (THERAPY, therapy)):
        for path, readable in walk(os.fspath(profile / folder)):
            relative = path[len(root) + 1 :].replace(os.sep, "/")
            if not readable:
                yield _drop(relative, "unreadable", "the folder cannot be listed")
            elif relative.endswith(".json"):
                yield from _file(path, relative, most, shape) if shape else _memory(path, relative, most, parts)
            elif relative.endswith(_ENCRYPTED):
                yield _drop(relative, "encrypted", "not read: the profile's encryption is on for this file")
    yield from parts.joined()


def _memory(path: str, relative: str, most: int, parts: Parts) -> list[MemoryEvent | Drop]:
    """Read a file of one memory; a part of a text is left with `parts`, and what cannot be read gives a Drop."""
    digest = ""
    try:
        raw = read_once(path, most)
        digest = hashlib.sha256(raw).hexdigest()
        data, encoding = parse_json(raw)
        event = _noted(event_from_json(data, printable(relative), digest), encoding)
        return [] if parts.take(event, part_of(data)) else [event]
    except (Unreadable, BadJson) as error:
        return [_drop(relative, error.reason, error.detail, digest)]
    except BadShape as error:
        return [_drop(relative, error.reason, str(error), digest)]


def _file(
    path: str, relative: str, most: int, shape: Callable[[Any], list[dict[str, Any] | BadShape]]
) -> list[MemoryEvent | Drop]:
    """Read a file of several memories; one that cannot be read as a whole, or one of its memories, gives a Drop."""
    digest = ""
    try:
        raw = read_once(path, most)
        digest = hashlib.sha256(raw).hexdigest()
        items = shape(parse_json(raw)[0])
    except (Unreadable, BadJson) as error:
        return [_drop(relative, error.reason, error.detail, digest)]
    except BadShape as error:
        return [_drop(relative, error.reason, str(error), digest)]
    return [_item(item, relative, digest, turn, shape is curated) for turn, item in enumerate(items)]


def _item(item: dict[str, Any] | BadShape, relative: str, digest: str, turn: int, rewrite: bool) -> MemoryEvent | Drop:
    """Read one memory of a file. A bad one costs the others nothing."""
    name = printable(relative)
    try:
        if isinstance(item, BadShape):
            raise item
        event = event_from_json(item, name, digest, turn)
    except BadShape as error:
        return Drop((event_key(name, digest, turn),), "read", error.reason, str(error), name)
    return msgspec.structs.replace(event, rewrite=True) if rewrite else event


def _noted(event: MemoryEvent, encoding: str) -> MemoryEvent:
    return msgspec.structs.replace(event, notes=(*event.notes, encoding)) if encoding else event


def _drop(relative: str, reason: str, detail: str, digest: str = "") -> Drop:
    path = printable(relative)
    return Drop((event_key(path, digest),), "read", reason, detail, path)


def curated(data: Any) -> list[dict[str, Any] | BadShape]:
    """A conversation that MetaHuman's curator rewrote; one it found unsuitable keeps its verdict as a rejection.

    Raises BadShape.
    """
    if not isinstance(data, dict):
        raise BadShape("expected an object with userMessage and assistantResponse")
    flags = data.get("flags")
    verdict = data.get("rejectionReason") or (", ".join(map(str, flags)) if isinstance(flags, list) else "")
    rejected = data.get("suitableForTraining") is False
    said, answered = _text(data, "userMessage"), _text(data, "assistantResponse")
    return [
        {
            "id": data.get("id", ""),
            "timestamp": data.get("originalTimestamp") or data.get("curatedAt"),
            "type": data.get("memoryType") or "conversation",
            "content": said or _text(data, "conversationalEssence"),
            "response": answered,
            "metadata": {"cognitiveMode": data.get("cognitiveMode")},
            "validation": {"status": "rejected", "by": verdict or "unsuitable"} if rejected else None,
        }
    ]


def answered(data: Any) -> list[dict[str, Any] | BadShape]:
    """A question of the curiosity service that the person answered: the answer is the person's own.

    Raises BadShape.
    """
    if not isinstance(data, dict) or not isinstance(data.get("question"), str):
        raise BadShape("expected an object with question and answer")
    reply = data.get("answer") or data.get("response")
    if isinstance(reply, dict):
        reply = reply.get("content")
    return [_answer(data, data.get("id"), data["question"], reply, data.get("answeredAt") or data.get("askedAt"))]


def therapy(data: Any) -> list[dict[str, Any] | BadShape]:
    """A therapy session: answers joined to their questions by questionId, since a question may have been skipped.

    An answer that cannot be read stands as the BadShape that says why. Raises BadShape where the whole file cannot.
    """
    if not isinstance(data, dict) or not isinstance(data.get("questions"), list):
        raise BadShape("expected an object with questions and answers")
    given = data.get("answers")
    if given is not None and not isinstance(given, list):
        raise BadShape("answers: expected a list of objects with questionId and content")
    questions = {
        question["id"]: question.get("prompt")
        for question in data["questions"]
        if isinstance(question, dict) and _is_name(question.get("id"))
    }
    return [_therapy_answer(data, questions, answer) for answer in given or ()]


def _therapy_answer(data: dict[str, Any], questions: dict[Any, Any], answer: Any) -> dict[str, Any] | BadShape:
    if not isinstance(answer, dict):
        return BadShape("answers: expected objects with questionId and content")
    asked = answer.get("questionId")
    if not _is_name(asked) or asked not in questions:
        return BadShape(f"answers: no question has the id {str(asked)[:60]!r}")
    name = f"{data.get('sessionId')}/{asked}"
    when = answer.get("capturedAt") or data.get("createdAt")
    try:
        return _answer(data, name, questions[asked], answer.get("content"), when, "therapy_session")
    except BadShape as error:
        return error


def _is_name(value: Any) -> bool:
    """Tell whether a JSON value can name a question; a list, say, cannot."""
    return isinstance(value, str | int)


def _text(data: dict[str, Any], key: str) -> str | None:
    """Return the text under a key, None where there is none. Raises BadShape for anything else."""
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise BadShape(f"{key}: expected text")
    return value


def _answer(
    data: dict[str, Any], name: Any, question: Any, reply: Any, when: Any, kind: str = "answered_question"
) -> dict[str, Any]:
    for what, text in (("question", question), ("answer", reply)):
        if text is not None and not isinstance(text, str):
            raise BadShape(f"{what}: expected text")
    return {
        "id": str(name or ""),
        "timestamp": when or data.get("timestamp") or data.get("createdAt"),
        "type": kind,
        "content": question or "",
        "messages": [{"role": "interviewer", "content": question or ""}, {"role": "me", "content": reply or ""}],
        "metadata": {"sessionId": data.get("sessionId")},
    }
