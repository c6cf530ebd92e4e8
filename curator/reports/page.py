"""The report as one HTML page without scripts: it opens anywhere, offline, and nothing in a memory can act in it."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from curator.contract.errors import counted
from curator.reports.drift import drift
from curator.reports.report import Report, Step, facts, headline
from curator.reports.safe_text import visible

_UNITS = {"memories": ("memory", "memories"), "pairs": ("pair",), "samples": ("sample",)}


@cache  # compiling it takes longer than filling it for a small run
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("curator.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
    )
    environment.filters["visible"] = lambda text: "".join(map(visible, text))
    environment.filters["counted"] = counted
    return environment.get_template("report.html")


def render_html(report: Report) -> str:
    """Return the page."""
    return _template().render(
        r=report, headline=headline(report), facts=facts(report), funnel=_funnel(report),
        months=_by_year(report.months),
        drift=drift(report.voice.groups.get("year", {})) if report.voice else "",
    )  # fmt: skip


def _funnel(report: Report) -> Markup:
    """Draw a Sankey-like funnel: a band for each unit that narrows step by step, with what left it and why below."""
    parts, top = [], 0
    for unit in (("memories",), ("pairs", "samples")):
        steps = [step for step in report.funnel if step.unit in unit]
        parts.append(_band(steps, top))
        top += 125 + 16 * max(len(step.lost) for step in steps)
    body = Markup("").join(parts)
    return Markup('<svg viewBox="0 0 960 {h}" width="100%" role="img" aria-label="funnel">{b}</svg>').format(
        h=top, b=body
    )


def _band(steps: list[Step], top: int) -> Markup:
    widest = max((step.count for step in steps), default=1) or 1
    slot = 960 / max(len(steps), 1)
    shapes = []
    for number, step in enumerate(steps):
        left, height = number * slot, max(60 * step.count / widest, 1)
        following = steps[number + 1] if number + 1 < len(steps) else step
        end = max(60 * following.count / widest, 1)
        y = top + 40
        shapes.append(
            Markup(
                '<path d="M{x:.0f},{y} h{w:.0f} C{c1:.0f},{y} {c1:.0f},{y} {x2:.0f},{y} v{e:.1f} '
                'C{c1:.0f},{y2:.1f} {c1:.0f},{y1:.1f} {x1:.0f},{y1:.1f} h-{w:.0f} z" fill="var(--bar)" opacity=".8"/>'
            ).format(
                x=left,
                y=y,
                w=slot * 0.55,
                c1=left + slot * 0.78,
                x1=left + slot * 0.55,
                x2=left + slot,
                e=end,
                y1=y + height,
                y2=y + end,
            )
        )
        label = counted(step.count, *_UNITS[step.unit])
        shapes.append(Markup('<text x="{x:.0f}" y="{y}">{n}</text>').format(x=left + 2, y=top + 18, n=step.name))
        shapes.append(
            Markup('<text x="{x:.0f}" y="{y}" class="soft">{n}</text>').format(x=left + 2, y=top + 34, n=label)
        )
        shapes += _losses(following.lost, left + slot * 0.5, y + 78) if following is not step else []
    return Markup("").join(shapes)


def _losses(lost: dict[str, int], left: float, top: float) -> list[Markup]:
    """List the reasons below the place where the band narrows."""
    return [
        Markup('<text x="{x:.0f}" y="{y:.0f}" style="fill:var(--lost);font-size:12px">-{c} {n}</text>').format(
            x=left, y=top + 16 * number, n=name, c=f"{count:,}"
        )
        for number, (name, count) in enumerate(lost.items())
    ]


def _by_year(months: dict[str, int]) -> dict[str, int]:
    """Months where they fit on a page, else years."""
    if len(months) <= 36:
        return months
    years: dict[str, int] = {}
    for month, count in months.items():
        years[month[:4]] = years.get(month[:4], 0) + count
    return years
