"""The health report: what `trainer finetune` leaves beside its checkpoint and `trainer health` prints.

The first three lines say all that must be known; docs/health.md defines every figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from trainer.choosing import Point
from trainer.gate import Finding, calibration, refused
from trainer.health import Health, Probes, perplexity

JSON_FILE, PAGE_FILE = "health.json", "health.html"
_SHOWN = 12  # replies shown side by side
_EXAMPLES = 20  # words
_BROKEN = {
    "base_perplexity": "it has forgotten the base's language",
    "reply_perplexity": "it learnt nothing that carries over to unseen dialogues",
    "verbatim_unseen": "it recites its training set",
    "invented": "it invents words",
    "stopped": "its replies do not end",
}
_ADVICE = {
    "base_perplexity": "fewer --epochs, a lower --learning-rate, or a higher replay_weight in etc/trainer.json",
    "reply_perplexity": "more --epochs or a higher --learning-rate; more dialogues help most",
    "verbatim_unseen": "fewer --epochs; take out what the dataset says twice",
    "invented": "a lower --learning-rate, or fewer --epochs",
    "stopped": "more --epochs, or a higher end_loss_weight in etc/trainer.json",
}


class Figure(BaseModel):
    """One figure of the report; shares are between 0 and 1. `base` is null where there is no base, or it has none."""

    model_config = ConfigDict(extra="forbid")
    name: str
    label: str
    unit: Literal["", "%", "words"]
    base: float | None
    tuned: float | None
    limit: float | None = Field(description="of its budget, where it has one")
    ok: bool | None = Field(description="whether the budget is kept")
    limit_says: str
    means: str


class HealthReport(BaseModel):
    """health.json: what `trainer finetune` leaves beside a checkpoint and `trainer health --json` prints."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["persona-curator-health"] = "persona-curator-health"
    version: Literal[1] = 1
    checkpoint: str
    base: str | None
    verdict: Literal["passed", "refused", "accepted", "measured"]
    headline: list[str] = Field(max_length=3, description="all that must be known")
    calibration: str
    metrics: list[Figure]
    advice: list[str] = Field(description="what to try for each broken budget")
    invented: list[tuple[str, int]] = Field(description="words and how often they came")
    base_invented: list[tuple[str, int]]
    names: list[tuple[str, int]]
    longest_run: str = Field(description="words in a row from one training reply, to an unseen prompt")
    sizes: dict[str, int]
    replies: list[dict[str, str | None]] = Field(description="prompt, reference, base, tuned")
    curves: list[dict[str, Any]] = Field(description="the lines of training/metrics.jsonl")
    sweep: list[dict[str, Any]] = Field(description="points between base (alpha 0) and tuned weights (alpha 1)")
    samples: list[dict[str, Any]] = Field(description="the lines of training/samples.jsonl")


def verdict_of(findings: Sequence[Finding], accepted: bool, judged: bool) -> str:
    """Return 'passed', 'refused', 'accepted' (refused, yet kept), or 'measured' where nothing is judged."""
    if not judged:
        return "measured"
    if not refused(list(findings)):
        return "passed"
    return "accepted" if accepted else "refused"


def headline(verdict: str, findings: list[Finding], tuned: Health) -> list[str]:
    """Return the three lines that say all."""
    told, broken = calibration(tuned), refused(findings)
    if verdict == "measured":
        return [one for one in ("measured alone: there is no base to compare it with", told) if one]
    if verdict == "passed":
        ok = "PASSED: it answers unseen dialogues better than its base, and writes as well as it did"
        if tuned.reply_loss is None:
            ok = "PASSED: it writes as well as its base; what it learnt is not measured, as nothing is held out"
        return [one for one in (ok, *_kept(findings), told) if one][:3]
    what = ", ".join(_BROKEN[one.name] for one in broken)
    first = f"{'REFUSED' if verdict == 'refused' else 'REFUSED, kept by --accept-degraded'}: {what}"
    lines = [first, broken[0].says, "; ".join(part for part in (told, *(one.says for one in broken[1:2])) if part)]
    return [one for one in lines if one]


def _kept(findings: list[Finding]) -> list[str]:
    by_name = {one.name: one.says for one in findings}
    return [by_name[name] for name in ("reply_perplexity", "base_perplexity") if name in by_name]


def advice(findings: list[Finding], tuned: Health) -> list[str]:
    """Return what to try for each broken budget."""
    told = dict(_ADVICE)
    if calibration(tuned).startswith(("memorised", "overfitted")):  # more of the same would make it worse
        told["reply_perplexity"] = "fewer --epochs or a lower --learning-rate; more dialogues help most"
    return [f"{_BROKEN[one.name]}: try {told[one.name]}" for one in refused(findings)]


def metrics(base: Health | None, tuned: Health, findings: list[Finding]) -> list[dict[str, Any]]:
    """Return every figure, the base's beside it, with the limit of its budget where it has one."""
    limits = {one.name: one for one in findings}
    out = []
    for name, label, unit, says, value in _FIGURES:
        limit = limits.get(name)
        out.append({
            "name": name, "label": label, "unit": unit, "base": value(base) if base else None, "tuned": value(tuned),
            "limit": limit.limit if limit else None, "ok": limit.kept if limit else None,
            "limit_says": ("at least" if name == "stopped" else "at most") if limit else "", "means": says,
        })  # fmt: skip
    return out


