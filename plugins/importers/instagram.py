"""Instagram: the download of one's information as JSON, and encrypted chats where they came as a download."""

from collections.abc import Iterator

from curator import Differs, Export, Found, Importer, Item, Reading, find_threads, hookimpl, read_threads

HOW = (
    "accountscenter.instagram.com: Your information and permissions, Export your information; choose Messages, the "
    "format JSON (not HTML) and all time."
)


@hookimpl
def register_importers() -> list[Importer]:
    """Read Instagram's downloads."""
    return [Importer("instagram", "Instagram", HOW, find, read, order="time")]


def find(export: Export) -> Found | Differs | None:
    """Take the files of chats that are Instagram's."""
    return find_threads(export, "instagram")


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each chat, oldest first."""
    yield from read_threads(found, reading, edits=True)
