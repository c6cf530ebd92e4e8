"""What MetaHuman cut in mid-sentence: the broken end is left out and reported, what is whole is kept."""

from __future__ import annotations

import re
from operator import is_

import msgspec

from curator.hooks import Pairing
from curator.language.identify import sentence_language
from curator.language.sentences import ends_sentence, has_final_mark, sentences
from curator.language.table import UNMARKED
from curator.reading.content_formats import read_shape, without_truncation
from curator.records import MemoryEvent, Shape

_UNMARKED = re.compile(f"[{UNMARKED}]")
_FAR = 1_000  # characters: no sentence is so long


def whole_shape(event: MemoryEvent, pairing: Pairing) -> Shape:
    """Return the turns or the text of a memory, less the broken last sentence of each text that MetaHuman cut.

    A turn of which nothing whole is left is left out.
    """
    shape = read_shape(event, pairing.names)
    language = pairing.settings.curate.pairing.sentence_language
    if not shape.turns:
        text, cut = _whole_sentences(shape.text, language)
        if text is shape.text:
            return shape
        return msgspec.structs.replace(shape, text=text, truncated=cut)
    turns, truncated = [], False
    for turn in shape.turns:
        text, cut = _whole_sentences(turn.text, language)
        truncated |= cut
        if text or not cut:
            turns.append(turn if text == turn.text else msgspec.structs.replace(turn, text=text))
    if not truncated and all(map(is_, turns, shape.turns)):
        return shape
    return msgspec.structs.replace(shape, turns=tuple(turns), truncated=truncated)


def _whole_sentences(text: str, language: str) -> tuple[str, bool]:
    """Return a text less MetaHuman's mark and the sentence that it broke off, and whether a sentence was broken."""
    text, marked = without_truncation(text)
    if not marked:
        return text, False
    # In Thai every letter may end a sentence: only a mark proves that this one did.
    unmarked = _UNMARKED.search(text[-40:]) is not None
    if has_final_mark(text) if unmarked else ends_sentence(text):
        return text, False
    cut = len("".join(sentences(text, sentence_language(language, text))[:-1]))
    if unmarked or not cut or len(text) - cut > _FAR:
        # A writer, or a script, without marks at the ends of sentences: the last line goes, in Thai the last phrase.
        cut = max(cut, text.rfind("\n") + 1, text.rfind(" ") + 1 if unmarked else 0)
    return text[:cut].rstrip(), True


def note_left_out(event: MemoryEvent, pairing: Pairing) -> bool:
    """Report turns and a broken last sentence that were left out of the shape, and tell whether there was anything."""
    shape = pairing.shape(event)
    for down in shape.turned_down:
        pairing.on_drop(down.reason, down.detail, f"d{down.turn}")
    if shape.truncated:
        pairing.on_drop("truncated", "MetaHuman cut this memory in mid-sentence", "cut-end")
    return shape.truncated or bool(shape.turned_down)
