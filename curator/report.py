"""The quality report: what a set holds, measured against its targets, and where everything else went.

`Report` is what report.json holds; `report_terminal` and `report_html` show it. No clock time, no absolute path.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from curator import timestamps
from curator.config import Range, Settings, TargetsConfig
from curator.pipeline import Choice, DropLog, Options, Sampler
from curator.records import CuratedSample, Record
from curator.splitting import count_words

REPORT_FORMAT = "persona-curator-report"
_CARD_WORDS = 60


class Check(Record, frozen=True, gc=False, omit_defaults=False):
    """One measure beside its target. `verdict`: "ok", "low", "high", or "n/a" where the target does not apply."""

    name: str
    value: float
    unit: str
    target: str
    verdict: str
    advice: str = ""


class Step(Record, frozen=True, gc=False, omit_defaults=False):
    """One step of the funnel: how many `unit` came through it, and by reason how many did not."""

    name: str
    count: int
    unit: str
    lost: dict[str, int]


class DropCount(Record, frozen=True, gc=False, omit_defaults=False):
    """How many were turned down at a stage for a reason, and the detail and the file of the first."""

    stage: str
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


class HoldoutReport(Record, frozen=True, gc=False, omit_defaults=False):
    """The held-out split: wanted and found, and the exact comparison with training that proves it apart."""

    wanted: int
    samples: int
    threshold: float
    highest_similarity: float
    pairs_compared: int


class Report(Record, frozen=True, gc=False, omit_defaults=False):
    """report.json. Shares in percent; `memory_fates` adds up to `memories` and `drops` of a stage to its losses."""

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


@dataclass
class Tally:
    """Counts over the written samples, one after the other."""

    targets: TargetsConfig
    still_filler: Callable[[str], bool]
    samples: int = 0
    train: int = 0
    words: int = 0
    short: int = 0
    long: int = 0
    fillers: int = 0
    characters: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    months: Counter[str] = field(default_factory=Counter)
    mode_sources: Counter[str] = field(default_factory=Counter)
    cards: dict[str, list[tuple[int, Card]]] = field(default_factory=dict)
    beside: set[str] = field(default_factory=set)  # keys of memories that only stand beside another's text

    def add(self, sample: CuratedSample, characters: int, time: int) -> None:
        """Count one sample; `characters` is its wrapped length, `time` its memory's in milliseconds."""
        words = count_words(sample.assistant_text)
        self.samples += 1
        self.train += sample.metadata.split == "train"
        self.words += words
        self.short += words <= self.targets.short_words
        self.long += words > self.targets.long_words
        if sample.metadata.reply_author == "other":
            self.fillers += self.still_filler(sample.assistant_text)
        self.characters += characters
        self.modes[sample.mode] += 1
        self.types[sample.metadata.source_type] += 1
        self.months[timestamps.month(time)] += 1
        self.mode_sources[sample.metadata.mode_source] += 1
        self._card(sample, words)

    def _card(self, sample: CuratedSample, words: int) -> None:
        """Keep the three samples of each mode whose ids hash lowest: any three, but the same in every run."""
        cards = self.cards.setdefault(sample.mode, [])
        rank = zlib.crc32(sample.metadata.sample_id.encode()) + (words > _CARD_WORDS) * (1 << 32)
        if len(cards) == 3 and rank >= cards[-1][0]:
            return
        source = sample.metadata.sources[0].path
        text = sample.user_text[:400]
        cards.append((rank, Card(sample.metadata.sample_id, sample.mode, text, sample.assistant_text[:2000], source)))
        cards.sort(key=lambda card: card[0])
        del cards[3:]


