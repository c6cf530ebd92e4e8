"""Texts of memories on a terminal: nothing in them is markup or a control sequence."""

from __future__ import annotations

import unicodedata

from rich.text import Text


def safe(text: str, most: int = 600) -> Text:
    """Return a text that cannot steer a terminal: no markup, and every control or invisible character made visible."""
    shown = "".join(map(visible, text[:most]))
    return Text(shown + ("…" if len(text) > most else ""))


def visible(character: str) -> str:
    """Return a character, or what stands for it where it would be invisible or steer a terminal."""
    if character == "\n" or " " <= character <= "~":
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp") and code != 0x200D:
        return f"<U+{code:04X}>"
    return character
