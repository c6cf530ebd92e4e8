"""HTML as plain text, part by part: which element a text stands in tells whose words it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Final, NamedTuple

Attributes = dict[str, str]
# What an element is to the reader, by its name and attributes; None: the same as what it stands in. Of elements within
# each other the outer one's role holds.
RoleOf = Callable[[str, Attributes], str | None]
DROPPED: Final = "dropped"
_VOID: Final = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_NO_WORDS: Final = frozenset("script style head title template noscript object svg math select textarea".split())
_BLOCKS: Final = frozenset(
    "address article aside blockquote body center dd details div dl dt fieldset figcaption figure footer form h1 h2 h3"
    " h4 h5 h6 header li main nav ol p pre section summary table tbody thead tr ul".split()
)
_APART: Final = frozenset("p h1 h2 h3 h4 h5 h6".split())  # a blank line stands before and after them
_CLOSES_ITSELF: Final = frozenset("p li dt dd tr td th option".split())
_BLANKS = re.compile(r"[ \t\r\n\f]+")  # U+00A0 is a character that somebody chose, no blank of the markup
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_DEEPEST: Final = 500
# Taken out before the parser sees them: on comments that never end it takes a time that grows with the square.
_NO_ELEMENT = re.compile(r"<!--.*?(?:-->|\Z)|<[!?][^>]*(?:>|\Z)", re.DOTALL)


class Part(NamedTuple):
    """A run of text within elements of one role; lines as a browser shows them. "" is the role of the page itself."""

    role: str
    text: str


class _Open(NamedTuple):
    tag: str
    role: str
    apart: bool


class _Parts(HTMLParser):
    def __init__(self, role_of: RoleOf) -> None:
        super().__init__(convert_charrefs=True)
        self._role_of = role_of
        self._open: list[_Open] = []
        self._role = ""
        self.parts: list[tuple[str, list[str]]] = []
        self._breaks = 0  # line ends that are due before the next word
        self._line = False  # whether the line has a word
        self._pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self._break_line()
            return
        given = {name: value or "" for name, value in attrs}
        role = DROPPED if tag in _NO_WORDS or _HIDDEN.search(given.get("style", "")) else self._role_of(tag, given)
        if tag in _VOID:
            if tag == "hr":
                self._end_block(apart=False)
            self._mark(role)
            return
        top = self._open[-1].tag if self._open else ""
        if (tag == top and tag in _CLOSES_ITSELF) or (top == "p" and tag in _BLOCKS):
            self.handle_endtag(top)
        if len(self._open) >= _DEEPEST:
            return
        apart = tag in _APART and "msonormal" not in given.get("class", "").casefold()
        if tag in _BLOCKS:
            self._end_block(apart)
        self._open.append(_Open(tag, self._role, apart))
        self._pre += tag == "pre"
        if role == DROPPED or not self._role:
            self._mark(role)
            self._role = self._role if role is None else role

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)  # as browsers do: only elements without a content end at once

    def handle_endtag(self, tag: str) -> None:
        if all(one.tag != tag for one in self._open):
            return
        while True:
            one = self._open.pop()
            self._pre -= one.tag == "pre"
            if one.tag in _BLOCKS:
                self._end_block(one.apart)
            self._role = one.role
            if one.tag == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._role == DROPPED:
            return
        for number, line in enumerate(data.split("\n") if self._pre else [_BLANKS.sub(" ", data)]):
            if number:
                self._break_line()
            text = line if self._line or self._pre else line.lstrip(" ")
            if text:
                self._write(text)

    def _mark(self, role: str | None) -> None:
        """Note that an element of a role begins, so that one without a word can be counted."""
        if not self._role and role not in (None, DROPPED):
            self.parts.append((role or "", []))

    def _write(self, text: str) -> None:
        if not self.parts or self.parts[-1][0] != self._role:
            self.parts.append((self._role, []))
        self.parts[-1][1].append("\n" * self._breaks + text)
        self._breaks, self._line = 0, True

    def _break_line(self) -> None:
        if self._role != DROPPED:
            self._breaks += 1
            self._line = False

    def _end_block(self, apart: bool) -> None:
        if self._role != DROPPED:
            self._breaks = max(self._breaks + (1 if self._line else 0), 2 if apart else 1)
            self._line = False


def html_parts(text: str, role_of: RoleOf = lambda tag, given: None) -> list[Part]:
    """Return the text of HTML in parts, in order; what is hidden or of the role `DROPPED` is left out.

    A part's text begins with the line ends that stand before it. An element that has a role gives a part even where it
    holds no word.
    """
    parser = _Parts(role_of)
    # Not closed but ended by an element of no words: `close` takes each of many tags that never end anew to the end.
    parser.feed(_NO_ELEMENT.sub("", text) + "<wbr>")
    return [Part(role, "".join(pieces)) for role, pieces in parser.parts]


def tidy(text: str) -> str:
    """Take off blanks at the ends of lines that HTML was laid out with, and empty lines around the whole."""
    return "\n".join(line.rstrip(" ") if line.strip() else "" for line in text.split("\n")).strip("\n")
