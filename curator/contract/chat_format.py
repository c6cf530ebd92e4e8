"""Chat formats: a model family loaded as data, the family of a base model by its name, texts rendered in its format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from curator.contract.errors import UsageError, printable, unknown_name
from curator.contract.files import read_bytes
from curator.contract.homes import shipped_etc, shipped_schemas
from curator.contract.modes import NO_TAGS, Tags
from curator.contract.records import Exchange, Family, Message
from curator.contract.settings_file import line_finder
from curator.contract.strict_json import BadJson, parse_json

_BETWEEN_WORDS = re.compile(r"[-_ ]")


def load_family(path: Path) -> Family:
    """Return one family file, validated. Raises UsageError that lists every mistake with its line."""
    from jsonschema import Draft202012Validator  # slow to load, and `curate --help` needs no family

    hint = "curate docs families lists its keys"
    try:
        text = read_bytes(path).decode("utf-8-sig")
        data = parse_json(text.encode())[0]
    except (OSError, UnicodeDecodeError, BadJson) as error:
        raise UsageError(f"{printable(str(path))}: no family file: {error}", hint) from None
    line = line_finder(text)
    problems = [
        f"{path}:{line(tuple(problem.absolute_path))}: {problem.message}"
        for problem in sorted(Draft202012Validator(_schema()).iter_errors(data), key=str)
    ]
    if not problems:
        problems = [f"{path}:{line((key,))}: {why}" for key, why in _twice_begun(data)]
    if problems:
        raise UsageError("a family file has mistakes:\n  " + "\n  ".join(problems), hint)
    return msgspec.convert(data, Family)


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = msgspec.json.decode((shipped_schemas() / "family.schema.json").read_bytes())
    return schema


def _twice_begun(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    bos = data.get("bos_token")
    for key in ("system_prefix", "user_prefix"):
        if bos and str(data.get(key, "")).startswith(bos):
            yield key, f"a turn begins with the bos_token {bos!r}, which the tokenizer adds by itself"


class FamilyFiles(NamedTuple):
    """The families of etc/schemas/ by name, and the home's files that were set aside for the shipped ones."""

    families: dict[str, Family]
    set_aside: dict[str, Path]


def read_family_files(shipped: Path, own: Path | None) -> FamilyFiles:
    """Return every family of the shipped folder and of the home's own, which replaces one of the same name.

    MetaHuman OS writes files of empty texts and leaves the wrapping to a tokenizer that never does it. Where such a
    file parts nothing and the shipped one of its name does, the shipped one is used.

    Raises UsageError that lists every mistake of a file.
    """
    families = {family.family: family for family in map(load_family, sorted(shipped.glob("*.json")))}
    set_aside = {}
    for path in sorted(own.glob("*.json")) if own else []:
        family = load_family(path)
        twin = families.get(family.family)
        if twin and ChatFormat(family).touches and not ChatFormat(twin).touches:
            set_aside[family.family] = path
        else:
            families[family.family] = family
    return FamilyFiles(families, set_aside)


def load_families(home: Path | None) -> dict[str, Family]:
    """Return the families of `read_family_files` for a home. Raises UsageError that lists every mistake of a file."""
    return read_family_files(*family_folders(home)).families


def family_folders(home: Path | None) -> tuple[Path, Path | None]:
    """Return the folders of family files: the shipped one, and the home's own where it has one."""
    shipped, own = shipped_etc() / "schemas", home / "etc" / "schemas" if home else None
    return shipped, own if own and own.is_dir() and own.resolve() != shipped.resolve() else None


def _plain(name: str) -> str:
    return _BETWEEN_WORDS.sub("", name.lower())


def fitting_families(base_model: str, families: Mapping[str, Family]) -> list[Family]:
    """Return the families that a base model's name fits best: those with the longest known part in it."""
    lengths = {}
    for family in families.values():
        parts = [_plain(part) for part in family.models or (family.family,)]
        lengths[family.family] = max((len(part) for part in parts if part in _plain(base_model)), default=0)
    longest = max(lengths.values(), default=0)
    return [families[name] for name, length in lengths.items() if length == longest] if longest else []


def detect_family(base_model: str, families: Mapping[str, Family]) -> Family:
    """Return the family of a base model by its name; the longest known part of the name wins.

    Raises UsageError that lists the known families where nothing fits, or where two fit equally well.
    """
    best = fitting_families(base_model, families)
    if not best:
        known = ", ".join(sorted(families))
        raise UsageError(f"no family is known for the base model {base_model!r}", f"name one with --family: {known}")
    if len(best) > 1:
        both = " and ".join(family.family for family in best)
        raise UsageError(f"the base model {base_model!r} fits {both}", "name one of them with --family")
    return best[0]


