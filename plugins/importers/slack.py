"""Slack's workspace export: a folder a conversation, in it a file a day. Who exported it, it does not say."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from curator import (
    ODD,
    Differs,
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
    json_array,
    outline,
    printable,
)

HOW = (
    "Slack, as an owner or admin: Settings & administration, Workspace settings, Import/Export Data, Export; name the "
    "zip. Whether private channels and direct messages are in it depends on the plan."
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d\.json", re.IGNORECASE)
_USERS = ("users.json", "org_users.json")
_LISTS = ("channels.json", "groups.json", "mpims.json", "dms.json")
_WORDS = ("", "me_message", "file_share", "thread_broadcast", "reply_broadcast")
_DELETED = ("message_changed", "message_deleted", "tombstone")
_BOTS = ("bot_message", "slackbot_response")
# A code in angle brackets, or one of the three characters that are escaped: each is turned once, whatever comes of it.
_CODE = re.compile(r"<([^<>\n]+)>|&(amp|lt|gt);")
_ESCAPED = {"amp": "&", "lt": "<", "gt": ">"}
_SCHEME = re.compile(r"\A(?:mailto|tel):")


@hookimpl
def register_importers() -> list[Importer]:
    """Read Slack's exports."""
    return [Importer("slack", "Slack", HOW, find, read, order="time")]


def find(export: Export) -> Found | Differs | None:
    """Take the files of days below a folder that lists users and conversations."""
    listed = {entry.folder for entry in export.named(*_LISTS)}
    roots = {entry.folder for entry in export.named(*_USERS) if entry.folder in listed}
    days = [entry for entry in export.entries if _DAY.fullmatch(entry.base) and entry.folder and _root(entry) in roots]
    if days:
        return Found(tuple(sorted(days, key=lambda one: one.name)), "workspace export", export)
    if any({"item.id", "item.profile"} <= outline(entry) for entry in export.named(*_USERS) if entry.folder in roots):
        return Differs("users and channels are listed, but no folder has files of days (2025-01-13.json)")
    return None


def _root(day: Entry) -> str:
    return day.folder.rpartition("/")[0]


def _folder(day: Entry) -> str:
    return day.folder.rpartition("/")[2]


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each conversation, in the order of the lists, day by day."""
    export: Any = found.details
    spaces = {_root(day): _Workspace() for day in found.entries}
    for entry in export.named(*_USERS, *_LISTS):
        if entry.folder in spaces:
            yield from reading.guarded(entry, spaces[entry.folder].learn(entry))
    for day in sorted(found.entries, key=lambda one: (_root(one), spaces[_root(one)].place(_folder(one)), one.name)):
        talk = _Talk(spaces[_root(day)], _folder(day), reading)
        yield from reading.guarded(day, reading.each(json_array(day), f"{day.shown}: message", talk.read))


class _User(NamedTuple):
    shown: str
    names: tuple[str, ...]
    is_bot: bool


class _Workspace:
    """What stands beside the messages: users and channels by their ids, conversations by their folders."""

    def __init__(self) -> None:
        self.users: dict[str, _User] = {}
        self.channels: dict[str, str] = {}
        self.members: dict[str, tuple[str, ...]] = {}
        self.ids: dict[str, str] = {}
        self._places: dict[str, tuple[int, int]] = {}

    def learn(self, entry: Entry) -> Iterator[Item]:
        """Read one of its lists; what is no user or conversation in it is a skip."""
        kind = entry.base.casefold()
        for number, record in enumerate(json_array(entry), 1):
            try:
                if kind in _USERS:
                    self.users[record["id"]] = _user(record)
                else:
                    self._conversation(record, kind)
            except ODD as error:
                yield Skip(f"{entry.shown}: {number:,}", "bad_shape", f"not as expected: {type(error).__name__}")

    def _conversation(self, record: dict[str, Any], kind: str) -> None:
        # Folders of direct messages are called by the id, all others by the name.
        folder = record["id"] if kind == "dms.json" else record.get("name") or record["id"]
        self.channels[record["id"]], self.ids[folder] = folder, record["id"]
        if kind in ("dms.json", "mpims.json"):
            self.members[folder] = tuple(map(str, record.get("members") or ()))
        self._places[folder] = _LISTS.index(kind), len(self._places)

    def place(self, folder: str) -> tuple[int, int]:
        """Return where a conversation stands among all: those of no list come last."""
        return self._places.get(folder, (len(_LISTS), 0))

    def name_of(self, user: str, otherwise: str = "") -> str:
        """Return a user's name as Slack shows it."""
        return self.users[user].shown if user in self.users else otherwise or user


