"""Notes as Markdown: a vault of Obsidian, a graph of Logseq, any folder of notes that have a date."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from curator import (
    Differs,
    Entry,
    Export,
    Found,
    FrontMatter,
    Importer,
    Item,
    Reading,
    Skip,
    Written,
    Ymd,
    common_order,
    entry_time,
    first_lines,
    front_matter,
    heading_date,
    hookimpl,
    journal_entry,
    line_date,
    name_date,
    order_of,
    outline,
    own_notes,
    printable,
    started,
    text_lines,
)

HOW = (
    "Obsidian, Logseq and others keep notes as files: name the folder. A note needs a date in its name or at its head."
)
_MOST = 16 << 20  # bytes of a note
_TEMPLATES = frozenset(
    "template templates _templates vorlage vorlagen modèles modeles modelos plantillas modelli шаблоны 模板 模版 範本"
    " テンプレート 템플릿 sjablonen szablony القوالب टेम्पलेट เทมเพลต".split()
)
_PLACEHOLDER = re.compile(r"\{\{\s*(?:date|time|title)\b|<%[-_*]?\s*tp\.")
_VAULT = re.compile(r"(?:(.*)/)?\.obsidian/")
_GRAPH = re.compile(r"(?:(.*)/)?logseq/config\.edn$")
_LOGSEQ = re.compile(r"\d{4}_\d\d_\d\d\.")
_DATA = re.compile(r"\s*<(?:\?xml|!doctype|html)|From \S+ .*\d{4}\s*$", re.IGNORECASE)
_CHAT = re.compile(r"\[?\d{4}-\d\d-\d\d[ ,T]+\d\d:\d\d(?::\d\d)?\]? [^:]{1,60}: ")  # signal-export's chat.md


@hookimpl
def register_importers() -> list[Importer]:
    """Read dated notes."""
    return [Importer("markdown", "Markdown notes (Obsidian, Logseq)", HOW, find, read, clock="day", order="time")]


def find(export: Export) -> Found | Differs | None:
    """Take notes where at least one has a date: in its name, its front matter or a heading."""
    vaults = _vaults(export)
    notes = [entry for entry in export.ending(".md", ".markdown") if not _is_other(entry)]
    if any(not vaults.set_apart(entry.name) and _is_dated(entry) for entry in notes):
        org = [entry for entry in export.ending(".org") if "journals" in entry.name.split("/")]
        known = {entry.name for entry in (*notes, *org)}
        others = [one for one in export.entries if one.name not in known and vaults.besides(one.name)]
        return Found(tuple(sorted((*notes, *org, *others), key=lambda one: one.name)), "dated notes", vaults)
    if vaults.roots and notes:
        return Differs("a vault is there, but no note in it has a date in its name, its front matter or a heading")
    return None


class _Vaults(NamedTuple):
    """The folders that are vaults of Obsidian or graphs of Logseq, "" for the top, and which of them are graphs."""

    roots: frozenset[str]
    graphs: frozenset[str]

    def root(self, name: str) -> str | None:
        """Return the vault that a file lies in; None for a plain folder."""
        return max((one for one in self.roots if not one or name.startswith(f"{one}/")), key=len, default=None)

    def folders(self, name: str) -> list[str]:
        """Return the folders below the vault that a file lies in."""
        root = self.root(name)
        return (name.removeprefix(f"{root}/") if root else name).split("/")[:-1]

    def set_apart(self, name: str) -> str:
        """Return the folder by which a file is no note: settings, templates, the bin; "" for notes."""
        folders, vault = self.folders(name), self.root(name) is not None
        for number, folder in enumerate(folders):
            settings = folder.startswith(".") or (vault and (number, folder) == (0, "logseq"))
            if settings or folder.casefold() in _TEMPLATES:
                return "/".join(folders[: number + 1])
        return "canvas" if vault and name.endswith(".canvas") else ""

    def besides(self, name: str) -> bool:
        """Tell whether a file belongs to a vault, and is no note."""
        return self.root(name) is not None and bool(self.set_apart(name))

    def is_outline(self, name: str) -> bool:
        """Tell whether a note is Logseq's, all of whose paragraphs are points of an outline."""
        *folders, base = name.split("/")
        return self.root(name) in self.graphs or ("journals" in folders and bool(_LOGSEQ.match(base)))


