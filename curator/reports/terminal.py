"""The report on a terminal. Every text that comes from a memory passes `safe` on its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from curator.contract.cli_frame import print_hanging
from curator.contract.errors import counted
from curator.reports.report import Card, Report, facts, headline
from curator.reports.safe_text import safe

_VERDICTS = {"ok": ("ok", "green"), "low": ("low", "yellow"), "high": ("high", "yellow"), "n/a": ("n/a", "dim")}
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_GAP = "  "


def show_report(report: Report, console: Console) -> None:
    """Print the whole report."""
    console.print(_headline(report))
    _quality(report, console)
    _funnel(report, console)
    if report.drops:
        _drops(report, console)
    _types(report, console)
    _months(report, console)
    console.print(Panel(Text("\n".join(facts(report))), title="Fit for", box=box.ROUNDED))
    _prompts(report, console)
    _silences(report, console)
    for warning in report.warnings:
        print_hanging(console, Text("! ", "yellow"), safe(warning))
    for notice in report.notices:
        print_hanging(console, Text("- "), safe(notice))
    for card in report.cards:
        _card(card, console)


def _headline(report: Report) -> RenderableType:
    of_whom = f"user {report.username} · mode {report.mode} · family {report.family}"
    text = f"{headline(report)}\n{of_whom} · {counted(report.tokens, 'token')} {report.tokens_note}"
    return Panel(Text(text), title="Quality report", box=box.ROUNDED)


def _quality(report: Report, console: Console) -> None:
    table = Table(title="Quality", box=box.SIMPLE_HEAD, title_justify="left", expand=False)
    for name, justify in (("measure", "left"), ("value", "right"), ("target", "left"), ("", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for check in report.checks:
        word, style = _VERDICTS[check.verdict]
        unit = "%" if check.unit == "%" else f" {check.unit}"
        value = f"{check.value:.1f}{unit}" if check.measured else "not measured"
        table.add_row(check.name, value, check.target, Text(word, style=style))
    console.print(table)
    told = [check for check in report.checks if check.advice]
    for check in told:
        word, style = _VERDICTS[check.verdict]
        print_hanging(console, Text.assemble(_GAP, (word, style), _GAP), Text(f"{check.name}: {check.advice}"))
    if told:
        console.print()


def _funnel(report: Report, console: Console) -> None:
    """From files to samples: a bar for each step, as long as its share of its unit's largest, and what was lost."""
    widest = {unit: max(s.count for s in report.funnel if s.unit == unit) for unit in {s.unit for s in report.funnel}}
    widest["samples"] = widest["pairs"] = max(widest["pairs"], widest["samples"])
    rows = []
    for step in report.funnel:
        lost = ", ".join(f"{name} {count:,}" for name, count in step.lost.items())
        note = f"-{sum(step.lost.values()):,}: {lost}" if lost else "" if step.name == "training" else step.unit
        rows.append(_Row(step.name, step.count, step.count / max(widest[step.unit], 1), note))
    _bars(console, "From memories to samples", rows, "cyan")


@dataclass(frozen=True)
class _Row:
    """A line with a bar: `share` of the longest, from 0 to 1."""

    name: str
    count: int
    share: float
    note: str = ""


