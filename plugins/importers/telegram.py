"""Telegram Desktop's JSON: `result.json` of one chat, or of everything, read chat by chat as it stands."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from curator import (
    Damaged,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    from_epoch,
    hookimpl,
    json_beside,
    json_items,
    outline,
    printable,
    repair_control,
    said_and_quoted,
)

HOW = (
    "Telegram Desktop (not the phone's app): Settings, Advanced, Export Telegram data, or in a chat: the three dots, "
    "Export chat history. Choose the format Machine-readable JSON. Name result.json or its folder."
)
_PLACES = ("messages.item", "chats.list.item.messages.item", "left_chats.list.item.messages.item")
# Of everything, chats may stand behind more than the first look reaches: contacts, sessions, pictures.
_WHOLE = {
    "personal_information.user_id", "chats.list.item.messages", "left_chats.list.item.messages",
    "frequent_contacts.list.item.category", "sessions.list.item.application_name", "contacts.list.item.phone_number",
}  # fmt: skip
_ONE = {"messages.item.from_id", "messages.item.actor_id", "messages.item.date_unixtime"}
_NAMES = {"saved_messages": "Saved Messages", "replies": "Replies", "verification_codes": "Verification Codes"}
_BOTS = ("bot_chat", "verification_codes")
_TELEGRAM = 777000  # the account that sends codes and news of the app
_CALLS = ("phone_call", "group_call", "conference_call", "group_call_scheduled", "invite_to_group_call")
_FORWARDED = ("forwarded_from", "forwarded_from_id", "saved_from")
_FILES = ("photo", "file", "contact_vcard")
_NO_WORDS = (
    "contact_information", "location_information", "place_name", "game_title", "invoice_information",
    "giveaway_information", "giveaway_results", "media_type",
)  # fmt: skip
_NOT_READ = ("text_entities", "reactions")  # the text once more; what others clicked
_NEVER = ("1970-01-01", "1969-12-31")  # how old versions wrote that a message was not edited


@hookimpl
def register_importers() -> list[Importer]:
    """Read Telegram's JSON exports."""
    return [Importer("telegram", "Telegram", HOW, find, read)]


def find(export: Export) -> Found | None:
    """Take the files that hold chats with messages, or the sections of an export of everything."""
    files = [entry for entry in export.ending(".json") if _is_ours(outline(entry))]
    if not files:
        return None
    return Found(tuple(sorted(files, key=lambda one: one.name)), "chats as JSON")


