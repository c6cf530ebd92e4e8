"""A fine-tune's health report as one HTML page: no scripts, no network, and a model's text is always escaped."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from curator.contract.cli_frame import harmless
from curator.contract.errors import counted
from curator.contract.homes import install
from trainer.memorisation.findings import CanaryFindings, times

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]
Form = Callable[[object], str]

_VERDICTS: Final = {
    "passed": ("good", "✓ Passed"),
    "refused": ("bad", "✗ Refused"),
    "accepted": ("bad", "✗ Accepted, although degraded"),
    "measured": ("neutral", "Measured, not compared"),
    "probe": ("neutral", "A probe, with canaries"),
}
_DOUBTED: Final = ("weak", "✓ Passed, with a doubt")
_SIZES: Final = (
    (("train", ("for training", "for training")), ("held_out", ("held out", "held out"))),
    (("replies", ("reply", "replies")), ("words", ("word",))),
    (("base_text_tokens", ("token of base text", "tokens of base text")),),
)
# Okabe and Ito's colours, safe for colour-blind readers. Each becomes a CSS variable, which a dark page redefines.
_GREEN, _BLUE, _VERMILION, _INK, _SOFT, _LINE = "#009e73", "#0072b2", "#d55e00", "#1d2730", "#5c6b78", "#d9e0e6"
_VARIABLES: Final = {
    _GREEN: "green", _BLUE: "blue", _VERMILION: "vermilion", _INK: "ink", _SOFT: "soft", _LINE: "line"
}  # fmt: skip
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "persona-curator-health",
    "font.size": 10,
    "axes.linewidth": 0.8,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _SOFT,
    "axes.spines.left": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _LINE,
    "xtick.labelcolor": _SOFT,
    "ytick.left": False,
    "ytick.color": _LINE,
    "ytick.labelcolor": _SOFT,
    "lines.linewidth": 1.6,
}
_NO_METADATA: Final = {"Date": None, "Creator": None, "Format": None, "Type": None}
_MARKS_UP_TO = 40  # points; more would hide the line
_LOG_FROM = 30  # times the least value: beyond that, small values would lie on the axis
_STYLE_ELEMENT = re.compile(r"<defs>\s*<style.*?</defs>", re.DOTALL)
_ID = re.compile(r'(\bid="|href="#|url\(#)')
_FONT = re.compile(r"font-family: [^;\"]*;? ?")
_HEAD_OR_SIZE = re.compile(r'^<svg|width="[\d.]+pt" height="[\d.]+pt" ')


def page(report: Row) -> str:
    """Return the page for a health report; parts that the report lacks are left out."""
    environment = Environment(
        loader=PackageLoader("trainer.evaluation", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = _visible
    return environment.get_template("health.html").render(_view(report))


def _visible(text: object) -> str:
    return "" if text is None else harmless(str(text))


def _view(report: Row) -> dict[str, Any]:
    """Return the template's values: numbers as text, missing ones empty."""
    kind, words = _VERDICTS.get(report.get("verdict") or "", ("neutral", _visible(report.get("verdict"))))
    if kind == "good" and report.get("doubts"):
        kind, words = _DOUBTED
    plain = ("checkpoint", "base", "longest_run", "calibration")
    lists = ("headline", "oov_words", "names", "replies", "samples", "advice")
    return {
        **{key: report.get(key) or "" for key in plain},
        **{key: report.get(key) or [] for key in lists},
        "base_oov_words": report.get("base_oov_words"),  # none is a finding, where it was looked for
        "kind": kind,
        "verdict": words,
        "sizes": _sizes(report.get("sizes") or {}),
        "metrics": _metrics(report),
        "canaries": _canaries(report),
        "years": [
            {
                "year": row["year"] or "undated",
                "samples": _plain(row["samples"]),
                "tokens": _plain(row["tokens"]),
                "base": _loss(row["base"]),
                "tuned": _loss(row["tuned"]),
                "voice": _score((row.get("tuned_voice") or {}).get("score")),
            }
            for row in report.get("years") or []
        ],
        "curves": _curve_rows(report),
        "sweep": _sweep_rows(report),
        "voice": _voice(report.get("voice")),
        **_charts(report),
    }


