"""Discord's data package: a folder a channel with the person's own messages alone, newest first, as JSON or CSV."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

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
    csv_rows,
    first_lines,
    from_epoch,
    from_iso,
    hookimpl,
    json_array,
    json_value,
    outline,
    printable,
)

HOW = (
    "Discord: User Settings, Data & Privacy, Request all of my data, with Messages ticked; a mail brings the link to "
    "package.zip, after days. It holds your own messages alone: DiscordChatExporter gives whole talks."
)
_BORN = 1_420_070_400_000  # milliseconds: since then ids count them, in all but their lowest 22 bits


@hookimpl
def register_importers() -> list[Importer]:
    """Read Discord's data packages."""
    return [Importer("discord", "Discord (data package)", HOW, find, read, order="time")]


class _Package(NamedTuple):
    """What a package says beside the messages: the names of channels by their ids, and whose it is."""

    titles: dict[str, str]
    user: dict[str, Any]


def find(export: Export) -> Found | Differs | None:
    """Take the folders that have a channel.json beside a messages.json or messages.csv."""
    channels = {entry.folder for entry in export.named("channel.json") if {"id", "type"} <= outline(entry)}
    files = [entry for entry in export.named("messages.json", "messages.csv") if entry.folder in channels]
    if any(_fits(entry) for entry in files):
        return Found(tuple(sorted(files, key=lambda one: one.name)), "data package", export)
    if any({"id", "username", "discriminator"} <= outline(entry) for entry in export.named("user.json")):
        return Differs("a data package without messages: ask for it again, with Messages ticked")
    return None


def _fits(entry: Entry) -> bool:
    if entry.base.casefold().endswith(".csv"):
        return [line.strip() for line in first_lines(entry, 1)] == ["ID,Timestamp,Contents,Attachments"]
    return {"item.ID", "item.Timestamp", "item.Contents"} <= outline(entry)


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each channel, the oldest first."""
    packages: dict[str, _Package] = {}
    for entry in found.entries:
        root = entry.folder.rpartition("/")[0]
        package = packages.get(root) or packages.setdefault(root, _package(found.details, root))
        talk = _Talk(entry, package, reading)
        items = reading.each(_oldest_first(entry), f"{entry.shown}: message", talk.read)
        yield from reading.guarded(entry, items)


def _package(export: Any, root: str) -> _Package:
    """Read the index of the channels, and Account/user.json; without them the ids must do."""
    titles = next((_value(entry) for entry in export.named("index.json") if entry.folder == root), {})
    top = root.rpartition("/")[0]
    users = [entry for entry in export.named("user.json") if "username" in outline(entry)]
    users.sort(key=lambda entry: not entry.name.startswith(f"{top}/" if top else ""))
    return _Package({str(key): str(title) for key, title in titles.items() if title}, _value(users[0]) if users else {})


def _value(entry: Entry) -> dict[str, Any]:
    try:
        value = json_value(entry)
    except Damaged:
        return {}
    return value if isinstance(value, dict) else {}


def _rows(entry: Entry) -> Iterator[Any]:
    if not entry.base.casefold().endswith(".csv"):
        yield from json_array(entry)
        return
    for _, row in csv_rows(entry):
        yield {"damaged": row.what, "where": row.where} if isinstance(row, Damaged) else row


def _oldest_first(entry: Entry) -> Iterable[Any]:
    """Turn rows round where the newest comes first: sorting would leave those of one second in the wrong order."""
    numbers: list[int] = []
    with suppress(Damaged):  # reading it says so
        for row in islice(_rows(entry), 2):
            numbers.append(_number(row))
    return _rows(entry) if numbers == sorted(numbers) and len(numbers) > 1 else backwards(_rows(entry))


def _number(row: Any) -> int:
    number = str(row.get("ID")) if isinstance(row, dict) else ""
    return int(number) if number.isdecimal() else 0


class _Talk:
    """Reads the messages of one channel."""

    def __init__(self, entry: Entry, package: _Package, reading: Reading) -> None:
        self._folder = entry.folder.rpartition("/")[2]
        self._id = self._folder.removeprefix("c")
        self._title = package.titles.get(self._id, self._id)
        self._user_id = str(package.user.get("id") or "")
        self._user = str(package.user.get("username") or self._user_id or next(iter(reading.owners), "me"))

    def read(self, row: dict[str, Any]) -> Iterator[Item]:
        """Yield a message, or why it is none."""
        if "damaged" in row:
            yield Skip(printable(row["where"]), "bad_shape", row["damaged"])
            return
        text, files = str(row["Contents"] or ""), len(str(row.get("Attachments") or "").split())
        if not text.strip():
            yield Skip(printable(f"{self._folder}/{row['ID']}"), "media_only" if files else "empty")
            return
        yield ImportedMessage(
            id=str(row["ID"]),
            conversation=self._title,
            conversation_id=self._id,
            time=_time(row),
            sender=self._user,
            sender_id=self._user_id,
            is_owner=True,
            text=text,
            attachments=files,
        )


def _time(row: dict[str, Any]) -> str:
    """Return the time that is written, to the millisecond where the id has the same second."""
    written, number = from_iso(row["Timestamp"]), _number(row)
    exact = from_epoch((number >> 22) + _BORN, 1000) if 0 < number < 1 << 64 else ""
    return exact if exact[:19] == written[:19] and "." not in written else written
