"""Google Chat's part of Takeout: `Groups/<id>/messages.json`, with dates in prose of the account's language, in UTC."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC
from typing import Any

from curator import (
    ODD,
    Damaged,
    Differs,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    ProseDates,
    Reading,
    Skip,
    hookimpl,
    iso,
    json_items,
    json_value,
    outline,
    printable,
)

HOW = (
    "takeout.google.com: deselect all, choose Google Chat. Name the zip (the zips, where there are several), or the "
    "folder that you unpacked."
)
_MESSAGES = "messages.item."
_IN_TOPIC = re.compile(r"([^/]+)/([^/]+)/([^/]+)")


@hookimpl
def register_importers() -> list[Importer]:
    """Read what Takeout has of Google Chat."""
    return [Importer("google_chat", "Google Chat", HOW, find, read)]


def find(export: Export) -> Found | Differs | None:
    """Take the files of messages that have topics and creators."""
    looked = [(entry, outline(entry)) for entry in export.ending(".json")]
    files = [entry for entry, paths in looked if _is_chat(paths)]
    if files:
        return Found(tuple(sorted(files, key=lambda one: one.name)), "groups and direct messages", export)
    old = next((one for one, paths in looked if "conversations.item.conversation.conversation" in paths), None)
    if old:
        return Differs(f"{old.shown} is of Hangouts, the program before Google Chat, which is not read")
    return None


def _is_chat(paths: frozenset[str]) -> bool:
    names = {path.removeprefix(_MESSAGES) for path in paths if path.startswith(_MESSAGES)}
    return {"topic_id", "message_id"} <= names and bool({"creator.email", "creator.name", "message_state"} & names)


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each group in the order of the file."""
    assert isinstance(found.details, Export)
    export, dates = found.details, ProseDates()
    owner = _Owner(export, reading)
    if not owner.known:
        reading.note("Users/*/user_info.json is missing: which messages are the person's is told by --owner alone")
    infos = _group_infos(export)
    for entry in found.entries:
        group = _Group(entry, infos.get(entry.folder, {}), owner, dates)
        messages = reading.each(json_items(entry, "messages.item"), f"{entry.shown}: message", group.message)
        yield from reading.guarded(entry, messages)


class _Owner:
    """Whose account it is, and what they call their groups: the files user_info.json."""

    def __init__(self, export: Export, reading: Reading) -> None:
        self._reading = reading
        self._mails: set[str] = set()
        self.groups: dict[str, str] = {}
        for entry in export.named("user_info.json"):
            try:
                info = json_value(entry)
                self._mails.add(str(info["user"]["email"]).casefold())
                for group in info.get("membership_info") or ():
                    self.groups[str(group.get("group_id"))] = str(group.get("group_name") or "")
            except (Damaged, *ODD) as error:
                reading.note(f"{entry.shown} cannot be read: {printable(str(error))[:120]}")

    @property
    def known(self) -> bool:
        """Whether the export says whose account it is."""
        return bool(self._mails)

    def wrote(self, creator: dict[str, Any]) -> bool | None:
        """Tell whether a creator is the person; None where it is not known."""
        mail = str(creator.get("email") or "")
        if self._mails:
            return mail.casefold() in self._mails
        return self._reading.is_owner(mail, str(creator.get("name") or ""))


def _group_infos(export: Export) -> dict[str, dict[str, Any]]:
    """Read what is said of each group, by its folder."""
    infos: dict[str, dict[str, Any]] = {}
    for entry in export.named("group_info.json"):
        with suppress(Damaged):
            info = json_value(entry)
            infos[entry.folder] = info if isinstance(info, dict) else {}
    return infos


class _Group:
    """Reads the messages of one group."""

    def __init__(self, entry: Entry, info: dict[str, Any], owner: _Owner, dates: ProseDates) -> None:
        self._owner, self._dates = owner, dates
        self._id = entry.folder.rpartition("/")[2] or entry.base
        members = [one for one in info.get("members") or () if isinstance(one, dict)]
        others = [str(one.get("name") or one.get("email") or "") for one in members if not owner.wrote(one)]
        named = str(info.get("name") or "") or owner.groups.get(self._id) or ", ".join(filter(None, others))
        self._name = named or self._id

    def message(self, record: dict[str, Any]) -> Iterator[Item]:
        """Yield a message, or why there is none."""
        name, creator = str(record.get("message_id") or ""), record.get("creator")
        creator = creator if isinstance(creator, dict) else {}
        written = str(record.get("created_date") or record.get("updated_date") or "")
        moment = self._dates.moment(written)
        text, files = str(record.get("text") or ""), len(record.get("attached_files") or ())
        reason, detail = "", ""
        if record.get("message_state") == "DELETED":
            reason = "deleted"
        elif str(creator.get("user_type")).casefold() == "bot":
            reason = "bot"
        elif not text.strip():
            reason = "media_only" if files else "empty"
        elif not creator:
            reason = "bad_shape"
        elif not moment:
            reason, detail = "undated", f"no date that can be read: {printable(written[:80])}"
        if reason or not moment:
            yield Skip(f"{printable(self._name)}: {printable(name)}", reason, detail)
            return
        quoted = record.get("quoted_message_metadata")
        yield ImportedMessage(
            id=name,
            conversation=self._name,
            conversation_id=self._id,
            time=iso(moment.replace(tzinfo=UTC)),
            sender=str(creator.get("name") or creator.get("email") or ""),
            sender_id=str(creator.get("email") or ""),
            is_owner=self._owner.wrote(creator),
            text=text,
            reply_to=_topic(name),
            edited=bool(record.get("updated_date")),
            attachments=files,
            quote=str(quoted.get("text") or "") if isinstance(quoted, dict) else "",
        )


def _topic(name: str) -> str:
    """Return the first message of a topic, which the others in it answer; "" for the first one itself."""
    parts = _IN_TOPIC.fullmatch(name)
    return f"{parts[1]}/{parts[2]}/{parts[2]}" if parts and parts[2] != parts[3] else ""
