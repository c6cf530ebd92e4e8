"""Signal's own export as plain text (Signal Desktop from 8.10 on): `main.jsonl`, one record a line, oldest first."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from curator import (
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    broken_json_lines,
    first_lines,
    from_epoch,
    hookimpl,
    printable,
)

HOW = (
    "Signal Desktop (8.10 or newer): Settings, Chats, export the chat history as JSON. Name the folder "
    "signal-export-...; older versions: see signal_export."
)
_KIND: Final = {*"version account recipient chat chatItem stickerPack adHocCall notificationProfile chatFolder".split()}
_CUT: Final = "a long message is cut: the file with all of it (files/) is not in what was named"
# What is no words: the key of a chat item, and the reason.
_OTHER: Final = {
    "updateMessage": "system", "remoteDeletedMessage": "deleted", "adminDeletedMessage": "deleted",
    "stickerMessage": "sticker", "contactMessage": "media_only", "viewOnceMessage": "media_only",
    "paymentNotification": "unsupported", "giftBadge": "unsupported", "poll": "poll",
}  # fmt: skip
_NAMES: Final = (("systemGivenName", "systemFamilyName"), ("profileGivenName", "profileFamilyName"), ("username",))


@hookimpl
def register_importers() -> list[Importer]:
    """Read Signal's own exports."""
    return [Importer("signal", "Signal (its own export)", HOW, find, read)]


def find(export: Export) -> Found | None:
    """Take files of JSON lines that begin with the export's version, or with who is in it."""
    entries = tuple(entry for entry in export.ending(".jsonl", ".json", ".txt") if _begins_so(entry))
    return Found(entries, "Signal's records", export) if entries else None


