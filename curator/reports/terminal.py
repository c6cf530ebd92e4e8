"""The report on a terminal. Every text that comes from a memory passes `safe` on its way."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from curator.reports.report import Card, Report
from curator.reports.safe_text import safe

_VERDICTS = {"ok": ("ok", "green"), "low": ("low", "yellow"), "high": ("high", "yellow"), "n/a": ("n/a", "dim")}
_STAGE_WORDS = {
    "read": "reading", "event": "memory", "pair": "pairing", "clean": "cleaning", "screen": "screening",
    "select": "choosing",
}  # fmt: skip


def show_report(report: Report, console: Console) -> None:
    """Print the whole report."""
    console.print(_headline(report))
    console.print(_quality(report))
    console.print(_funnel(report))
    console.print()
    if report.drops:
        console.print(_drops(report))
    console.print(Group(_counts("Samples by memory type", report.types), Text(), _months(report)))
    console.print(_facts(report))
    for warning in report.warnings:
        console.print(Text.assemble(("! ", "yellow"), safe(warning)))
    for notice in report.notices:
        console.print(Text.assemble("- ", safe(notice)))
    for card in report.cards:
        console.print(_card(card))


def _headline(report: Report) -> RenderableType:
    used = 100 * report.memories_used / max(report.memories, 1)
    return Panel(
        Text(
            f"{report.samples:,} samples ({report.train:,} training, {report.samples - report.train:,} held out) "
            f"from {report.memories_used:,} of {report.memories:,} memories ({used:.1f}%)\n"
            f"user {report.username} · mode {report.mode} · family {report.family} · "
            f"{report.tokens:,} tokens {report.tokens_note}"
        ),
        title="Quality report",
        box=box.ROUNDED,
    )


def _quality(report: Report) -> Table:
    table = Table(title="Quality", box=box.SIMPLE_HEAD, title_justify="left", expand=False)
    for name, justify in (("measure", "left"), ("value", "right"), ("target", "left"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("what to do")
    for check in report.checks:
        word, style = _VERDICTS[check.verdict]
        unit = "%" if check.unit == "%" else f" {check.unit}"
        table.add_row(check.name, f"{check.value:.1f}{unit}", check.target, Text(word, style=style), check.advice)
    return table


def _funnel(report: Report) -> Table:
    """From files to samples: a bar for each step, as long as its share of its unit's largest, and what was lost."""
    table = Table(title="From memories to samples", box=None, title_justify="left", show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()
    table.add_column()
    widest = {unit: max(s.count for s in report.funnel if s.unit == unit) for unit in {s.unit for s in report.funnel}}
    widest["samples"] = widest["pairs"] = max(widest["pairs"], widest["samples"])
    for step in report.funnel:
        width = round(30 * step.count / max(widest[step.unit], 1))
        bar = Text("█" * width + ("▏" if not width and step.count else ""), style="cyan")
        lost = ", ".join(f"{name} {count:,}" for name, count in step.lost.items())
        note = f"-{sum(step.lost.values()):,}: {lost}" if lost else "" if step.name == "training" else step.unit
        table.add_row(step.name, f"{step.count:,}", bar, Text(note, style="dim"))
    return table


def _drops(report: Report) -> Table:
    table = Table(title="Turned down, with the reason", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("at")
    table.add_column("reason")
    table.add_column("count", justify="right")
    table.add_column("for example", no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column("in", no_wrap=True, overflow="ellipsis", ratio=2, style="dim")
    table.expand = True
    for drop in report.drops:
        file = safe(drop.path.rpartition("/")[2], 60)
        table.add_row(_STAGE_WORDS[drop.stage], drop.reason, f"{drop.count:,}", safe(drop.example, 100), file)
    return table


def _counts(title: str, counts: dict[str, int]) -> Table:
    table = Table(title=title, box=None, title_justify="left", show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    most = max(counts.values(), default=1)
    for name, count in counts.items():
        table.add_row(safe(name, 40), f"{count:,}", Text("▇" * max(1, round(30 * count / most)), style="blue"))
    return table


def _months(report: Report) -> Table:
    """One line a year, one mark a month: twelve columns are read faster than a long list."""
    table = Table(title="Samples by month", box=None, title_justify="left", pad_edge=False)
    table.add_column("")
    for name in ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"):
        table.add_column(name, justify="right")
    years = sorted({month[:4] for month in report.months})
    for year in years:
        cells = [report.months.get(f"{year}-{number:02d}", 0) for number in range(1, 13)]
        table.add_row(year, *(f"{count:,}" if count else "·" for count in cells))
    return table


def _facts(report: Report) -> RenderableType:
    holdout = report.holdout
    lines = [f"LoRA: {report.fitness['LoRA']}", f"Full fine-tuning: {report.fitness['full fine-tuning']}"]
    if holdout.samples:
        nearest = (
            f"the nearest has {holdout.highest_similarity:.3f}" if holdout.highest_similarity else "all are far below"
        )
        lines.append(
            f"Holdout: {holdout.samples:,} samples of whole conversations; no training sample comes within Jaccard "
            f"similarity {holdout.threshold:g} of any ({holdout.pairs_compared:,} pairs might: compared exactly, "
            f"{nearest})"
        )
    shares = ", ".join(f"{name} {count:,}" for name, count in report.modes.items())
    lines.append(f"Samples by mode: {shares or 'none'}")
    sources = ", ".join(f"{name} {count:,}" for name, count in report.mode_sources.items())
    lines.append(f"Modes of the memories decided by: {sources or 'nothing'}")
    cleaned = ", ".join(f"{name} {count:,}" for name, count in report.cleaned.items())
    lines.append(f"Replies changed by cleaners: {cleaned or 'none'}")
    lines.append(
        f"Memories that make at least one sample: {report.memories_with_samples:,} of {report.memories:,} "
        f"({100 * report.memories_with_samples / max(report.memories, 1):.1f}%), near-duplicates included"
    )
    return Panel(Text("\n".join(lines)), title="Fit for", box=box.ROUNDED)


def _card(card: Card) -> RenderableType:
    body = Text.assemble(("< ", "bold"), safe(card.user_text), ("\n> ", "bold"), safe(card.assistant_text))
    title = Text(f"{card.mode} · {card.sample_id}")
    return Panel(body, title=title, subtitle=safe(card.source, 80), box=box.MINIMAL, title_align="left")
