"""From the counts of a run to its report: each measure beside its target, and where everything else went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from curator.config import Range, TargetsConfig
from curator.contract.errors import counted
from curator.contract.secret_scan import secrets_of
from curator.contract.voice.reference import Place
from curator.executing.spool import as_numpy
from curator.likeness.scores import Likeness
from curator.reading.drop_log import DropLog
from curator.records import CuratedSample
from curator.reports.figures import Figures, Kind
from curator.reports.notices import ReportContext, notices, of_samples, warnings
from curator.reports.report import (
    REPORT_FORMAT,
    Card,
    Check,
    DropCount,
    HoldoutReport,
    Report,
    Step,
    VoicePlace,
    VoiceReport,
    VoiceSample,
)
from curator.reports.voice import Voice
from curator.selection.choose import Choice
from curator.selection.sample_store import Collected

_MOST_CARDS = 3  # of a mode


def no_secrets(sample: CuratedSample) -> tuple[str, ...]:
    """Look for no secret: a filter has turned down every sample that holds one."""
    return ()


def kept_secrets(sample: CuratedSample) -> tuple[str, ...]:
    """Return the kinds of the secrets in a sample, which --keep-secrets has kept."""
    earlier = (text for turn in sample.context for text in (turn.user_text, turn.assistant_text))
    return secrets_of((sample.user_text, sample.assistant_text, *earlier))


@dataclass
class Tally:
    """Counts over the written samples. `cards` are samples to be shown, `beside` keys of the memories that only stand
    beside another's text."""

    voice: Voice
    samples: int
    words: int
    tokens: int
    longest: int
    characters: int
    cards: dict[str, list[Card]]
    beside: set[str]
    train: int = 0
    short: int = 0
    long: int = 0
    too_long: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    months: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    secrets: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, figures: Figures, sample_at: Callable[[int], CuratedSample]) -> Tally:
        """Count the samples of these figures; `sample_at` gives one by its number."""
        words, tokens, characters = (figures.column(name) for name in ("words", "tokens", "characters"))
        tally = cls(
            Voice(figures.column("prompt")),
            samples=len(figures),
            words=int(words.sum()),
            tokens=int(tokens.sum()),
            longest=int(tokens.max(initial=0)),
            characters=int(characters.sum()),
            cards=_cards(figures, sample_at),
            beside={key for _, keys in figures.beside for key in keys},
        )
        counts = np.bincount(figures.columns["kind"], minlength=len(figures.kinds)).tolist()
        for kind, count in zip(figures.kinds, counts, strict=True):
            if count:
                tally._add(kind, count)
        return tally

    def _add(self, kind: Kind, count: int) -> None:
        """Count so many samples of a kind."""
        for name in ("train", "short", "long", "too_long"):
            setattr(self, name, getattr(self, name) + count * getattr(kind, name))
        self.modes[kind.mode] += count
        self.types[kind.type] += count
        self.months[kind.month] += count
        for several, names in ((self.changes, kind.changes), (self.secrets, kind.secrets)):
            for name in names:
                several[name] += count
        self.voice.add(kind, count)


def _cards(figures: Figures, sample_at: Callable[[int], CuratedSample]) -> dict[str, list[Card]]:
    """Return the three samples of each mode whose ids hash lowest: any three, but the same in every run."""
    ranks, cards = figures.column("rank"), dict[str, list[Card]]()
    for mode in sorted({kind.mode for kind in figures.kinds}):
        of_mode = np.flatnonzero(figures.where(lambda kind, mode=mode: kind.mode == mode))  # type: ignore[misc]
        lowest = of_mode[np.argsort(ranks[of_mode], kind="stable")[:_MOST_CARDS]]
        cards[mode] = [_card(sample_at(row)) for row in lowest.tolist()]
    return cards


def _card(sample: CuratedSample) -> Card:
    data, text = sample.metadata, sample.user_text[:400]
    return Card(data.sample_id, sample.mode, text, sample.assistant_text[:2000], data.sources[0].path)


def check_target(
    name: str, value: float, unit: str, target: Range, advice: tuple[str, str], applies: bool = True
) -> Check:
    """Compare a value with its target; `advice` is what to do where it is too low, and where too high."""
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


# Modes whose replies are the world's or a tool's by what they are.
_WORLDS = ("dual", "agent")
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
    "person": ("the model will sound like whoever else speaks here: curate run --author person keeps only theirs", ""),
    "stock": ("", "few texts tell these questions apart: see the most repeated prompts below"),
}


