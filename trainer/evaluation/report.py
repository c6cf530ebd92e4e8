"""The health report: what `trainer finetune` leaves beside its checkpoint and `trainer health` prints.

The first three lines are the summary; docs/health.md defines every figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from curator.contract.errors import counted
from trainer.evaluation.budgets import AT_LEAST, BudgetCheck, broken, calibration
from trainer.evaluation.interpolate import Point
from trainer.evaluation.perplexity import YearLoss
from trainer.evaluation.probes import EvalResult, EvalSuite, perplexity
from trainer.memorisation.findings import CanaryFindings

JSON_FILE = "health.json"
_SHOWN = 12  # replies shown side by side
_EXAMPLES = 20  # words
_TOO_WELL = ("memorised", "overfitted")  # as `calibration` begins
ENOUGH_HELD = 30  # samples held out; of fewer, one is more than 3% of every figure, beside budgets of 2 to 10%
_BROKEN = {
    "base_perplexity": "it has forgotten the base's language",
    "reply_perplexity": "it learnt nothing that carries over to unseen dialogues",
    "memorisation_unseen": "it recites its training set",
    "oov_rate": "it invents words",
    "eos_rate": "its replies do not end",
    "voice": "it does not sound like the person",
}
_ADVICE = {
    "base_perplexity": "fewer --epochs, a lower --learning-rate, or a higher kl_weight in etc/trainer.json",
    "reply_perplexity": "more --epochs or a higher --learning-rate; more dialogues help most",
    "memorisation_unseen": "fewer --epochs; take out what the dataset says twice",
    "oov_rate": "a lower --learning-rate, or fewer --epochs",
    "eos_rate": "more --epochs, or a higher eos_loss_weight in etc/trainer.json",
    "voice": "more --epochs or a higher --learning-rate; more of the person's own replies help most",
}


class Figure(BaseModel):
    """One figure of the report; shares are between 0 and 1. `base` is null where there is no base, or it has none."""

    model_config = ConfigDict(extra="forbid")
    name: str
    label: str
    unit: Literal["", "%", "words", "points"]
    base: float | None
    tuned: float | None
    margin: float | None = Field(None, description="half the width of its interval, where replies tell it")
    limit: float | None = Field(description="of its budget, where it has one")
    ok: bool | None = Field(description="whether the budget is kept")
    limit_says: str
    means: str


class Standing(BaseModel):
    """Where texts stand: 0 as others write, 100 as the person does; `low` and `high` bound 95%. Null: not to tell."""

    model_config = ConfigDict(extra="forbid")
    score: float | None
    low: float | None
    high: float | None
    words: int
    why: str = Field("", description="what is missing, where nothing can be told")


class VoiceRow(BaseModel):
    """Whose texts stand where, by their common words alone (topic-free) and by all."""

    model_config = ConfigDict(extra="forbid")
    name: Literal["others", "base", "tuned", "person"]
    topic_free: Standing
    full: Standing


class VoiceReport(BaseModel):
    """How far a fine-tune has come from others to the person. Read it beside what is recited."""

    model_config = ConfigDict(extra="forbid")
    language: str
    others: str = Field(description="who the others are")
    words: tuple[int, int] = Field(description="known of the person, in no training sample; and of the others")
    why: str = Field(description="what is missing, where nothing can be told")
    recited: float = Field(description="share of 8-grams of replies to unseen prompts that stand in training replies")
    rows: list[VoiceRow]


class YearRow(BaseModel):
    """The mean loss of the held-out replies of a year, nats a token, and where replies to its prompts stand."""

    model_config = ConfigDict(extra="forbid")
    year: str = Field(description="'' where it is not known")
    samples: int
    tokens: int
    base: float
    tuned: float
    base_voice: Standing | None = Field(None, description="of its replies to prompts of the year")
    tuned_voice: Standing | None = None


class HealthReport(BaseModel):
    """health.json: what `trainer finetune` leaves beside a checkpoint and `trainer health --json` prints."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["persona-curator-health"] = "persona-curator-health"
    version: Literal[1] = 1
    checkpoint: str
    base: str | None
    verdict: Literal["passed", "refused", "accepted", "measured", "probe"]
    headline: list[str] = Field(max_length=3, description="all that must be known")
    doubts: list[str] = Field(default_factory=list, description="why the verdict proves little")
    calibration: str
    metrics: list[Figure]
    advice: list[str] = Field(description="what to try for each broken budget")
    oov_words: list[tuple[str, int]] = Field(description="invented words and how often they came")
    base_oov_words: list[tuple[str, int]]
    names: list[tuple[str, int]]
    longest_run: str = Field(description="words in a row from one training reply, to an unseen prompt")
    voice: VoiceReport | None = Field(None, description="null where the run has no voice-reference.npz")
    sizes: dict[str, int]
    folds: list[tuple[float, float]] = Field(
        default_factory=list, description="of a cross-validation, perplexity of the held-out replies: base, fine-tune"
    )
    replies: list[dict[str, str | None]] = Field(description="prompt, reference, base, tuned")
    curves: list[dict[str, Any]] = Field(description="the lines of training/metrics.jsonl")
    sweep: list[dict[str, Any]] = Field(description="points between base (alpha 0) and tuned weights (alpha 1)")
    samples: list[dict[str, Any]] = Field(description="the lines of training/samples.jsonl")
    years: list[YearRow] = Field(
        default_factory=list, description="of what is held out; none where fewer than two years are known"
    )
    canaries: CanaryFindings | None = Field(None, description="of a probe: what it kept of the planted sentences")


