"""Secrets that must not be learnt by heart: a model recites, so a key in one memory can come out of a chat.

Found by structure, and by checksums where there are any: keys and tokens of services (the named detectors of
detect-secrets, and a few that it lacks), private keys, passwords in addresses, card numbers, IBANs (python-stdnum), and
recovery phrases that are called so. Not covered: names, places, a password that is just a word. The text of a
secret is never shown, only its kind.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from importlib import import_module
from itertools import chain

import re2

# A cheap first look tells which of the closer ones a text needs; nearly all texts need none. Digits beyond ASCII, which
# the patterns know, need every look.
_LOOKS = {
    "run": r"[A-Za-z0-9_/+=~-]{14}",
    "digits": r"[0-9][0-9 -]{12}",
    "IBAN": r"[A-Z]{2}[0-9]{2}[ A-Z0-9]",
    "word": r"://|eyJ|KEY|Key|(?i:seed|recovery|mnemonic)",
    "other digits": r"[^0-9\P{Nd}]",
}
_FIRST_LOOK = re2.Set.SearchSet()
for _pattern in _LOOKS.values():
    _FIRST_LOOK.Add(_pattern)
_FIRST_LOOK.Compile()
_RUN = re.compile(r"[A-Za-z0-9_/+=~-]{14,}")
_SHORT_RUN = 25  # a shorter run is a key only if it has a digit
_CLOUD_KEY = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{35}|\bgh[pousr]_\w{36,}|\bgithub_pat_\w{40,}"
    r"|\bxox[abeprs]-[\w-]{10,}|\bsk-[\w-]{20,}|\b[rs]k_live_\w{16,}|\bhf_[A-Za-z]{30,}|\bglpat-[\w-]{20,}"
)
# What has no run that looks like a key: its kind, words of which a text has one in lower case, and the pattern. Those
# that could begin anywhere in a run of signs are looked for from the beginning of the run, so that it is read once.
_TOLD_BY_A_WORD = (
    ("private key", ("-----begin",), re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
    (
        "token",
        ("eyj",),
        re.compile(r"(?<![\w-])(?:(?!\beyJ)[\w-])*+eyJ[\w-]{8,}+\.[\w-]{8,}+\.[\w-]{8,}"),
    ),
    (
        "password in an address",
        ("://",),
        re.compile(r"(?<![a-z0-9+.-])(?:(?!\b[a-z])[a-z0-9+.-])*+[a-z][a-z0-9+.-]*+://[^\s:/@]++:[^\s@/]++@[\w.-]"),
    ),
    (
        "recovery phrase",
        ("seed ", "recovery ", "mnemonic "),
        re.compile(
            r"(?i:\b(?:seed|recovery|mnemonic) (?:phrase|words?)\b\W+(?:(?:is|are)\W+)?)"
            r"(?:[a-z]{3,8}\W+){11}[a-z]{3,8}\b"
        ),
    ),
)
# The library's detectors of one service each. Left out are those that go by entropy or by a keyword alone, and
# Artifactory's, which takes words in capitals for keys.
_DETECTORS = {
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "cloudant": "CloudantDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "ibm_cloud_iam": "IbmCloudIamDetector",
    "ibm_cos_hmac": "IbmCosHmacDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "private_key": "PrivateKeyDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "softlayer": "SoftlayerDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
_CARD = re.compile(r"(?<![\d.])[3-6](?:[ -]?\d){12,18}(?![\d.]\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_PARTING = re.compile(r"[ -]")


@lru_cache(maxsize=64)  # one memory gives samples of several modes, one after the other
def find_secrets(text: str) -> tuple[str, ...]:
    """Return the kinds of the secrets in a text, each once. Zero-width characters and line breaks do not hide one."""
    for form in _forms(text):
        if kinds := tuple(_find(form)):
            return kinds
    return ()


def secrets_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of the secrets in any of the texts, each once, in the order in which they were found."""
    texts = tuple(texts)
    if not any(map(_first_look, _forms(" ".join(texts)))):  # one look for all of them
        return ()
    return tuple(dict.fromkeys(chain.from_iterable(map(find_secrets, texts))))


def _forms(text: str) -> Iterator[str]:
    """Yield a text in plain letters and, where it has line breaks, the same without them."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        if not text.replace("\n", " ").isprintable():  # a format character is not; this asks it fast
            text = _invisible().sub("", text)
    yield text
    if "\n" in text:
        first, *between, last = text.split("\n")
        yield "".join((first.rstrip(), *map(str.strip, between), last.lstrip()))


def _first_look(text: str) -> set[str]:
    """Return the names of the closer looks that a text needs."""
    seen = _FIRST_LOOK.Match(text.encode("utf-8", "replace"))
    if not seen:
        return set()
    looks = {name for number, name in enumerate(_LOOKS) if number in seen}
    if "other digits" in looks:
        looks.update(_LOOKS)
    if "run" in looks and not any(len(run) >= _SHORT_RUN or any(map(str.isdigit, run)) for run in _RUN.findall(text)):
        looks.discard("run")  # a long word
    return looks


def _find(text: str) -> Iterator[str]:
    looks = _first_look(text)
    if "word" in looks:
        lower = text.lower()
        for kind, words, pattern in _TOLD_BY_A_WORD:
            if any(word in lower for word in words) and pattern.search(text):
                yield kind
    if "run" in looks:
        for kind, pattern in _patterns():
            if pattern.search(text):
                yield kind
                break  # one key may be written as two services write theirs
    if "digits" in looks and _any(_CARD, text, _is_card):
        yield "card number"
    if "IBAN" in looks and _any(_IBAN, text, _is_iban):
        yield "IBAN"


@cache
def _invisible() -> re.Pattern[str]:
    """Return a pattern of the zero-width and other format characters."""
    places = (*range(0x10000), *range(0xE0000, 0xE0080))  # between the two, only musical and shorthand notation has any
    return re.compile(f"[{''.join(chr(place) for place in places if unicodedata.category(chr(place)) == 'Cf')}]+")


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return (kind, pattern) of the keys and tokens; the library is loaded at the first suspicion."""
    named = [("cloud key", _CLOUD_KEY)]
    for module, name in _DETECTORS.items():
        detector = getattr(import_module(f"detect_secrets.plugins.{module}"), name)
        named += [(detector.secret_type.lower(), pattern) for pattern in detector.denylist]
    return tuple(named)


def _any(pattern: re.Pattern[str], text: str, check: Callable[[str], bool]) -> bool:
    return any(check(_PARTING.sub("", match[0])) for match in pattern.finditer(text))


def _is_card(digits: str) -> bool:
    """Check a card number's last digit (ISO/IEC 7812); a row of one digit is none."""
    from stdnum import luhn

    return len(set(digits)) > 1 and luhn.is_valid(digits)


def _is_iban(text: str) -> bool:
    """Check an IBAN's length, form and digits (ISO 13616). Tries shorter ends too: a word may follow."""
    from stdnum import iban

    return any(iban.is_valid(text[:end]) for end in range(len(text), 14, -1))
