"""A mailbox as Google's Takeout has it: threads, answers above what they quote, signatures, labels."""

from __future__ import annotations

from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from pathlib import Path

from importers.talk import OWNER, Keeps, Said, Talk

FORMAT = "mail"
KEEPS = Keeps(deletions=True)
OWNERS = ("ana@example.org",)


def write(folder: Path, talks: list[Talk]) -> None:
    """Write all talks into one mbox."""
    place = folder / "Takeout" / "Mail"
    place.mkdir(parents=True)
    mails = [_mail(talk, number) for talk in talks for number in range(len(talk.said))]
    (place / "All mail.mbox").write_bytes(b"".join(mails))


def _mail(talk: Talk, number: int) -> bytes:
    said = talk.said[number]
    message = EmailMessage()
    message["X-GM-THRID"] = str(talk.said[0].number)
    label = "Trash" if said.deleted else "Sent" if said.own else "Eingang,Geöffnet"
    message["X-Gmail-Labels"] = Header(label, "utf-8").encode()
    others = sorted(talk.others)
    address = OWNERS[0] if said.sender == OWNER else f"p{others.index(said.sender)}@example.net"
    message["From"] = formataddr((said.sender, address))
    message["Subject"] = ("Re: " if number else "") + talk.name
    message["Date"] = format_datetime(said.time)
    message["Message-ID"] = _id(said)
    if number:
        message["In-Reply-To"] = _id(talk.said[number - 1])
        message["References"] = " ".join(dict.fromkeys((_id(talk.said[0]), _id(talk.said[number - 1]))))
    message.set_content(said.text + _below(talk, number), charset="utf-8")
    data = b"\n".join(b">" + line if line.startswith(b"From ") else line for line in message.as_bytes().split(b"\n"))
    return f"From {said.number}@xxx {said.time:%a %b %d %H:%M:%S +0000 %Y}\n".encode() + data + b"\n\n"


def _id(said: Said) -> str:
    return f"<m{said.number}@example>"


def _below(talk: Talk, number: int) -> str:
    """Return the signature and the quote that stand below a mail's words."""
    said, before = talk.said[number], talk.said[number - 1]
    signature = ("", "\n\n-- \nAna\nSteg 4", "\n\nSent from my iPhone")[said.number % 3]
    if not number:
        return f"{signature}\n"
    quoted = "\n".join(f"> {line}" for line in before.text.split("\n"))
    return f"{signature}\n\nAm {before.time:%d.%m.%Y} um {before.time:%H:%M} schrieb {before.sender}:\n\n{quoted}\n"
