"""Sentences and passages: where a text may be cut. Cutting never changes a character; every piece is a slice.

sentencex finds the boundaries (it knows abbreviations, and reads 90 MB/s here). Two things are ours: an end of line is
no end of a sentence unless a mark stands there, and the pieces together are the text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import pairwise

from sentencex import segment

from curator.language.words import count_words

_TITLES = frozenset(
    "mr|mrs|ms|mx|dr|prof|sir|st|ste|rev|hon|lieut|lt|capt|col|maj|gen|sgt|messrs|mme|mlle|fr|sr|jr|vs|viz|cf".split(
        "|"
    )
)
_OPENERS = " \n\t\"'“‘«([{*_"
_CLOSERS = "\"'”’»)]}*_›」』）】"
_ENDS = ".!?…。！？؟۔।॥;"[:-1]
_LEAST_WORDS = 5  # "3rd." before a diary's long sentence is no passage of its own, and neither is a heading
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n\s*")


def ends_sentence(piece: str) -> bool:
    """Tell whether `piece` ends at a sentence's end: a final mark, then closing quotes or brackets, then space."""
    bare = piece.rstrip()
    if bare and bare[-1] in _ENDS:
        return True
    bare = bare.rstrip(_CLOSERS)
    if bare and bare[-1] in _ENDS:
        return True
    return bool(bare) and ord(bare[-1]) > 0x2000 and _is_symbol(bare[-1])


def _is_symbol(character: str) -> bool:
    """An emoji closes a chat sentence as a full stop does."""
    code = ord(character)
    return 0x1F300 <= code <= 0x1FAFF or 0x2600 <= code <= 0x27BF or code == 0xFE0F


def sentences(text: str, language: str = "en") -> list[str]:
    """Split `text` into sentences whose concatenation is `text`; white space stays with the sentence before it.

    Pieces without a final mark (a heading, a list's first line, a line broken by hand) are joined to the next.
    """
    pieces = _pieces(text, language)
    if len(pieces) < 2:
        return pieces
    joined: list[str] = []
    held = ""
    capitals = _has_capitals(pieces)
    for number, piece in enumerate(pieces):
        held = held + piece if held else piece
        if ends_sentence(held) and not _goes_on(held, pieces[number + 1 : number + 2], capitals):
            joined.append(held)
            held = ""
    if held:
        joined.append(held)
    return joined


def _has_capitals(pieces: list[str]) -> bool:
    """Tell whether the writer begins most sentences with capitals; in many chats nobody does."""
    firsts = [piece.lstrip(_OPENERS)[:1] for piece in pieces]
    return 2 * sum(map(str.isupper, firsts)) >= sum(map(str.isalpha, firsts))


def _goes_on(held: str, following: list[str], capitals: bool) -> bool:
    """Tell whether a sentence goes on after what sentencex took for its end: an abbreviation that it does not know."""
    if not following or "\n" in held[-3:]:
        return False
    following_sign = following[0][:1]
    if not held[-1].isspace() and (following_sign.islower() or (held[-1] == "." and following_sign.isascii())):
        return True  # "Deb.’s", "v2.A": nothing parts the two
    last = held.rstrip()
    if not last.endswith("."):
        return False
    if capitals and following[0].lstrip()[:1].islower():
        return True
    return last[:-1].rpartition(" ")[2].lstrip("(“\"'").lower() in _TITLES


def _pieces(text: str, language: str) -> list[str]:
    """Split as sentencex does, but lose nothing: it gives blank lines as pieces, and drops some in very long texts."""
    pieces: list[str] = segment(language, text)
    if len(pieces) < 2 or (not any(map(str.isspace, pieces)) and "".join(pieces) == text):
        return pieces
    starts, place = [0], 0
    for piece in pieces:
        if bare := piece.strip():
            start = text.index(bare, place)
            if place:
                starts.append(start)
            place = start + len(bare)
    return [text[start:end] for start, end in pairwise([*starts, len(text)]) if start < end]


def chosen_by_hash(text: str, share: float) -> bool:
    """Tell whether `text` is among the `share` of texts chosen by content hash: the same ones in every run."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=4).digest()
    return int.from_bytes(digest, "big") < share * (1 << 32)


def passages(
    text: str, words: int, most_sentences: int, long_share: float, long_words: int, language: str = "en"
) -> Iterator[str]:
    """Cut a long text into passages at paragraph and sentence ends; yield slices of `text`, outer space off.

    A passage holds up to `most_sentences` sentences and `words` words, one sentence at least. A `long_share` of the
    passages, chosen by the hash of their first sentence, runs on up to `long_words` words and across paragraphs.
    """
    held: list[str] = []
    size = 0
    limit, most = words, most_sentences
    for sentence, closes in _with_paragraphs(text, language):
        length = count_words(sentence)
        if size >= _LEAST_WORDS and (size + length > limit or len(held) >= most) and ends_sentence(held[-1]):
            yield "".join(held).strip()
            held, size = [], 0
        if not held:
            is_long = long_share > 0 and chosen_by_hash(sentence, long_share)
            limit, most = (long_words, 1 << 30) if is_long else (words, most_sentences)
        held.append(sentence)
        size += length
        if closes and limit == words and size >= _LEAST_WORDS:
            yield "".join(held).strip()
            held, size = [], 0
    if rest := "".join(held).strip():
        yield rest


def _with_paragraphs(text: str, language: str) -> Iterator[tuple[str, bool]]:
    """Yield each sentence and whether a paragraph ends with it."""
    for sentence in sentences(text, language):
        parts = _PARAGRAPH.split(sentence) if "\n" in sentence else [sentence]
        if len(parts) == 1:
            yield sentence, False
            continue
        start = 0
        for match in _PARAGRAPH.finditer(sentence):
            if sentence[start : match.end()].strip():
                yield sentence[start : match.end()], ends_sentence(sentence[start : match.start()])
            start = match.end()
        if sentence[start:].strip():
            yield sentence[start:], False


def first_sentences(text: str, most: int, words: int, long_words: int, language: str = "en") -> str | None:
    """Return the longest start of `text` of up to `most` whole sentences and `words` words, white space off its end.

    Always one sentence, even one of more than `words` words; None where the first sentence passes `long_words` or
    `text` has no sentence end to stop at.
    """
    kept = ""
    size = 0
    for count, sentence in enumerate(sentences(text, language)):
        size += count_words(sentence)
        if kept and (size > words or count >= most):
            break
        if size > long_words or not ends_sentence(sentence):
            break
        kept += sentence
    return kept.rstrip() or None