def _canaries(report: Row) -> Row | None:
    """Return what a probe kept of its canaries, as text; None where it is no probe."""
    if not report.get("canaries"):
        return None
    canaries = CanaryFindings.model_validate(report["canaries"])
    heads, rows = canaries.table()
    found = [
        {
            "planted": times(one.repeats), "extracted": one.extracted, "text": f"{one.prompt} {one.reply}",
            "exposure": f"{one.exposure:.1f}{' (estimated)' if one.extrapolated else ''}",
        }
        for one in canaries.found
    ]  # fmt: skip
    bits, not_learnt = f"{canaries.bits:.1f}", f"{canaries.not_learnt:.1f}"
    return {"bits": bits, "not_learnt": not_learnt, "heads": heads, "rows": rows, "found": found}


def _sizes(sizes: Row) -> str:
    groups = ([counted(sizes[key], *nouns) for key, nouns in group if _is_number(sizes.get(key))] for group in _SIZES)
    return " · ".join(", ".join(group) for group in groups if group)


# --- numbers ---------------------------------------------------------------------------------------------------------


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _shown(value: object, form: Callable[[float], str]) -> str:
    """Return a number in its form, '' where it was not measured, and words for NaN and infinity."""
    if not isinstance(value, int | float):
        return ""
    if math.isfinite(value):
        return form(value)
    return "not a number" if math.isnan(value) else "∞" if value > 0 else "-∞"


def _perplexity(value: object) -> str:
    return _shown(value, lambda number: f"{number:,.1f}" if number < 1e7 else f"{number:.1e}")


def _share(value: object) -> str:
    """Return a fraction in percent: two decimals, or one from 10% on."""
    return _shown(value, lambda part: f"{100 * part:,.{1 if abs(part) >= 0.0995 else 2}f}%")


def _change(value: object) -> str:
    return _shown(value, lambda part: ("+" if part > 0 else "") + _share(part))


def _loss(value: object) -> str:
    return _shown(value, lambda number: f"{number:.3f}")


def _plain(value: object) -> str:
    """Return a number: two decimals where it has any."""
    return _shown(value, lambda number: f"{number:,.0f}" if number == int(number) else f"{number:,.2f}")


def _score(value: object) -> str:
    return _shown(value, lambda number: f"{number:,.0f}".replace("-", "−"))


def _tick(value: float) -> str:
    return f"{value:,g}".replace("-", "−")


def _percent_tick(value: float) -> str:
    return _tick(100 * value) + "%"


# --- tables ----------------------------------------------------------------------------------------------------------


def _metrics(report: Row) -> list[Row]:
    return [_metric(metric) for metric in report.get("metrics") or []]


def _metric(metric: Row) -> Row:
    """Return a row of the table of metrics."""
    name, unit = metric.get("name") or "", metric.get("unit") or ""
    figures = {key: _figure(metric.get(key), name, unit) for key in ("base", "tuned", "limit")}
    if figures["tuned"] and (known := (_share if unit == "%" else _score)(metric.get("margin"))):
        figures["tuned"] += f" ±{known}"
    texts = {key: metric.get(key) or "" for key in ("limit_says", "means")}
    return {"label": metric.get("label") or name, "ok": metric.get("ok"), **figures, **texts}


def _figure(value: object, name: str, unit: str) -> str:
    if unit == "%":
        return _share(value)
    figure = _perplexity(value) if name.endswith("perplexity") else (_score if name == "voice" else _plain)(value)
    return f"{figure} {unit[:-1] if value == 1 and unit.endswith('s') else unit}" if figure and unit else figure


def _curve_rows(report: Row) -> list[Row]:
    """Return the steps at which something was evaluated, as text."""
    forms = {"step": _plain, "loss": _loss, "validation_loss": _loss, "base_perplexity": _perplexity}
    evaluated = (
        row
        for row in report.get("curves") or []
        if row.get("validation_loss") is not None or row.get("base_perplexity") is not None
    )
    return [{key: form(row.get(key)) for key, form in forms.items()} for row in evaluated]


def _sweep_rows(report: Row) -> list[Row]:
    forms: dict[str, Form] = {
        "reply_perplexity": _perplexity, "base_perplexity": _perplexity, "base_change": _change,
        "oov_rate": _share, "memorisation": _share, "eos_rate": _share, "voice": _score,
    }  # fmt: skip
    ends = {0: " (base)", 1: " (tuned)"}
    return [
        {"alpha": _tick(row["alpha"]) + ends.get(row["alpha"], ""), "passes": row.get("passes")}
        | {"chosen": bool(row.get("chosen"))}
        | {key: form(row.get(key)) for key, form in forms.items()}
        for row in _with_number(report.get("sweep"), "alpha")
    ]


