"""Cognitive modes and their tags: what a tag may look like, and how it stands in a text.

`<thought>: I should ring Dad.` is a text of dual mode. A mode is data: plugins add modes, a run's summary names the
modes of its samples with their tags, and there is no other list of modes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from curator.contract.errors import UsageError, unknown_name

MODE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
TAG_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OPENING = re.compile(rf"<({TAG_NAME.pattern})>: ")


class Tags(NamedTuple):
    """What stands before the two texts of a sample: `<thought>: ` and `<world>: `; both empty where nothing does."""

    user: str = ""
    assistant: str = ""

    @classmethod
    def of(cls, user_tag: str, assistant_tag: str) -> Tags:
        """Return the openings that two tags (without brackets) make."""
        return cls(opening(user_tag), opening(assistant_tag))

    @property
    def names(self) -> tuple[str, str]:
        """The two tags without brackets."""
        return self.user[1:-3], self.assistant[1:-3]


NO_TAGS = Tags()


def opening(tag: str) -> str:
    """Return what a text with this tag begins with: `<thought>: `."""
    return f"<{tag}>: "


# The modes that come with the project; the tags of a plugin's mode stand in the run's summary.
BUILT_IN_MODES = {
    "dual": Tags.of("thought", "world"),
    "emulation": Tags.of("user", "assistant"),
    "agent": Tags.of("instruction", "action"),
}


def untag(text: str) -> tuple[str, str]:
    """Return (the opening that a tagged text begins with, "" for none; the text behind it).

    Only for texts of a run, which are proven to hold no other tags.
    """
    match = _OPENING.match(text)
    return (match[0], text[match.end() :]) if match else ("", text)


def modes_of(summary: Mapping[str, Any]) -> dict[str, Tags]:
    """Return the modes that a run's summary names; the built-in ones for a run of version 0.1, which names none.

    Raises UsageError where the summary is damaged.
    """
    told = summary.get("modes")
    if told is None:
        return dict(BUILT_IN_MODES)
    try:
        modes = {mode: (user_tag, assistant_tag) for mode, (user_tag, assistant_tag) in told.items()}
    except (AttributeError, TypeError, ValueError):
        modes = {"": ("", "")}
    # They are written into templates that other programs run, so nothing but names may stand there.
    if not all(MODE_NAME.fullmatch(mode) and all(map(check_tag, pair)) for mode, pair in modes.items()):
        raise UsageError("run-summary.json: 'modes' holds no pairs of tags", "make the run again")
    return {mode: Tags.of(*pair) for mode, pair in modes.items()}


def named_mode(name: str, modes: Mapping[str, Tags]) -> Tags:
    """Return the tags of a mode. Raises UsageError that lists the known modes."""
    if name not in modes:
        raise unknown_name("mode", name, modes, "for a plugin's mode, name the run that it was trained on: --run DIR")
    return modes[name]


def check_tag(tag: object) -> bool:
    """Say whether something can be a tag: a-z, 0-9 and _, a letter first."""
    return isinstance(tag, str) and TAG_NAME.fullmatch(tag) is not None


def bare(modes: Iterable[Tags]) -> tuple[str, ...]:
    """Return all tags without brackets."""
    return tuple(name for pair in modes for name in pair.names)
