"""What a message quotes, apart from what it says."""

from __future__ import annotations

from collections.abc import Iterable


def said_and_quoted(parts: Iterable[tuple[str, bool]]) -> tuple[str, str]:
    """Return the words of a message and what it quotes. A part is a text and whether it is set as a quotation.

    A quotation stands in lines of its own: the line break between it and the words goes with it. Nothing else changes.
    """
    words, quotes, after_quote = "", [], False
    for text, quoted in parts:
        if quoted:
            quotes.append(text.strip("\n"))
        elif after_quote and (not words or words.endswith("\n")):
            words += text.removeprefix("\n")
        else:
            words += text
        after_quote = quoted or (after_quote and not text)
    return (words.removesuffix("\n") if after_quote else words), "\n".join(quotes)
