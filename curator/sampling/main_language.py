"""The language of most of a profile, in which a text too short to tell its own is asked about."""

from __future__ import annotations

from collections import Counter
from typing import Final

from curator.language.identify import UNDETERMINED, language_of
from curator.language.table import SCRIPT_OF, script_of
from curator.reading.timeline import Order
from curator.records import MemoryEvent

_MOST: Final = 400  # memories that are looked at, spread over all
_SHARE: Final = 0.6


def main_language(timeline: Order) -> str:
    """Return the language of six in ten of the memories that tell theirs; "und" where there is no such."""
    step = max(1, len(timeline) // _MOST)
    counts = Counter(_language(timeline.event(place)) for place in range(0, len(timeline), step))
    del counts[UNDETERMINED]
    language, count = counts.most_common(1)[0] if counts else (UNDETERMINED, 0)
    return language if count >= _SHARE * counts.total() else UNDETERMINED


def written_so(text: str, language: str) -> bool:
    """Tell whether the first letter of a text is of the script in which a language is written."""
    script = next((found for found in map(script_of, text) if found), None)
    return script is not None and script.name == SCRIPT_OF.get(language, "latin")


def _language(event: MemoryEvent) -> str:
    """Return the language of the longest text of a memory."""
    return language_of(max((event.content, event.response or "", *(turn.text for turn in event.turns)), key=len))
