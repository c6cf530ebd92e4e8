"""Model families: loading them as data, finding the one of a base model, and wrapping a sample for it."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from curator.config import line_finder
from curator.errors import UsageError, unknown_name
from curator.files import printable
from curator.records import Exchange, Family, FormattedSample, SchemaSample


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


class Wrapper:
    """Wraps formatted samples for one family. `halves(...)` gives the wrapped input and output; their concatenation is
    what the model sees, without the BOS that its tokenizer adds."""

    def __init__(self, family: Family) -> None:
        self.family = family
        # A prompt never ends in a space: the tokenizer would put it with the reply's first word in training and by
        # itself in use. It goes to the reply's side instead.
        prefix = family.assistant_prefix
        self._ask = family.user_suffix + family.separator + prefix.rstrip(" ")
        if not prefix.strip(" "):
            self._ask = (family.user_suffix + family.separator + prefix).rstrip(" ")
        tail = family.user_suffix + family.separator + prefix
        self._lead = tail[len(self._ask) :]
        ends = family.eos_token if family.eos_token not in family.assistant_suffix else ""
        self._end = family.assistant_suffix + ends

    def halves(self, asked: str, answered: str, context: tuple[Exchange, ...] = ()) -> tuple[str, str]:
        """Return (input, output) for texts that already carry their mode tags."""
        earlier = ""
        for exchange in context:
            earlier += self._turn(exchange.user_text, exchange.assistant_text) + self.family.turn_separator
        return (
            f"{earlier}{self.family.user_prefix}{asked}{self._ask}",
            f"{self._lead}{answered}{self._end}",
        )

    def _turn(self, asked: str, answered: str) -> str:
        return f"{self.family.user_prefix}{asked}{self._ask}{self._lead}{answered}{self._end}"

    def wrap(self, sample: FormattedSample) -> SchemaSample:
        """Return the sample with the family's texts around it."""
        given, reply = self.halves(sample.input, sample.output, sample.context)
        return SchemaSample(
            sample.mode, given, reply, sample.input, sample.output, self.family.family, sample.metadata, sample.context
        )

    def unwrap(self, given: str, reply: str) -> tuple[str, str] | None:
        """Return the tagged texts of a wrapped line without context, or None where the wrapper is not this family's."""
        head, tail = self.family.user_prefix, self._ask
        if not (given.startswith(head) and given.endswith(tail) and len(given) >= len(head) + len(tail)):
            return None
        if not (reply.startswith(self._lead) and reply.endswith(self._end)):
            return None
        return given[len(head) : len(given) - len(tail)], reply[len(self._lead) : len(reply) - len(self._end)]

    def exchanges(self, given: str, reply: str, openings: tuple[str, ...] = ()) -> list[tuple[str, str, int]] | None:
        """Return (asked, answered, offset of asked in `given`) of each exchange of a wrapped line, oldest first.

        None where the wrapper is not this family's. The last exchange's answer is that of `reply`. `openings` are the
        tags that answers begin with: all that parts question and answer in a family whose wrapper is empty.
        """
        whole = self.unwrap(given, reply)
        if whole is None:
            return None
        junction = self._end + self.family.turn_separator + self.family.user_prefix
        parts = whole[0].split(junction) if junction.strip() else [whole[0]]
        found, place = [], len(self.family.user_prefix)
        for part in parts[:-1]:
            asked, _, answered = part.partition(self._ask + self._lead) if self._ask + self._lead else (part, "", "")
            cuts = [part.find(opening) for opening in openings if opening in part] if not answered else []
            if cuts:
                asked, answered = part[: min(cuts)], part[min(cuts) :]
            found.append((asked, answered, place))
            place += len(part) + len(junction)
        return [*found, (parts[-1], whole[1], place)]

    @property
    def touches(self) -> bool:
        """True where nothing stands between question and answer: the model could not tell them apart but for tags."""
        return not (self._ask + self._lead).strip(" ")
