"""Whose words are in a run: the person's, and the others' beside them; nobody's are taken for another's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from curator.contract.secret_scan import secrets_of
from curator.language.words import split_words
from curator.likeness.texts import asked_by_person
from curator.records import CuratedSample

# "answer": said to somebody; "entry": from a diary, a note, a thought; "asked": said to an assistant.
Kind = Literal["answer", "entry", "asked"]
T = TypeVar("T")
_YEARS: Final = range(1500, 2100)
# What is no way to speak, or nobody's business: code, links, addresses, long numbers, tags, macros of chat programs,
# and signs that steer a terminal or turn a line round.
_UNFIT: Final = re.compile(
    r"```|https?://|www\.|\S@\S|\d[\d ()./-]{7,}\d|<[^<>\s][^<>]{0,40}>|\[/?\w+\]|\{\{|\}\}"
    "|[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f]"
)
_CLOSED_BY: Final = {"```": "```", "{{": "}}"}  # what is unfit as a whole, up to its end
_MARKS_AT_THE_END: Final = ".!?\u2026\u3002\uff01\uff1f"
_DIGIT: Final = re.compile(r"\d")
_HIDDEN: Final = "0"  # stands for a word that is not shown: what holds a digit never is
_ADDRESS: Final = 4  # words behind a number in which a capital may be a street's ("12 rue de la Paix")
MOST_COUNTED: Final = 20_000  # texts of a side in which habits and subjects are counted


@dataclass(frozen=True, slots=True)
class Said:
    """A text of the person's. `before` is what it answers, another's words, "" where it answers nobody."""

    text: str
    sample_id: str
    kind: Kind
    mode: str
    source: str
    year: str
    language: str
    before: str = ""

    @property
    def memory(self) -> str:
        """The memory in which it stands."""
        return self.sample_id.rpartition("-")[0]


@dataclass
class Texts:
    """The texts of a run, in its order: the person's, and others' as (language, text).

    `secrets` counts the person's texts that were left out since they hold one.
    """

    person: list[Said] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)
    secrets: int = 0


def texts_of(samples: Iterable[CuratedSample]) -> Texts:
    """Return whose words are in the samples; a text that stands in several of them counts once."""
    found, seen = Texts(), set[str]()
    for sample in samples:
        for said in _persons(sample):
            if said.text in seen:
                continue
            seen.add(said.text)
            if any(secrets_of((said.text, said.before))):
                found.secrets += 1
            else:
                found.person.append(said)
        language = sample.metadata.language
        found.others += [(language, text) for text in _others(sample) if text.strip()]
    return found


def _persons(sample: CuratedSample) -> Iterator[Said]:
    data = sample.metadata
    if data.reply_author == "person":
        for exchange in sample.context:
            if exchange.trained:  # joined to the sample as answers of one and the same author
                yield _said(sample, exchange.assistant_text, "answer", exchange.user_text)
        if data.prompted or data.thought:  # a question of ours, or a note that followed a thought
            yield _said(sample, sample.assistant_text, "entry")
        else:
            yield _said(sample, sample.assistant_text, "answer", sample.user_text)
    elif asked_by_person(sample):
        yield _said(sample, sample.user_text, "asked" if data.reply_author == "assistant" else "answer")


def _said(sample: CuratedSample, text: str, kind: Kind, before: str = "") -> Said:
    data = sample.metadata
    year = data.timestamp[:4]
    known = year.isascii() and year.isdigit() and int(year) in _YEARS
    return Said(
        text=text.strip(),
        sample_id=data.sample_id,
        kind=kind,
        mode=sample.mode,
        source=data.source_type,
        year=year if known else "",
        language=data.language,
        before=before.strip(),
    )


def _others(sample: CuratedSample) -> Iterator[str]:
    data = sample.metadata
    if data.reply_author in ("assistant", "other_human"):
        yield sample.assistant_text
    elif data.reply_author == "person" and not (data.prompted or data.thought):
        yield sample.user_text


def may_be_shown(text: str) -> bool:
    """Tell whether a text may stand in a pack: it holds no code, link, address, long number, tag or macro."""
    return _UNFIT.search(text) is None


def without_unfit(text: str) -> str:
    """Return a text in which a number stands for each unfit part, with the whole word (a link, an address) around it.

    So nothing is counted over the gap, and nothing beside it is taken for the beginning or the end of the text.
    """
    parts, end = [], 0
    for match in _UNFIT.finditer(text):
        stop = match.end()
        if stop <= end:
            continue
        if closing := _CLOSED_BY.get(match[0]):
            found = text.find(closing, stop)
            stop = found + len(closing) if found >= 0 else len(text)
        start = max(end, match.start())
        while start > end and not text[start - 1].isspace():
            start -= 1
        while stop < len(text) and not text[stop].isspace():
            stop += 1
        gone = text[start:stop]
        marks = gone[len(gone.rstrip(_MARKS_AT_THE_END)) :]
        parts += [text[end:start], f" {_HIDDEN}{marks}"]
        end = stop
    return "".join([*parts, text[end:]])


def countable(sentence: str) -> list[str]:
    """Return the words of a sentence, each that is not shown as a number: numbers, the words beside them, and the
    capitals that go on from there, since they may be an address ("12 Elm Road")."""
    words = split_words(sentence)
    if not _DIGIT.search(sentence):
        return words
    numbers = [place for place, word in enumerate(words) if _DIGIT.search(word)]
    hidden = set(numbers)
    for number in numbers:
        hidden.update(_beside(words, range(number + 1, len(words)), _ADDRESS))
        hidden.update(_beside(words, range(number - 1, -1, -1), 1))
    return [_HIDDEN if place in hidden else word for place, word in enumerate(words)]


def _beside(words: list[str], places: range, near: int) -> Iterator[int]:
    """Yield the places of the word beside a number, and of capitals `near` to it or behind one another."""
    goes_on = True
    for distance, place in enumerate(places, 1):
        capital = words[place][0].isupper() and len(words[place]) > 1
        if distance == 1 or (capital and (goes_on or distance <= near)):
            yield place
        elif distance >= near:
            return
        goes_on = capital or distance == 1


def is_shown(words: str) -> bool:
    """Tell whether a habit or a name may be shown: none that holds a digit, or something unfit, may."""
    return _DIGIT.search(words) is None and may_be_shown(words)


def evenly(texts: Sequence[T], most: int) -> Sequence[T]:
    """Return the texts, or `most` of them, evenly over time."""
    if len(texts) <= most:
        return texts
    return [texts[place * len(texts) // most] for place in range(most)]
