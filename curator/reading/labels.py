"""Texts in which labels at the start of lines say who speaks: `User: ...`, `**Assistant:** ...`, `[10:31] Ольга: ...`.

A label splits only where the writer of that format puts one. The first label tells the format: its marks, and the two
names that take turns. Where the second stands after a blank line, so does every other; all else is what they said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from curator.language.names import Kind, Names, folded
from curator.records import Shape, Turn, TurnedDown

_BLANK = "[ \t\u00a0\u202f]"
_LABEL = re.compile(
    rf"^{_BLANK}*(?P<stamp>\[[^\]\n]{{3,40}}\]{_BLANK}*)?(?P<bold>[*_]{{0,3}})"
    rf"(?P<name>[^\s:：*_\[\]<>|#>\-][^:：\n*\[\]<>|]{{0,40}}?)"
    rf"(?P=bold)?{_BLANK}?[:：](?P=bold)?"
    rf"(?:(?<=：)|(?={_BLANK}|\r?\n|\Z))(?:{_BLANK}|\r?\n)?",
    re.MULTILINE,
)
_RULE_AT_END = re.compile(r"(?:\r?\n[ \t]*-{3,}[ \t]*)?(?<![\r\n])[\r\n]++\Z")
_BLANK_LINE = re.compile(r"\n[ \t]*(?:-{3,}[ \t]*)?\r?\n[ \t]*\Z")
_QUOTED = re.compile(r"\A[\"“](?P<text>.*)[\"”]\s*\Z", re.DOTALL)
_MOST_WORDS = 4  # of a name
# Names that no human has: outside of conversations only these prove that the one before them talks to an assistant.
_NO_HUMAN = frozenset(("assistant", "metahuman", "chatgpt"))


class Label(NamedTuple):
    """A label: where it starts, where what was said begins, its name and the marks around it."""

    start: int
    end: int
    name: str
    marks: tuple[bool, str]
    spaced: bool


def read_labelled(content: str, names: Names, is_talk: bool) -> Shape | None:
    """Read a text that begins with a label; None where it does not, or where the label is the writer's own ("Note:").

    `is_talk`: the memory is a conversation, in which a label that nothing is known of is somebody's. There it gives a
    Shape whose `turned_down` says so.
    """
    first = _label_at_start(content)
    kind = names.kind(first.name) if first else ""
    if first is None or (not kind and first.name[:1].islower()):  # no name: the text itself begins
        return _answered(content, names) if is_talk else None
    if not (kind or is_talk or "\n" in content[first.end :]):
        return None
    every = list(_labels(content, first.end))
    alike = [label for label in every if label.marks == first.marks]
    for others in (alike, every):
        roles = _two_speakers(first, kind, others, names, is_talk)
        if roles is not None:
            return Shape(turns=_turns(content, first, others, roles))
    return _one_sided(content, first, kind, every) if is_talk else None


def _answered(content: str, names: Names) -> Shape | None:
    """What the person asked, without a label, and what an assistant answers under one; None where none does."""
    for label in _labels(content, 0):
        if names.kind(label.name) == "assistant":
            asked = _RULE_AT_END.sub("", content[: label.start])
            if asked.strip():
                return Shape(turns=(Turn("user", asked), Turn("assistant", content[label.end :], label.name)))
            return None
    return None


def _label_at_start(content: str) -> Label | None:
    start = len(content) - len(content.lstrip())
    match = _LABEL.match(content, start)
    return _as_label(content, match) if match else None


def _labels(content: str, start: int) -> Iterable[Label]:
    for match in _LABEL.finditer(content, start):
        label = _as_label(content, match)
        if label is not None:
            yield label


def _as_label(content: str, match: re.Match[str]) -> Label | None:
    name = match["name"].strip()
    if len(name.split()) > _MOST_WORDS or not any(map(str.isalpha, name)):
        return None
    spaced = _BLANK_LINE.search(content, max(0, match.start() - 40), match.start()) is not None
    return Label(match.start(), match.end(), name, (match["stamp"] is not None, match["bold"]), spaced)


def _two_speakers(
    first: Label, kind: Kind, others: list[Label], names: Names, is_talk: bool
) -> tuple[dict[str, str], bool] | None:
    """Return the speakers of the two folded names that take turns, and whether blank lines part them; None: no talk."""
    opening = folded(first.name)
    spaced = [label for label in others if label.spaced]
    for candidates in (spaced, others):
        for label in candidates:
            if folded(label.name) == opening:
                continue
            roles = _roles(kind, names.kind(label.name), is_talk or (label.spaced and folded(label.name) in _NO_HUMAN))
            if roles is None or (roles[1] in ("other", "me") and _third(opening, label, candidates)):
                continue
            return {opening: roles[0], folded(label.name): roles[1]}, candidates is spaced
    return None


def _roles(first: Kind, second: Kind, is_talk: bool) -> tuple[str, str] | None:
    """Return who the two are, of what their names tell; None where they tell too little."""
    if first == "assistant":
        return ("assistant", "user") if second in ("person", "owner") else None
    if second == "assistant":
        # A name that nothing tells us of talks to an assistant: that is the person, in the person's own memories.
        return ("user", "assistant") if first or is_talk else None
    if first == "person" and second == "owner":
        return ("user", "assistant")  # MetaHuman's persona, which speaks under the person's name
    if is_talk and first == "owner" and not second:
        return ("me", "other")
    if is_talk and not first and second == "owner":
        return ("other", "me")
    return None


def _third(opening: str, second: Label, labels: list[Label]) -> bool:
    """Tell whether somebody else's label may stand among those of two people: then nobody's words are certain."""
    return any(folded(label.name) not in (opening, folded(second.name)) for label in labels)


def _turns(content: str, first: Label, others: list[Label], roles: tuple[dict[str, str], bool]) -> tuple[Turn, ...]:
    speakers, spaced = roles
    marks = [first]
    for label in others:
        speaker = speakers.get(folded(label.name))
        if speaker is None or (spaced and not label.spaced):
            continue
        if spaced and speaker == speakers[folded(marks[-1].name)]:
            continue  # the speaker's own words hold it: a mail that is quoted
        marks.append(label)
    turns = []
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        text = content[mark.end : after.start if after else len(content)]
        if after:
            text = _RULE_AT_END.sub("", text)
        turns.append(Turn(speakers[folded(mark.name)], text, mark.name))  # type: ignore[arg-type]
    return tuple(turns)


def _one_sided(content: str, first: Label, kind: Kind, others: list[Label]) -> Shape:
    """What is said under the first label, where no second one answers it."""
    said = content[first.end :]
    if kind == "assistant":
        return Shape(text=said, author="assistant")
    if kind and (not others or unquoted(said) != said):
        return Shape(text=unquoted(said))
    why = f"nothing tells who speaks under {first.name[:40]!r}" if not kind else "nothing tells who answers"
    return Shape(turned_down=(TurnedDown("unknown_author", why),))


def unquoted(text: str) -> str:
    """Return a text less the quotes that MetaHuman once put around what the person said (`Me: "..."`)."""
    match = _QUOTED.match(text)
    return match["text"] if match else text