def _is_ours(paths: frozenset[str]) -> bool:
    one = bool(paths & _ONE) or {"messages.item.from", "messages.item.date", "messages.item.text"} <= paths
    return bool(paths & _WHOLE) or ({"type", "id", "messages"} <= paths and one)


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each chat, in the order of the file."""
    own = {account for entry in found.entries if (account := _own_account(entry))}
    for entry in found.entries:
        chats = _Chats(reading, own)
        records = json_beside(entry, _PLACES, repair_control, _NOT_READ)
        items = reading.each(records, f"{entry.shown}: message", lambda one, chats=chats: chats.read(*one))  # type: ignore[misc]
        yield from reading.guarded(entry, items)


def _own_account(entry: Entry) -> str:
    """Return the account whose export it is, as messages name it; "" where the file does not say it."""
    paths = outline(entry)
    try:
        if "personal_information.user_id" in paths:
            return _account(next(json_items(entry, "personal_information.user_id", repair_control), None))
        place = "" if {"type", "id", "messages"} <= paths else "chats.list.item."
        kinds = json_items(entry, f"{place}type", repair_control)
        numbers = json_items(entry, f"{place}id", repair_control)
        for kind, number in zip(kinds, numbers, strict=False):
            if kind == "saved_messages":
                return _account(number)  # the chat with oneself has one's own id
            if not place:
                break
    except Damaged:
        pass  # reading it says so
    return ""


def _account(value: Any) -> str:
    """Return an account as new versions write it: "user5". Old ones wrote a number, its upper bits the kind."""
    if isinstance(value, str) or value is None:
        return value or ""
    kind, number = divmod(int(value), 1 << 32)
    return f"chat{number}" if kind == 1 else f"channel{number}" if kind == 2 else f"user{int(value)}"


class _Chats:
    """Reads the messages of the chats of a file."""

    def __init__(self, reading: Reading, own: set[str]) -> None:
        self._reading, self._own = reading, own

    def read(self, chat: dict[str, Any], message: dict[str, Any]) -> Iterator[Item]:
        """Yield a message, or why it is none."""
        kind, account = str(chat.get("type") or ""), _chat_account(chat)
        name = _NAMES.get(kind) or str(chat.get("name") or account)
        text, quote = said_and_quoted(_parts(message.get("text")))
        attachments = any(message.get(key) for key in _FILES)
        reason = "bot_chat" if kind in _BOTS or account == f"user{_TELEGRAM}" else _reason(message)
        if not reason and not text.strip():
            reason = "media_only" if attachments or message.keys() & set(_NO_WORDS) else "empty"
            reason = "not_authored" if quote else reason
        if reason:
            yield Skip(printable(f"{name}/{message.get('id')}"), reason)
            return
        sender_id = _account(message.get("from_id"))
        sender = str(message.get("from") or sender_id or name)
        time, source = self._time(message, name)
        yield ImportedMessage(
            id=str(message["id"]),
            conversation=name,
            conversation_id=account,
            time=time,
            time_source=source,
            sender=sender,
            sender_id=sender_id,
            is_owner=self._is_owner(kind, account, sender, sender_id),
            text=text,
            quote=quote,
            kind="post" if kind.endswith("_channel") else "message",
            reply_to="" if message.get("reply_to_peer_id") else str(message.get("reply_to_message_id") or ""),
            edited="edited" in message and not str(message["edited"]).startswith(_NEVER),
            attachments=int(attachments),
        )

    def _is_owner(self, kind: str, account: str, sender: str, sender_id: str) -> bool | None:
        if self._own:
            return sender_id in self._own
        known = self._reading.is_owner(sender, sender_id, sender_id.removeprefix("user"))
        if known is None and kind == "personal_chat" and sender_id.startswith("user") and sender_id != account:
            self._reading.owner_is(sender_id, "a chat of two has the id of the other one")
        return known

    def _time(self, message: dict[str, Any], chat: str) -> tuple[str | None, str]:
        if message.get("date_unixtime"):
            return from_epoch(message["date_unixtime"]), "exact"
        if not message.get("date"):
            return None, ""
        return self._reading.clock.utc(datetime.fromisoformat(message["date"]), chat), self._reading.clock.source


def _chat_account(chat: dict[str, Any]) -> str:
    """Return the id of a chat, told apart by its kind: users and channels may have the same number."""
    kind, number = chat.get("type") or "", int(chat.get("id") or 0)
    if number >> 32 in (1, 2):
        return _account(number)
    if kind in ("personal_chat", "bot_chat", *_NAMES):
        return f"user{number}"
    return f"chat{number}" if kind == "private_group" else f"channel{number}"


def _parts(text: Any) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a text, as they stand, and whether each is a quotation."""
    for part in text if isinstance(text, list) else [text or ""]:
        if isinstance(part, str):
            yield part, False
        else:
            yield part["text"], part.get("type") == "blockquote"


def _reason(message: dict[str, Any]) -> str:
    """Say why a message is not the words of its sender; "" where it may be."""
    kind = message.get("type")
    if kind == "service":
        return "call" if message.get("action") in _CALLS else "system"
    if kind != "message":
        return "unsupported"
    if any(key in message for key in _FORWARDED):
        return "forwarded"
    if message.get("via_bot"):
        return "via_bot"
    if "poll" in message or "todo_list" in message:
        return "poll"
    if message.get("self_destruct_period_seconds"):
        return "disappearing" if message.get("text") else "media_only"
    return "sticker" if message.get("media_type") == "sticker" and not message.get("text") else ""