def _bars(console: Console, title: str, rows: Sequence[_Row], style: str) -> None:
    """Print rows with bars in proportion: what is left of the width is shared by the bars and the notes behind them.

    A name that would take more than half of a line gets a line of its own.
    """
    most = max((cell_len(row.name) for row in rows), default=0)
    lead = most if most <= console.width // 2 else 0
    digits = max((len(f"{row.count:,}") for row in rows), default=0)
    room = console.width - lead - digits - 3 * len(_GAP)
    width = min(30, max(room // 3 if any(row.note for row in rows) else room, 8))
    console.print(Text(title, "italic"))
    for row in rows:
        if cell_len(row.name) > lead:
            console.print(Text(row.name), soft_wrap=True)
        name = row.name if cell_len(row.name) <= lead else ""
        label = Text(f"{name}{' ' * (lead - cell_len(name))}{_GAP}{row.count:>{digits},}{_GAP}")
        bar = Text(_bar(row, width), style)
        if row.note:
            bar.pad_right(width - bar.cell_len + len(_GAP))
            print_hanging(console, label.append_text(bar), Text(row.note, "dim"))
        else:
            console.print(label.append_text(bar), soft_wrap=True)
    console.print()


def _bar(row: _Row, width: int) -> str:
    """Return a bar of `share` of the width, to an eighth of a column; what is there at all has an eighth at least."""
    eighths = max(round(8 * width * row.share), 1 if row.count else 0)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def _drops(report: Report, console: Console) -> None:
    """What was turned down: stage, reason and count, an example, and below it the file that it was found in."""
    stage = max(len("stage"), *(len(drop.stage) for drop in report.drops))
    widest = max(len("reason"), *(cell_len(drop.reason) for drop in report.drops))
    digits = max(len("count"), *(len(f"{drop.count:,}") for drop in report.drops))
    console.print(Text("Turned down, with the reason", "italic"))
    head = f"{_GAP}{'stage':{stage}}{_GAP}{'reason':{widest}}{_GAP}{'count':>{digits}}{_GAP}"
    print_hanging(console, Text(head, "bold"), Text("for example", "bold"))
    for drop in report.drops:
        name = drop.reason + " " * (widest - cell_len(drop.reason))
        label = f"{_GAP}{drop.stage:{stage}}{_GAP}{name}{_GAP}{drop.count:>{digits},}{_GAP}"
        print_hanging(console, Text(label), safe(drop.example, 100))
        if drop.path:
            file = safe(drop.path.rpartition("/")[2])
            file.stylize("dim")
            print_hanging(console, Text(" " * (2 * len(_GAP) + stage)), file)
    console.print()


def _types(report: Report, console: Console) -> None:
    most = max(report.types.values(), default=1)
    rows = [_Row(safe(name).plain, count, count / most) for name, count in report.types.items()]
    _bars(console, "Samples by memory type", rows, "blue")


def _prompts(report: Report, console: Console) -> None:
    """The prompts that most samples share: a model cannot tell from them which reply is asked for."""
    if not report.repeated_prompts:
        return
    console.print(Text("Most repeated prompts", "italic"))
    digits = max(len(f"{prompt.count:,}") for prompt in report.repeated_prompts)
    for prompt in report.repeated_prompts:
        label = Text(f"{_GAP}{prompt.count:>{digits},}{_GAP}")
        label.append(f"{100 * prompt.count / max(report.samples, 1):4.1f}%{_GAP}", "dim")
        print_hanging(console, label, safe(prompt.text, 100))


def _silences(report: Report, console: Console) -> None:
    """How long people are silent between messages: what `pairing.session_minutes` parts."""
    if report.silences:
        most = max(report.silences.values()) or 1
        rows = [_Row(name, count, count / most) for name, count in report.silences.items()]
        _bars(console, "Silences between messages of one conversation", rows, "blue")


def _months(report: Report, console: Console) -> None:
    """One line a year, one mark a month, half a year where that is too wide: read faster than a long list."""
    wide = max((len(f"{count:,}") for count in report.months.values()), default=1)
    at_once = 12 if 4 + 12 * (max(wide, 3) + 1) <= console.width else 6
    for first in range(0, 12, at_once):
        title = "Samples by month" if not first else None
        table = Table(title=title, box=None, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("")
        for name in _MONTHS[first : first + at_once]:
            table.add_column(name, justify="right", no_wrap=True)
        for year in sorted({month[:4] for month in report.months}):
            numbers = range(first + 1, first + at_once + 1)
            cells = [report.months.get(f"{year}-{number:02d}", 0) for number in numbers]
            table.add_row(year, *(f"{count:,}" if count else "·" for count in cells))
        console.print(table)


def _card(card: Card, console: Console) -> None:
    console.print(Text(f"\n{_GAP}{card.mode} · {card.sample_id}"), soft_wrap=True)
    print_hanging(console, Text("  < ", "bold"), safe(card.user_text))
    print_hanging(console, Text("  > ", "bold"), safe(card.assistant_text))
    source = safe(card.source)
    source.stylize("dim")
    console.print(Text("    ").append_text(source), soft_wrap=True)