def judge(name: str, value: float, unit: str, target: Range, advice: tuple[str, str], applies: bool = True) -> Check:
    """Hold a value against its target; `advice` is what to do where it is too low, and where too high."""
    shown = _shown(target, unit)
    if not applies:
        return Check(name, round(value, 2), unit, shown, "n/a")
    if target.least is not None and value < target.least:
        return Check(name, round(value, 2), unit, shown, "low", advice[0])
    if target.most is not None and value > target.most:
        return Check(name, round(value, 2), unit, shown, "high", advice[1])
    return Check(name, round(value, 2), unit, shown, "ok")


def _shown(target: Range, unit: str) -> str:
    sign = "%" if unit == "%" else f" {unit}"
    if target.least is not None and target.most is not None:
        return f"{target.least:g}-{target.most:g}{sign}"
    if target.least is not None:
        return f"at least {target.least:g}{sign}"
    return f"at most {target.most:g}{sign}" if target.most is not None else "any"


# For each measure: what to do where it is too low, and where it is too high.
_ADVICE = {
    "average": (
        "replies are short: raise reply.words or pairing.passage_words in etc/curate.json",
        "replies are long: lower reply.long_share or pairing.passage_words in etc/curate.json",
    ),
    "short": ("lower reply.words or pairing.passage_words in etc/curate.json", ""),
    "long": (
        "raise reply.long_share, or mark good long memories with metadata.long_output",
        "lower reply.long_share in etc/curate.json",
    ),
    "fillers": ("", "add the phrases that are left to etc/fillers.json"),
}


def _checks(tally: Tally, targets: TargetsConfig, mode: str | None) -> tuple[Check, ...]:
    count = max(tally.samples, 1)
    short, long = f"short replies (<= {targets.short_words} words)", f"long replies (> {targets.long_words} words)"
    found = [
        judge("average reply", tally.words / count, "words", targets.average_reply_words, _ADVICE["average"]),
        judge(short, 100 * tally.short / count, "%", targets.short_replies, _ADVICE["short"]),
        judge(long, 100 * tally.long / count, "%", targets.long_replies, _ADVICE["long"]),
        judge("replies with fillers", 100 * tally.fillers / count, "%", targets.fillers, _ADVICE["fillers"]),
    ]
    if not tally.samples:
        return tuple(judge(one.name, 0.0, one.unit, Range(), ("", ""), applies=False) for one in found)
    for name, target in targets.modes.items():
        advice = (f"record more {name} memories, or map more types to {name} in etc/types.json", f"cap {name} by type")
        share = 100 * tally.modes[name] / count
        found.append(judge(f"{name} samples", share, "%", target, advice, applies=mode is None))
    return tuple(found)


def fitness(train: int, targets: TargetsConfig) -> dict[str, str]:
    """Say for LoRA and for full fine-tuning whether the training split is large enough."""
    found = {}
    for name, needed in (("LoRA", targets.lora_samples), ("full fine-tuning", targets.full_samples)):
        found[name] = (
            f"enough: {train:,} of {needed:,} training samples"
            if train >= needed
            else f"too few: {train:,} of {needed:,} training samples; {needed - train:,} more are needed"
        )
    return found


def build_report(
    username: str, sampler: Sampler, choice: Choice, log: DropLog, tally: Tally, family: str, notices: list[str]
) -> Report:
    """Put the report together when all samples are counted."""
    settings: Settings = sampler.settings
    options: Options = sampler.options
    targets = settings.targets
    fates = memory_fates(sampler, choice, log, tally.beside)
    return Report(
        format=REPORT_FORMAT,
        version=1,
        username=username,
        family=family,
        mode=options.mode or "all",
        samples=tally.samples,
        train=tally.train,
        memories=sum(fates.values()),
        memories_used=fates["used"],
        memories_with_samples=choice.screened_memories,
        modes=dict(sorted(tally.modes.items())),
        types=dict(sorted(tally.types.items(), key=lambda item: (-item[1], item[0]))),
        months=dict(sorted(tally.months.items())),
        mode_sources=dict(sorted(sampler.mode_sources.items())),
        checks=_checks(tally, targets, options.mode),
        funnel=_funnel(sampler, choice, log, tally),
        memory_fates=fates,
        drops=_drops(log),
        cleaned=dict(sorted(sampler.changes.items())),
        characters=tally.characters,
        tokens=round(tally.characters / targets.characters_per_token),
        tokens_note=f"estimated: {targets.characters_per_token:g} characters a token (etc/targets.json)",
        fitness=fitness(tally.train, targets),
        holdout=HoldoutReport(
            choice.holdout.wanted,
            len(choice.holdout.rows),
            settings.curate.near_duplicates.threshold,
            round(choice.holdout.highest, 4),
            choice.holdout.compared,
        ),
        notices=tuple(notices),
        cards=tuple(card for mode in sorted(tally.cards) for _, card in tally.cards[mode]),
    )


