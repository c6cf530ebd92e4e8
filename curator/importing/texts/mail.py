"""A mail as it was sent, read for its words: headers in whatever charset, the body that a person reads, its files.

The policy is `compat32`, not `default`: that one parses each header by a grammar which raises on headers that spam and
old programs write, and which takes most of the time of a large mailbox.
"""

from __future__ import annotations

import email
import email.errors
import email.header
import email.utils
import re
from datetime import datetime
from email.message import Message
from typing import Final, NamedTuple

from curator.importing.dates.clocks import iso
from curator.importing.texts.quotes import OwnWords, own_words, plain_of_html, unflowed

# What a name of a charset means to the programs that write it, where Python takes it at its word.
_CHARSETS: Final = {
    "iso-8859-1": "cp1252", "latin1": "cp1252", "us-ascii": "utf-8", "ascii": "utf-8", "ansi": "cp1252",
    "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "ks_c_5601-1987": "cp949", "euc-kr": "cp949",
    "shift_jis": "cp932", "shift-jis": "cp932", "x-sjis": "cp932", "iso-2022-jp": "iso2022_jp_ext",
    "utf8mb4": "utf-8", "unknown-8bit": "utf-8", "unicode-1-1-utf-7": "utf-7", "iso-8859-8-i": "iso-8859-8",
    "cp-850": "cp850", "x-mac-roman": "mac_roman", "windows-874": "cp874", "tis-620": "cp874",
}  # fmt: skip
_ENCODED = re.compile(r"=\?[\w.:*+-]+\?[bq]\?[^?\s]*\?=(?:\s+(?==\?))?", re.IGNORECASE)
_FOLD = re.compile(r"\r?\n[ \t]*|\r")
_ID = re.compile(r"<[^<>\s]+>")
_SIGNED = re.compile(r"-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:[A-Za-z-]+:.*\r?\n)*\r?\n?")
_SIGNATURE = re.compile(r"-----BEGIN PGP SIGNATURE-----.*?(?:-----END PGP SIGNATURE-----|\Z)", re.DOTALL)
_LOCKED: Final = ("multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")
_ENCODED_RUN = re.compile(rf"(?:{_ENCODED.pattern})+", re.IGNORECASE)
_ADDRESS = re.compile(r"(?<![\w.+%'-])[\w.+%'-]++@[\w.-]+")


class Address(NamedTuple):
    """The name and the address of a sender."""

    name: str
    address: str


class Mail:
    """A mail, parsed."""

    def __init__(self, data: bytes) -> None:
        self.message: Message = email.message_from_bytes(data)
        self._headers: dict[str, str] = {}
        for name, value in self.message.raw_items():
            self._headers.setdefault(name.casefold(), str(value))

    def raw(self, name: str) -> str:
        """Return a header, the first of its name, on one line; "" where it is not there."""
        return _FOLD.sub(" ", self._headers.get(name.casefold(), "")).strip()

    def header(self, name: str) -> str:
        """Return a header with its encoded words decoded."""
        return decoded_header(self.raw(name))

    def ids(self, name: str) -> list[str]:
        """Return the ids of mails in a header (References, In-Reply-To, Message-ID)."""
        return _ID.findall(self.raw(name))

    def sender(self) -> Address:
        """Return who a mail is from; both are "" where it does not say."""
        raw = self.raw("From") or self.raw("Sender")
        name, address = email.utils.parseaddr(raw)
        if not address and (found := _ADDRESS.search(raw)):  # what no grammar takes
            address, name = found[0], raw.replace(found[0], "").strip("<>()\"' ,;")
        return Address(decoded_header(name).strip(), address.strip())

    def time(self, envelope: str = "") -> str | None:
        """Return when it was sent, as `iso` has it: its Date, else when it was received; None where neither tells."""
        for text in (self.raw("Date"), self.raw("Received").rpartition(";")[2], envelope):
            if moment := _moment(text):
                return moment
        return None

    def body(self) -> OwnWords:
        """Return the words of its writer. They are cut out of the plain text; of HTML where there is no other."""
        plain: list[str] = []
        html: list[str] = []
        _collect(self.message, plain, html)
        text = "\n".join(plain)
        if not text.strip() and html:
            text = plain_of_html(html[0])
        text = _SIGNATURE.sub("", _SIGNED.sub("", text)) if "-----BEGIN PGP" in text else text
        return own_words(text)

    @property
    def locked(self) -> bool:
        """Whether its words cannot be read without a key."""
        kind = self.message.get_content_type()
        signed = str(self.message.get_param("smime-type") or "") == "signed-data"
        if kind in _LOCKED and not signed:
            return True
        return any("-----BEGIN PGP MESSAGE-----" in _text(part) for part in self.message.walk() if _is_text(part))

    @property
    def kinds(self) -> set[str]:
        """The content types of its parts."""
        return {part.get_content_type() for part in self.message.walk()}

    @property
    def attachments(self) -> int:
        """How many files came with it."""
        leaves = [part for part in self.message.walk() if not part.is_multipart() or _is_mail(part)]
        return sum(not _is_text(part) for part in leaves if not part.get_content_type().startswith("multipart/"))


