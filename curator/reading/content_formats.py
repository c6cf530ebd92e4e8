"""What a memory's text says: the content shapes of MetaHuman OS and its ancestors, turned into turns.

`read_shape` returns turns for a conversation and one text for everything one-sided. Texts are slices of the memory,
never rewritten: a label or a separator is left out, nothing else.
"""

from __future__ import annotations

import re
from functools import lru_cache

from curator.records import MemoryEvent, Shape, Turn

_USER_LABELS = ("User", "Human", "Me", "You", "Q", "Question")
_ASSISTANT_LABELS = ("Assistant", "AI", "MetaHuman", "A", "Answer")
_RULE = re.compile(r"\r?\n[ \t]*-{3,}[ \t]*\r?\n")
_TRUNCATED = re.compile(r"\s*(?:\.\.\.|…)\s*\[truncated\]\s*\Z", re.IGNORECASE)
_CONVERSATIONS = ("conversation", "chat")
_CHAT_HEAD = "--- Conversation ---"
_CHAT_LINE = re.compile(r"^\[[^\]\n]{4,40}\] ([→←]) ([^:\n]{1,80}): ?", re.MULTILINE)
_SUMMARY = re.compile(r"\AConversation Summary:\s*", re.IGNORECASE)
_INNER = re.compile(r"\A\s*🤔\s*(?P<ask>.+?)\s*\n\s*\n\s*💭\s*(?P<say>.+?)\s*\Z", re.DOTALL)
_QUOTED = re.compile(r"\A(?:Me|User|You): (?P<mark>[\"“])(?P<text>.*)[\"”]\s*\Z", re.DOTALL)
_LABELLED = re.compile(r"\A\s*[A-Z][^:\n]{0,30}: ?")


def read_shape(event: MemoryEvent, owner_names: tuple[str, ...] = ()) -> Shape:
    """Read the turns or the text of `event`; `owner_names` are the names that mean the person.

    MetaHuman's "... [truncated]" stays at the end of a text that it cut.
    """
    if event.turns:
        return _from_turns(event.turns)
    content = event.content
    if event.response is not None:
        return _with_response(content, event.response)
    if "💭" in content and (match := _INNER.match(content)):
        return Shape(turns=(Turn("user", match["ask"]), Turn("assistant", match["say"])))
    if _CHAT_HEAD in content:
        block = content.split(_CHAT_HEAD, 1)[1]
        if _CHAT_LINE.search(block):
            return Shape(turns=_chat_turns(block))
        if event.type in _CONVERSATIONS:  # several people spoke, and no line says who: it is nobody's we know of
            return Shape(turns=(Turn("other", content),))
    if "\n" in content:
        turns = _labelled_turns(content, owner_names) or _ruled_turns(content, event.type)
        if turns:
            return Shape(turns=turns)
    if content.startswith("Conversation Summary:"):
        content = content[_SUMMARY.match(content).end() :]  # type: ignore[union-attr]
    return Shape(text=content)


def without_truncation(text: str) -> tuple[str, bool]:
    """Return the text less MetaHuman's "... [truncated]" mark, and whether it stood there."""
    if text.endswith(("]", "] ")):
        match = _TRUNCATED.search(text[-40:])
        if match:
            return text[: len(text) - len(match[0])], True
    return text, False


def _from_turns(turns: tuple[Turn, ...]) -> Shape:
    if len(turns) == 1 and turns[0].speaker == "me":
        return Shape(text=turns[0].text)
    return Shape(turns=turns)


def _with_response(content: str, response: str) -> Shape:
    """A content beside a response is what the person said; an older writer put it as `Me: "..."`."""
    if content.startswith(("Me: ", "User: ", "You: ")):
        quoted = _QUOTED.match(content)
        content = quoted["text"] if quoted else content[content.index(": ") + 2 :]
    return Shape(turns=(Turn("user", content), Turn("assistant", response)))


@lru_cache(maxsize=64)
def _labels(owner_names: tuple[str, ...]) -> re.Pattern[str]:
    user = "|".join(map(re.escape, (*_USER_LABELS, *sorted(owner_names, key=len, reverse=True))))
    twin = "|".join(map(re.escape, _ASSISTANT_LABELS))
    return re.compile(rf"^(?:(?P<user>{user})|(?P<twin>{twin})):(?:[ \t]|\r?\n|$)", re.MULTILINE)


def _labelled_turns(content: str, owner_names: tuple[str, ...]) -> tuple[Turn, ...]:
    """Turns with a speaker's label at the start of a line; none unless the first line has one and both speak."""
    if not _LABELLED.match(content):
        return ()
    first = content[: content.index(":")].strip()
    if first not in (*_USER_LABELS, *_ASSISTANT_LABELS, *owner_names):
        # A name that nothing tells us of: where the twin's label follows it, it can only be the person's.
        if not re.search(r"^(?:Assistant|AI|MetaHuman):", content, re.MULTILINE):
            return ()
        owner_names = (*owner_names, first)
    marks = list(_labels(owner_names).finditer(content))
    if len(marks) < 2 or content[: marks[0].start()].strip():
        return ()
    turns = []
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        text = content[mark.end() : after.start() if after else len(content)]
        if after:
            text = re.sub(r"(?:\r?\n[ \t]*-{3,}[ \t]*)?[\r\n]+\Z", "", text)
        turns.append(Turn("user" if mark["user"] else "assistant", text))
    return tuple(turns) if {turn.speaker for turn in turns} == {"user", "assistant"} else ()


def _ruled_turns(content: str, event_type: str) -> tuple[Turn, ...]:
    """Two blocks parted by a rule are question and answer, in a conversation; elsewhere a rule is the writer's own."""
    if event_type not in _CONVERSATIONS or not _RULE.search(content):
        return ()
    blocks = [block for block in _RULE.split(content) if block.strip()]
    if len(blocks) < 2 or len(blocks) % 2:
        return ()
    return tuple(Turn("assistant" if i % 2 else "user", block) for i, block in enumerate(blocks))


def _chat_turns(block: str) -> tuple[Turn, ...]:
    """The lines of an imported chat, of which there is one at least; a run of one speaker's messages is one turn."""
    marks = list(_CHAT_LINE.finditer(block))
    turns: list[tuple[str, list[str]]] = []
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        text = block[mark.end() : after.start() if after else len(block)].strip("\r\n")
        if not text or text.startswith("📎"):
            continue
        speaker = "me" if mark[1] == "→" else "other"
        if turns and turns[-1][0] == speaker:
            turns[-1][1].append(text)
        else:
            turns.append((speaker, [text]))
    return tuple(Turn(speaker, "\n".join(texts)) for speaker, texts in turns)  # type: ignore[arg-type]