def verdict_of(checks: Sequence[BudgetCheck], accepted: bool, judged: bool) -> str:
    """Return 'passed', 'refused', 'accepted' (refused, yet kept), or 'measured' where no budget is checked."""
    if not judged:
        return "measured"
    if not broken(checks):
        return "passed"
    return "accepted" if accepted else "refused"


def doubts_of(verdict: str, checks: Sequence[BudgetCheck], tuned: EvalResult, held: int | None) -> list[str]:
    """Return why a verdict proves little.

    Few samples are `held` out, training replies are known far better than others, or a figure is past its limit by less
    than is known.
    """
    fit = calibration(tuned)
    doubts = [f"weak evidence: {held:,} held out"] if held and held < ENOUGH_HELD else []
    doubts += [f"{_LABELS[check.name]} too near the limit to tell" for check in checks if check.doubtful]
    return doubts + ([fit.partition(":")[0]] if verdict == "passed" and fit.startswith(_TOO_WELL) else [])


def headline(verdict: str, checks: list[BudgetCheck], tuned: EvalResult, held: int | None = None) -> list[str]:
    """Return the three lines of the summary; its first words are the verdict and the doubts about it.

    `held` is the number of samples held out.
    """
    fit, over, doubts = calibration(tuned), broken(checks), doubts_of(verdict, checks, tuned, held)
    if verdict == "measured":
        return [line for line in ("measured alone: there is no base to compare it with", fit) if line]
    if verdict == "passed":
        ok = "it answers unseen dialogues better than its base, and writes as well as it did"
        if tuned.reply_loss is None:
            ok = "it writes as well as its base; what it learnt is not measured, as nothing is held out"
        return [line for line in (_doubted("PASSED", doubts, ok), *_kept(checks), fit) if line][:3]
    reasons = ", ".join(_BROKEN[check.name] for check in over)
    if verdict == "probe":
        says = f"such a model would be refused: {reasons}" if over else "such a model would pass"
        return [line for line in (_doubted("PROBE, no model to use", doubts, says), fit) if line]
    first = _doubted("REFUSED" if verdict == "refused" else "REFUSED, kept by --accept-degraded", doubts, reasons)
    lines = [first, over[0].says, "; ".join(part for part in (fit, *(check.says for check in over[1:2])) if part)]
    return [line for line in lines if line]


def _doubted(verdict: str, doubts: list[str], says: str) -> str:
    """Return "PASSED: it answers", or with doubts "PASSED, weak evidence: 6 held out; overfitted. It answers"."""
    return f"{verdict}, {'; '.join(doubts)}. {says[0].upper()}{says[1:]}" if doubts else f"{verdict}: {says}"


