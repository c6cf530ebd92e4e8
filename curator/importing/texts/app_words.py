"""What an app itself writes into a chat ("<Media omitted>", "You deleted this message"), in many languages.

The texts are a JSON table beside a reader: {kind: {language: [text, ...]}}. They are compared as a whole: "I said image
omitted" is a sentence.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

# What a text of each kind is skipped as.
_REASONS: Final = {
    "media": "media_only", "place": "media_only", "sticker": "sticker", "deleted": "deleted", "own_deleted": "deleted",
    "missed_calls": "call", "waiting": "system",
}  # fmt: skip
_INVISIBLE: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_MENTION: Final = re.compile("@\u2068([^\u2068\u2069]*)\u2069")
_BEFORE: Final = frozenset("\u200e\u200f\u202a\u202b\ufeff< \n")  # what may stand before such a text
_LONGEST: Final = 160  # characters of a text of an app
_FILE: Final = r"[^\n<>]{1,200}\.\w{1,5}"
_OWN_FILE: Final = re.compile(r"[A-Z]{3}-\d{8}-WA\d{4}|\d{8}-")  # how WhatsApp itself names files
_TAIL: Final = re.compile(rf"[ \n]?(\u200e?)<(\u200e?)([^<>\n:：]{{2,60}})(?:[:：] ?({_FILE}))?>\Z")
_LONGEST_TAIL: Final = 300  # characters: more than `_TAIL` can match
_HEAD: Final = re.compile(rf"\u200e?({_FILE}) \(([^()\n]{{2,40}})\)(?:\n|\Z)")
_DOCUMENT: Final = re.compile(rf"\u200e?(?:{_FILE}\u200e?\Z|(?=[^\n]+\Z)[^\n]+ • \u200e?\d+ [^\n])")
_POLL: Final = re.compile(
    r"\u200e?([^\n:：]{2,20})[:：].*\n\u200e?[^\n:：]{2,20}[:：] [^\n]*\(\u200e?\d+ [^\n()]+\)\s*\Z", re.DOTALL
)
_PLACE: Final = re.compile(r"\u200e?(?:[^\n:]{2,30}: )?\u200e?https://maps\.google\.com/\?q=[-\d.,]+\s*\Z")


def app_key(text: str) -> str:
    """Return a text as those of a table are compared: small letters, without marks of direction and a final dot."""
    plain = text if text.isascii() else _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    plain = plain.strip().rstrip(".。।")
    return (plain.replace("< ", "<").replace(" >", ">") if plain[:1] == "<" else plain).casefold()


class Said(NamedTuple):
    """What of a text somebody said, and `reason` where that is nothing; `own` where it shows whose phone it is."""

    text: str
    reason: str = ""
    edited: bool = False
    files: int = 0
    own: bool = False


class AppWords:
    """A table of an app's texts. Kinds: those of `_REASONS`, and edited, attached, system, calls, call_tails, polls."""

    def __init__(self, path: Path) -> None:
        self._table: dict[str, dict[str, list[str]]] = json.loads(path.read_text("utf-8"))
        self._reasons = {key: reason for kind, reason in _REASONS.items() for key in self._keys(kind)}
        self._own, self._edited = self._keys("own_deleted"), self._keys("edited")
        self._attached, self._polls = self._keys("attached"), self._keys("polls")
        begun = ("missed_calls", "calls", "system", "deleted", "own_deleted")
        self._beginnings = frozenset(key[:3] for kind in begun for key in self._keys(kind))
        self._openings = self._beginnings | {key[:3] for key in self._reasons}
        call = self._any("missed_calls", "calls")
        self._system = re.compile(self._any("system"))
        self._call = re.compile(rf"{call}(?:\Z|\W)")
        self._call_text = re.compile(rf"{call}[,.] ?(?:\d[^\n]{{0,20}}|{self._any('call_tails')})\Z")
        self._gone = re.compile(self._any("deleted", "own_deleted") + r"(?P<more>\W.{0,60}admin)?")

    def texts(self, kind: str) -> Iterator[str]:
        """Yield the texts of a kind, in all languages, as they are written."""
        for texts in self._table.get(kind, {}).values():
            yield from texts

    def _keys(self, kind: str) -> frozenset[str]:
        return frozenset(map(app_key, self.texts(kind)))

    def _any(self, *kinds: str) -> str:
        """Return a pattern for any text of some kinds, the longest first; for nothing where there are none."""
        keys = sorted({key for kind in kinds for key in self._keys(kind)}, key=len, reverse=True)
        return f"(?:{'|'.join(map(re.escape, keys))})" if keys else "(?!)"

    def reason(self, text: str) -> str:
        """Return the reason of a text that as a whole is the app's; "" where somebody may have said it."""
        return self._reasons.get(app_key(text), "")

    def is_system(self, text: str) -> bool:
        """Tell whether a text is the app's own notice that chats begin with."""
        return self._system.match(app_key(text)) is not None

    def notice(self, text: str) -> str:
        """Return the reason of a notice that bears nobody's name: "call" or "system"."""
        return "call" if self._call.match(app_key(text)) else "system"

    def said(self, text: str, marked: bool = False) -> Said | None:
        """Return what of a text somebody said; None where that is all of it, as it mostly is.

        `marked`: a text that begins with U+200E is the app's, in every language (iPhones).
        """
        if len(text) < _LONGEST and (text[:1] in _BEFORE or text[:3].casefold() in self._openings):
            key = app_key(text)
            if reason := self._reasons.get(key):
                return Said(text, reason, own=key in self._own and (not marked or text[0] == "\u200e"))
            if key[:3] in self._beginnings and (reason := self._begun(key, marked and text[0] == "\u200e")):
                own = key.startswith(tuple(self._own)) and (not marked or text[0] == "\u200e")
                return Said(text, reason, own=own)
        if text[-1:] in ">)" or text[:1] == "<" or "\u200e" in text or ")\n" in text:
            return self._parts(text, marked)
        if len(text) > 8 and "\u2068" not in text and "https://maps.g" not in text:
            return None
        return self._plain(text, text)

    def _begun(self, key: str, by_app: bool) -> str:
        """Return the reason of a text by how it begins; "" where somebody may have said so."""
        if self._system.match(key):
            return "system"
        if (self._call if by_app else self._call_text).match(key):
            return "call"
        gone = self._gone.match(key)
        return "deleted" if gone and (by_app or gone["more"]) else ""

    def _plain(self, text: str, whole: str, edited: bool = False, files: int = 0) -> Said:
        if "\u2068" in text:
            text = _MENTION.sub(r"@\1", text)
        if "https://maps.g" in text and _PLACE.match(text):
            return Said(whole, "media_only")
        if not text.strip() or (len(text) < 9 and not _INVISIBLE.sub("", text).strip()):
            return Said(whole, "media_only" if files else "empty")
        return Said(text, "", edited, files)

    def _parts(self, whole: str, marked: bool) -> Said:
        """Take a text apart: its words, the mark of an edit, the names of files and what stands for those left out."""
        text, edited, files = whole, False, 0
        end = len(text)
        while (tail := _TAIL.search(text, max(0, end - _LONGEST_TAIL), end)) and (kind := self._tail(tail)):
            edited, files, end = edited or kind == "edited", files + (kind == "file"), tail.start()
        text = text[:end]
        before, mark, last = text.rpartition("\u200e")
        if mark and self._reasons.get(app_key(last)) in ("media_only", "sticker"):
            files, text = files + 1, before.rstrip(" ")
        first, _, rest = text.partition("\n")
        if rest and first[:1] == "<" and self._reasons.get(app_key(first)) == "media_only":
            files, text = files + 1, rest
        elif (head := _HEAD.match(text)) and (app_key(head[2]) in self._attached or _OWN_FILE.match(head[1])):
            files, text = files + 1, text[head.end() :]
        elif files and _DOCUMENT.match(text):
            return Said(whole, "media_only")
        if (poll := _POLL.match(text)) and (poll[1].isupper() or app_key(poll[1]) in self._polls):
            return Said(whole, "poll")
        if marked and text.startswith("\u200e") and _INVISIBLE.sub("", text).strip():
            return Said(whole, "media_only" if _PLACE.match(text) else "system")
        return self._plain(text, whole, edited, files)

    def _tail(self, tail: re.Match[str]) -> str:
        """Tell what "<...>" at the end of a text is: "file", "edited", or "" for somebody's words."""
        mark, inner, word, name = tail.groups()
        if name or inner:  # "<attached: 00000012-PHOTO-....jpg>"; in old exports "....jpg <attached>"
            known = mark or inner or app_key(word) in self._attached or (name and _OWN_FILE.match(name))
            return "file" if known else ""
        return "edited" if mark or app_key(word) in self._edited else ""
