"""A MetaHuman OS profile on disk: episodic memories in every layout, curated conversations, answered questions,
therapy sessions. Nothing is ever written to it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from curator import (
    LED_OUT,
    MEMORY_FOLDERS,
    BadJson,
    BadShape,
    Content,
    Drop,
    FileReader,
    MemoryEvent,
    MemorySource,
    Settings,
    TextPart,
    Unlocked,
    Unreadable,
    event_from_json,
    event_key,
    hookimpl,
    layers_of,
    leads_out,
    parse_json,
    printable,
    read_all_files,
    read_plain,
    text_part,
    walk,
)

# Folders below a profile that hold memories; below, how a file of each becomes memory objects.
_, CURATED, ANSWERED, THERAPY = MEMORY_FOLDERS
Shape = Callable[[Any], list[dict[str, Any] | BadShape]]


@hookimpl
def register_sources() -> list[MemorySource]:
    """Read profile folders."""
    return [MemorySource("metahuman", Path.is_dir, read, by_file=BY_FILE)]


def files(profile: Path, settings: Settings) -> Iterator[str | Drop]:
    """Yield the files of a profile that hold memories, below it, in the order of their paths in each of the folders."""
    root = os.fspath(profile)
    for folder in MEMORY_FOLDERS:
        if settings.curate.links_out_of_home == "refuse" and leads_out(profile, profile / folder):
            yield _drop(folder, "not_regular", LED_OUT)
            continue
        for path, readable in walk(os.fspath(profile / folder)):
            if not readable:
                yield _drop(_below(root, path), "unreadable", "the folder cannot be listed")
            elif layers_of(path)[0].endswith(".json"):
                yield path[len(root) + 1 :]


def read_file(profile: Path, name: str, settings: Settings) -> list[MemoryEvent | Drop | TextPart]:
    """Return what a file of a profile holds."""
    root = os.fspath(profile)
    shape = next((shape for folder, shape in _SHAPES.items() if name.startswith(folder + os.sep)), None)
    return _Reader(root, settings.curate.limits.max_file_bytes, settings.unlocked).read(os.path.join(root, name), shape)


BY_FILE = FileReader(files, read_file)


def read(profile: Path, settings: Settings) -> Iterator[MemoryEvent | Drop]:
    """Yield the memories of a profile folder; texts that an ingestor cut come last, as the one memory that each was."""
    return read_all_files(BY_FILE, profile, settings)


class _Found(NamedTuple):
    """A file that was opened. `memory` is its path below the profile without the suffixes of encryption."""

    path: str
    memory: str
    content: Content
    digest: str

    def event(self, event: MemoryEvent, encoding: str = "") -> MemoryEvent:
        """Return an event of the file with the file's own path and sha256, and notes of how it was read.

        Its key is that of the plain memory, and so the same whether and however the memory is encrypted.
        """
        notes = (*event.notes, *(("encrypted",) if self.content.encrypted else ()), *((encoding,) if encoding else ()))
        if notes == event.notes:
            return event
        return msgspec.structs.replace(event, path=self.path, sha256=self.content.sha256, notes=notes)

    def drop(self, reason: str, detail: str, turn: int = 0) -> Drop:
        """Return the Drop of the file, or of its memory of number `turn`."""
        return Drop((event_key(self.memory, self.digest, turn),), "read", reason, detail, self.path)


class _Reader(NamedTuple):
    """Reads the files of a profile: a memory that lies there plain and encrypted is read once."""

    root: str
    most: int
    unlocked: Unlocked | None

    def relative(self, path: str) -> str:
        """Return a path as it stands below the profile."""
        return _below(self.root, path)

    def read(self, path: str, shape: Shape | None) -> list[MemoryEvent | Drop | TextPart]:
        """Read a file; with the first of those that hold the same memory, all of them."""
        if self.unlocked is None:
            return _items(self._open(path), shape)
        copies = self.unlocked.copies(path)
        if path != min(copies):
            return []
        taken, items = "", list[MemoryEvent | Drop | TextPart]()
        for copy in copies:
            if taken:
                detail = f"a copy of this memory; read is {taken}"
                items.append(_drop(self.relative(copy), "duplicate", detail))
                continue
            found = self._open(copy)
            taken = found.path.rpartition("/")[2] if isinstance(found, _Found) else ""
            items += _items(found, shape)
        return items

    def _open(self, path: str) -> _Found | Drop:
        """Open a file, or say in a Drop why it cannot be opened."""
        relative, (memory, layers) = self.relative(path), layers_of(path)
        try:
            if self.unlocked is not None:
                content = self.unlocked.read(path, self.most)
            elif layers:
                return _drop(relative, "encrypted", "not read: it needs the password of the profile")
            else:
                content = read_plain(path, self.most)
        except Unreadable as error:
            return _drop(relative, error.reason, error.detail)
        digest = hashlib.sha256(content.plain).hexdigest() if content.encrypted else content.sha256
        return _Found(printable(relative), printable(self.relative(memory)), content, digest)


def _items(found: _Found | Drop, shape: Shape | None) -> list[MemoryEvent | Drop | TextPart]:
    if isinstance(found, Drop):
        return [found]
    return _several(found, shape) if shape else _memory(found)


def _memory(found: _Found) -> list[MemoryEvent | Drop | TextPart]:
    """Read a file of one memory; what cannot be read gives a Drop."""
    try:
        data, encoding = parse_json(found.content.plain)
        return [text_part(found.event(event_from_json(data, found.memory, found.digest), encoding), data)]
    except BadJson as error:
        return [found.drop(error.reason, error.detail)]
    except BadShape as error:
        return [found.drop(error.reason, str(error))]


def _several(found: _Found, shape: Shape) -> list[MemoryEvent | Drop | TextPart]:
    """Read a file of several memories; one that cannot be read as a whole, or one of its memories, gives a Drop."""
    try:
        items = shape(parse_json(found.content.plain)[0])
    except BadJson as error:
        return [found.drop(error.reason, error.detail)]
    except BadShape as error:
        return [found.drop(error.reason, str(error))]
    return [_item(item, found, turn, shape is curated) for turn, item in enumerate(items)]


def _item(item: dict[str, Any] | BadShape, found: _Found, turn: int, rewrite: bool) -> MemoryEvent | Drop:
    """Read one memory of a file. A bad one costs the others nothing."""
    try:
        if isinstance(item, BadShape):
            raise item
        event = found.event(event_from_json(item, found.memory, found.digest, turn))
    except BadShape as error:
        return found.drop(error.reason, str(error), turn)
    return msgspec.structs.replace(event, rewrite=True) if rewrite else event


def _below(root: str, path: str) -> str:
    """Return a path as it stands below the profile."""
    return path[len(root) + 1 :].replace(os.sep, "/")


def _drop(relative: str, reason: str, detail: str) -> Drop:
    path = printable(relative)
    return Drop((event_key(path, ""),), "read", reason, detail, path)


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


_SHAPES: dict[str, Shape] = {CURATED: curated, ANSWERED: answered, THERAPY: therapy}