def _vaults(export: Export) -> _Vaults:
    found = [(_VAULT.match(entry.name), _GRAPH.match(entry.name)) for entry in export.entries]
    graphs = frozenset(graph[1] or "" for _, graph in found if graph)
    return _Vaults(graphs | {vault[1] or "" for vault, _ in found if vault}, graphs)


def _is_other(entry: Entry) -> bool:
    """Tell whether a file is data, a page or a chat that only has the name of a note."""
    lines = first_lines(entry, 3)
    return not lines or _DATA.match(lines[0]) is not None or any(map(_CHAT.match, lines)) or len(outline(entry)) > 4


def _is_dated(entry: Entry) -> bool:
    if name_date(entry.name):
        return True
    lines = [line.removesuffix("\r") for line in first_lines(entry, 3000)]
    front = front_matter(lines)
    return bool(front.day or front.created) or any(map(heading_date, lines))


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the entries of each note."""
    vaults = found.details
    assert isinstance(vaults, _Vaults)
    order = reading.date_order or common_order([date for one in found.entries if (date := name_date(one.name))])
    apart: Counter[str] = Counter()
    unknown = 0
    for entry in found.entries:
        if folder := vaults.set_apart(entry.name):
            apart[folder] += 1
        elif entry.name.casefold().endswith(".org"):
            yield Skip(entry.shown, "unsupported", "a note in Org's syntax: Logseq writes Markdown too")
        elif entry.size > _MOST:
            yield Skip(entry.shown, "damaged", f"{entry.size:,} bytes: expected at most {_MOST:,}")
        else:
            for item in reading.guarded(entry, _entries(entry, vaults, order, reading)):
                ambiguous = isinstance(item, Skip) and item.reason == "date_order_unknown"
                unknown += ambiguous
                if not ambiguous:
                    yield item
    if unknown:
        yield Skip("notes", "date_order_unknown", "their dates may be read in two ways: give --date-order", unknown)
    for folder, count in apart.items():
        yield Skip(printable(folder), "not_journal", "settings, templates, the bin", count)


def _entries(entry: Entry, vaults: _Vaults, order: str, reading: Reading) -> Iterator[Item]:
    """Yield the entries of a note: one for its date, and one for each heading that is a date."""
    lines = [line.removesuffix("\r") for _, line in text_lines(entry)]
    front = front_matter(lines)
    lines = lines[front.lines :]
    if any(map(_PLACEHOLDER.search, lines)):
        yield Skip(entry.shown, "not_journal", "a template")
        return
    own = front.day.written if front.day else name_date(entry.name) or (front.created and front.created.written)
    parts = list(started(lines, heading_date))
    if not own and len(parts) == 1:
        parts = list(started(lines, line_date))
    order = order_of([date for date, _ in parts if date], reading) or order
    empty = True
    for number, (date, said) in enumerate(parts):
        text = own_notes(said, vaults.is_outline(entry.name))
        if not text.strip():
            continue
        empty = False
        written = date or own
        day = written and written.settled(order)
        if not written or not day:
            yield Skip(entry.shown, "date_order_unknown" if written else "undated")
            continue
        name = f"{entry.name}#{number}" if number else entry.name
        yield journal_entry(name, _conversation(entry, vaults), day, _time(written, day, front, reading), text)
    if empty:
        yield Skip(entry.shown, "empty")


def _time(written: Written, day: Ymd, front: FrontMatter, reading: Reading) -> tuple[str, str]:
    """Return when an entry was written: its own time, else that of front matter where it is of the same day."""
    for moment in (front.day, front.created):
        if moment and moment.written.day == day and written.time in (None, moment.written.time):
            if moment.exact:
                return moment.exact, "exact"
            if moment.written.time:
                return entry_time(day, moment.written.time, reading)
    return entry_time(day, written.time, reading)


def _conversation(entry: Entry, vaults: _Vaults) -> str:
    """Return the name of the journal that a note belongs to: its folder's; that of a note that is a whole journal."""
    folders = vaults.folders(entry.name)
    if folders and not folders[0].isdigit():
        return folders[0]
    return "Journal" if folders or name_date(entry.name) else entry.base.rpartition(".")[0]
