"""What `curate import` brought: `imports/` of a profile, read beside its memories.

A conversation becomes one memory a session, a post or a day of a journal one of its own. Which names are one human, and
which are the person, is people.json's to say.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import NamedTuple

import msgspec

from curator import (
    LED_OUT,
    Drop,
    ImportedMessage,
    ImportFolder,
    MemoryEvent,
    MemorySource,
    Settings,
    Turn,
    count_words,
    event_key,
    hookimpl,
    import_folders,
    leads_out,
)

# Kind of a message -> type of the memory that it is in; etc/types.json says what becomes of each.
TYPES = {
    "message": "chat", "post": "post", "journal": "journal", "mail": "mail", "assistant_chat": "assistant_chat",
    "role_play": "role_play",
}  # fmt: skip
_BY_ITSELF = ("post", "journal")
_MOST_TURNS = 400  # of one memory: a talk that never pauses is cut all the same


@hookimpl
def register_sources() -> list[MemorySource]:
    """Read imports."""
    return [MemorySource("imports", lambda path: bool(import_folders(path)), read, beside=True)]


def read(path: Path, settings: Settings) -> Iterator[MemoryEvent | Drop]:
    """Yield the memories of all imports of a profile, import by import in the order of the labels."""
    for folder in import_folders(path):
        if settings.curate.links_out_of_home == "refuse" and leads_out(path, folder.folder):
            yield Drop((event_key(folder.path, ""),), "read", "not_regular", LED_OUT, folder.path)
            continue
        if folder.changed:
            detail = f"{folder.path} is not what the import wrote: remove the import and import the export again"
            yield Drop((event_key(folder.path, folder.sha256),), "read", "changed", detail, folder.path)
            continue
        for talk in _conversations(folder.messages()):
            yield from _memories(folder, talk, settings)


class _Line(NamedTuple):
    number: int
    message: ImportedMessage
    time: int


def _conversations(lines: Iterable[tuple[int, ImportedMessage]]) -> Iterator[list[_Line]]:
    """Yield each conversation, whose messages stand together; a message without a time has that of the one before."""
    talk: list[_Line] = []
    name, time = "", 0
    for number, message in lines:
        if message.kind == "alternative":
            continue
        called = message.conversation_id or message.conversation
        if talk and called != name:
            yield talk
            talk, time = [], 0
        name = called
        time = int(datetime.fromisoformat(message.time).timestamp() * 1000) if message.time else time
        talk.append(_Line(number, message, time))
    if talk:
        yield talk


def _memories(folder: ImportFolder, talk: list[_Line], settings: Settings) -> Iterator[MemoryEvent | Drop]:
    kind = talk[0].message.kind
    if kind in _BY_ITSELF:
        for line in talk:
            yield _memory(folder, [line], _alone(folder, line))
    elif kind == "assistant_chat" and settings.types.assistant_chats != "conversation":
        yield from _own_turns(folder, talk, settings)
    else:
        # Mail is answered after hours or days: a thread is one talk, and its turns have no times to part them by.
        silence = inf if kind == "mail" else settings.curate.pairing.session_minutes * 60_000
        for session in _sessions(talk, silence):
            turns = tuple(map(partial(_turn, folder), session))
            if kind == "mail":
                turns = tuple([msgspec.structs.replace(turn, time=0) for turn in turns])
            if all(turn.speaker == "me" for turn in turns):  # nobody is answered: words of the person's own
                text = "\n".join(turn.text for turn in turns)
                turns = (msgspec.structs.replace(turns[0], text=text),)
            yield _memory(folder, session, turns)


def _sessions(talk: list[_Line], silence: float) -> Iterator[list[_Line]]:
    session: list[_Line] = []
    for line in talk:
        if session and (line.time - session[-1].time > silence or len(session) >= _MOST_TURNS):
            yield session
            session = []
        session.append(line)
    if session:
        yield session


def _own_turns(folder: ImportFolder, talk: list[_Line], settings: Settings) -> Iterator[MemoryEvent | Drop]:
    """Yield the person's long turns of a talk with a model, each a memory of its own; the rest only asks."""
    least = settings.types.assistant_chat_words
    for line in talk:
        if not line.message.is_owner:
            continue
        if settings.types.assistant_chats == "own_turns" and count_words(line.message.text) >= least:
            yield _memory(folder, [line], _alone(folder, line))
        else:
            key = event_key(folder.path, folder.sha256, line.number)
            detail = f"a question to an assistant, of fewer than {least} words (assistant_chats of etc/types.json)"
            yield Drop((key,), "event", "asked_assistant", detail, folder.path, line.message.id)


def _alone(folder: ImportFolder, line: _Line) -> tuple[Turn, ...]:
    """Return the turns of a text that stands by itself, with the app's own question where there was one."""
    said = _turn(folder, line)
    return (Turn("other", line.message.prompt, author="assistant"), said) if line.message.prompt else (said,)


def _turn(folder: ImportFolder, line: _Line) -> Turn:
    message = line.message
    name, me = folder.who(message)
    model = not me and message.kind == "assistant_chat"
    return Turn(
        "me" if me else "other",
        message.text,
        name=name,
        time=line.time,
        id=message.id,
        reply_to=message.reply_to,
        author="assistant" if model else None,
    )


def _memory(folder: ImportFolder, lines: list[_Line], turns: tuple[Turn, ...]) -> MemoryEvent:
    first = lines[0]
    message = first.message
    timed = bool(message.time)
    return MemoryEvent(
        key=event_key(folder.path, folder.sha256, first.number),
        id=message.id,
        path=folder.path,
        sha256=folder.sha256,
        time=first.time or folder.created,
        timestamp=message.time or "",
        type=TYPES.get(message.kind, message.kind),
        turns=turns,
        turn=first.number,
        # A talk that a long silence ends is one to itself: of a chat that goes on for years, some can be held out.
        session=f"{folder.importer}:{message.conversation_id or message.conversation}:{first.number}",
        captured=True,
        notes=() if timed else ("guessed_time",),
    )