_WHO: Final = {"others": "others", "base": "base", "tuned": "tuned", "person": "the person, unseen"}


def _voice(voice: Row | None) -> Row | None:
    """Return what the section on the voice shows: a row for each whose texts were measured, on a scale of its own."""
    if not voice:
        return None
    places = [row["topic_free"] for row in voice["rows"] if row["topic_free"]["score"] is not None]
    least = min([0.0, *(place["low"] for place in places)])
    most = max([100.0, *(place["high"] for place in places)])

    def across(value: float) -> str:  # percent of the width, so that it is right at any width
        return f"{100 * (value - least) / (most - least):.1f}"

    rows = []
    for row in voice["rows"]:
        place, full = row["topic_free"], row["full"]
        shown = {"who": _WHO[row["name"]], "name": row["name"], "score": _score(place["score"]), "why": place["why"]}
        shown |= {"full": _score(full["score"]), "words": _plain(place["words"])}
        if place["score"] is not None:
            shown |= {
                "interval": f"{_score(place['low'])} to {_score(place['high'])}", "at": across(place["score"]),
                "from": across(place["low"]), "wide": across(least + place["high"] - place["low"]),
            }  # fmt: skip
        rows.append(shown)
    return {
        "rows": rows, "why": voice["why"], "others": voice["others"], "known": counted(voice["words"][0], "word"),
        "recited": _share(voice["recited"]), "zero": across(0), "hundred": across(100),
    }  # fmt: skip


def _with_number(rows: Iterable[Row] | None, key: str) -> list[Row]:
    return [row for row in rows or [] if _is_number(row.get(key))]


# --- what the charts show --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Curve:
    """A line of a chart; `hollow` are the places whose dots are drawn empty."""

    points: tuple[tuple[float, float], ...]
    colour: str
    name: str = ""
    hollow: frozenset[float] = frozenset()


@dataclass(frozen=True)
class _Panel:
    """A chart: one picture, with its caption and how its numbers are written."""

    name: str
    caption: str
    curves: tuple[_Curve, ...]
    form: Form
    tick: Callable[[float], str] = _tick
    across: str = "step"
    limit: float | None = None
    limit_name: str = "limit"
    chosen: float | None = None
    from_zero: bool = False
    small: bool = False


def _charts(report: Row) -> dict[str, Any]:
    """Return the charts of the curves and of the sweep, and whether matplotlib is missing that would draw them."""
    curves, sweep = _curve_panels(report), _sweep_panels(report)
    try:
        import matplotlib  # noqa: F401  slow to load, and the page does without
    except ImportError:
        missing = {"no_charts": bool(curves or sweep), "install_charts": install("matplotlib")}
        return {"curve_charts": [], "sweep_charts": [], "sweep_small": []} | missing
    return {
        "curve_charts": [_chart(panel) for panel in curves],
        "sweep_charts": [_chart(panel) for panel in sweep if not panel.small],
        "sweep_small": [_chart(panel) for panel in sweep if panel.small],
        "no_charts": False,
    }


def _chart(panel: _Panel) -> Row:
    scale = ", on a logarithmic scale" if _scale(panel) != "linear" else ""
    return {"caption": panel.caption + scale, "svg": _svg(panel)}


def _points(rows: Sequence[Row], across: str, key: str) -> tuple[tuple[float, float], ...]:
    return tuple((row[across], row[key]) for row in rows if _is_number(row.get(key)))


def _limits(report: Row) -> dict[str, float | None]:
    """Return the limit of each metric, and of the base text's change the share that its limit allows."""
    metrics = {metric.get("name") or "": metric for metric in report.get("metrics") or []}
    limits = {name: metric["limit"] if _is_number(metric.get("limit")) else None for name, metric in metrics.items()}
    budget, base = limits.get("base_perplexity"), metrics.get("base_perplexity", {}).get("base")
    limits["base_change"] = budget / base - 1 if budget is not None and _is_number(base) and base > 0 else None
    return limits


def _curve_panels(report: Row) -> list[_Panel]:
    rows = sorted(_with_number(report.get("curves"), "step"), key=lambda row: row["step"])
    losses = (
        _Curve(_points(rows, "step", "validation_loss"), _BLUE, "held-out"),
        _Curve(_points(rows, "step", "loss"), _GREEN, "training"),
    )
    text = _Curve(_points(rows, "step", "base_perplexity"), _BLUE)
    limit = _limits(report).get("base_perplexity")
    panels = (
        _Panel("losses", "Loss, nats a token", losses, _loss, from_zero=True),
        _Panel("base-text", "Perplexity of base text", (text,), _perplexity, limit=limit, limit_name="budget"),
    )
    return _drawable(panels)


