"""Secrets that must not be learnt by heart: a small model recites, so a key in one memory can come out of a chat.

Found by structure, and checksums where there are any: keys of cloud services, private keys, tokens, passwords in
addresses, card numbers, IBANs, and recovery phrases that are called so. Not covered: names, places, a password that is
just a word. A sample with one is left out and named, with the kind; the text of what was found is never shown.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_PATTERNS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "cloud key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{35}|\bgh[pousr]_\w{36,}|\bgithub_pat_\w{40,}"
    r"|\bxox[abeprs]-[\w-]{10,}|\bsk-[\w-]{20,}|\b[rs]k_live_\w{16,}|\bhf_[A-Za-z]{30,}|\bglpat-[\w-]{20,}",
    "token": r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",
    "password in an address": r"\b[a-z][a-z0-9+.-]*://[^\s:/@]+:[^\s@/]+@[\w.-]+",
    "recovery phrase": r"(?i:\b(?:seed|recovery|mnemonic) (?:phrase|words?)\b\W+(?:(?:is|are)\W+)?)"
    r"(?:[a-z]{3,8}\W+){11}[a-z]{3,8}\b",
}
_COMPILED = {kind: re.compile(pattern) for kind, pattern in _PATTERNS.items()}
_CARD = re.compile(r"(?<![\d.])[3-6](?:[ -]?\d){12,18}(?![\d.]\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")


def find_secret(text: str) -> str | None:
    """Return the kind of the first secret in a text, or None. Zero-width characters and line breaks do not hide one."""
    plain = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return _find(plain) or (_find(re.sub(r"\s*\n\s*", "", plain)) if "\n" in plain else None)


def _find(text: str) -> str | None:
    for kind, pattern in _COMPILED.items():
        if pattern.search(text):
            return kind
    if _any(_CARD, text, _luhn):
        return "card number"
    return "IBAN" if _any(_IBAN, text, _iban) else None


def _any(pattern: re.Pattern[str], text: str, check: Callable[[str], bool]) -> bool:
    return any(check(re.sub(r"[ -]", "", found[0])) for found in pattern.finditer(text))


def _luhn(digits: str) -> bool:
    """Check a card number's last digit (ISO/IEC 7812): every second digit doubled, the digits of all summed."""
    doubled = [int(one) * (1 + place % 2) for place, one in enumerate(reversed(digits))]
    return sum(one - 9 * (one > 9) for one in doubled) % 10 == 0 and len(set(digits)) > 1


def _iban(text: str) -> bool:
    """Check an IBAN's two digits (ISO 13616): the number that it spells leaves 1 over 97. Tries shorter ends too."""
    for end in range(len(text), 14, -1):
        turned = text[4:end] + text[:4]
        if int("".join(str(int(one, 36)) for one in turned)) % 97 == 1:
            return True
    return False
