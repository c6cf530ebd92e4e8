"""Reading one JSON document that somebody else wrote, strictly, and saying what is wrong with it.

msgspec parses; this module checks what msgspec lets pass: depth (counted on the bytes before parsing, so that nothing
can exhaust the stack), duplicate keys (two readers would disagree about the value), and integers beyond 64 bits.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from itertools import accumulate
from typing import Any, NoReturn

import msgspec

from curator.contract.errors import counted

MAX_DEPTH = 64
_DECODER = msgspec.json.Decoder()
_SAFE_INTEGER = 1 << 63
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, ""),
    (codecs.BOM_UTF32_BE, ""),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BOM_STARTS = frozenset(bom[:1] for bom, _ in _BOMS)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STRUCTURE = re.compile(_STRING.pattern + rb"|[\[{\]}]", re.DOTALL)


class BadJson(ValueError):
    """Bytes that are no acceptable JSON: a reason code and a detail in words.

    `place` is the offset of the byte where it goes wrong, 0 where that is not known; `key` the one that stands twice.
    """

    def __init__(self, reason: str, detail: str, place: int = 0, key: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.place, self.key = reason, detail, place, key


def parse_json(raw: bytes, max_depth: int = MAX_DEPTH) -> tuple[Any, str]:
    """Return the document and a warning ("" or the encoding it had to be decoded from).

    Raises BadJson with the reason `empty_file`, `bad_encoding`, `too_deep`, `bad_json`, `bad_number` or
    `duplicate_keys`.
    """
    warning = ""
    if raw[:1] in _BOM_STARTS:
        raw, warning = _to_utf8(raw)
    if raw.count(b"{") + raw.count(b"[") > max_depth:
        _check_depth(raw, max_depth)
    try:
        value = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _diagnose(raw, error) from None
    try:
        keys = _count_keys(value)
    except _HugeInteger as huge:
        raise BadJson("bad_number", "an integer beyond 64 bits", _place_of(raw, str(huge.args[0]))) from None
    if (
        keys != raw.count(b'":')
        or b" :" in raw
        or b"\n:" in raw
        or (b"\t" in raw and b"\t:" in raw)
        or (b"\r" in raw and b"\r:" in raw)
    ):
        # A colon not straight after the key's quotation mark, or one more colon than keys: look closely.
        _refuse_duplicate_keys(raw)
    return value, warning


def _to_utf8(raw: bytes) -> tuple[bytes, str]:
    for bom, encoding in _BOMS:
        if raw.startswith(bom):
            if not encoding:
                raise BadJson("bad_encoding", "UTF-32; expected UTF-8")
            try:
                return raw.decode(encoding).encode("utf-8"), encoding
            except UnicodeError as error:
                raise BadJson("bad_encoding", f"starts like {encoding} but is not: {error}") from None
    return raw, ""


def _check_depth(raw: bytes, limit: int) -> None:
    brackets = _STRING.sub(b"", raw).translate(None, _NO_BRACKETS)
    if not any(depth > limit for depth in accumulate(1 if byte in b"[{" else -1 for byte in brackets)):
        return
    depth = 0  # once more, slowly, for the place
    for match in _STRUCTURE.finditer(raw):
        byte = match[0][:1]
        if byte in b"[{":
            depth += 1
            if depth > limit:
                raise BadJson("too_deep", f"nested deeper than {limit} at byte {match.start()}")
        elif byte in b"]}":
            depth -= 1


def _count_keys(value: Any) -> int:
    """Count the keys of all objects; refuse an integer that another reader would round."""
    if type(value) is dict:
        total = len(value)
        for item in value.values():
            kind = type(item)
            if kind is dict or kind is list or kind is int:
                total += _count_keys(item)
        return total
    if type(value) is list:
        return sum(map(_count_keys, value))
    if type(value) is int and not -_SAFE_INTEGER <= value < 2 * _SAFE_INTEGER:
        raise _HugeInteger(value)
    return 0


class _HugeInteger(ValueError):
    """An integer that another reader would round."""


def _place_of(raw: bytes, number: str) -> int:
    """Return the offset at which a number first stands outside a text; 0 where it is not found."""
    plain = _STRUCTURE.sub(lambda match: b" " * len(match[0]), raw)
    return max(0, plain.find(number.encode()))


def _refuse_duplicate_keys(raw: bytes) -> None:
    json.loads(raw, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for key, value in pairs:
        if key in unique:
            raise BadJson("duplicate_keys", f"the key {key[:40]!r} stands twice in one object", key=key)
        unique[key] = value
    return unique


def parse_foreign_json(raw: bytes) -> Any:
    """Return a document that may hold what Python's own json writes: integers of any size, Infinity and NaN.

    Hugging Face's tools write so (`"model_max_length": 1000000000000000019884624838656`). Raises BadJson.
    """
    try:
        value = json.loads(raw, object_pairs_hook=_unique)
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text, and could not be written
    except BadJson:
        raise
    except (ValueError, RecursionError) as error:
        raise BadJson("bad_json", str(error)[:200]) from None
    return value


def _diagnose(raw: bytes, error: Exception) -> BadJson:
    if not raw.strip():
        return BadJson("empty_file", counted(len(raw), "byte, which is no JSON", "bytes, none of them JSON"))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return BadJson("bad_encoding", f"no UTF-8 at byte {wrong.start}")

    def refuse(number: str) -> NoReturn:
        raise BadJson("bad_number", f"{number[:40]} is no JSON number", _place_of(raw, number))

    def finite(number: str) -> float:
        if math.isinf(value := float(number)):
            raise BadJson("bad_number", f"{number[:40]} is out of range", _place_of(raw, number))
        return value

    try:
        json.loads(text, parse_constant=refuse, parse_float=finite)
    except BadJson as wrong:
        return wrong
    except json.JSONDecodeError as wrong:
        place = len(text[: wrong.pos].encode())
        return BadJson("bad_json", f"{wrong.msg.removesuffix(' at')} at byte {place}", place)
    except (ValueError, RecursionError) as wrong:
        return BadJson("bad_number", str(wrong))
    return BadJson("bad_json", str(error))
