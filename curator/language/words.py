"""Words: how many a text has, in scripts with and without blanks between them."""

from __future__ import annotations

import re

_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f]+")


def count_words(text: str) -> int:
    """Return the number of words: runs without white space; in scripts without spaces, two characters are a word."""
    words = len(text.split())
    if text.isascii() or not _UNSPACED.search(text):
        return words
    return words + sum(len(run) // 2 for run in _UNSPACED.findall(text))
