"""How many tokens a text takes, estimated by the characters that a token of its script has."""

from __future__ import annotations


def estimated_tokens(text: str, characters_per_token: float = 4.0) -> int:
    """Return about how many tokens a multilingual tokenizer makes of `text`."""
    return round(len(text) / characters_per_token)
