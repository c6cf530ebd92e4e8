"""SMS Backup & Restore: emoji as two halves, a text with a quote mark in the other ones, groups as MMS."""

from __future__ import annotations

import re
from pathlib import Path

from importers.talk import Keeps, Said, Talk

FORMAT = "sms"
KEEPS = Keeps(precision=1, tricky=("null",))
_NUMBERS = {"Jon Pell": "+15550000001", "Мария": "+15550000002", "王小美": "+15550000003", "Dr. O'Neil": "+15550000004"}


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; what the owner said has type 2."""
    with (folder / "sms-20250120.xml").open("w", encoding="utf-8") as file:
        file.write(
            "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>\n<!--made by a test-->\n<smses count=\"9\">\n"
        )
        for talk in talks:
            file.writelines((_mms if talk.group else _sms)(said, talk) for said in talk.said)
        file.write("</smses>")


def _sms(said: Said, talk: Talk) -> str:
    name = talk.others[0]
    return (
        f'<sms protocol="0" address="{_NUMBERS[name]}" date="{_date(said)}" type="{2 if said.own else 1}" toa="null" '
        f'body={_quoted(said.text)} readable_date="13 Jan" contact_name={_quoted(name)} />\n'
    )


def _mms(said: Said, talk: Talk) -> str:
    numbers = "~".join(_NUMBERS[name] for name in talk.others)
    sender = "insert-address-token" if said.own else _NUMBERS[said.sender]
    return (
        f'<mms date="{_date(said)}" msg_box="{2 if said.own else 1}" address="{numbers}" sub="null" '
        f"contact_name={_quoted(', '.join(talk.others))}><parts>"
        '<part seq="-1" ct="application/smil" text="&lt;smil&gt;" />'
        f'<part seq="0" ct="image/jpeg" data="{"/9j4" * 30}" />'
        f'<part seq="0" ct="text/plain" text={_quoted(said.text)} />'
        f'</parts><addrs><addr address="{sender}" type="137" /></addrs></mms>\n'
    )


def _date(said: Said) -> int:
    return int(said.time.timestamp() * 1000)


def _quoted(text: str) -> str:
    """Return an attribute as Android writes it."""
    mark = "'" if '"' in text else '"'
    for plain, escaped in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        (mark, "&apos;"),
        ("\n", "&#10;"),
        ("\t", "&#9;"),
    ):
        text = text.replace(plain, escaped)
    return mark + re.sub("[\U00010000-\U0010ffff]", _halves, text) + mark


def _halves(match: re.Match[str]) -> str:
    code = ord(match[0]) - 0x10000
    return f"&#{0xD800 + (code >> 10)};&#{0xDC00 + (code & 0x3FF)};"
