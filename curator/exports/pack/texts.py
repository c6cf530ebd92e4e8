"""Whose words are in a run: the person's, and the others' beside them; nobody's are taken for another's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from curator.contract.secret_scan import secrets_of
from curator.records import CuratedSample
from curator.reports.likeness import asked_by_person

# "answer": said to somebody; "entry": from a diary, a note, a thought; "asked": said to an assistant.
Kind = Literal["answer", "entry", "asked"]
_YEARS: Final = range(1500, 2100)
# What is no way to speak, or nobody's business: code, links, addresses, long numbers, tags, macros of chat programs,
# and signs that steer a terminal or turn a line round.
_UNFIT: Final = re.compile(
    r"```|https?://|www\.|\S@\S|\d[\d ()./-]{7,}\d|<[^<>\s][^<>]{0,40}>|\[/?\w+\]|\{\{|\}\}"
    "|[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f]"
)


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