def memory_fates(sampler: Sampler, choice: Choice, log: DropLog, beside: set[str]) -> dict[str, int]:
    """Return how many memories are in the set ("used") and, by "stage: reason", where each of the others ended.

    A memory is used where one of its pairs is in the set, or where it is among `beside`: the keys of those whose words
    answer another's thought, or are another's instruction.
    """
    places = sampler.timeline.places(beside)
    columns = sampler.store.columns.places
    for row in choice.rows.tolist():
        places.add(columns[row])
    fates: Counter[str] = Counter({"used": len(places)})
    for place, number in enumerate(sampler.outcomes):
        if place not in places:
            reason = sampler.reasons[number]
            assert number, f"memory {place} left no reason"
            fates[f"{reason.stage}: {reason.code}"] += 1
    for reason, count in log.counts.items():
        if reason.stage == "read":
            fates[f"read: {reason.code}"] += count
    return {"used": fates.pop("used")} | dict(sorted(fates.items()))


def _funnel(sampler: Sampler, choice: Choice, log: DropLog, tally: Tally) -> tuple[Step, ...]:
    """Put the counts in a row; what a step loses is the sum of its reasons."""
    doubles = ("duplicate", "near_duplicate")
    stages: dict[str, dict[str, int]] = {}
    for (stage, code), count in sorted(log.counts.items(), key=lambda item: (-item[1], item[0].code)):
        stages.setdefault("unique" if code in doubles else stage, {})[code] = count
    held = {"held out": len(choice.holdout.rows)} if len(choice.holdout.rows) else {}
    none = stages.get("pair", {}).pop("no_pair", 0)
    found = [Step("found", len(sampler.timeline) + sum(stages.get("read", {}).values()), "memories", {})]
    for name, stage in (("read", "read"), ("fit to learn from", "event")):
        found.append(_step(name, found[-1].count, "memories", stages.get(stage, {})))
    if none:
        found.append(_step("with pairs", found[-1].count, "memories", {"no_pair": none}))
    found.append(Step("pairs", sampler.pairs, "pairs", {}))
    for name, stage, unit in (
        ("stand alone", "pair", "pairs"),
        ("cleaned", "clean", "pairs"),
        ("screened", "screen", "samples"),
        ("unique", "unique", "samples"),
        ("chosen", "select", "samples"),
    ):
        found.append(_step(name, found[-1].count, unit, stages.get(stage, {})))
    assert found[-1].count == tally.samples, "what was formed and what was dropped do not add up to the set"
    return (*found, _step("training", tally.samples, "samples", held))


def _step(name: str, before: int, unit: str, lost: dict[str, int]) -> Step:
    return Step(name, before - sum(lost.values()), unit, lost)


def _drops(log: DropLog) -> tuple[DropCount, ...]:
    order = ("read", "event", "pair", "clean", "screen", "select")
    ranked = sorted(log.counts.items(), key=lambda item: (order.index(item[0].stage), -item[1], item[0].code))
    firsts = ((reason, count, log.examples[reason]) for reason, count in ranked)
    return tuple(DropCount(reason.stage, reason.code, count, one.detail, one.path) for reason, count, one in firsts)
