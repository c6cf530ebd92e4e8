"""The score of the voice by year, drawn: a point with its interval a year, between the others and the person."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from curator.reports.report import VoicePlace

_WIDE, _LEFT, _RIGHT, _TOP, _BOTTOM = 400, 84, 8, 8, 190  # of the picture, which is as small as a phone is wide
_LABELS = 8  # years that are named at most


def drift(years: dict[str, VoicePlace]) -> Markup:
    """Return a picture of the years that have a score; nothing where there are not two. The rest is in the table."""
    placed = [(int(year), place) for year, place in sorted(years.items()) if year.isdecimal() and place.low is not None]
    if len(placed) < 2:
        return Markup("")
    low, high = (
        edge(getattr(place, name) or 0.0 for _, place in placed) for edge, name in ((min, "low"), (max, "high"))
    )
    bottom, top = min(0.0, low) - 5, max(100.0, high) + 5
    first, last = placed[0][0], placed[-1][0]

    def across(year: int) -> float:
        return _LEFT + 14 + (year - first) * (_WIDE - _LEFT - _RIGHT - 28) / (last - first)

    def down(score: float) -> float:
        return _TOP + (top - score) * (_BOTTOM - _TOP) / (top - bottom)

    shapes = [_level(name, score, down(score)) for name, score in (("person", 100), ("others", 0))]
    step = -(-(last - first + 1) // _LABELS)
    for year in range(first, last + 1, step):
        shapes.append(
            Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(across(year), _BOTTOM + 16, year)
        )
    shapes += [_point(year, place, across(year), down) for year, place in placed]
    return Markup(
        '<svg class="drift" viewBox="0 0 {w} {h}" role="img" aria-label="score by year, {a} to {b}">{s}</svg>'
    ).format(w=_WIDE, h=_BOTTOM + 22, a=first, b=last, s=Markup("").join(shapes))


def _level(name: str, score: int, y: float) -> Markup:
    """Draw the line of a score that means something, with its name before it."""
    return Markup(
        '<line x1="{l}" x2="{r}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>'
        '<text x="{t}" y="{ty:.1f}" text-anchor="end"><tspan class="soft">{name}</tspan> {score}</text>'
    ).format(l=_LEFT, r=_WIDE - _RIGHT, t=_LEFT - 6, y=y, ty=y + 4, score=score, name=name)


def _point(year: int, place: VoicePlace, x: float, down: Callable[[float], float]) -> Markup:
    """Draw a year: its interval as a bar, its score as a point, and both in words for who points at it."""
    score, low, high = place.score or 0.0, place.low or 0.0, place.high or 0.0
    return Markup(
        "<g><title>{year}: {score:.0f} ({low:.0f} to {high:.0f}), {words:,} words</title>"
        '<line x1="{x:.1f}" x2="{x:.1f}" y1="{a:.1f}" y2="{b:.1f}" stroke="var(--bar)" stroke-width="2" opacity=".5"/>'
        '<circle cx="{x:.1f}" cy="{c:.1f}" r="4" fill="var(--bar)"/></g>'
    ).format(
        year=year, score=score, low=low, high=high, words=place.words, x=x, a=down(high), b=down(low), c=down(score)
    )