def _sweep_panels(report: Row) -> list[_Panel]:
    """Return a panel for each figure of the sweep, with its limit and what was chosen."""
    rows = sorted(_with_number(report.get("sweep"), "alpha"), key=lambda row: row["alpha"])
    hollow = frozenset(row["alpha"] for row in rows if row.get("passes") is False)
    chosen = next((row["alpha"] for row in rows if row.get("chosen")), None)
    limits = _limits(report)

    def panel(key: str, caption: str, form: Form, limit: str, **kwargs: Any) -> _Panel:
        curve = _Curve(_points(rows, "alpha", key), _BLUE, hollow=hollow)
        name = "sweep-" + key.replace("_", "-")
        return _Panel(
            name, caption, (curve,), form, limit=limits.get(limit), chosen=chosen, **{"across": "alpha", **kwargs}
        )

    shares: dict[str, Any] = {"tick": _percent_tick, "small": True}
    return _drawable(
        (
            panel("reply_perplexity", "Perplexity of replies", _perplexity, "reply_perplexity"),
            panel("base_change", "Change of base text's perplexity", _change, "base_change", tick=_percent_tick,
                  limit_name="budget"),
            panel("oov_rate", "Invented words", _share, "oov_rate", from_zero=True, **shares),
            panel("memorisation", "Recited from training", _share, "memorisation_unseen", from_zero=True, **shares),
            panel("eos_rate", "Replies that stop by themselves", _share, "eos_rate", **shares),
            panel("voice", "Voice: 0 others, 100 the person", _score, "voice", small=True),
        )
    )  # fmt: skip


def _drawable(panels: Iterable[_Panel]) -> list[_Panel]:
    """Return the panels that have something to draw, without their empty curves."""
    full = (replace(panel, curves=tuple(curve for curve in panel.curves if curve.points)) for panel in panels)
    return [panel for panel in full if panel.curves]


def _heights(panel: _Panel) -> list[float]:
    heights = [height for curve in panel.curves for _, height in curve.points]
    return heights if panel.limit is None else [*heights, panel.limit]


def _scale(panel: _Panel) -> str:
    """Return the scale of the y axis: figures of a diverged model span many powers of ten."""
    heights = _heights(panel)
    if panel.from_zero:
        return "linear"
    if panel.form is _change:  # may be 0 or less, which has no logarithm
        return "symlog" if max(heights) > 1 else "linear"
    return "log" if 0 < min(heights) * _LOG_FROM < max(heights) else "linear"


# --- drawing ---------------------------------------------------------------------------------------------------------


def _svg(panel: _Panel) -> Markup:
    """Draw a panel. matplotlib's settings elsewhere in this process do not change, and do not matter here."""
    import matplotlib
    from matplotlib.figure import Figure

    out = io.StringIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        wide, high, left, right = (270, 170, 42, 66) if panel.small else (360, 210, 46, 92)  # points
        figure = Figure(figsize=(wide / 72, high / 72))
        _paint(figure.add_axes((left / wide, 38 / high, (wide - left - right) / wide, (high - 60) / high)), panel)
        figure.savefig(out, format="svg", transparent=True, metadata=_NO_METADATA)
    return _for_page(out.getvalue(), panel)


def _paint(axes: Axes, panel: _Panel) -> None:
    """Draw everything inside the frame, and the labels right of it in place of a legend."""
    for curve in panel.curves:
        _paint_curve(axes, curve)
    if panel.limit is not None:
        axes.axhline(panel.limit, color=_VERMILION, linewidth=1, linestyle=(0, (5, 3)))
    _set_axes(axes, panel)
    labels = [
        (curve.points[-1][1], f"{curve.name} {panel.form(curve.points[-1][1])}".strip(), curve.colour)
        for curve in panel.curves
    ]
    if panel.limit is not None:
        labels.append((panel.limit, f"{panel.limit_name} {panel.form(panel.limit)}", _VERMILION))
    if len(panel.curves) == 2:
        labels += _paint_gap(axes, panel)
    _paint_labels(axes, labels)
    _paint_chosen(axes, panel)


