"""HTML pages of any length, read element by element: none is held whole."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from html.entities import html5
from html.parser import HTMLParser
from typing import Final, Literal

from curator.importing.files.export_files import Damaged, Entry
from curator.importing.files.text_streams import utf8

_VOID: Final = frozenset("area base br col embed hr img input link meta source track wbr".split())
_BLOCK: Final = 1 << 16
_DEEPEST: Final = 200
_LONGEST: Final = 1 << 22  # characters of one tag


@dataclass(frozen=True, eq=False)
class Element:
    """An element of a page and those that it stands in."""

    tag: str
    classes: frozenset[str]
    attributes: dict[str, str]
    parent: Element | None

    def around(self) -> Iterator[Element]:
        """Yield it and what it stands in, the innermost first."""
        element: Element | None = self
        while element:
            yield element
            element = element.parent


Event = tuple[Literal["start", "text", "end"], Element, str]


class _Events(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[Event] = []
        self.open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        classes = frozenset(given.get("class", "").split())
        element = Element(tag, classes, given, self.open[-1] if self.open else None)
        self.found.append(("start", element, ""))
        if tag in _VOID:
            self.found.append(("end", element, ""))
        elif len(self.open) >= _DEEPEST:
            raise Damaged(f"elements more than {_DEEPEST} deep")
        else:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)  # as browsers do: only elements without a content end at once

    def handle_endtag(self, tag: str) -> None:
        while any(one.tag == tag for one in self.open):
            element = self.open.pop()
            self.found.append(("end", element, ""))
            if element.tag == tag:
                break

    def handle_data(self, data: str) -> None:
        if self.open:
            self.found.append(("text", self.open[-1], data))

    def handle_entityref(self, name: str) -> None:
        self.handle_data(html5.get(f"{name};", f"&{name};"))

    def handle_charref(self, name: str) -> None:
        try:  # not as browsers do, which drop control characters: in a message they are what was sent
            self.handle_data(chr(int(name[1:], 16) if name[:1] in "xX" else int(name)))
        except (ValueError, OverflowError):
            self.handle_data(f"&#{name};")


def html_events(entry: Entry) -> Iterator[Event]:
    """Yield the elements and texts of a page as they begin and end; every element ends, also where its end is missing.

    Raises Damaged for what is no HTML, and where the page breaks off, after what stood before.
    """
    page = _Events()
    with io.TextIOWrapper(utf8(entry), "utf-8", "replace", newline="") as file:
        while block := file.read(_BLOCK):
            try:
                page.feed(block)
            except AssertionError as error:  # a declaration that html.parser does not know
                raise Damaged(f"no HTML: {str(error)[:80]}", entry.name) from None
            if len(page.rawdata) > _LONGEST:
                raise Damaged(f"a tag of more than {_LONGEST:,} characters", entry.name)
            found, page.found = page.found, []
            yield from found
    if page.open or page.rawdata.strip():
        within = page.open[-1].tag if page.open else "a tag"
        raise Damaged(f"the page breaks off within {within[:20]}", entry.name)
