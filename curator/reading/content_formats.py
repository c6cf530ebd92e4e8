"""What a memory's text says: the content shapes of MetaHuman OS and its ancestors, turned into turns.

`read_shape` returns turns for a conversation and one text for everything one-sided, with whose words it is. Texts are
slices of the memory, never rewritten: a label, a header or a separator is left out, nothing else. An author is proven
by the file (a label, a role, the keys of the program that wrote it); what is not becomes `unknown_author`.
"""

from __future__ import annotations

import re

import msgspec

from curator.language.names import Names, folded
from curator.reading.chat_import import holds_chat, read_chat
from curator.reading.labels import read_labelled, unquoted
from curator.records import Author, MemoryEvent, Shape, Turn, TurnedDown

TALK = ("conversation", "chat")
NOBODY = Names.of()
_RULE = re.compile(r"\r?\n[ \t]*-{3,}[ \t]*\r?\n")
_TRUNCATED = re.compile(r"(?<!\s)\s*+(?:\.\.\.|…)\s*+\[truncated\]\s*+\Z", re.IGNORECASE)
_CHAT_HEAD = "--- Conversation ---"
_SUMMARY = re.compile(r"\AConversation Summary:\s*", re.IGNORECASE)
_ANSWERS = re.compile(r"(?<!\s)\s++💭")
_SAID = re.compile(r"\A(?:Me|User|You): (?P<text>.*)\Z", re.DOTALL)
_SURVEY, _NOTES = "Quick Personality Survey - Onboarding", "Persona Notes - Self-Reflection"
_INTERVIEW = re.compile(r"^(Interviewer|You): ?", re.MULTILINE)
_MEMO = re.compile(r"\AVoice Memo: .*?\n\nTranscription(?: \(truncated\))?:\n", re.DOTALL)
_DOCUMENT = re.compile(
    r"\ADocument: (?P<head>.*?)\n\n(?:Content(?: \(first \d+ characters\))?:\n|Preview: )", re.DOTALL
)
_DOCUMENT_AUTHOR = re.compile(r"^Author: (.+)$", re.MULTILINE)
_AUDIO_CUT = 200  # characters, at which MetaHuman's audio organizer cuts a transcript


def read_shape(event: MemoryEvent, names: Names = NOBODY) -> Shape:
    """Read the turns or the text of `event`, and whose words these are; `names` are those of known speakers.

    MetaHuman's "... [truncated]" stays at the end of a text that it cut.
    """
    if event.turns or event.turned_down:
        return _from_turns(event)
    if event.response is not None:
        return _with_response(event.content, event.response)
    shape = _of_content(event, names)
    if not shape.turns and shape.text and (event.by_model or event.by_tool):
        return msgspec.structs.replace(shape, author="assistant" if event.by_model else "tool")
    return shape


def without_truncation(text: str) -> tuple[str, bool]:
    """Return the text less MetaHuman's "... [truncated]" mark, and whether it stood there."""
    if text.endswith(("]", "] ")):
        match = _TRUNCATED.search(text[-40:])
        if match:
            return text[: len(text) - len(match[0])], True
    return text, False


def _from_turns(event: MemoryEvent) -> Shape:
    if len(event.turns) == 1 and event.turns[0].speaker == "me":
        return Shape(text=event.turns[0].text, turned_down=event.turned_down)
    return Shape(turns=event.turns, turned_down=event.turned_down)


def _with_response(content: str, response: str) -> Shape:
    """A content beside a response is what the person said; an older writer put it as `Me: "..."`."""
    said = _SAID.match(content)
    if said:
        content = unquoted(said["text"])
    return Shape(turns=(Turn("user", content), Turn("assistant", response)))


def _of_content(event: MemoryEvent, names: Names) -> Shape:
    """Read a memory that has nothing but its content."""
    content, is_talk = event.content, event.type in TALK
    if "💭" in content and (inner := _inner(content)):
        # MetaHuman's model asked itself; where a person wrote in this form, both sides are theirs.
        asker: Author | None = "assistant" if event.by_model else None
        return Shape(turns=(Turn("user", inner[0], author=asker), Turn("assistant", inner[1])))
    if _CHAT_HEAD in content:
        if holds_chat(content):
            turns, down = read_chat(content, names.owner, names.placeholders, event.chat_start)
            return Shape(turns=turns, turned_down=down)
        if is_talk:
            return _unknown("an imported chat in which no line says who speaks")
    shape = _ingested(content, names)
    if shape is None:
        shape = read_labelled(content, names, is_talk)
    if shape is None and is_talk:
        turns = _ruled_turns(content) if "\n" in content else ()
        if turns:
            return Shape(turns=turns)
        if content.strip() and not (event.by_model or event.captured):
            return _unknown("a conversation in which nothing says who speaks")
    return shape if shape is not None else Shape(text=_without_head(event))


def _inner(content: str) -> tuple[str, str] | None:
    """Return what somebody asked themself, and what they said to it below an empty line; None in any other text."""
    asked = content.lstrip()
    if not asked.startswith("🤔"):
        return None
    asked = asked[1:].lstrip()
    for gap in _ANSWERS.finditer(asked):
        if gap[0].count("\n") > 1:
            said = asked[gap.end() :].strip()
            return (asked[: gap.start()], said) if said else None
    return None


def _unknown(why: str) -> Shape:
    return Shape(turned_down=(TurnedDown("unknown_author", why),))


def _ingested(content: str, names: Names) -> Shape | None:
    """Read the forms of MetaHuman's ingestors and of its onboarding; None where the content has none of them."""
    if content.startswith("Voice Memo: ") and (match := _MEMO.match(content)):
        return Shape(text=content[match.end() :])
    if content.startswith("Document: ") and (match := _DOCUMENT.match(content)):
        author = _DOCUMENT_AUTHOR.search(match["head"])
        if author and folded(author[1]) in names.owner:
            return Shape(text=content[match.end() :])
        return _unknown("a document, and nothing in it says that the person wrote it")
    if content.startswith(_SURVEY):
        return Shape(turns=_interview(content))
    if content.startswith(_NOTES):
        return Shape(text=content[len(_NOTES) :].lstrip("\r\n"))
    return None


def _interview(content: str) -> tuple[Turn, ...]:
    """The turns of an onboarding interview, which a model leads: the person answers."""
    marks = list(_INTERVIEW.finditer(content))
    turns = []
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        text = content[mark.end() : after.start() if after else len(content)].rstrip("\r\n")
        if mark[1] == "You":
            turns.append(Turn("me", text, mark[1]))
        else:
            turns.append(Turn("other", text, mark[1], author="assistant"))
    return tuple(turns)


def _without_head(event: MemoryEvent) -> str:
    """Return a one-sided text less the words that a program put before it, or after a cut."""
    content = event.content
    if content.startswith("Conversation Summary:"):
        return content[_SUMMARY.match(content).end() :]  # type: ignore[union-attr]
    if event.type == "audio" and len(content) == _AUDIO_CUT + 3 and content.endswith("...") and not event.by_model:
        return f"{content[:_AUDIO_CUT]}... [truncated]"
    return content


def _ruled_turns(content: str) -> tuple[Turn, ...]:
    """Two blocks parted by a rule are question and answer, in a conversation; elsewhere a rule is the writer's own."""
    if not _RULE.search(content):
        return ()
    blocks = [block for block in _RULE.split(content) if block.strip()]
    if len(blocks) < 2 or len(blocks) % 2:
        return ()
    return tuple(Turn("assistant" if i % 2 else "user", block) for i, block in enumerate(blocks))
