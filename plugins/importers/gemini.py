"""Gemini's part of Google Takeout: `MyActivity.json`, one record a prompt with its answer as HTML, the newest first."""

import re
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from itertools import islice
from typing import Any

from curator import (
    Damaged,
    Differs,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    backwards,
    from_iso,
    hookimpl,
    json_items,
    outline,
    printable,
)

HOW = (
    "takeout.google.com: deselect all, choose My Activity, of it only Gemini Apps, and JSON as its format (HTML is "
    "the default). Name the zip, or the folder that you unpacked."
)
_PRODUCT = re.compile(r"\b(?:Gemini|Bard)\b")
_RECORD = {"item.title", "item.time", "item.products"}
# What stands before the words of a prompt: English, German and French as exports have shown them.
_PROMPTED = re.compile(r"(?s:(?:Prompted|Live Prompt|Asked|Eingegebener Prompt:|Prompt[ \xa0\u202f]?:)[ \xa0](.*))")

_COLON = re.compile(r":[ \xa0]|：")
_BLANKS = re.compile(r"[ \t\r\n]+")


@hookimpl
def register_importers() -> list[Importer]:
    """Read what Takeout has of Gemini."""
    return [Importer("gemini", "Gemini", HOW, find, read)]


def find(export: Export) -> Found | Differs | None:
    """Take the files of activity records whose product is Gemini."""
    records = [entry for entry in export.ending(".json") if outline(entry) >= _RECORD]
    files = [entry for entry in records if _PRODUCT.search(entry.head().decode("utf-8", "replace"))]
    if files:
        return Found(tuple(files), "activity records")
    if records:
        return Differs(f"{records[0].shown} holds activity of other products, none of Gemini")
    pages = (entry for entry in export.ending(".html") if b"outer-cell" in entry.head())
    if page := next((one for one in pages if _PRODUCT.search(one.head().decode("utf-8", "replace"))), None):
        return Differs(f"{page.shown} is the HTML form; in Takeout, choose JSON as the format of My Activity")
    return None


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield each prompt and its answer, the oldest first; every record is a talk of its own."""
    for entry in found.entries:
        record = partial(_record, prompted=_prompted(entry))
        what = f"{entry.shown}: record from the end"
        yield from reading.guarded(entry, reading.each(backwards(json_items(entry, "item")), what, record))


def _prompted(entry: Entry) -> re.Pattern[str]:
    """Return what finds the words of a prompt in a title.

    The app's own words are in the language of the account. Those that are not known are told by what the titles of
    answered records have in common, where that is ten of them and ends in a colon.
    """
    titles: set[str] = set()
    try:
        for record in islice(json_items(entry, "item"), 500):
            if isinstance(record, dict) and record.get("safeHtmlItem"):
                titles.add(str(record.get("title")))
    except Damaged:
        pass  # `read` comes to the same place, and says so
    heads = {title[: colon.end()] if (colon := _COLON.search(title)) else "" for title in titles}
    if len(titles) < 10 or len(heads) > 1 or not (head := heads.pop()):
        return _PROMPTED
    return re.compile(f"(?s:{re.escape(head)}(.*))|{_PROMPTED.pattern}")


def _record(record: dict[str, Any], prompted: re.Pattern[str]) -> Iterator[Item]:
    title, time = str(record["title"]), from_iso(record["time"])
    ours = any(map(_PRODUCT.search, [str(record.get("header") or ""), *map(str, record.get("products") or ())]))
    answers = [str(one["html"]) for one in record.get("safeHtmlItem") or () if one.get("html")]
    prompt = prompted.fullmatch(title) if ours else None
    if not prompt:
        # An answer under a title of an unknown language: nothing tells where in it the words of the prompt begin.
        reason = "unrecognised_line" if answers and ours else "not_messages"
        yield Skip(printable(title[:80]), reason, f"{time}: no prompt that is known")
        return
    words = next(filter(None, prompt.groups()), "")
    files = len(record.get("attachedFiles") or ()) + bool(record.get("imageFile"))
    said = [("user", words, files), *(("Gemini", _plain(html), html.count("<img")) for html in answers)]
    for number, (sender, text, attachments) in enumerate(said):
        if not text.strip():
            yield Skip(f"{time} {sender}", "media_only" if attachments else "empty")
            continue
        yield ImportedMessage(
            id=f"{time}-{number}",
            conversation=time[:10],
            conversation_id=f"{time} {title[:80]}",
            time=time,
            sender=sender,
            is_owner=sender == "user",
            text=text,
            kind="assistant_chat",
            attachments=attachments,
        )


class _Plain(HTMLParser):
    """Turns an answer's HTML into text: paragraphs apart by a blank line, items of lists with a dash or a number."""

    _BLOCKS = ("p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "ul", "ol", "table", "hr")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._lists: list[int] = []  # the number of the last item of each list, -1 where it has no numbers
        self._exact = self._hidden = 0
        self._breaks, self._mark = 0, ""  # what stands before the next words

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._exact += tag == "pre"
        self._hidden += tag in ("script", "style")
        if tag == "li":
            self._begin_item()
        elif tag == "br":
            self._breaks += 1
        elif tag == "tr":
            self._break(1)
        elif tag in ("td", "th"):
            self._mark = " | " if self.words and not self._breaks else ""
        elif tag in self._BLOCKS:
            self._break(1 if self._lists else 2)
        if tag in ("ul", "ol"):
            self._lists.append(0 if tag == "ol" else -1)

    def handle_endtag(self, tag: str) -> None:
        self._exact -= tag == "pre" and self._exact > 0
        self._hidden -= tag in ("script", "style") and self._hidden > 0
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        if tag in self._BLOCKS:
            self._break(1 if self._lists else 2)

    def handle_data(self, data: str) -> None:
        if not self._exact:
            data = _BLANKS.sub(" ", data)
            if self._breaks or not self.words or self.words[-1].endswith(" "):
                data = data.removeprefix(" ")
        body = data.rstrip("\n")
        if body and not self._hidden:
            if self.words:
                self.words.append("\n" * self._breaks)
            self.words += (self._mark, body)
            self._mark, self._breaks = "", 0
        self._breaks += len(data) - len(body)

    def _begin_item(self) -> None:
        self._break(1)
        number = self._lists[-1] if self._lists else -1
        if number >= 0:
            self._lists[-1] = number = number + 1
        self._mark = "  " * (len(self._lists) - 1) + (f"{number}. " if number > 0 else "- ")

    def _break(self, lines: int) -> None:
        if not self._mark:  # a paragraph that begins an item goes on behind its dash
            self._breaks = max(self._breaks, lines)


def _plain(html: str) -> str:
    parser = _Plain()
    parser.feed(html)
    parser.close()
    return "".join(parser.words).strip("\n ")
