"""Mail: mbox files (Google Takeout, Thunderbird, Apple Mail) and single mails (.eml, .emlx, Maildir). Of each mail the
writer's own words are kept; what they quote, pass on and sign with is cut."""

import hashlib
import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from curator import (
    MAIL_FOLDERS,
    Differs,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Mail,
    RawMail,
    Reading,
    Skip,
    hookimpl,
    mailbox_kind,
    passes_on,
    printable,
    raw_mails,
)

HOW = (
    "Gmail: takeout.google.com, choose Mail alone. Thunderbird, Apple Mail and others: export folders as mbox or .eml. "
    "Name the file or the folder, and your addresses with --owner, each one."
)
_NO_MAIL: Final = re.compile(
    r"\.(?:jsonl?|html?|md|csv|xml|js|css|jpe?g|png|gif|webp|heic|mp[34]|m4a|ogg|opus|mov|pdf|db|sqlite|msf|zip)$",
    re.IGNORECASE,
)
_NO_PERSON: Final = ("bulk", "list", "junk")
_ENDING: Final = re.compile(r"\.(?:mbox|mbx|sbd)$")
_FOUR_HEX: Final = re.compile("[0-9a-fA-F]{4}")


@hookimpl
def register_importers() -> list[Importer]:
    """Read mailboxes and mails."""
    return [Importer("mail", "Mail", HOW, find, read, order="time")]


def find(export: Export) -> Found | Differs | None:
    """Take files that begin with a separator of mbox, or with the headers of a mail."""
    candidates = [entry for entry in export.entries if not _NO_MAIL.search(entry.name)]
    kinds = {entry.name: kind for entry in candidates if (kind := mailbox_kind(entry))}
    if kinds:
        return Found(tuple(entry for entry in candidates if entry.name in kinds), "mailboxes and mails", kinds)
    if export.ending(".mbox", ".eml"):
        return Differs("a file is called .mbox or .eml, but holds neither a separator `From ... date` nor headers")
    if export.ending(".pst", ".ost", ".olm", ".msg"):
        return Differs("Outlook's own files are there, which are not read: export the folders as mbox or .eml")
    return None


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the own words of each mail."""
    assert isinstance(found.details, dict)
    box = _Mailbox(reading)
    for entry in found.entries:
        mails = raw_mails(entry, found.details[entry.name])
        items = reading.each(mails, f"{entry.shown}: mail", partial(box.read, entry))
        yield from reading.guarded(entry, items)


class _Mailbox:
    """Reads mails; it knows of those before to which conversation they belong."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._by_address = any("@" in name for name in reading.owners)
        self._roots: dict[int, str] = {}

    def read(self, entry: Entry, raw: RawMail) -> Iterator[Item]:
        """Yield the message of a mail, or why there is none."""
        mail = Mail(raw.data)
        name, address = mail.sender()
        own_id = next(iter(mail.ids("Message-ID")), "") or hashlib.sha256(raw.data).hexdigest()[:16]
        takeout = raw.envelope and bool(mail.raw("X-GM-THRID"))
        labels = {one.strip().casefold() for one in mail.header("X-Gmail-Labels").split(",")} if takeout else set()
        places = labels or {_folder(part) for part in entry.name.split("/")}
        owner = self._owner(name, address, places, bool(takeout))
        if not address and not name:
            yield Skip(printable(own_id), "bad_shape", "it does not say who it is from")
            return
        reason = _place_reason(places, entry, mail) or _reason(mail, owner)
        if reason:
            yield Skip(printable(own_id), reason)
            return
        said, files = mail.body(), mail.attachments
        if not said.text.strip():
            passed_on = said.forwards or passes_on(mail.header("Subject"))
            yield Skip(printable(own_id), "forwarded" if passed_on else "attachment_only" if files else "empty")
            return
        time, parents = mail.time(raw.envelope), mail.ids("In-Reply-To") or mail.ids("References")[-1:]
        root = self._root(own_id, mail.ids("References") or parents)
        yield ImportedMessage(
            id=own_id, conversation=root, conversation_id=root, title=mail.header("Subject"), time=time,
            time_source="exact" if time else "", sender=name or address, sender_id=address, is_owner=owner,
            text=said.text, quote=said.quote, kind="mail", reply_to=parents[0] if parents else "", attachments=files,
        )  # fmt: skip

    def _owner(self, name: str, address: str, places: set[str], takeout: bool) -> bool | None:
        """Tell whether a mail is the person's: by their addresses, or because it lies with what they sent."""
        *names, host = address.split("@")
        plain = "@".join((*(one.partition("+")[0] for one in names), host))
        owner = self._reading.is_owner(address, plain, *(() if self._by_address and address else (name,)))
        if places & MAIL_FOLDERS.sent and address:
            self._reading.owner_is(address, "it lies with the sent mail")
            return True if takeout else owner  # Google's own label is proof; a folder may have any name
        return owner

    def _root(self, own_id: str, before: list[str]) -> str:
        """Return the first mail of the conversation, of which a program may name the one before alone."""
        root = self._roots.get(hash(before[0]), before[0]) if before else own_id
        if root != own_id:
            self._roots[hash(own_id)] = root
        return root


def _folder(part: str) -> str:
    return _ENDING.sub("", part.casefold()).strip(".[] ")


def _place_reason(places: set[str], entry: Entry, mail: Mail) -> str:
    """Say why a mail is none by where it lies: a draft, spam, thrown away."""
    flags = entry.base.rpartition(":2,")[2] if ":2," in entry.base else ""
    mozilla = mail.raw("X-Mozilla-Status")
    if places & MAIL_FOLDERS.drafts or "D" in flags:
        return "draft"
    if places & MAIL_FOLDERS.trash or "T" in flags or (_FOUR_HEX.fullmatch(mozilla) and int(mozilla, 16) & 8):
        return "deleted"
    return "bulk" if places & MAIL_FOLDERS.spam else "unsupported" if places & MAIL_FOLDERS.chat else ""


def _reason(mail: Mail, owner: bool | None) -> str:
    """Say why a mail is nobody's own words; "" where it may be."""
    precedence = mail.raw("Precedence").casefold()
    if mail.raw("Auto-Submitted").casefold() not in ("", "no") or precedence == "auto_reply" or mail.raw("X-Autoreply"):
        return "auto_reply"
    if not owner and (precedence in _NO_PERSON or mail.raw("List-Unsubscribe") or mail.raw("List-Id")):
        return "bulk"
    kinds = mail.kinds
    if "multipart/report" in kinds:
        return "system"
    if "text/calendar" in kinds:
        return "not_words"
    return "unsupported" if mail.locked else ""
