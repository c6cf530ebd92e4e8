"""The style sheet as instructions: what a writer has to do so that the figures come out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from curator.exports.pack.phrases import SURE, Habit
from curator.exports.pack.style import Figures, Style

_APART: Final = 1.5  # a mark is worth a line where the person uses it so many times more, or less, than others
_WORTH: Final = 3.0  # marks in 100 sentences, on either side
_RARE: Final = 0.02  # share of sentences below which an end is rare
_MOST: Final = 10  # habits in a line


def instructions(style: Style) -> tuple[str, ...]:
    """Return the style sheet of a language as sentences that tell how to write."""
    return tuple(_lines(style))


def _lines(style: Style) -> Iterator[str]:
    if style.talk:
        yield from _register("In talk", style.talk, style.others, True)
    if style.entries:
        yield from _register("In entries and notes", style.entries, style.others, False)
    emoji = habit_list(style.emoji)
    shares = [one.pictures for one in (style.talk, style.entries) if one]
    if shares and not max(shares):
        yield "No emoji and no faces."
    elif shares:
        yield f"Emoji or faces: in {percent(max(shares))} of the texts" + (f" ({emoji})." if emoji else ".")
    if style.openers:
        yield f"Sentences often begin with {habit_list(style.openers)}."
    if style.closers:
        yield f"Texts often end with {habit_list(style.closers)}."
    if style.phrases:
        yield f"Typical phrases: {habit_list(style.phrases)}."
    if style.words:
        yield f"Words used more than others use them: {habit_list(style.words)}."


def _register(where: str, own: Figures, others: Figures | None, whole: bool) -> Iterator[str]:
    """Yield the lines of talk, or of entries; `whole` where a text's length is the person's own."""
    longer = f"one in ten has more than {own.sentence.high:.0f}"
    line = f"{where}: sentences of about {own.sentence.middle:.0f} words; {longer}."
    if whole:
        line += (
            f" A message has about {own.text.middle:.0f} words in {_sentences(own.text_sentences.middle)}, seldom more "
            f"than {own.text.high:.0f} words."
        )
    yield line
    yield f"{where}, sentences end with: {_ends(own)}."
    if own.small is not None and own.small >= _RARE:
        yield f"{where}, {percent(own.small)} of the sentences begin with a small letter."
    if marks := list(_marks(own, others)):
        yield f"{where}: {'; '.join(marks)}."


def _sentences(count: float) -> str:
    return "1 sentence" if count == 1 else f"{count:.0f} sentences"


def _ends(figures: Figures) -> str:
    said = [f"{end} {percent(share)}" for end, share in figures.ends.items() if share >= _RARE]
    rare = [f"an {end}" for end in ("exclamation mark", "ellipsis") if figures.ends.get(end, 0.0) < _RARE]
    return ", ".join(said) + (f"; hardly ever {' or '.join(rare)}" if rare else "")


def _marks(own: Figures, others: Figures | None) -> Iterator[str]:
    for name, count in own.marks.items():
        theirs = others.marks[name] if others else None
        if max(count, theirs or 0.0) < _WORTH:
            continue
        if theirs is None:
            yield f"{count:.0f} {name} in 100 sentences"
        elif count >= _APART * theirs or theirs >= _APART * count:
            more = "more" if count > theirs else "fewer"
            yield f"{more} {name} than others ({count:.0f} in 100 sentences, others {theirs:.0f})"


def percent(share: float) -> str:
    """Return a share in words: "0%" means none at all."""
    return "under 1%" if 0 < share < 0.005 else f"{share:.0%}"


def habit_list(habits: Iterable[Habit]) -> str:
    """Return habits in a line, those first that others surely have less."""
    ranked = sorted(habits, key=lambda one: one.z < SURE)[:_MOST]
    return ", ".join(f"“{one.text}”" for one in ranked)
