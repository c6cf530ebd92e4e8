"""How many tokens a text will be, without a tokenizer: by the characters that each script puts into one."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from curator.language.table import EMOJI, EMOJI_TOKENS, LATIN_TOKEN_LETTERS, script_of

_LATIN: Final = "latin"
# What is neither ASCII nor a dash or quotation mark: without any, the text is as English is.
_BEYOND: Final = re.compile("[^\x00-\x7f\u2010-\u2027]")


def estimated_tokens(text: str, characters_per_token: float = 4.0) -> int:
    """Return about how many tokens a multilingual tokenizer makes of `text`.

    `characters_per_token` is that of English (etc/targets.json); each other script has its own in the table, and blanks
    and marks count with the letters that they stand between.
    """
    if not text:
        return 0
    if text.isascii() or not _BEYOND.search(text):
        return max(1, round(len(text) / characters_per_token))
    letters: Counter[str] = Counter()
    rates: dict[str, float] = {}
    accents = 0
    for character, count in Counter(text).items():
        script = script_of(character)
        if script is None:
            continue
        letters[script.name] += count
        rates[script.name] = script.per_token or characters_per_token
        if script.name == _LATIN and character > "\x7f":
            accents += count
    emoji = len(EMOJI.findall(text))
    if not letters:
        return max(1, round(emoji * EMOJI_TOKENS + (len(text) - emoji) / characters_per_token))
    spread = (len(text) - emoji) / letters.total()
    tokens = sum(count * spread / rates[name] for name, count in letters.items())
    return max(1, round(tokens + accents * LATIN_TOKEN_LETTERS + emoji * EMOJI_TOKENS))
