"""XML of phones as an XML reader takes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

# Characters of base64 in a row that are a picture or a film, not somebody's words.
_MEDIA: Final = 16_384
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_LONG = re.compile(rb"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/=]{%d,}" % _MEDIA)
_REFERENCES = re.compile(rb"(?:&#(?:x[0-9A-Fa-f]{1,6}|[0-9]{1,7});)+")
# Written from right to left, so that it is looked for once, from the end.
_OPEN_REFERENCES = re.compile(rb"(?:[0-9A-Fa-f]{0,7}x?#?&)?(?:;[0-9A-Fa-f]{1,7}x?#&)*")
_REFERENCE = re.compile(rb"&#(x?)([0-9A-Fa-f]+);")
_RAW = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class XmlMender:
    """Mends what XML of phones has that no XML reader takes, and takes out pictures, which make gigabytes of it.

    A character above U+FFFF stands as two references to its halves (&#55357;&#56836;), which become one. What XML has
    no place for becomes U+FFFD, and `lost` is called.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost

    def mend(self, block: bytes, is_last: bool) -> tuple[bytes, bytes]:
        """Return a block mended, and a rest that waits for more. It is a Repair."""
        opened = None if is_last else _OPEN_REFERENCES.match(block[-4096:][::-1])
        rest = opened[0][::-1] if opened else b""
        if not rest and not is_last:
            tail = len(block) - len(block.rstrip(_BASE64))
            rest = block[len(block) - tail :][:_MEDIA]  # of a picture that goes on, its beginning is enough
            block = block[: len(block) - tail] + rest
        done = _REFERENCES.sub(self._whole, _LONG.sub(b"", block[: len(block) - len(rest)]))
        return _RAW.sub(self._gone, done), rest

    def _gone(self, _: re.Match[bytes] | None = None) -> bytes:
        self._lost()
        return "\ufffd".encode()

    def _whole(self, match: re.Match[bytes]) -> bytes:
        codes = [int(digits, 16 if hexadecimal else 10) for hexadecimal, digits in _REFERENCE.findall(match[0])]
        done, high = b"", 0  # `high` is the first half of a character, which waits for the second
        for code in [*codes, -1]:
            if high and 0xDC00 <= code < 0xE000:
                done, high = done + b"&#%d;" % (0x10000 + ((high - 0xD800) << 10) + code - 0xDC00), 0
                continue
            done += self._gone() if high else b""
            high = code if 0xD800 <= code < 0xDC00 else 0
            if code >= 0 and not high:
                done += b"&#%d;" % code if _in_xml(code) else self._gone()
        return done


def _in_xml(code: int) -> bool:
    if code < 0x20:
        return code in (9, 10, 13)
    return code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code <= 0x10FFFF
