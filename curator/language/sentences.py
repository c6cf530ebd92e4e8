"""Sentences: where a text may be cut. Cutting never changes a character; every piece is a slice.

sentencex finds the boundaries (it knows abbreviations, and reads 90 MB/s here). Ours are: an end of line is no end of a
sentence unless a mark stands there, code and tables stay whole, and the pieces together are the text.
"""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise
from typing import Final

from sentencex import segment

from curator.language.blocks import Blocks, closes_block
from curator.language.table import (
    CLOSERS,
    EMOJI,
    FACE,
    FACE_ENDS,
    FINAL_MARKS,
    OPENERS,
    TITLES,
    UNKNOWN_MARKS,
    UNMARKED,
)

_CLOSERS: Final = CLOSERS.replace("~", "")
_OPENERS: Final = OPENERS + " \n\t"
_UNKNOWN: Final = re.compile(f"[{UNKNOWN_MARKS}]+[{re.escape(CLOSERS)}]*\\s*")
_UNMARKED: Final = re.compile(f"[{UNMARKED}]")
_FACES_OF_LETTERS: Final = ("xD", "XD", "xd", "TT", "orz", "OTZ", "555")
# Characters that sentencex reads at once in very long texts, and in those of very many quotation marks: fences and
# quotations that nobody closed take it the square of that.
_SLICE: Final = 4_000
_VERY_LONG: Final = 40_000
_QUOTATIONS: Final = "«»„“”‘’「」『』‹›《》"
_MANY_QUOTATIONS: Final = 1_000
_TAIL: Final = 80  # characters before a piece that may hold the word before a full stop
# Japanese goes on after a quotation: 「行くよ。」と言った。
_QUOTED_ON: Final = re.compile("(?:と|って|など|なんて|という)")


def ends_sentence(piece: str) -> bool:
    """Tell whether `piece` ends at a sentence's end.

    That is a final mark of any script, then closing quotes or brackets, then space; an emoji or a face; a table, closed
    code or a formula on lines of its own; in Thai and Lao, which have no mark, any letter.
    """
    bare = piece.rstrip()
    if not bare:
        return False
    if bare[-1] in FINAL_MARKS:
        return True
    if bare[-1].isascii() and bare[-2:].isalnum() and not bare.endswith(_FACES_OF_LETTERS):
        return False
    if has_final_mark(bare):
        return True
    return _UNMARKED.match(bare[-1]) is not None or closes_block(bare)


def has_final_mark(piece: str) -> bool:
    """Tell whether a mark, an emoji or a face ends `piece`; a letter of Thai does not."""
    bare = piece.rstrip()
    inner = bare.rstrip(_CLOSERS)
    if inner and inner[-1] in FINAL_MARKS:
        return True
    if bare and EMOJI.match(bare[-1]):
        return True
    return bare[-1:] in FACE_ENDS and FACE.search(bare[-24:]) is not None


def sentences(text: str, language: str = "en") -> list[str]:
    """Split `text` into sentences whose concatenation is `text`; white space stays with the sentence before it.

    Pieces without a final mark (a heading, a list's first line, a line broken by hand) are joined to the next.
    """
    pieces = _pieces(text, language)
    if len(pieces) < 2:
        return pieces
    joined: list[str] = []
    held: list[str] = []
    tail = ""
    capitals = _has_capitals(pieces)
    titles = TITLES.get(language, TITLES["en"])
    for number, piece in enumerate(pieces):
        held.append(piece)
        seen = tail + piece
        following = pieces[number + 1] if number + 1 < len(pieces) else ""
        if ends_sentence(seen) and not (following and _goes_on(seen, following, capitals, titles)):
            joined.append("".join(held))
            held, tail = [], ""
        else:
            tail = seen[-_TAIL:]
    if held:
        joined.append("".join(held))
    return joined


def _has_capitals(pieces: list[str]) -> bool:
    """Tell whether the writer begins most sentences with capitals; in many chats nobody does."""
    firsts = [piece.lstrip(_OPENERS)[:1] for piece in pieces]
    return 2 * sum(map(str.isupper, firsts)) >= sum(map(str.isalpha, firsts))


def _goes_on(held: str, following: str, capitals: bool, titles: frozenset[str]) -> bool:
    """Tell whether a sentence goes on after what sentencex took for its end: an abbreviation that it does not know."""
    if "\n" in held[-3:]:
        return False
    if held[-1] in "」』" and _QUOTED_ON.match(following):
        return True
    sign = following[0]
    if not held[-1].isspace() and (sign.islower() or (held[-1] == "." and sign.isascii())):
        return True  # "Deb.’s", "v2.A": nothing parts the two
    last = held.rstrip()
    if not last.endswith("."):
        return False
    if capitals and following.lstrip()[:1].islower():
        return True
    return last[last.rfind(" ", 0, -1) + 1 : -1].lstrip("(“\"'«„").lower() in titles


def _pieces(text: str, language: str) -> list[str]:
    """Split as sentencex does, but lose nothing (it gives blank lines as pieces, and drops some in very long texts),
    cut no block, and know every script's marks."""
    pieces: list[str] = [piece for part in _slices(text) for piece in segment(language, part)]
    blocks = Blocks(text)
    has_more = not text.isascii() and any(map(text.__contains__, UNKNOWN_MARKS))
    more = [match.end() for match in _UNKNOWN.finditer(text)] if has_more else []
    plain = not more and not blocks
    if plain and (len(pieces) < 2 or (not any(map(str.isspace, pieces)) and "".join(pieces) == text)):
        return pieces
    starts, place = {0, *more}, 0
    for piece in pieces:
        if bare := piece.strip():
            start = text.index(bare, place)
            if place:
                starts.add(start)
            place = start + len(bare)
    if blocks:
        starts = {start for start in starts if not blocks.within(start)}
        starts.update(_after_space(text, end) for end in blocks.ends)
    return [text[start:end] for start, end in pairwise([*sorted(starts), len(text)]) if start < end]


def _slices(text: str) -> list[str]:
    """Cut a very long text at line ends, or at blanks: what is no sentence's end there is joined again."""
    if len(text) <= _SLICE or (
        len(text) <= _VERY_LONG and (text.isascii() or sum(map(text.count, _QUOTATIONS)) <= _MANY_QUOTATIONS)
    ):
        return [text]
    cuts = [0]
    while len(text) - cuts[-1] > _SLICE:
        start, last = cuts[-1] + 1, cuts[-1] + _SLICE
        ends = (text.rfind(sign, start, last) + len(sign) for sign in ("\n\n", "\n", " ") if sign in text[start:last])
        cuts.append(next(ends, last))
    return [text[start:end] for start, end in pairwise([*cuts, len(text)])]


def _after_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def chosen_by_hash(text: str, share: float) -> bool:
    """Tell whether `text` is among the `share` of texts chosen by content hash: the same ones in every run."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=4).digest()
    return int.from_bytes(digest, "big") < share * (1 << 32)
