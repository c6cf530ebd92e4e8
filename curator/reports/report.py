"""The quality report: what a set holds, measured against its targets, and where everything else went.

`Report` is what report.json holds; `build` makes it, `terminal` and `page` show it. No clock time, no absolute path.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from curator.contract.errors import HostError, UsageError, counted, printable
from curator.contract.files import read_bytes
from curator.contract.records import MAKE_AGAIN, REPORT, Record, read_summary

REPORT_FORMAT = "persona-curator-report"


class Check(Record, frozen=True, gc=False, omit_defaults=False):
    """One measure beside its target. `verdict`: "ok", "low", "high", or "n/a" where the target does not apply.

    Where `measured` is False there is no value: `advice` says why it could not be measured.
    """

    name: str
    value: float
    unit: str
    target: str
    verdict: Literal["ok", "low", "high", "n/a"]
    advice: str = ""
    measured: bool = True


class Step(Record, frozen=True, gc=False, omit_defaults=False):
    """One step of the funnel: how many `unit` came through it, and by reason how many did not."""

    name: str
    count: int
    unit: str
    lost: dict[str, int]


class DropCount(Record, frozen=True, gc=False, omit_defaults=False):
    """How many were turned down at a stage for a reason, and the detail and the file of the first."""

    stage: Literal["read", "event", "pair", "clean", "screen", "select"]
    reason: str
    count: int
    example: str
    path: str


class Card(Record, frozen=True, gc=False, omit_defaults=False):
    """A sample to look at."""

    sample_id: str
    mode: str
    user_text: str
    assistant_text: str
    source: str


class RepeatedPrompt(Record, frozen=True, gc=False, omit_defaults=False):
    """A prompt that several samples have, its first 200 characters, and how many."""

    text: str
    count: int


class HoldoutReport(Record, frozen=True, gc=False, omit_defaults=False):
    """The held-out split: wanted and found, and the exact comparison with training that proves it apart.

    `highest_reply_similarity` is that of replies by themselves. `not_measured` counts the held-out samples of too few
    words for a similarity to mean anything. `by` says which conversations: drawn at random, or the newest (time).
    """

    wanted: int
    samples: int
    threshold: float
    highest_similarity: float
    pairs_compared: int
    highest_reply_similarity: float = 0.0
    not_measured: int = 0
    by: str = "random"


class VoicePlace(Record, frozen=True, gc=False, omit_defaults=False):
    """Where texts stand: 0 the others, 100 the person, with the bounds of 95%; None and why, where nothing tells."""

    score: float | None
    low: float | None
    high: float | None
    words: int
    why: str


class VoiceSample(Record, frozen=True, gc=False, omit_defaults=False):
    """A reply that is taken for the person's and is among the least like them, its first 200 characters."""

    sample_id: str
    score: float
    words: int
    reply: str
    source: str


class VoiceReport(Record, frozen=True, gc=False, omit_defaults=False):
    """How much the replies in the main `language` sound like the person; `curate docs voice` has the measure.

    `groups` are by author, mode, source and year, `languages` the scores in every language, each by its own words.
    `person_words` and `other_words` are known of the two sides, `others` says who these are. `read` of `samples` in
    this language were read, evenly over their time. `why` says what is missing where nothing can be told.
    """

    language: str
    others: str
    person_words: int
    other_words: int
    read: int
    samples: int
    whole: VoicePlace
    groups: dict[str, dict[str, VoicePlace]]
    languages: dict[str, VoicePlace]
    least: tuple[VoiceSample, ...]
    why: str


class Report(Record, frozen=True, gc=False, omit_defaults=False):
    """report.json. Shares in percent; `memory_fates` adds up to `memories` and `drops` of a stage to its losses.

    `warnings` are what the user should do something about, `notices` facts beside the figures. `authors` counts the
    samples by whose words the reply is, `languages` by its language (ISO 639-1, "und" where it cannot be told),
    `questions` by where the prompt comes from ("own": the memory, "passage": made from the reply, "stock":
    etc/prompts.json), `turns` by how many exchanges a sample has and `trained_replies` by how many of their replies are
    trained, `secrets` those turned down or kept by the kind of secret, `too_long` those of more tokens than
    etc/targets.json's max_tokens; it and `tokens` are estimates by characters. `corrections` are the near-duplicates
    kept since they say another thing, `sessions` the talks without a long silence, `silences` the histogram of the time
    between messages, `suggested_session_minutes` the silence that parts it best, 0 where none does. `voice` says how
    much the replies sound like the person.
    """

    format: str
    version: int
    username: str
    family: str
    mode: str
    samples: int
    train: int
    memories: int
    memories_used: int
    memories_with_samples: int
    modes: dict[str, int]
    types: dict[str, int]
    months: dict[str, int]
    mode_sources: dict[str, int]
    checks: tuple[Check, ...]
    funnel: tuple[Step, ...]
    memory_fates: dict[str, int]
    drops: tuple[DropCount, ...]
    cleaned: dict[str, int]
    characters: int
    tokens: int
    tokens_note: str
    fitness: dict[str, str]
    holdout: HoldoutReport
    notices: tuple[str, ...]
    cards: tuple[Card, ...]
    warnings: tuple[str, ...] = ()
    authors: dict[str, int] = msgspec.field(default_factory=dict)
    languages: dict[str, int] = msgspec.field(default_factory=dict)
    questions: dict[str, int] = msgspec.field(default_factory=dict)
    repeated_prompts: tuple[RepeatedPrompt, ...] = ()
    turns: dict[str, int] = msgspec.field(default_factory=dict)
    trained_replies: dict[str, int] = msgspec.field(default_factory=dict)
    secrets: dict[str, int] = msgspec.field(default_factory=dict)
    too_long: int = 0
    corrections: int = 0
    sessions: int = 0
    silences: dict[str, int] = msgspec.field(default_factory=dict)
    suggested_session_minutes: int = 0
    encrypted: int = 0
    voice: VoiceReport | None = None