def _paint_curve(axes: Axes, curve: _Curve) -> None:
    across, heights = zip(*curve.points, strict=True)
    axes.plot(across, heights, color=curve.colour, clip_on=False, zorder=3)
    if len(curve.points) > _MARKS_UP_TO:
        return
    for hollow in (False, True):
        dots = [point for point in curve.points if (point[0] in curve.hollow) is hollow]
        face = "#ffffff" if hollow else curve.colour
        axes.plot(*_columns(dots), "o", color=curve.colour, markerfacecolor=face, markersize=4, clip_on=False, zorder=4)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [across for across, _ in points], [height for _, height in points]


def _set_axes(axes: Axes, panel: _Panel) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    scale = _scale(panel)
    if scale == "symlog":
        axes.set_yscale("symlog", linthresh=0.1)
        axes.set_ylim(bottom=min(0, *_heights(panel)))
    elif scale == "log":
        axes.set_yscale("log")
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: panel.tick(value)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.set_xlabel("alpha: from base to tuned" if panel.across == "alpha" else panel.across, loc="left")
    if panel.across == "alpha":
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 2.5, 5, 10]))
    if panel.from_zero:
        axes.set_ylim(bottom=min(0, *_heights(panel)))


def _paint_gap(axes: Axes, panel: _Panel) -> list[tuple[float, str, str]]:
    """Shade the gap between held-out and training loss, and return its label, where both have common steps."""
    import numpy

    held_out, training = panel.curves
    steps, heights = _columns(held_out.points)
    shared = [point for point in training.points if steps[0] <= point[0] <= steps[-1]]
    if not shared:
        return []
    across, low = _columns(shared)
    high = numpy.interp(across, steps, heights)
    axes.fill_between(across, low, high, color=_BLUE, alpha=0.12, linewidth=0)
    gap = float(high[-1]) - low[-1]
    return [(low[-1] + gap / 2, f"gap {_loss(gap)}", _SOFT)]


def _paint_labels(axes: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Write labels right of the frame at their heights, moved apart where they would overlap."""
    inside = axes.transData + axes.transAxes.inverted()
    right = axes.get_xlim()[1]
    wanted = [float(inside.transform((right, height))[1]) for height, _, _ in labels]
    for place, (_, text, colour) in zip(_spread(wanted, 0.09), labels, strict=True):
        axes.text(1.03, place, text, color=colour, transform=axes.transAxes, va="center")


def _spread(wanted: Sequence[float], least: float) -> list[float]:
    """Return places at least so far apart, in the same order and none above 1."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    places, lowest, highest = list(wanted), -math.inf, 1.0
    for index in order:
        places[index] = max(places[index], lowest)
        lowest = places[index] + least
    for index in reversed(order):
        places[index] = min(places[index], highest)
        highest = places[index] - least
    return places


def _paint_chosen(axes: Axes, panel: _Panel) -> None:
    """Mark the chosen alpha and write its figure above the frame."""
    heights = dict(panel.curves[0].points)
    if panel.chosen not in heights:
        return
    axes.axvline(panel.chosen, color=_INK, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.plot([panel.chosen], [heights[panel.chosen]], "o", color=_INK, markersize=6.5, clip_on=False, zorder=5)
    side = "left" if panel.chosen < 0.3 else "right" if panel.chosen > 0.7 else "center"
    text = f"chosen {_tick(panel.chosen)}: {panel.form(heights[panel.chosen])}"
    axes.text(panel.chosen, 1.04, text, color=_INK, transform=axes.get_xaxis_transform(), ha=side, va="bottom")


def _for_page(svg: str, panel: _Panel) -> Markup:
    """Return an SVG for a page with several: its own ids, the page's colours and font, any width."""
    svg = svg[svg.index("<svg") :].strip()
    svg = _STYLE_ELEMENT.sub("", svg, count=1)  # would hold for the whole page
    svg = _ID.sub(rf"\g<1>{panel.name}-", svg)
    svg = _FONT.sub("", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = svg.replace("#ffffff", "var(--paper)")
    head = Markup('<svg role="img" aria-label="{}" width="100%"').format(_in_words(panel))
    return Markup(_HEAD_OR_SIZE.sub(lambda at: head if at[0] == "<svg" else "", svg))


def _in_words(panel: _Panel) -> str:
    """Return what a panel shows as text, for screen readers."""
    parts = [
        f"{curve.name or 'it'} goes from {panel.form(curve.points[0][1])} to {panel.form(curve.points[-1][1])}"
        for curve in panel.curves
    ]
    if panel.limit is not None:
        parts.append(f"the {panel.limit_name} is {panel.form(panel.limit)}")
    return f"{panel.caption}: {', '.join(parts)}"
