"""Facebook Messenger: the download of one's information as JSON, and the separate download of encrypted chats."""

from collections.abc import Iterator

from curator import Differs, Export, Found, Importer, Item, Reading, find_threads, hookimpl, read_threads

HOW = (
    "accountscenter.facebook.com: Your information and permissions, Export your information; choose Messages, the "
    "format JSON (not HTML) and all time. Chats since Messenger encrypts them are a download of their own: "
    "messenger.com/secure_storage/dyi."
)


@hookimpl
def register_importers() -> list[Importer]:
    """Read Messenger's downloads."""
    return [Importer("messenger", "Facebook Messenger", HOW, find, read, order="time")]


def find(export: Export) -> Found | Differs | None:
    """Take the files of chats that are Messenger's."""
    return find_threads(export, "messenger")


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each chat, oldest first."""
    yield from read_threads(found, reading, edits=False)