def decoded_header(raw: str) -> str:
    """Return a header's text: encoded words (RFC 2047) decoded, 8-bit bytes as UTF-8 or else Windows-1252."""
    if not raw.isascii():
        raw = decoded(raw.encode("utf-8", "surrogateescape"), "utf-8")
    return _ENCODED_RUN.sub(lambda words: _encoded_words(words[0]), raw)


def _encoded_words(text: str) -> str:
    try:
        pieces = email.header.decode_header(text)
    except (ValueError, email.errors.HeaderParseError):
        return text
    return "".join(
        decoded(piece, charset or "utf-8") if isinstance(piece, bytes) else piece for piece, charset in pieces
    )


def decoded(data: bytes, charset: str) -> str:
    """Return bytes as text: in the charset that is named where that fits, else as UTF-8, else as Windows-1252."""
    name = charset.casefold().strip("\"' ")
    for one in (_CHARSETS.get(name, name), "utf-8"):
        try:
            return data.decode(one)
        except (LookupError, UnicodeError, ValueError):  # a name that Python does not know; bytes that do not fit
            continue
    text = data.decode("utf-8", "replace")
    lost = text.count("\ufffd")
    return text if lost * 2 < sum(not character.isascii() for character in text) else data.decode("cp1252", "replace")


def _moment(text: str) -> str | None:
    text = text.strip()
    try:
        return iso(email.utils.parsedate_to_datetime(text))
    except (TypeError, ValueError, IndexError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        return iso(moment) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _is_mail(part: Message) -> bool:
    return part.get_content_type() == "message/rfc822"


def _is_text(part: Message) -> bool:
    """Tell whether a part is a text to be read, and no file."""
    named = part.get_filename() or part.get_content_disposition() == "attachment"
    return not named and part.get_content_type() in ("text/plain", "text/html", "text/enriched")


def _collect(part: Message, plain: list[str], html: list[str]) -> None:
    """Gather the texts of a mail that are its body: plain ones, and HTML ones beside them."""
    kind = part.get_content_type()
    if _is_mail(part):
        return
    if not part.is_multipart():
        if _is_text(part):
            text = _text(part)
            (html if kind == "text/html" else plain).append(text)
        return
    for child in part.get_payload():
        assert isinstance(child, Message)
        if kind in ("multipart/mixed", "multipart/signed") and (plain or html) and not _goes_on(child):
            continue  # what a list's program has added below
        _collect(child, plain, html)


def _goes_on(part: Message) -> bool:
    """Tell whether a text below an inline picture goes on with the mail, as Apple Mail has it."""
    return part.get_content_type() == "text/plain" and part.get_content_disposition() is None


def _text(part: Message) -> str:
    data = part.get_payload(decode=True)
    text = decoded(data if isinstance(data, bytes) else b"", part.get_content_charset() or "utf-8")
    if part.get_content_type() == "text/plain" and str(part.get_param("format") or "").casefold() == "flowed":
        return unflowed(text, str(part.get_param("delsp") or "").casefold() == "yes")
    return text
