"""Model families: the texts around a large model's turns, read from etc/schemas/*.json.

The files, and the rule by which a base model's name finds its family, are the curator's (docs/families.md); of each
file the trainer checks what it uses. A model that was trained here keeps its template in its trainer.json instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainer.errors import UsageError
from trainer.settings import parse, shipped_etc

Tags = tuple[str, str]
NO_TAGS: Tags = ("", "")


class Family(BaseModel):
    """What stands around a turn of a family's models.

    user_prefix | X | user_suffix + separator + assistant_prefix | Y | end, and turn_separator before the next.
    `default_system` is what the published template says where no system text is given (blanks: an empty one),
    `reply_lead` what it puts before the last reply alone.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)
    family: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    user_prefix: str
    user_suffix: str = ""
    separator: str = ""
    assistant_prefix: str
    assistant_suffix: str = ""
    eos_token: str = ""
    turn_separator: str = ""
    bos_token: str = ""
    system_prefix: str = ""
    system_suffix: str = ""
    system_place: Literal["turn", "first_user", "last_user"] = "turn"
    default_system: str = ""
    reply_lead: str = ""
    models: list[str] = Field(default_factory=list)
    control_tokens: list[str] = Field(default_factory=list)
    line_markers: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _begins_without_a_bos(self) -> Family:
        starts = (self.system_prefix, self.user_prefix)
        if self.bos_token and any(start.startswith(self.bos_token) for start in starts):
            raise ValueError(f"a turn begins with the bos_token {self.bos_token!r}, which the tokenizer adds by itself")
        return self

    @property
    def end(self) -> str:
        """Return what closes a reply: its suffix, and the end mark where the suffix does not hold it."""
        return self.assistant_suffix + ("" if self.eos_token in self.assistant_suffix else self.eos_token)

    @property
    def closing(self) -> str:
        """Return what stands between a question and its answer."""
        return self.user_suffix + self.separator + self.assistant_prefix

    @property
    def around_system(self) -> tuple[str, str]:
        """Return what stands before and behind a system text: a paragraph of its own where the file says nothing."""
        before, behind = self.system_prefix, self.system_suffix
        return (before, behind) if before or behind else ("", "\n\n")

    @property
    def empty_system(self) -> bool:
        """Say whether a system turn is written without a text where none is given."""
        return bool(self.default_system) and not self.default_system.strip()

    def system_turn(self, system: str = "") -> str:
        """Return a system text as the model sees it, the default one where none is given."""
        before, behind = self.around_system
        text = system or self.default_system
        return before + ("" if self.empty_system and not system else text) + behind if text else ""

    def prompt(self, asked: Sequence[str], answered: Sequence[str], system: str = "", tags: Tags = NO_TAGS) -> str:
        """Return what the model sees up to where it writes, BOS apart: questions, an answer to all but the last.

        A prompt never ends in a blank: the blank belongs to the first word of the reply.
        """
        opening, last = self.system_turn(system), len(asked) - 1
        place = {"turn": -1, "first_user": 0, "last_user": last}[self.system_place]
        out = opening if place < 0 else ""
        for index, question in enumerate(asked):
            out += self.user_prefix + (opening if index == place else "") + tags[0] + question
            if index < last:
                out += self.closing + tags[1] + answered[index] + self.end + self.turn_separator
        return out + (self.closing + self.reply_lead + tags[1]).rstrip(" ")


# --- files ---------------------------------------------------------------------------------------------------------


def load_families(home: Path | None) -> dict[str, Family]:
    """Return every family by name, a home's own in place of the shipped. Raises UsageError with every mistake."""
    found = {}
    for folder in (shipped_etc() / "schemas", home / "etc" / "schemas" if home else None):
        for path in sorted(folder.glob("*.json")) if folder else ():
            try:
                family = parse(path, Family)
            except UsageError as error:
                raise UsageError(error.what, "docs/families.md explains every key") from None
            found[family.family] = family
    return found


def named_family(name: str, families: dict[str, Family]) -> Family:
    """Return the family called `name`. Raises UsageError that lists the known ones."""
    if name not in families:
        raise UsageError(
            f"unknown family {name!r}: expected one of {', '.join(sorted(families))}",
            "a file in the home's etc/schemas/ adds one",
        )
    return families[name]


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())


def fitting(name: str, families: dict[str, Family]) -> list[Family]:
    """Return the families that a base model's name fits best: those with the longest known part in it."""
    length = {
        one.family: max(
            (len(part) for part in map(_plain, one.models or [one.family]) if part in _plain(name)), default=0
        )
        for one in families.values()
    }
    longest = max(length.values(), default=0)
    return [families[one] for one, found in length.items() if found == longest] if longest else []