def _kept(checks: list[BudgetCheck]) -> list[str]:
    by_name = {check.name: check.says for check in checks}
    return [by_name[name] for name in ("reply_perplexity", "base_perplexity") if name in by_name]


def advice(checks: list[BudgetCheck], tuned: EvalResult) -> list[str]:
    """Return what to try for each broken budget."""
    tips = dict(_ADVICE)
    if calibration(tuned).startswith(_TOO_WELL):  # more epochs would make it worse
        tips["reply_perplexity"] = "fewer --epochs or a lower --learning-rate; more dialogues help most"
    return [f"{_BROKEN[check.name]}: try {tips[check.name]}" for check in broken(checks)]


def metrics(base: EvalResult | None, tuned: EvalResult, checks: list[BudgetCheck]) -> list[dict[str, Any]]:
    """Return every figure, the base's beside it, with the limit of its budget where it has one."""
    limits = {check.name: check for check in checks}
    out = []
    for name, label, unit, says, value in _FIGURES:
        limit = limits.get(name)
        out.append({
            "name": name, "label": label, "unit": unit, "base": value(base) if base else None, "tuned": value(tuned),
            "margin": limit.margin if limit else None, "limit": limit.limit if limit else None,
            "ok": limit.kept if limit else None,
            "limit_says": ("at least" if name in AT_LEAST else "at most") if limit else "", "means": says,
        })  # fmt: skip
    return out


def _share(part: str) -> Any:
    return lambda result: None if getattr(result, part) is None else getattr(result, part).share


def _run(part: str) -> Any:
    return lambda result: None if getattr(result, part) is None else getattr(result, part).longest


def _perplexity(part: str) -> Any:
    return lambda result: perplexity(getattr(result, part))


def _plain(part: str) -> Any:
    return lambda result: getattr(result, part)


_FIGURES: list[tuple[str, str, str, str, Any]] = [
    ("reply_perplexity", "perplexity of held-out replies", "", "how well it foresees what was really answered",
     _perplexity("reply_loss")),
    ("train_reply_perplexity", "perplexity of training replies", "", "near 1: it knows them by heart",
     _perplexity("train_loss")),
    ("base_perplexity", "perplexity of the base's own text", "", "how much of the base's language is left",
     _perplexity("text_loss")),
    ("oov_rate", "invented words", "%", "words that neither corpus, dataset nor word list holds",
     lambda result: result.oov.rate),
    ("drawn_oov_rate", "invented words, as chat draws", "%", "the same, drawn as the checkpoint has it stored",
     lambda result: result.drawn.rate if result.drawn else None),
    ("names", "unknown names", "%", "unknown words with a capital; they are not counted as invented",
     lambda result: result.oov.name_rate),
    ("memorisation_unseen", "recited, unseen prompts", "%", "8-grams of its replies that stand in the training replies",
     _share("unseen")),
    ("memorisation_train", "recited, training prompts", "%", "the same, asked what it was trained on",
     _share("trained")),
    ("memorisation_prompts", "recited from training prompts", "%",
     "8-grams of its replies to unseen prompts that stand in training prompts alone", _plain("prompts")),
    ("prompts_extracted", "training prompts extracted", "%", "those whose rest it writes, given the first half",
     _plain("prompts_written")),
    ("voice", "sounds like the person", "points", "0: as others write, 100: as the person does; see what is recited",
     lambda result: result.voice.score if result.voice else None),
    ("longest_run_unseen", "longest run, unseen prompts", "words", "words in a row from one training reply",
     _run("unseen")),
    ("longest_run_train", "longest run, training prompts", "words", "the same, asked what it was trained on",
     _run("trained")),
    ("eos_rate", "replies that stop", "%", "replies that end by the end mark, not at the limit", _plain("eos_rate")),
    ("tag_leaks", "mode tags in replies", "%", "replies with a tag or a control token", _plain("tag_leaks")),
    ("role_leaks", "other roles in replies", "%", "replies that go on with the next question", _plain("role_leaks")),
    ("rep_4", "repetition (rep-4)", "%", "4-grams of a reply that it holds already", _plain("rep_4")),
    ("distinct_2", "variety (distinct-2)", "%", "different pairs of words among all pairs", _plain("distinct_2")),
    ("length_ratio", "length ratio", "", "length of its replies over that of the real ones", _plain("length_ratio")),
]  # fmt: skip


