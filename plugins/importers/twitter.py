"""X's archive: `data/*.js`, each a JSON array behind an assignment. Tweets are posts, direct messages are talks."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

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
    Reading,
    Skip,
    backwards,
    from_iso,
    hookimpl,
    iso,
    json_beside,
    json_items,
    json_value,
    newest_first,
    printable,
)

HOW = "x.com: Settings, Your account, Download an archive of your data; the zip is there a day later. Name it."
_KIND = re.compile(rb"\s*window\.YTD\.(\w+?)s?\.part(\d+)\s*=")  # "tweet" and "tweets", as the years had them
_READ = ("tweet", "community_tweet", "deleted_tweet", "direct_message", "direct_messages_group", "like")
_MENTIONS = re.compile(r"\A(?:@\w{1,20}(?:\s+|\Z))+")
_CUT = 130  # characters that a cut tweet has at least: of Chinese 140, of others 280
_CUT_OR_LINK = re.compile("…|http")


@hookimpl
def register_importers() -> list[Importer]:
    """Read X's archive."""
    return [Importer("twitter", "X (Twitter)", HOW, find, read, order="time")]


def find(export: Export) -> Found | Differs | None:
    """Take the scripts that assign to `window.YTD`."""
    scripts = export.ending(".js")
    kinds = [(entry, kind[1].decode(), int(kind[2])) for entry in scripts if (kind := _KIND.match(entry.head(4096)))]
    files = [one for one in kinds if one[1] in _READ]
    if files:
        files.sort(key=lambda one: (_READ.index(one[1]), -one[2], one[0].name))
        beside = [(entry, kind) for entry, kind, _ in kinds if kind in ("account", "note_tweet")]
        read_in_order = [(entry, kind) for entry, kind, _ in files]
        return Found(tuple(entry for entry, _ in read_in_order), "posts and messages", (read_in_order, beside))
    if any(b"Grailbird.data" in entry.head(4096) for entry in scripts):
        return Differs("an archive of before 2019 (Grailbird); download a new one, which holds all of it")
    return Differs("window.YTD is there, but no tweets and no direct messages") if kinds else None


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield posts and messages; what is written the newest first is read from its end."""
    files, beside = cast(tuple[list[tuple[Entry, str]], ...], found.details)
    archive = _Archive(beside, reading)
    for entry, kind in files:
        what = f"{entry.shown}: record"
        if kind.startswith("direct"):
            parts = map(list, json_beside(entry, ["item.dmConversation.messages.item"]))
            items = reading.each(backwards(parts), what, archive.direct)
        elif kind == "like":
            items = (Skip(entry.shown, "not_authored", "what others wrote") for _ in json_items(entry, "item"))
        else:
            records = json_items(entry, "item")
            tweets = backwards(records) if newest_first(_times(entry)) else records
            items = reading.each(tweets, what, partial(archive.tweet, deleted=kind == "deleted_tweet"))
        yield from reading.guarded(entry, items)
    yield from archive.notes_alone()


def _times(entry: Entry) -> Iterator[datetime]:
    with suppress(Damaged, *ODD):
        yield from map(_time, json_items(entry, "item.tweet.created_at"))


class _Archive:
    """Reads the records of one archive."""

    def __init__(self, beside: list[tuple[Entry, str]], reading: Reading) -> None:
        self._reading, self._id, self._name = reading, "", ""
        self._notes: dict[datetime, list[str]] = {}
        for entry, kind in beside:
            try:
                if kind == "account":
                    account = json_value(entry)[0]["account"]
                    self._id, self._name = str(account["accountId"]), str(account["username"])
                    continue
                for record in json_items(entry, "item.noteTweet"):
                    core, second = record["core"], datetime.fromisoformat(record["createdAt"]).replace(microsecond=0)
                    links = {str(one.get("shortUrl")): str(one.get("expandedUrl")) for one in _listed(core, "urls")}
                    self._notes.setdefault(second, []).append(_linked(str(core["text"]), links))
            except (Damaged, *ODD) as error:
                reading.note(f"{entry.shown} cannot be read: {printable(str(error))[:120]}")
        if not self._id:
            reading.note("account.js is missing: --owner with the account's number tells whose the messages are")

    def tweet(self, record: dict[str, Any], deleted: bool) -> Iterator[Item]:
        """Yield a tweet, with its whole text where it was cut."""
        tweet: dict[str, Any] = record["tweet"] if "tweet" in record else record["communityTweet"]
        name, time = str(tweet.get("id_str") or tweet["id"]), _time(str(tweet["created_at"]))
        text = str(tweet.get("full_text") or tweet["text"])
        for code, sign in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):  # no other sign is escaped
            text = text.replace(code, sign)
        where, whole = f"tweet {printable(name)}", self._whole(time, text)
        pictures = _listed(tweet, "extended_entities", "media") or _listed(tweet, "entities", "media")
        links = {str(one.get("url")): str(one.get("expanded_url")) for one in _listed(tweet, "entities", "urls")}
        text = _linked(text, links | {str(one.get("url")): "" for one in pictures})
        if whole and not deleted:
            yield Skip(f"{where} cut text", "duplicate", "its whole text is a note")
            text = whole
        answered = str(tweet.get("in_reply_to_status_id_str") or "")
        if answered and (mentions := _MENTIONS.match(text)):
            text = text[mentions.end() :]  # the service put them there
        if deleted or text.startswith("RT @"):
            yield Skip(where, "deleted" if deleted else "forwarded")
        elif not text.strip():
            yield Skip(where, "media_only" if pictures else "empty")
        else:
            yield self._post(name, time, text, len(pictures), answered)

    def _post(self, name: str, time: datetime, text: str, files: int = 0, answered: str = "") -> ImportedMessage:
        return ImportedMessage(
            name, "timeline", iso(time), self._name or "me", True, text,
            kind="post", sender_id=self._id, reply_to=answered, attachments=files,
        )  # fmt: skip

    def _whole(self, time: datetime, cut: str) -> str:
        """Return the note of which a tweet is the beginning; "" for none. Only the second ties them, ids do not."""
        start = _CUT_OR_LINK.split(_MENTIONS.sub("", cut, count=1), maxsplit=1)[0][:40].strip()
        for second in (time, time + timedelta(seconds=1), time - timedelta(seconds=1)):
            for note in self._notes.get(second, ()) if start and len(cut) >= _CUT else ():
                if _MENTIONS.sub("", note, count=1).startswith(start):
                    return self._notes[second].pop(self._notes[second].index(note))
        return ""

    def notes_alone(self) -> Iterator[Item]:
        """Yield the long posts that no tweet is the beginning of."""
        for second, notes in self._notes.items():
            yield from (self._post(f"note-{iso(second)}-{place}", second, note) for place, note in enumerate(notes))

    def direct(self, part: list[Any]) -> Iterator[Item]:
        """Yield a direct message; `part` is what is known of its conversation, and the record."""
        name, kind = str(part[0].get("conversationId") or "conversation"), next(iter(part[1]), "")
        if kind != "messageCreate":
            known = kind.startswith(("join", "participants", "conversation"))
            yield Skip(f"{printable(name)}: {printable(kind)}", "system" if known else "unsupported")
            return
        message = part[1][kind]
        sender, files = str(message["senderId"]), len(message.get("mediaUrls") or ())
        links = {str(one.get("url")): str(one.get("expanded")) for one in _listed(message, "urls")}
        pictures = {url: "" for url, whole in links.items() if files and "/messages/media/" in whole}
        text = _linked(str(message.get("text") or ""), links | pictures)
        own = sender == self._id if self._id else self._reading.is_owner(sender)
        if not text.strip():
            yield Skip(f"{printable(name)}: {printable(str(message.get('id')))}", "media_only" if files else "empty")
            return
        yield ImportedMessage(
            id=str(message.get("id") or ""),
            conversation=name,
            time=from_iso(message["createdAt"]),
            sender=self._name if own and self._id else sender,
            sender_id=sender,
            is_owner=own,
            text=text,
            edited=bool(message.get("editHistory")),
            attachments=files,
        )


def _listed(record: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    value: Any = record
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _linked(text: str, links: dict[str, str]) -> str:
    """Return a text with the addresses that were shortened as they were; "" stands for a picture's, which goes."""
    for short in sorted(set(links) - {"", "None"}, key=len, reverse=True):
        if not links[short]:
            text = text.replace(f" {short}", "")
        if links[short] != "None":
            text = text.replace(short, links[short])
    return text


def _time(text: str) -> datetime:
    """Return the time of "Mon Jan 13 09:00:00 +0000 2025", or of ISO 8601. Raises ValueError."""
    return datetime.strptime(text, "%a %b %d %H:%M:%S %z %Y") if " +" in text else datetime.fromisoformat(text)