def read_report(folder: Path) -> Report:
    """Return a run's report.json. Raises UsageError where the folder is no run or the file is damaged, HostError."""
    read_summary(folder)
    path, shown = folder / REPORT, printable(str(folder / REPORT))
    try:
        return msgspec.json.decode(read_bytes(path), type=Report)
    except OSError as error:
        raise HostError(f"{shown}: {error.strerror}", MAKE_AGAIN) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{shown}: {error}", MAKE_AGAIN) from None


def headline(report: Report) -> str:
    """Return how many samples there are, and of how many memories."""
    used = 100 * report.memories_used / max(report.memories, 1)
    return (
        f"{counted(report.samples, 'sample')} ({report.train:,} training, {report.samples - report.train:,} held out) "
        f"from {report.memories_used:,} of {counted(report.memories, 'memory', 'memories')} ({used:.1f}%)"
    )


_AUTHORS = {
    "person": "the person's", "assistant": "an assistant's", "other_human": "another human's", "tool": "a tool's",
}  # fmt: skip
_QUESTIONS = {
    "own": "of the memory itself", "passage": "made from the passage", "stock": "of etc/prompts.json",
}  # fmt: skip


def listed(counts: Mapping[str, int], names: Mapping[str, str] | None = None) -> str:
    """Return counts in words, by their `names` where these have one: "the person's 12, a tool's 3"."""
    return ", ".join(f"{(names or {}).get(name, name)} {count:,}" for name, count in counts.items()) or "none"


def _by_number(counts: Mapping[str, int]) -> str:
    return ", ".join(f"of {number}: {count:,}" for number, count in counts.items())


def voices(report: Report) -> list[str]:
    """Return whose words the replies are, in which languages, whose questions they answer, and their exchanges."""
    lines = []
    if report.authors:
        lines.append(f"Replies by author: {listed(report.authors, _AUTHORS)}")
        lines.append(f"Replies by language: {listed(report.languages, {'und': 'too short to tell'})}")
        lines.append(f"Prompts: {listed(report.questions, _QUESTIONS)}")
    if report.secrets:
        lines.append(f"Samples with secrets, by kind: {listed(report.secrets)}")
    if set(report.turns) - {"1"}:
        lines.append(f"Samples by exchanges: {_by_number(report.turns)}")
    if set(report.trained_replies) - {"1"}:
        lines.append(f"Samples by trained replies: {_by_number(report.trained_replies)}")
    if report.sessions:
        lines.append(f"Sessions of talk: {report.sessions:,}")
    return lines


def voice_scores(report: Report) -> list[str]:
    """Return how much the replies sound like the person, by author, and the least alike, each as a line."""
    voice = report.voice
    if voice is None:
        return []
    if voice.why:
        return [f"Voice, in {voice.language!r}: too little to tell: {voice.why}"]
    by_author = ", ".join(
        f"{_AUTHORS.get(name, name)} {_score(place)}" for name, place in voice.groups["author"].items()
    )
    lines = [
        f"Voice, in {voice.language!r}, from 0 (others) to 100 (the person, unseen): {_score(voice.whole)}; {by_author}"
    ]
    if voice.read < voice.samples:
        lines[0] += f"; of {voice.read:,} of {counted(voice.samples, 'sample')}, evenly over their time"
    if voice.least:
        least = ", ".join(f"{one.sample_id} ({one.score:.0f})" for one in voice.least[:3])
        lines.append(f"Least like the person: {least}; curate explain shows whose words one is, and from where")
    return lines


def _score(place: VoicePlace) -> str:
    if place.score is None:
        return place.why
    return f"{place.score:.0f} ({place.low:.0f} to {place.high:.0f})"


def facts(report: Report) -> list[str]:
    """Return what a set is fit for, its holdout and its sums, each as a line; of terminal and page alike."""
    holdout = report.holdout
    lines = [f"{name[0].upper()}{name[1:]}: {verdict}" for name, verdict in report.fitness.items()]
    if holdout.samples:
        newest = "the newest " if holdout.by == "time" else ""
        nearest = (
            f"the nearest has {holdout.highest_similarity:.3f}" if holdout.highest_similarity else "all are far below"
        )
        lines.append(
            f"Holdout: {counted(holdout.samples, 'sample')} of {newest}whole conversations; no training sample comes "
            f"within Jaccard similarity {holdout.threshold:g} of any ({counted(holdout.pairs_compared, 'pair')} might: "
            f"compared exactly, {nearest})"
        )
        if holdout.highest_reply_similarity:
            lines[-1] += f"; of the replies by themselves the nearest has {holdout.highest_reply_similarity:.3f}"
        if holdout.not_measured:
            few = counted(holdout.not_measured, "held-out sample has", "held-out samples have")
            lines[-1] += f"; {few} too few words to be measured"
    lines += [f"Samples by mode: {listed(report.modes)}", *voices(report), *voice_scores(report)]
    lines.append(f"Modes of the memories decided by: {listed(report.mode_sources)}")
    lines.append(f"Replies changed by cleaners: {listed(report.cleaned)}")
    lines.append(
        f"Memories that make at least one sample: {report.memories_with_samples:,} of {report.memories:,} "
        f"({100 * report.memories_with_samples / max(report.memories, 1):.1f}%), near-duplicates included"
    )
    return lines