def _share(part: str) -> Any:
    return lambda one: None if getattr(one, part) is None else getattr(one, part).share


def _run(part: str) -> Any:
    return lambda one: None if getattr(one, part) is None else getattr(one, part).longest


def _perplexity(part: str) -> Any:
    return lambda one: perplexity(getattr(one, part))


def _plain(part: str) -> Any:
    return lambda one: getattr(one, part)


_FIGURES: list[tuple[str, str, str, str, Any]] = [
    ("reply_perplexity", "perplexity of held-out replies", "", "how well it foresees what was really answered",
     _perplexity("reply_loss")),
    ("train_reply_perplexity", "perplexity of training replies", "", "near 1: it knows them by heart",
     _perplexity("train_loss")),
    ("base_perplexity", "perplexity of the base's own text", "", "how much of the base's language is left",
     _perplexity("text_loss")),
    ("invented", "invented words", "%", "words that neither corpus, dataset nor word list holds",
     lambda one: one.invented.rate),
    ("names", "unknown names", "%", "unknown words with a capital; they are not counted as invented",
     lambda one: one.invented.name_rate),
    ("verbatim_unseen", "recited, unseen prompts", "%", "8-grams of its replies that stand in the training replies",
     _share("unseen")),
    ("verbatim_train", "recited, training prompts", "%", "the same, asked what it was trained on", _share("trained")),
    ("longest_run_unseen", "longest run, unseen prompts", "words", "words in a row from one training reply",
     _run("unseen")),
    ("longest_run_train", "longest run, training prompts", "words", "the same, asked what it was trained on",
     _run("trained")),
    ("stopped", "replies that stop", "%", "replies that end by the end mark, not at the limit", _plain("stopped")),
    ("tag_leaks", "mode tags in replies", "%", "replies with a tag or a control token", _plain("tag_leaks")),
    ("role_leaks", "other roles in replies", "%", "replies that go on with the next question", _plain("role_leaks")),
    ("rep_4", "repetition (rep-4)", "%", "4-grams of a reply that it holds already", _plain("rep_4")),
    ("distinct_2", "variety (distinct-2)", "%", "different pairs of words among all pairs", _plain("distinct_2")),
    ("length_ratio", "length ratio", "", "length of its replies over that of the real ones", _plain("length_ratio")),
]  # fmt: skip


def sweep_rows(sweep: list[Point], base: Health, chosen: float) -> list[dict[str, Any]]:
    """Return the points between base and tuned weights, as the page draws them."""
    before = perplexity(base.text_loss)
    rows = []
    for one in sorted(sweep, key=lambda point: point.alpha):
        after = perplexity(one.health.text_loss)
        rows.append({
            "alpha": one.alpha, "reply_perplexity": perplexity(one.health.reply_loss), "base_perplexity": after,
            "base_change": after / before - 1 if before and after else None, "invented": one.health.invented.rate,
            "verbatim": one.health.unseen.share if one.health.unseen else None, "stopped": one.health.stopped,
            "score": one.score, "passes": one.score <= (one.health.reply_loss or 0.0),
            "chosen": one.alpha == chosen,
        })  # fmt: skip
    return rows


def make_report(
    name: str, base_name: str | None, base: Health | None, tuned: Health, findings: list[Finding], probes: Probes,
    verdict: str, sizes: dict[str, int], curves: list[dict[str, Any]] | None = None,
    sweep: list[dict[str, Any]] | None = None, samples: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the report as JSON has it."""
    return HealthReport.model_validate({
        "checkpoint": name, "base": base_name, "verdict": verdict,
        "headline": headline(verdict, findings, tuned), "calibration": calibration(tuned),
        "metrics": metrics(base, tuned, findings), "advice": advice(findings, tuned),
        "invented": [list(one) for one in tuned.invented.invented.most_common(_EXAMPLES)],
        "base_invented": [list(one) for one in base.invented.invented.most_common(_EXAMPLES)] if base else [],
        "names": [list(one) for one in tuned.invented.names.most_common(_EXAMPLES)],
        "longest_run": tuned.unseen.example if tuned.unseen else "",
        "sizes": {**sizes, "replies": len(tuned.replies), "words": tuned.invented.total},
        "replies": _side_by_side(probes, base, tuned),
        "curves": curves or [], "sweep": sweep or [], "samples": samples or [],
    }).model_dump(mode="json")  # fmt: skip


def _side_by_side(probes: Probes, base: Health | None, tuned: Health) -> list[dict[str, Any]]:
    rows = []
    for number, (question, reply) in enumerate(zip(probes.unseen, tuned.replies, strict=False)):
        if number == _SHOWN:
            break
        before = base.replies[number].text if base and number < len(base.replies) else None
        rows.append({"prompt": question.text, "reference": question.reference, "base": before, "tuned": reply.text})
    return rows
