"""Where the password comes from: a file, the environment, or the person at the terminal; never the command line."""

from __future__ import annotations

import os
import stat
import sys
import unicodedata
from pathlib import Path
from typing import NoReturn

from curator.contract.cli_frame import log
from curator.contract.errors import UsageError, printable

VARIABLE = "CURATOR_PASSWORD"
_MOST_BYTES = 1 << 16
# The file is never named: whoever types the password itself behind the option must not find it in a log.
_FILE = "the file that --password-file names"


class Password:
    """A password that shows itself nowhere: no repr, str, pickle or JSON gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Password(not shown)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a password is not written down")

    def forms(self) -> tuple[bytes, ...]:
        """Return its bytes as typed, then composed (NFC), then decomposed (NFD), each only once."""
        forms = (self._text, unicodedata.normalize("NFC", self._text), unicodedata.normalize("NFD", self._text))
        return tuple(dict.fromkeys(form.encode("utf-8", "surrogateescape") for form in forms))


def given_password(file: Path | None) -> Password | None:
    """Return the password of --password-file, else that of the environment, else None.

    Raises UsageError where the file cannot be read or holds none.
    """
    if file is not None:
        return _of_file(file)
    text = os.environ.get(VARIABLE, "")
    return Password(text) if text else None


def _of_file(file: Path) -> Password:
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            line = opened.readline(_MOST_BYTES)
    except (OSError, ValueError) as error:  # a ValueError: a NUL in the name
        why = getattr(error, "strerror", None) or "no name of a file"
        step = "give a file whose first line is the password; the password itself never stands on the command line"
        raise UsageError(f"{_FILE} cannot be read: {why}", step) from None
    if os.name == "posix" and stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        log(f"warning: {_FILE} can be read by others: chmod 600 keeps it to yourself")
    try:
        text = line.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{_FILE} is no UTF-8 text", "write the password into it as UTF-8") from None
    if not text:
        raise UsageError(f"the first line of {_FILE} is empty", "write the password into it, as its first line")
    return Password(text)


def asked_password(profile: Path) -> Password | None:
    """Ask at the terminal for the password of a profile; None where stdin is none, or nothing is typed."""
    if not sys.stdin or not sys.stdin.isatty():
        return None
    import getpass

    shown = printable(profile.name)
    try:
        text = getpass.getpass(f"Password of the encrypted profile {shown} (empty: leave out what is encrypted): ")
    except EOFError:
        return None
    return Password(text) if text else None