def _checks(tally: Tally, targets: TargetsConfig, mode: str | None) -> tuple[Check, ...]:
    count = max(tally.samples, 1)
    short, long = f"short replies (<= {targets.short_words} words)", f"long replies (> {targets.long_words} words)"
    checks = [
        check_target("average reply", tally.words / count, "words", targets.average_reply_words, _ADVICE["average"]),
        check_target(short, 100 * tally.short / count, "%", targets.short_replies, _ADVICE["short"]),
        check_target(long, 100 * tally.long / count, "%", targets.long_replies, _ADVICE["long"]),
        _fillers(tally.voice, targets),
        check_target("the person's own replies", *_share(tally.voice.authors["person"], count), targets.person_replies,
                     _ADVICE["person"], applies=mode not in _WORLDS),
        check_target("stock questions", *_share(tally.voice.questions["stock"], count), targets.stock_questions,
                     _ADVICE["stock"]),
    ]  # fmt: skip
    if not tally.samples:
        return tuple(check_target(check.name, 0.0, check.unit, Range(), ("", ""), applies=False) for check in checks)
    for name, target in targets.modes.items():
        advice = (f"record more {name} memories, or map more types to {name} in etc/types.json", f"cap {name} by type")
        share = 100 * tally.modes[name] / count
        checks.append(check_target(f"{name} samples", share, "%", target, advice, applies=mode is None))
    return tuple(checks)


def _share(part: int, count: int) -> tuple[float, str]:
    """Return a share in percent, and its unit."""
    return 100 * part / count, "%"


def _fillers(voice: Voice, targets: TargetsConfig) -> Check:
    """Measure fillers among the replies in which they could be found; a language without a list has no figure."""
    name, target = "replies with fillers", targets.fillers
    unlisted = ", ".join(f"{language} {count:,}" for language, count in sorted(voice.unlisted.items()))
    why = f"etc/fillers.json lists none of these languages, so they were not looked at: {unlisted}" if unlisted else ""
    if not voice.looked_at:
        why = why or "no reply is an assistant's or another human's, and no other is looked at"
        return Check(name, 0.0, "%", _shown(target, "%"), "n/a", why, measured=False)
    check = check_target(name, *_share(voice.fillers, voice.looked_at), target, _ADVICE["fillers"])
    advice = "; ".join(text for text in (check.advice, why) if text)
    return msgspec.structs.replace(check, advice=advice)


def fitness(train: int, targets: TargetsConfig) -> dict[str, str]:
    """Say for LoRA and for full fine-tuning whether the training split is large enough."""
    verdicts = {}
    for name, needed in (("LoRA", targets.lora_samples), ("full fine-tuning", targets.full_samples)):
        verdicts[name] = (
            f"enough: {counted(train, 'training sample')}, at least {needed:,} are needed"
            if train >= needed
            else f"too few: {train:,} of {counted(needed, 'training sample')}; {needed - train:,} more "
            f"{'is' if needed - train == 1 else 'are'} needed"
        )
    return verdicts


def build_report(
    context: ReportContext, collected: Collected, choice: Choice, tally: Tally, likeness: Likeness
) -> Report:
    """Return the report of a run whose samples are all counted."""
    settings, options, counts = context.settings, context.options, collected.counts
    targets = settings.targets
    kept = of_samples(tally.too_long, tally.longest, tally.secrets, settings)
    fates = memory_fates(collected, choice, tally.beside)
    return Report(
        format=REPORT_FORMAT,
        version=1,
        username=context.username,
        family=context.family.family,
        mode=options.mode or "all",
        samples=tally.samples,
        train=tally.train,
        memories=sum(fates.values()),
        memories_used=fates["used"],
        memories_with_samples=choice.screened_memories,
        modes=dict(sorted(tally.modes.items())),
        types=_ranked(tally.types),
        months=dict(sorted(tally.months.items())),
        mode_sources=dict(sorted(counts.mode_sources.items())),
        checks=_checks(tally, targets, options.mode),
        funnel=_funnel(collected, choice, tally),
        memory_fates=fates,
        drops=_drops(collected.log),
        cleaned=dict(sorted(tally.changes.items())),
        characters=tally.characters,
        tokens=tally.tokens,
        tokens_note=f"estimated by each script's characters a token, {targets.characters_per_token:g} in English",
        fitness=fitness(tally.train, targets),
        holdout=HoldoutReport(
            wanted=choice.holdout.wanted,
            samples=len(choice.holdout.rows),
            threshold=settings.curate.near_duplicates.threshold,
            highest_similarity=round(choice.holdout.highest, 4),
            pairs_compared=choice.holdout.compared,
            highest_reply_similarity=round(choice.holdout.highest_reply, 4),
            not_measured=choice.holdout.not_measured,
            by=settings.curate.holdout.by,
        ),
        notices=notices(context, collected, choice),
        warnings=(*warnings(context, collected, choice), *kept),
        cards=tuple(card for mode in sorted(tally.cards) for card in tally.cards[mode]),
        authors=_ranked(tally.voice.authors),
        languages=_ranked(tally.voice.languages),
        questions=_ranked(tally.voice.questions),
        repeated_prompts=tally.voice.repeated(lambda number: _prompt(collected, choice, number)),
        turns={str(turns): count for turns, count in sorted(tally.voice.turns.items())},
        trained_replies={str(replies): count for replies, count in sorted(tally.voice.trained.items())},
        secrets=_ranked(collected.log.secrets + tally.secrets),
        too_long=tally.too_long,
        corrections=choice.corrections,
        sessions=counts.sessions,
        silences=counts.gaps.counts,
        suggested_session_minutes=counts.gaps.suggested_minutes,
        encrypted=collected.timeline.notes["encrypted"],
        voice=voice_report(likeness),
    )