_LABELS = {name: label for name, label, *_ in _FIGURES}


def sweep_rows(sweep: list[Point], base: EvalResult, chosen: float) -> list[dict[str, Any]]:
    """Return the points between base and tuned weights, as the page draws them."""
    before = perplexity(base.text_loss)
    rows = []
    for point in sorted(sweep, key=lambda point: point.alpha):
        after = perplexity(point.result.text_loss)
        rows.append({
            "alpha": point.alpha, "reply_perplexity": perplexity(point.result.reply_loss), "base_perplexity": after,
            "base_change": after / before - 1 if before and after else None, "oov_rate": point.result.oov.rate,
            "memorisation": point.result.unseen.share if point.result.unseen else None,
            "eos_rate": point.result.eos_rate,
            "voice": point.result.voice.score if point.result.voice else None,
            "score": point.score, "passes": point.score <= (point.result.reply_loss or 0.0),
            "chosen": point.alpha == chosen,
        })  # fmt: skip
    return rows


def make_report(
    name: str, base_name: str | None, base: EvalResult | None, tuned: EvalResult, checks: list[BudgetCheck],
    suite: EvalSuite, *, verdict: str, sizes: dict[str, int], curves: list[dict[str, Any]],
    sweep: list[dict[str, Any]], samples: list[dict[str, Any]], folds: Sequence[tuple[float, float]] = (),
    canaries: CanaryFindings | None = None, years: Sequence[YearLoss] = (),
) -> dict[str, Any]:  # fmt: skip
    """Return the report as JSON has it. `folds` are losses, nats a token."""
    held = max(sizes.get("held_out", 0), sizes.get("cross_validated", 0)) if sizes else None
    lines = headline(verdict, checks, tuned, held)
    return HealthReport.model_validate({
        "checkpoint": name, "base": base_name, "verdict": verdict,
        "headline": [*lines[:1], canaries.headline(), *lines[1:]] if canaries else lines,
        "doubts": doubts_of(verdict, checks, tuned, held), "calibration": calibration(tuned),
        "metrics": metrics(base, tuned, checks), "advice": advice(checks, tuned),
        "oov_words": [list(pair) for pair in tuned.oov.oov.most_common(_EXAMPLES)],
        "base_oov_words": [list(pair) for pair in base.oov.oov.most_common(_EXAMPLES)] if base else [],
        "names": [list(pair) for pair in tuned.oov.names.most_common(_EXAMPLES)],
        "longest_run": tuned.unseen.example if tuned.unseen else "",
        "voice": _voice(suite, base, tuned),
        "sizes": {**sizes, "replies": len(tuned.replies), "words": tuned.oov.total},
        "replies": _side_by_side(suite, base, tuned),
        "curves": curves, "sweep": sweep, "samples": samples,
        "folds": [[perplexity(loss) for loss in pair] for pair in folds], "canaries": canaries,
        "years": _years(years, suite, base, tuned),
    }).model_dump(mode="json")  # fmt: skip


def _years(
    years: Sequence[YearLoss], suite: EvalSuite, base: EvalResult | None, tuned: EvalResult
) -> list[dict[str, Any]]:
    """Return the rows of the years, with where the replies of both models to the prompts of each stand."""
    voices = {"base_voice": suite.voices_by_year(base) if base else {}, "tuned_voice": suite.voices_by_year(tuned)}
    return [
        asdict(one) | {name: asdict(found[one.year]) for name, found in voices.items() if one.year in found}
        for one in years
    ]