def named_family(name: str, families: Mapping[str, Family]) -> Family:
    """Return the family called `name`. Raises UsageError that lists the known ones."""
    if name not in families:
        raise unknown_name("family", name, families, "a file in the home's etc/schemas/ adds one")
    return families[name]


def pick_family(families: Mapping[str, Family], name: str | None, base_model: str | None, default: str) -> Family:
    """Return the family called `name`, else that of `base_model`, else the default. Raises UsageError for none."""
    if name or not base_model:
        return named_family(name or default, families)
    return detect_family(base_model, families)


@dataclass(frozen=True)
class Segment:
    """A stretch of a rendered conversation. `message` is the index of the message that it belongs to, None where the
    template adds it by itself (a default system text).

    `part`: "before" opens a message (in a reply, up to where a generation prompt ends), "content" is its own text,
    "after" closes it. In a reply, "end" is its end mark and "lead" any other text that is learnt with the content.
    """

    text: str
    message: int | None
    part: Literal["before", "lead", "content", "end", "after"]


class ChatFormat:
    """Renders texts for one family. `prompt_and_completion(...)` gives the two halves of a sample, `segments(...)` a
    whole conversation; their concatenation is what the model sees, without the BOS that its tokenizer adds.

    user_prefix | X | closing + opening | response_prefix | Y | response_suffix + eos + after_eos, and turn_separator
    before the next user_prefix
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
        self.response_prefix = tail[len(self._ask) :]
        self.response_suffix, self.eos, self.after_eos = family.assistant_suffix, family.eos_token, ""
        if self.eos in self.response_suffix:
            # The end mark is part of the suffix; of a family that names none, the whole suffix is the end mark.
            parts = self.response_suffix.partition(self.eos) if self.eos else ("", self.response_suffix, "")
            self.response_suffix, self.eos, self.after_eos = parts
        self.end = self.response_suffix + self.eos + self.after_eos
        self.system_prefix, self.system_suffix = family.system_prefix, family.system_suffix
        if not (self.system_prefix or self.system_suffix):
            self.system_suffix = "\n\n"  # a file that says nothing of system texts: a paragraph of its own
        default = family.default_system
        # A default of blanks stands for an empty text: Llama 3.1 writes a system turn, with the date, even then.
        self.default_system = self._system(default if default.strip() else "") if default else ""
        self._in_turn = family.system_place != "turn"

    def prompt_and_completion(
        self, asked: str, answered: str, context: tuple[Exchange, ...] = (), system: str = ""
    ) -> tuple[str, str]:
        """Return (input, output) for texts that already carry their mode tags."""
        questions = [*(exchange.user_text for exchange in context), asked]
        prompt = self._system(system) if system else self.default_system
        if self._in_turn:
            place = 0 if self.family.system_place == "first_user" else -1
            questions[place], prompt = prompt + questions[place], ""
        head = self.family.user_prefix
        for question, exchange in zip(questions, context, strict=False):
            answer = f"{self.response_prefix}{exchange.assistant_text}{self.end}"
            prompt += f"{head}{question}{self._ask}{answer}{self.family.turn_separator}"
        return (
            f"{prompt}{head}{questions[-1]}{self._ask}",
            f"{self.response_prefix}{self.family.reply_lead}{answered}{self.end}{self.family.document_end}",
        )

    def _system(self, text: str) -> str:
        return self.system_prefix + text + self.system_suffix

    def segments(self, messages: Sequence[Message]) -> list[Segment]:
        """Return the rendering of a conversation: an optional system message, then user and assistant in turn."""
        segments, system, first = [], self._system_pieces(messages), int(messages[0].role == "system")
        users = range(first, len(messages), 2)
        place = {"turn": -1, "first_user": users[0], "last_user": users[-1]}[self.family.system_place]
        if not self._in_turn:
            segments += system
        for index, message in enumerate(messages[first:], first):
            assert message.role == ("user" if index in users else "assistant"), f"message {index} is {message.role}'s"
            content = Segment(message.content, index, "content")
            if message.role == "user":
                between = self.family.turn_separator if index > first else ""
                segments.append(Segment(between + self.family.user_prefix, index, "before"))
                segments += [*(system if index == place else ()), content, Segment(self.closing, index, "after")]
            else:
                lead = self.response_prefix + (self.family.reply_lead if index == len(messages) - 1 else "")
                segments += [Segment(self.opening, index, "before"), Segment(lead, index, "lead"), content]
                segments += [Segment(self.response_suffix, index, "lead"), Segment(self.eos, index, "end")]
                segments.append(Segment(self.after_eos, index, "after"))
        segments.append(Segment(self.family.document_end, len(messages) - 1, "after"))
        return [piece for piece in segments if piece.text]

    def _system_pieces(self, messages: Sequence[Message]) -> list[Segment]:
        has_system = messages[0].role == "system"
        if not has_system and not self.family.default_system:
            return []
        text, index = (messages[0].content, 0) if has_system else (self.family.default_system, None)
        return [
            Segment(self.system_prefix, index, "before"),
            Segment(text if has_system or text.strip() else "", index, "content"),
            Segment(self.system_suffix, index, "after"),
        ]

    def _head(self, with_system: bool) -> str:
        """Return what a wrapped line begins with; `with_system` adds a default system text inside the user's turn."""
        prefix, default = self.family.user_prefix, self.default_system
        return (prefix + (default if with_system else "")) if self._in_turn else default + prefix

    def exchanges(self, prompt: str, reply: str, openings: tuple[str, ...] = ()) -> list[tuple[str, str, int]] | None:
        """Return (asked, answered, offset of asked in `prompt`) of each exchange of a wrapped line, oldest first.

        Returns None where the format is not this family's. The last exchange takes its answer from `reply`. `openings`
        are the tags that answers begin with: in a family whose format is empty, they alone part question and answer.
        """
        last_only = self.default_system if self.family.system_place == "last_user" else ""
        head = self._head(not last_only)
        body = _inside(prompt, head, self._ask)
        final = _inside(reply, self.response_prefix + self.family.reply_lead, self.end + self.family.document_end)
        if body is None or final is None:
            return None
        junction = self.end + self.family.turn_separator + self.family.user_prefix
        parts = body.split(junction) if junction.strip() else [body]
        if not parts[-1].startswith(last_only):
            return None
        exchanges, place = [], len(head)
        for part in parts[:-1]:
            before = self.before_response
            asked, _, answered = part.partition(before) if before else (part, "", "")
            cuts = [part.find(opening) for opening in openings if opening in part] if not answered else []
            if cuts:
                asked, answered = part[: min(cuts)], part[min(cuts) :]
            exchanges.append((asked, answered, place))
            place += len(part) + len(junction)
        return [*exchanges, (parts[-1][len(last_only) :], final, place + len(last_only))]

    @property
    def touches(self) -> bool:
        """True where nothing stands between question and answer: only tags tell the model where the answer begins."""
        return not self.before_response.strip(" ")

    @property
    def before_response(self) -> str:
        """All that stands between a question and its answer."""
        return self._ask + self.response_prefix

    @property
    def empty_system(self) -> bool:
        """True where a system turn is written even if no system text is given; its text is then empty."""
        default = self.family.default_system
        return bool(default) and not default.strip()

    def generation_prompt(
        self, asked: Sequence[str], answered: Sequence[str] = (), system: str = "", tags: Tags = NO_TAGS
    ) -> str:
        """Return what the model sees before it writes, without BOS: questions, with an answer to each but the last.

        A prompt never ends in a blank: the blank belongs to the first word of the reply.
        """
        earlier = zip(asked, answered, strict=False)
        context = tuple([Exchange(tags.user + question, tags.assistant + answer) for question, answer in earlier])
        prompt, _ = self.prompt_and_completion(tags.user + asked[-1], "", context, system)
        return (prompt + self.response_prefix + self.family.reply_lead + tags.assistant).rstrip(" ")


def line_markers(family: Family) -> tuple[str, ...]:
    """Return what lines of this family's turns begin with: its file's markers, else prefixes like "Human:"."""
    prefixes = (family.user_prefix.strip(), family.assistant_prefix.strip())
    plain = tuple(prefix for prefix in prefixes if prefix.endswith(":") and prefix[:-1].replace(" ", "").isalpha())
    return family.line_markers or plain


def forged_turn(text: str, markers: tuple[str, ...]) -> int:
    """Return where a line of a text begins like a turn, by one of the markers; -1 where none does.

    A line ends as any reader of the text may see it: at a newline, a carriage return, or one of Unicode's own.
    """
    if not markers or not any([marker in text for marker in markers]):  # noqa: C419 - of every text
        return -1
    place = 0
    for line in text.splitlines(keepends=True):
        bare = line.lstrip()
        if bare.startswith(markers):
            return place + len(line) - len(bare)
        place += len(line)
    return -1


def _inside(text: str, head: str, tail: str) -> str | None:
    """Return what stands between `head` and `tail`, None where the text does not begin and end in them."""
    if len(text) < len(head) + len(tail) or not (text.startswith(head) and text.endswith(tail)):
        return None
    return text[len(head) : len(text) - len(tail)]
