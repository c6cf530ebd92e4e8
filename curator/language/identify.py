"""Which language a text is in: py3langid's answer, with a gate of length, since a short text says too little."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

UNDETERMINED: Final = "und"
# ISO 639-1: the languages in which every rule about language holds.
KNOWN: Final = ("en", "de", "fr", "es", "it", "pt", "ru", "zh", "ja", "ko", "ar", "hi", "th")
_LEAST_LETTERS: Final = 20
_MOST_CHARACTERS: Final = 400


@cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    """Load the model: a second, so only where a text asks for it."""
    import py3langid

    classify: Callable[[str], tuple[str, float]] = py3langid.classify
    return classify


def language_of(text: str, fallback: str = UNDETERMINED) -> str:
    """Return the language of a text as ISO 639-1 has it, `fallback` where the text is too short to tell."""
    start = text[:_MOST_CHARACTERS]
    if sum(map(str.isalpha, start)) < _LEAST_LETTERS:
        return fallback
    return _classifier()(start)[0]
