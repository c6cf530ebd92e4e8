"""Reactions that come as words: where the other phone cannot show a heart, it is told `Loved “on my way”`."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from typing import Final

_RECENT: Final = 60  # messages of a conversation that a reaction may be to
_WORDS = re.compile(
    r"(?:Loved|Liked|Disliked|Laughed at|Emphasi[sz]ed|Questioned|Reacted .{1,12} to|"
    r"Removed (?:a|an) (?:heart|like|dislike|laugh|exclamation|question mark|.{1,12}) from) (?:“(.*)”|an? .{3,20})",
    re.DOTALL,
)


class Tapbacks:
    """Tells reactions in words from words: they quote a message that stands before them in the conversation."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_RECENT))

    def is_one(self, conversation: str, text: str) -> bool:
        """Tell whether a text is a reaction; every text of a conversation is shown to it, "" for a mere picture."""
        match = _WORDS.fullmatch(text)
        recent = self._recent[conversation]
        found = match is not None and any(_quotes(match[1], before) for before in recent)
        if not found:
            recent.append(text)
        return found


def _quotes(quoted: str | None, before: str) -> bool:
    """Tell whether a quotation is of a message; a long one is cut, a picture ("an image") has no words."""
    if quoted is None or not before:
        return quoted is None and not before
    cut = quoted.removesuffix("…")
    return quoted == before or (cut != quoted and len(cut) > 10 and before.startswith(cut))
