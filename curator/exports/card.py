"""README.md of an export: a dataset card in Hugging Face's format, with the commands to paste on top."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import msgspec

from curator.contract.errors import CuratorError, counted
from curator.language.identify import UNDETERMINED
from curator.records import ExportSummary
from curator.reports.report import read_report

if TYPE_CHECKING:
    from curator.exports.plan import Plan
    from curator.reports.report import Report

# Bounds and names are Hugging Face's own (size_categories of a dataset card).
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(plan: Plan, summary: ExportSummary, cost: tuple[str, ...], name: str) -> str:
    """Return the card of an export; `name` is its folder's."""
    try:
        report = read_report(plan.request.run)
    except CuratorError:  # a run without a report can still be exported; its card leaves out what the report tells
        report = None
    parts = [
        _front_matter(plan, summary, report),
        f"# {_title(summary)}\n",
        _training(plan, summary, cost),
        _what_is_trained(plan),
        _counts(summary),
        _provenance(plan, summary, report),
        _filters(report),
        _biases(report),
        _consent(plan),
        _rebuilding(plan, summary, name),
    ]
    return "\n".join(part for part in parts if part)


def _title(summary: ExportSummary) -> str:
    return f"Memories of {summary.username}, for {summary.base_model}"


def _front_matter(plan: Plan, summary: ExportSummary, report: Report | None) -> str:
    import yaml

    rows = summary.counts["rows"]
    files = [{"split": "train", "path": plan.exporter.data[0]}]
    if summary.counts["validation_rows"]:
        files.append({"split": "validation", "path": plan.exporter.data[1]})
    data: dict[str, Any] = {
        "pretty_name": _title(summary),
        "language": _languages(plan, report),
        "license": plan.export_config.licence,
        "task_categories": ["text-generation"],
        "size_categories": [next((word for most, word in _SIZES if rows < most), "1M<n<10M")],
        "tags": ["persona", "conversational", "persona-curator"],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---\n"


def _languages(plan: Plan, report: Report | None) -> list[str]:
    """Return the languages of the set, the most frequent first, unless etc/export.json names one."""
    named = plan.export_config.language
    found = [language for language in (report.languages if report else {}) if language != UNDETERMINED]
    return [named] if named != "auto" else found or [UNDETERMINED]


def _training(plan: Plan, summary: ExportSummary, cost: tuple[str, ...]) -> str:
    how = "LoRA" if summary.method == "lora" else "Full fine-tuning"
    lines = [
        f"## Train it: {how} with {plan.exporter.title}\n",
        "In this folder:\n",
        "```bash",
        *summary.commands,
        "```\n",
    ]
    lines += [f"- {line}" for line in cost] + ([""] if cost else [])
    keys = msgspec.json.decode(bytes(summary.keys))
    lines += ["| hyperparameter | value |", "|---|---|"]
    lines += [f"| {key} | {_value(value)} |" for key, value in sorted(keys.items())]
    lines += [f"| {key} | not used: {why} |" for key, why in summary.unused.items()]
    if summary.warnings:
        lines += ["", "To act on:\n", *(f"- {warning}" for warning in summary.warnings)]
    if summary.notes:
        lines += ["", "Notes:\n", *(f"- {note}" for note in summary.notes)]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    return ", ".join(f"{key} {_value(item)}" for key, item in value.items()) if isinstance(value, dict) else str(value)


def _what_is_trained(plan: Plan) -> str:
    who = {
        "tokenizer": "the chat template of the base model's own tokenizer"
        if not plan.job.own_template else "chat_template.jinja of this folder",
        "tool": f"{plan.exporter.title}'s own template of the family",
        "server": "the service's own template",
    }[plan.exporter.template]  # fmt: skip
    replies = (
        "A row's replies marked for training carry the loss"
        if plan.exporter.per_message else "The last reply of each row carries the loss, with the mark that ends it"
    )  # fmt: skip
    tags = (
        "Mode tags stand in the texts; they tell the modes apart in training and in use."
        if plan.request.tags == "content" else "The mode stands in a system message; the texts carry no tags."
    )  # fmt: skip
    return (
        f"## What is trained\n\n{replies}; prompts, system messages and earlier replies do not. Turns are written by "
        f"{who}, and by nothing else. {tags}\n\n"
        f"`curate preview RUN --to {plan.exporter.name}` shows every token, the trained ones marked.\n"
    )


def _counts(summary: ExportSummary) -> str:
    lines = ["## Counts\n", "| what | count |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {count:,} |" for name, count in summary.counts.items()]
    lines += [
        "",
        "`index.jsonl` names the sample of each row; the run's `lineage.jsonl` names the files of each sample.",
    ]
    return "\n".join(lines) + "\n"


def _provenance(plan: Plan, summary: ExportSummary, report: Report | None) -> str:
    run = plan.reader.summary
    counts = run["counts"]
    text = (
        f"## Provenance\n\nMade by persona-curator {summary.curator_version} from the run `{summary.run}` (sha256 of "
        f"its run-summary.json: `{summary.run_sha256[:16]}`), seed {run['seed']}: "
        f"{counted(counts['samples'], 'sample')} from {counts['memories_used']:,} of "
        f"{counted(counts['memories'], 'memory', 'memories')} of the profile `{summary.username}`. "
    )
    if report:
        text += f"Memory types: {_pairs(report.types)}. Modes decided by: {_pairs(report.mode_sources)}."
    return text + "\n"


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{_plain(name)} {count:,}" for name, count in counts.items()) or "nothing"


def _plain(name: str) -> str:
    """Return a name from a memory (its type) without the characters that mean something in Markdown."""
    return "".join(c if c.isalnum() or c in " _-." else "?" for c in name[:40])


def _filters(report: Report | None) -> str:
    if report is None:
        return ""
    lines = ["## Filters\n", "| stage | reason | turned down |", "|---|---|---|"]
    lines += [f"| {drop.stage} | {drop.reason} | {drop.count:,} |" for drop in report.drops]
    words = "Words of the person are never changed"
    if "control_tokens" in report.cleaned:
        words += ", but for control tokens, which are spelled in braces"
    lines += ["", f"Replies changed by cleaners: {_pairs(report.cleaned)}. {words}."]
    return "\n".join(lines) + "\n"


def _biases(report: Report | None) -> str:
    lines = [
        "## Known biases\n",
        "- One person's memories, and of those only what was written down: nothing here is representative of anybody.",
        "- Replies of an assistant are among them; its manner of speaking is learnt with the person's.",
        "- MetaHuman OS leaves out texts without Latin letters as duplicates and cuts texts of 50,000 characters and "
        "more: what it did not store cannot be here.",
    ]
    if report is None:
        return "\n".join(lines) + "\n"
    if report.modes:
        lines.append(f"- Samples by mode: {_pairs(report.modes)}.")
    if report.months:
        busiest, most = max(report.months.items(), key=lambda item: item[1])
        lines.append(f"- From {min(report.months)} to {max(report.months)}; the most, {most:,}, from {busiest}.")
    off = [f"{check.name} {check.value:g} ({check.verdict}, target {check.target})" for check in report.checks
           if check.verdict in ("low", "high")]  # fmt: skip
    lines += [f"- Off its target: {measure}." for measure in off]
    return "\n".join(lines) + "\n"


def _consent(plan: Plan) -> str:
    consent = plan.export_config.consent.strip() or (
        "Nobody has stated consent. Memories name other people: before this folder is shared with anybody, or sent to "
        "a rented machine or a service, ask them, or take their memories out; then state it under `consent` in "
        "etc/export.json."
    )
    licence = f"Licence: {plan.export_config.licence}. {plan.export_config.licence_note}".strip()
    return f"## Consent and licence\n\n{consent}\n\n{licence}\n"


def _rebuilding(plan: Plan, summary: ExportSummary, name: str) -> str:
    """Return the two commands that make the data again; of a run of an earlier version, what can be said of it."""
    run = plan.reader.summary.get("command")
    if not isinstance(run, list) or not all(isinstance(word, str) for word in run):
        return ""
    home = ["--home", str(plan.request.home)] if plan.request.home else []
    out = ["--to", summary.tool, "--method", summary.method, "--base-model", summary.base_model, "--family",
           summary.family, "--tags", summary.tags, *home, "--out", name]  # fmt: skip
    data = " and ".join(f"`{file}`" for file in plan.exporter.data)
    return (
        f"## How to rebuild it\n\n```bash\nRUN=$({shlex.join(run)} | tail -n 1)\n"
        f'curate export "$RUN" {shlex.join(out)}\n```\n\n'
        "The same memories, configuration, plugins and version give a run of the same bytes, but for its "
        f"`run-summary.json`, which carries the clock, and an export of the same bytes, {data} among them, but for "
        "`export.json` and this card, which name the run.\n"
    )