def _voice(suite: EvalSuite, base: EvalResult | None, tuned: EvalResult) -> dict[str, Any] | None:
    """Return where others, base, fine-tune and person stand; None where there is no reference, or no recital known."""
    if suite.voice is None or tuned.voice is None or tuned.unseen is None:
        return None
    reference, (others, person) = suite.voice.reference, suite.voice.ends()
    places = {"others": others, "base": base.voice if base else None, "tuned": tuned.voice, "person": person}
    return {
        "language": reference.language, "others": reference.others, "words": list(reference.words),
        "why": tuned.voice.topic_free.why, "recited": tuned.unseen.share,
        "rows": [
            {"name": name, "topic_free": asdict(place.topic_free), "full": asdict(place.full)}
            for name, place in places.items() if place
        ],
    }  # fmt: skip


def _side_by_side(suite: EvalSuite, base: EvalResult | None, tuned: EvalResult) -> list[dict[str, Any]]:
    rows = []
    for number, (question, reply) in enumerate(zip(suite.unseen, tuned.replies, strict=False)):
        if number == _SHOWN:
            break
        before = base.replies[number].text if base and number < len(base.replies) else None
        rows.append({"prompt": question.text, "reference": question.reference, "base": before, "tuned": reply.text})
    return rows


def terminal_rows(report: dict[str, Any]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return the heads and rows of a report's table: every figure, its limit and whether that is kept."""
    with_base = bool(report["base"])
    heads = ("figure", "checkpoint", *(("base",) if with_base else ()), "limit", "")
    return heads, [_row(figure, with_base) for figure in report["metrics"] if figure["tuned"] is not None]


def terminal_lines(report: dict[str, Any]) -> list[str]:
    """Return the lines below the table: examples of invented words, and advice."""
    lines = []
    for name, title in (("oov_words", "invented words"), ("base_oov_words", "the base's")):
        if report[name]:
            lines.append(f"{title}: {', '.join(word for word, _ in report[name][:12])}")
    if report["years"]:
        each = (
            f"{row['year'] or 'undated'} {row['base']:.2f} -> {row['tuned']:.2f} ({counted(row['samples'], 'sample')}"
            f"{_voice_of_year(row)})"
            for row in report["years"]
        )
        lines.append(f"loss on held-out replies by year, base -> checkpoint: {', '.join(each)}")
    return [*lines, *voice_lines(report), *(f"to do: {line}" for line in report["advice"])]


def voice_lines(report: dict[str, Any]) -> list[str]:
    """Return in words where others, base, fine-tune and person stand, and what is recited; none without a reference."""
    voice = report["voice"]
    if not voice:
        return []
    if voice["why"]:
        return [f"voice: too little to tell: {voice['why']}"]
    names = {"others": "others", "base": "base", "tuned": "checkpoint", "person": "the person"}
    parts = [f"{names[row['name']]} {_standing(row['topic_free'])}" for row in voice["rows"]]
    known = f"{voice['words'][0]:,} words of the person that it was not trained on"
    return [f"voice: {', '.join(parts)}; by {known}; {voice['recited']:.1%} of what it says is recited"]


def _voice_of_year(row: dict[str, Any]) -> str:
    voice = row["tuned_voice"]
    return f", voice {voice['score']:.0f}" if voice and voice["score"] is not None else ""


def _standing(place: dict[str, Any]) -> str:
    if place["score"] is None:
        return f"unknown ({place['why']})"
    return f"{place['score']:.0f} ({place['low']:.0f} to {place['high']:.0f})"


def _row(figure: dict[str, Any], with_base: bool) -> list[str]:
    limit = "" if figure["limit"] is None else f"{figure['limit_says']} {_figure(figure['limit'], figure['unit'])}"
    ok = {True: "ok", False: "BROKEN", None: ""}[figure["ok"]]
    base = [_figure(figure["base"], figure["unit"])] if with_base else []
    known = "" if figure["margin"] is None else f" ±{_margin(figure['margin'], figure['unit'])}"
    return [figure["label"], _figure(figure["tuned"], figure["unit"]) + known, *base, limit, ok]


def _margin(value: float, unit: str) -> str:
    return f"{value:.2%}" if unit == "%" else f"{value:,.0f}"


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "%":
        return f"{value:.2%}"
    return f"{value:,.0f} {unit}" if unit else f"{value:,.2f}"