def voice_report(found: Likeness) -> VoiceReport:
    """Return what a report tells of how much a set sounds like the person."""
    return VoiceReport(
        language=found.language,
        others=found.others,
        person_words=found.known[0],
        other_words=found.known[1],
        read=found.of[0],
        samples=found.of[1],
        whole=_place(found.whole),
        groups={kind: {name: _place(one) for name, one in places.items()} for kind, places in found.groups.items()},
        languages={name: _place(one) for name, one in found.languages.items()},
        least=tuple(
            VoiceSample(one.sample_id, one.score, one.words, one.reply[:200], one.source) for one in found.least
        ),
        why=found.why,
    )


def _place(place: Place) -> VoicePlace:
    score, low, high = (None if edge is None else round(edge, 1) for edge in (place.score, place.low, place.high))
    return VoicePlace(score, low, high, place.words, place.why)


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _prompt(collected: Collected, choice: Choice, number: int) -> str:
    """Return the prompt of the sample that was written as the `number`th."""
    return collected.store.spool.get(int(choice.rows[number])).sample.user_text


def memory_fates(collected: Collected, choice: Choice, beside: set[str]) -> dict[str, int]:
    """Return how many memories are in the set ("used") and, by "stage: reason", where each of the others ended.

    A memory is used where one of its pairs is in the set, or where it is among `beside`: the keys of those whose words
    answer another's thought, or are another's instruction.
    """
    own = as_numpy(collected.store.columns.places)[choice.rows].astype(np.int64)
    places = np.union1d(collected.timeline.places(beside), own)
    fates: Counter[str] = Counter()
    for reason, count in collected.outcomes.count_others(places).items():
        fates[f"{reason.stage}: {reason.code}"] += count
    for reason, count in collected.log.counts.items():
        if reason.stage == "read":
            fates[f"read: {reason.code}"] += count
    return {"used": len(places)} | dict(sorted(fates.items()))


def _funnel(collected: Collected, choice: Choice, tally: Tally) -> tuple[Step, ...]:
    """Return the steps from memories to samples; what a step loses is the sum over its reasons."""
    doubles = ("duplicate", "near_duplicate")
    stages: dict[str, dict[str, int]] = {}
    for (stage, code), count in sorted(collected.log.counts.items(), key=lambda item: (-item[1], item[0].code)):
        at = "unique" if code in doubles and stage != "read" else stage
        stages.setdefault(at, {})[code] = count
    held = {"held out": len(choice.holdout.rows)} if len(choice.holdout.rows) else {}
    none = stages.get("pair", {}).pop("no_pair", 0)
    steps = [Step("found", len(collected.timeline) + sum(stages.get("read", {}).values()), "memories", {})]
    for name, stage in (("read", "read"), ("fit to learn from", "event")):
        steps.append(_step(name, steps[-1].count, "memories", stages.get(stage, {})))
    if none:
        steps.append(_step("with pairs", steps[-1].count, "memories", {"no_pair": none}))
    steps.append(Step("pairs", collected.counts.pairs, "pairs", {}))
    for name, stage, unit in (
        ("stand alone", "pair", "pairs"),
        ("cleaned", "clean", "pairs"),
        ("screened", "screen", "samples"),
        ("unique", "unique", "samples"),
        ("chosen", "select", "samples"),
    ):
        steps.append(_step(name, steps[-1].count, unit, stages.get(stage, {})))
        if stage == "screen" and collected.counts.joined:
            joined = {"in another's sample": collected.counts.joined}
            steps.append(_step("joined", steps[-1].count, "samples", joined))
    assert steps[-1].count == tally.samples, "what was formed and what was dropped do not add up to the set"
    return (*steps, _step("training", tally.samples, "samples", held))


def _step(name: str, before: int, unit: str, lost: dict[str, int]) -> Step:
    return Step(name, before - sum(lost.values()), unit, lost)


def _drops(log: DropLog) -> tuple[DropCount, ...]:
    order = ("read", "event", "pair", "clean", "screen", "select")
    ranked = sorted(log.counts.items(), key=lambda item: (order.index(item[0].stage), -item[1], item[0].code))
    firsts = ((reason, count, log.examples[reason]) for reason, count in ranked)
    return tuple(
        DropCount(reason.stage, reason.code, count, first.detail, first.path) for reason, count, first in firsts
    )