def _user(record: dict[str, Any]) -> _User:
    profile = record.get("profile") or {}
    names = (
        profile.get("display_name"), profile.get("real_name"), record.get("real_name"), record.get("name"),
        profile.get("email"), record.get("id"),
    )  # fmt: skip
    known = tuple(str(name) for name in names if name)
    return _User(known[0] if known else "", known, bool(record.get("is_bot")))


class _Talk:
    """Reads the messages of one conversation."""

    def __init__(self, space: _Workspace, folder: str, reading: Reading) -> None:
        self._space, self._folder, self._reading = space, folder, reading
        self._id = space.ids.get(folder, folder)
        self._title = ", ".join(space.name_of(member) for member in space.members.get(folder, ()))

    def read(self, record: dict[str, Any]) -> Iterator[Item]:
        """Yield a message, or why it is none."""
        time = str(record["ts"])  # as it stands: it is the id too, and a float would lose its end
        text = _CODE.sub(self._plain, str(record.get("text") or ""))
        reason = self._reason(record) or ("" if text.strip() else _without_words(record))
        account = str(record.get("user") or "")
        guest = _user({"profile": record.get("user_profile"), "id": account, "name": record.get("username")})
        user = self._space.users.get(account, guest)
        if reason or not user.names:
            yield Skip(printable(f"{self._folder} {time}"), reason or "not_authored")
            return
        thread = str(record.get("thread_ts") or "")
        yield ImportedMessage(
            id=time,
            conversation=self._folder,
            conversation_id=self._id,
            title=self._title,
            time=from_epoch(time),
            sender=user.shown,
            sender_id=account,
            is_owner=self._reading.is_owner(*user.names),
            text=text,
            reply_to="" if thread == time else thread,
            edited=bool(record.get("edited")),
            attachments=len(record.get("files") or ()),
        )

    def _reason(self, record: dict[str, Any]) -> str:
        """Say why a message is not the words of its sender; "" where it may be."""
        kind, user = str(record.get("subtype") or ""), self._space.users.get(str(record.get("user")))
        if kind in _DELETED or record.get("hidden"):
            return "deleted"
        if kind in _BOTS or record.get("bot_id") or record.get("user") == "USLACKBOT" or (user and user.is_bot):
            return "bot"
        return "" if record.get("type", "message") == "message" and kind in _WORDS else "system"

    def _plain(self, found: re.Match[str]) -> str:
        """Return what Slack shows for a code, <@U1> or <https://example.org|a link>, or for an escaped character."""
        if found[2]:
            return _ESCAPED[found[2]]
        code, bar, label = _CODE.sub(self._plain, found[1]).partition("|")
        if code[:1] == "@":
            return f"@{self._space.name_of(code[1:], label)}"
        if code[:1] == "#":
            return f"#{label or self._space.channels.get(code[1:], code[1:])}"
        if code[:1] == "!":
            if code.startswith("!date") and bar:
                return label
            return f"@{label.removeprefix('@') or code[1:].partition('^')[2] or code[1:]}"
        return label if bar and label else _SCHEME.sub("", code)


def _without_words(record: dict[str, Any]) -> str:
    if any(isinstance(one, dict) and one.get("is_msg_unfurl") for one in record.get("attachments") or ()):
        return "forwarded"
    if record.get("files"):
        return "media_only"
    return "unsupported" if record.get("blocks") or record.get("attachments") else "empty"