def _begins_so(entry: Entry) -> bool:
    try:
        first, *others = [json.loads(line) for line in first_lines(entry, 2) if line]
    except (ValueError, RecursionError):
        return False
    return _is_record(first) and ("backupTimeMs" in first or any(len(one) == 1 for one in others if _is_record(one)))


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of all chats in the order in which Signal shows them."""
    for entry in found.entries:
        talk = _Records(found.details, reading)
        records = reading.each(broken_json_lines(entry, _is_record), f"{entry.shown}: record", talk.read)
        yield from reading.guarded(entry, records)


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and bool(_KIND & value.keys())


@dataclass
class _Records:
    """Reads records one by one; who is in the chats stands before what they said."""

    export: Any
    reading: Reading
    names: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    mentioned: dict[str, str] = field(default_factory=dict)
    chats: dict[str, str] = field(default_factory=dict)
    last: dict[str, tuple[str, int]] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    def read(self, line: tuple[str, Any]) -> Iterator[Item]:
        """Yield the message of a record, or why there is none."""
        text, record = line
        if not isinstance(record, dict):
            yield Skip(printable(record.where), "unrecognised_line", record.what)
        elif "recipient" in record:
            self._recipient(record["recipient"])
        elif "chat" in record:
            self.chats[str(record["chat"]["id"])] = str(record["chat"].get("recipientId"))
        elif "chatItem" in record:
            item = record["chatItem"]
            while isinstance(item.get("chatItem"), dict):  # some files have the wrapper twice
                item = item["chatItem"]
            recipient = self.chats.get(str(item.get("chatId")), "")
            chat = self.names.get(recipient, f"chat {item.get('chatId')}")
            where = printable(f"{chat}, {item.get('dateSent')}")
            if hash(text) in self.seen:
                yield Skip(where, "duplicate")
            else:
                self.seen.add(hash(text))
                yield from self._item(item, where, chat, self.accounts.get(recipient) or chat)
        elif not _is_record(record):
            yield Skip(printable(" ".join(record)[:80]) or "{}", "unrecognised_line", "an unknown kind of record")

    def _recipient(self, one: dict[str, Any]) -> None:
        key, contact = str(one["id"]), one.get("contact") or {}
        aci, group = str(contact.get("aci") or ""), one.get("group") or {}
        phone = str(contact.get("e164") or "").lstrip("+")
        self.accounts[key] = f"+{phone}" if phone else aci or str(group.get("masterKey") or "")
        title = ((group.get("snapshot") or {}).get("title") or {}).get("title")
        known = "Note to Self" if "self" in one else "Signal" if "releaseNotes" in one else title
        shown = known or _name(contact) or (contact and self.accounts[key])
        self.names[key] = self.mentioned[aci] = str(shown or f"recipient {key}")

    def _item(self, item: dict[str, Any], where: str, chat: str, chat_id: str) -> Iterator[Item]:
        if older := len(item.get("revisions") or ()):
            yield Skip(where, "older_version", count=older)
        reason, said = _reason(item), item.get("standardMessage") or {}
        reply = (item.get("directStoryReplyMessage") or {}).get("textReply") or {}
        text = "" if reason else self._words(said or reply)
        files = len(said.get("attachments") or ())
        if reason or not text.strip():
            yield Skip(where, reason or ("media_only" if files else "empty"))
            return
        own, author, sent = "outgoing" in item, str(item.get("authorId")), str(item["dateSent"])
        account, quote = self.accounts.get(author, ""), said.get("quote") or {}
        yield ImportedMessage(
            id=self._id(chat, f"{'me' if own else account or author}-{sent}"),
            conversation=chat,
            conversation_id=chat_id,
            time=from_epoch(sent, 1000),
            sender="Me" if own else self.names.get(author, f"recipient {author}"),
            sender_id="" if own else account,
            is_owner=own,
            text=text,
            edited=bool(older),
            attachments=files,
            quote=str((quote.get("text") or {}).get("body") or ""),
            reply_to=self._answered(quote),
        )

    def _id(self, chat: str, name: str) -> str:
        """Return an id; Signal knows messages by author and time, and two may share both."""
        before, count = self.last.get(chat, ("", 0))
        self.last[chat] = name, count + 1 if name == before else 1
        return name if self.last[chat][1] == 1 else f"{name}-{self.last[chat][1]}"

    def _answered(self, quote: dict[str, Any]) -> str:
        author, sent = str(quote.get("authorId")), str(quote.get("targetSentTimestamp") or "")
        who = "me" if self.names.get(author) == "Note to Self" else self.accounts.get(author) or author
        return f"{who}-{sent}" if sent not in ("", "0") else ""

    def _words(self, said: dict[str, Any]) -> str:
        """Return the words of a message; where somebody is mentioned they have a mark, which stands for the name."""
        body = (said.get("text") or {}).get("body") or ""
        if said.get("longText"):
            body = self._long_text(said["longText"], body)
        ranges = (said.get("text") or {}).get("bodyRanges") or ()
        for one in sorted(ranges, key=lambda one: int(one.get("start") or 0)):
            if one.get("mentionAci"):
                body = body.replace("\ufffc", f"@{self.mentioned.get(str(one['mentionAci']), '')}", 1)
        return str(body)

    def _long_text(self, pointer: dict[str, Any], body: Any) -> Any:
        """Return the whole of a long message, which lies in a file of its own; the message holds its beginning."""
        digest = str((pointer.get("locatorInfo") or {}).get("plaintextHash") or "")
        names = {digest, base64.b64decode(digest + "==").hex()} - {""}
        for entry in (one for one in self.export.entries if one.base.partition(".")[0] in names):
            return entry.head(1 << 20).decode("utf-8", "replace")
        self.reading.note(_CUT)
        return body


def _name(contact: dict[str, Any]) -> str:
    """Return a contact's name as Signal shows it: the nickname, the name in the phone, that of the profile."""
    own = ((contact.get("nickname") or {}).get(key) for key in ("given", "family"))
    pairs = (own, *((contact.get(key) for key in keys) for keys in _NAMES))
    return next((name for pair in pairs if (name := " ".join(str(part) for part in pair if part))), "")


def _reason(item: dict[str, Any]) -> str:
    """Say why an item is no message; "" where it may be one."""
    if {"individualCall", "groupCall"} & (item.get("updateMessage") or {}).keys():
        return "call"
    if other := next((reason for key, reason in _OTHER.items() if key in item), ""):
        return other
    if str(item.get("expiresInMs") or "0") != "0" or str(item.get("expireStartDate") or "0") != "0":
        return "disappearing"
    if "emoji" in (item.get("directStoryReplyMessage") or {}):
        return "reaction"
    if "standardMessage" not in item and "directStoryReplyMessage" not in item:
        return "unsupported"
    if (sent := (item.get("outgoing") or {}).get("sendStatus")) and all("failed" in one for one in sent):
        return "not_sent"
    return "system" if not {"incoming", "outgoing"} & item.keys() else ""
