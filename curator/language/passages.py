"""Passages: a long text in pieces of reply length, at the best places that it offers. Every piece is a slice.

Those are, the best first: a paragraph's end, a sentence's end, a line's end, a clause mark, a blank, a word's end in
scripts without blanks. All that is here takes time in proportion to the text, whatever stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from curator.language.blocks import Blocks
from curator.language.sentences import chosen_by_hash, ends_sentence, sentences
from curator.language.table import CLAUSE_MARKS, CUT_MARKS, UNMARKED
from curator.language.words import ANY_UNSPACED, count_words, split_words

_LEAST_WORDS: Final = 5  # "3rd." before a diary's long sentence is no passage of its own, and neither is a heading
_PARAGRAPH: Final = re.compile(r"\n[ \t\r]*\n\s*")
_LINE: Final = re.compile(r"\n\s*")
_CLAUSE: Final = re.compile(f"(?<=[{CLAUSE_MARKS}])(?:\\s+|(?<=[、，；：、]))")
_HALF_STOP: Final = re.compile(r"(?<=[;:؛፤])\s+|(?<=[；：])\s*")
_BLANK: Final = re.compile(r"\s+(?![ๆ\d])")
_UNMARKED: Final = re.compile(f"[{UNMARKED}]")
_NEARBY: Final = 24  # characters on each side in which a word's end is looked for


class _Unit(NamedTuple):
    """A piece that no passage cuts: `words` of it, `sentences` that end in it, and how a passage may end behind it."""

    text: str
    words: int
    sentences: int = 1
    may_end: bool = False
    paragraph: bool = False


def passages(
    text: str, words: int, most_sentences: int, long_share: float, long_words: int, language: str = "en"
) -> Iterator[str]:
    """Cut a long text into passages; yield slices of `text`, outer space off.

    A passage holds up to `most_sentences` sentences and `words` words, one sentence at least. A `long_share` of the
    passages, chosen by the hash of their first sentence, runs on up to `long_words` words and across paragraphs. A
    sentence of more than `long_words` words is cut at lines, clauses or words; code, tables and formulas are not.
    """
    held: list[str] = []
    size = count = 0
    limit, most = words, most_sentences
    may_end = False
    for unit in _units(text, words, long_words, language):
        full = size + unit.words > limit or count >= most
        if full and size >= _LEAST_WORDS and (may_end or ends_sentence(held[-1])):
            yield "".join(held).strip()
            held, size, count = [], 0, 0
        if not held:
            is_long = long_share > 0 and chosen_by_hash(unit.text, long_share)
            limit, most = (long_words, 1 << 30) if is_long else (words, most_sentences)
        held.append(unit.text)
        size, count = size + unit.words, count + unit.sentences
        # Lines without any mark end a passage once they are no heading any more.
        may_end = unit.may_end or ("\n" in unit.text and 2 * size >= words and _ends_lines(unit.text))
        if unit.paragraph and limit == words and size >= _LEAST_WORDS:
            yield "".join(held).strip()
            held, size, count = [], 0, 0
    if rest := "".join(held).strip():
        yield rest


def _ends_lines(piece: str) -> bool:
    """Tell whether a blank line ends a piece that does not go on behind it, as it would behind a comma."""
    return _PARAGRAPH.search(piece) is not None and piece.rstrip()[-1:] not in CUT_MARKS


def first_sentences(text: str, most: int, words: int, long_words: int, language: str = "en") -> str | None:
    """Return the longest start of `text` of up to `most` whole sentences and `words` words, white space off its end.

    Always one sentence, even one of more than `words` words; None where the first sentence passes `long_words` or
    `text` has no sentence end to stop at. In Thai, which marks no end, a blank is one where the words do not suffice.
    """
    kept: list[str] = []
    size = 0
    for count, sentence in enumerate(sentences(text, language)):
        for piece in _parts_of(sentence, count_words(sentence), words, long_words):
            size += count_words(piece)
            if (kept and (size > words or count >= most)) or size > long_words or not ends_sentence(piece):
                return "".join(kept).rstrip() or None
            kept.append(piece)
    return "".join(kept).rstrip() or None


def cuttable(text: str, words: int, long_words: int, language: str = "en") -> list[str]:
    """Return the sentences of `text`, those cut that are too long for a passage; their concatenation is `text`."""
    pieces = []
    for sentence in sentences(text, language):
        pieces += _parts_of(sentence, count_words(sentence), words, long_words)
    return pieces


def _units(text: str, words: int, long_words: int, language: str) -> Iterator[_Unit]:
    for part, ends_paragraph in _with_paragraphs(text, language):
        size = count_words(part)
        if size <= words:  # most are
            yield _Unit(part, size, 1, False, ends_paragraph)
            continue
        pieces = _parts_of(part, size, words, long_words)
        for piece in pieces[:-1]:
            yield _Unit(piece, count_words(piece), sentences=0, may_end=True)
        last = pieces[-1]
        yield _Unit(last, count_words(last) if len(pieces) > 1 else size, 1, len(pieces) > 1, ends_paragraph)


def _with_paragraphs(text: str, language: str) -> Iterator[tuple[str, bool]]:
    """Yield each sentence and whether a paragraph ends with it."""
    for sentence in sentences(text, language):
        breaks = list(_PARAGRAPH.finditer(sentence)) if "\n" in sentence else []
        if not breaks:
            yield sentence, False
            continue
        blocks = Blocks(sentence)
        start = 0
        for match in breaks:
            if blocks and blocks.within(match.end()):
                continue
            if sentence[start : match.end()].strip():
                yield sentence[start : match.end()], ends_sentence(sentence[start : match.start()])
            start = match.end()
        if sentence[start:].strip():
            yield sentence[start:], False


def _parts_of(piece: str, size: int, words: int, long_words: int) -> list[str]:
    """Cut a piece of `size` words, where it has to be: one too long for any passage, or one of a script without marks
    that is longer than a passage should be."""
    if size <= words:
        return [piece]
    unmarked = not piece.isascii() and _UNMARKED.search(piece[:400]) is not None
    if size <= long_words and not unmarked:
        return [piece]
    between = (_BLANK,) if unmarked else (_HALF_STOP, _CLAUSE)
    steps = (*((pattern, words) for pattern in (_LINE, *between)), (_BLANK, long_words))
    blocks = Blocks(piece)
    return [
        piece[start:end]
        for start, end in _cut(piece, 0, len(piece), steps, blocks.within if blocks else None, long_words)
    ]


_Step = tuple[re.Pattern[str], int]
_Within = Callable[[int], bool] | None


def _cut(
    text: str, start: int, end: int, steps: tuple[_Step, ...], within: _Within, long_words: int
) -> list[tuple[int, int]]:
    """Cut text[start:end] at the places of the first step, packed up to its words; what is still too long at those of
    the next one."""
    if not steps:
        return list(_between_words(text, start, end, long_words))
    (pattern, limit), rest = steps[0], steps[1:]
    places = [match.end() for match in pattern.finditer(text, start, end) if within is None or not within(match.end())]
    spans: list[tuple[int, int]] = []
    begin, size = start, 0
    before = start
    for place in [*places, end]:
        if place <= before:
            continue
        length = count_words(text[before:place])
        if size and size + length > limit:
            spans.append((begin, before))
            begin, size = before, 0
        if length > limit and (length > long_words or rest):
            inner = _cut(text, begin, place, rest, within, long_words)  # white space before it goes with it
            spans += inner[:-1]
            begin, size = inner[-1][0], count_words(text[slice(*inner[-1])])
        else:
            size += length
        before = place
    return [*spans, (begin, end)]


def _between_words(text: str, start: int, end: int, most: int) -> Iterable[tuple[int, int]]:
    """Cut a run without blanks into even parts of up to `most` words, each at a word's end."""
    size = count_words(text[start:end])
    if size <= most or not ANY_UNSPACED.search(text, start, end):
        return [(start, end)]
    parts = -(-size // most)
    length = (end - start) / parts
    places = [_word_end(text, start + round(length * number), start, end) for number in range(1, parts)]
    cuts = sorted({start, *places, end})
    return pairwise(cuts)


def _word_end(text: str, place: int, start: int, end: int) -> int:
    """Return the end of a word that is nearest to `place`."""
    first, last = max(start, place - _NEARBY), min(end, place + _NEARBY)
    best, here = place, first
    distance = last - first
    for word in split_words(text[first:last]):
        here = text.find(word, here, last) + len(word)
        if first + 3 < here < last - 3 and abs(here - place) < distance:
            best, distance = here, abs(here - place)
    return best
