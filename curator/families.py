"""Model families: loading them as data, finding the one of a base model, and wrapping a sample for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from curator.config import line_finder
from curator.errors import UsageError, unknown_name
from curator.files import printable
from curator.records import Exchange, Family, FormattedSample, Message, SchemaSample


def load_family(path: Path) -> Family:
    """Read and validate one family file. Raises UsageError that lists every mistake with its line."""
    from jsonschema import Draft202012Validator

    from curator.schema_files import shipped_schema

    try:
        text = path.read_text("utf-8-sig")
        data = msgspec.json.decode(text)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise UsageError(
            f"{printable(str(path))}: no family file: {error}", "see docs/families.md for its keys"
        ) from None
    line = line_finder(text)
    problems = [
        f"{path}:{line(tuple(one.absolute_path))}: {one.message}"
        for one in sorted(Draft202012Validator(shipped_schema("family")).iter_errors(data), key=str)
    ]
    if problems:
        raise UsageError("a family file has mistakes:\n  " + "\n  ".join(problems), "see docs/families.md for its keys")
    return msgspec.convert(data, Family)


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())


def detect_family(base_model: str, families: dict[str, Family]) -> Family:
    """Find the family of a base model by its name; the longest known part of the name wins.

    Raises UsageError that lists the known families where nothing fits, or where two fit equally well.
    """
    found: dict[str, int] = {}
    for family in families.values():
        parts = [_plain(part) for part in family.models or (family.family,)]
        found[family.family] = max((len(part) for part in parts if part in _plain(base_model)), default=0)
    longest = max(found.values(), default=0)
    best = [name for name, length in found.items() if length == longest]
    if not longest:
        known = ", ".join(sorted(families))
        raise UsageError(f"no family is known for the base model {base_model!r}", f"name one with --family: {known}")
    if len(best) > 1:
        raise UsageError(f"the base model {base_model!r} fits {' and '.join(best)}", "name one of them with --family")
    return families[best[0]]


def pick_family(families: dict[str, Family], name: str | None, base_model: str | None, default: str) -> Family:
    """Return the family called `name`, else that of `base_model`, else the default."""
    if name or not base_model:
        name = name or default
        if name not in families:
            raise unknown_name("family", name, families, "a file in the home's etc/schemas/ adds one")
        return families[name]
    return detect_family(base_model, families)


@dataclass(frozen=True)
class Piece:
    """A stretch of a rendered conversation. `message` is the index of the message that it belongs to, None where the
    template adds it of itself (a default system text).

    `part`: "before" opens a message (a reply's ends where a generation prompt ends), "content" is its own text, "after"
    closes it. A reply has an "end", its end mark; what stands between these three and is learnt with them is "lead".
    """

    text: str
    message: int | None
    part: Literal["before", "lead", "content", "end", "after"]


class Wrapper:
    """Wraps texts for one family. `halves(...)` gives the wrapped input and output of a sample, `pieces(...)` a whole
    conversation; their concatenation is what the model sees, without the BOS that its tokenizer adds.

    user_prefix | X | closing + opening | lead | Y | gap + mark + rest, and turn_separator before the next user_prefix
    """

    def __init__(self, family: Family) -> None:
        self.family = family
        # A prompt never ends in a space: the tokenizer would put it with the reply's first word in training and by
        # itself in use. It goes to the reply's side instead.
        closing, prefix = family.user_suffix + family.separator, family.assistant_prefix
        tail = closing + prefix
        self._ask = closing + prefix.rstrip(" ") if prefix.strip(" ") else tail.rstrip(" ")
        self.closing = closing[: len(self._ask)]
        self.opening = self._ask[len(self.closing) :]
        self.lead = tail[len(self._ask) :]
        self.gap, self.mark, self.rest = family.assistant_suffix, family.eos_token, ""
        if self.mark in self.gap:
            # A family that names no end mark ends its replies in its whole suffix.
            self.gap, self.mark, self.rest = self.gap.partition(self.mark) if self.mark else ("", self.gap, "")
        self._end = self.gap + self.mark + self.rest
        self.system_prefix, self.system_suffix = family.system_prefix, family.system_suffix
        if not (self.system_prefix or self.system_suffix):
            self.system_suffix = "\n\n"  # a file that says nothing of system texts: a paragraph of its own
        default = family.default_system
        # A default of blanks stands for an empty text: Llama 3.1 writes a system turn, with the date, even then.
        self.default_system = self._system(default if default.strip() else "") if default else ""
        self._in_turn = family.system_place != "turn"

    def halves(
        self, asked: str, answered: str, context: tuple[Exchange, ...] = (), system: str = ""
    ) -> tuple[str, str]:
        """Return (input, output) for texts that already carry their mode tags."""
        questions = [*(exchange.user_text for exchange in context), asked]
        given = self._system(system) if system else self.default_system
        if self._in_turn:
            place = 0 if self.family.system_place == "first_user" else -1
            questions[place], given = given + questions[place], ""
        head = self.family.user_prefix
        for question, exchange in zip(questions, context, strict=False):
            answer = f"{self.lead}{exchange.assistant_text}{self._end}"
            given += f"{head}{question}{self._ask}{answer}{self.family.turn_separator}"
        return (
            f"{given}{head}{questions[-1]}{self._ask}",
            f"{self.lead}{self.family.reply_lead}{answered}{self._end}{self.family.document_end}",
        )

    def _system(self, text: str) -> str:
        return self.system_prefix + text + self.system_suffix

    def pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """Return the rendering of a conversation: an optional system message, then user and assistant in turn."""
        found, system, first = [], self._system_pieces(messages), int(messages[0].role == "system")
        users = range(first, len(messages), 2)
        place = {"turn": -1, "first_user": users[0], "last_user": users[-1]}[self.family.system_place]
        if not self._in_turn:
            found += system
        for index, message in enumerate(messages[first:], first):
            assert message.role == ("user" if index in users else "assistant"), f"message {index} is {message.role}'s"
            content = Piece(message.content, index, "content")
            if message.role == "user":
                between = self.family.turn_separator if index > first else ""
                found.append(Piece(between + self.family.user_prefix, index, "before"))
                found += [*(system if index == place else ()), content, Piece(self.closing, index, "after")]
            else:
                lead = self.lead + (self.family.reply_lead if index == len(messages) - 1 else "")
                found += [Piece(self.opening, index, "before"), Piece(lead, index, "lead"), content]
                found += [Piece(self.gap, index, "lead"), Piece(self.mark, index, "end")]
                found.append(Piece(self.rest, index, "after"))
        found.append(Piece(self.family.document_end, len(messages) - 1, "after"))
        return [piece for piece in found if piece.text]

    def _system_pieces(self, messages: Sequence[Message]) -> list[Piece]:
        given = messages[0].role == "system"
        if not given and not self.family.default_system:
            return []
        text, index = (messages[0].content, 0) if given else (self.family.default_system, None)
        return [
            Piece(self.system_prefix, index, "before"),
            Piece(text if given or text.strip() else "", index, "content"),
            Piece(self.system_suffix, index, "after"),
        ]

    def wrap(self, sample: FormattedSample) -> SchemaSample:
        """Return the sample with the family's texts around it."""
        given, reply = self.halves(sample.input, sample.output, sample.context)
        return SchemaSample(
            sample.mode, given, reply, sample.input, sample.output, self.family.family, sample.metadata, sample.context
        )

    def unwrap(self, given: str, reply: str) -> tuple[str, str] | None:
        """Return the tagged texts of a wrapped line without context, or None where the wrapper is not this family's."""
        asked = _inside(given, self._head(self._in_turn), self._ask)
        answered = _inside(reply, self.lead + self.family.reply_lead, self._end + self.family.document_end)
        return None if asked is None or answered is None else (asked, answered)

    def _head(self, with_system: bool) -> str:
        """What a wrapped line begins with, `with_system` a default system text that stands inside the user's turn."""
        prefix, default = self.family.user_prefix, self.default_system
        return (prefix + (default if with_system else "")) if self._in_turn else default + prefix

    def exchanges(self, given: str, reply: str, openings: tuple[str, ...] = ()) -> list[tuple[str, str, int]] | None:
        """Return (asked, answered, offset of asked in `given`) of each exchange of a wrapped line, oldest first.

        None where the wrapper is not this family's. The last exchange's answer is that of `reply`. `openings` are the
        tags that answers begin with: all that parts question and answer in a family whose wrapper is empty.
        """
        last_only = self.default_system if self.family.system_place == "last_user" else ""
        head = self._head(not last_only)
        body = _inside(given, head, self._ask)
        final = _inside(reply, self.lead + self.family.reply_lead, self._end + self.family.document_end)
        if body is None or final is None:
            return None
        junction = self._end + self.family.turn_separator + self.family.user_prefix
        parts = body.split(junction) if junction.strip() else [body]
        if not parts[-1].startswith(last_only):
            return None
        found, place = [], len(head)
        for part in parts[:-1]:
            asked, _, answered = part.partition(self._ask + self.lead) if self._ask + self.lead else (part, "", "")
            cuts = [part.find(opening) for opening in openings if opening in part] if not answered else []
            if cuts:
                asked, answered = part[: min(cuts)], part[min(cuts) :]
            found.append((asked, answered, place))
            place += len(part) + len(junction)
        return [*found, (parts[-1][len(last_only) :], final, place + len(last_only))]

    @property
    def touches(self) -> bool:
        """True where nothing stands between question and answer: the model could not tell them apart but for tags."""
        return not (self._ask + self.lead).strip(" ")


def _inside(text: str, head: str, tail: str) -> str | None:
    """Return what stands between `head` and `tail`, None where the text does not begin and end in them."""
    if len(text) < len(head) + len(tail) or not (text.startswith(head) and text.endswith(tail)):
        return None
    return text[len(head) : len(text) - len(tail)]
