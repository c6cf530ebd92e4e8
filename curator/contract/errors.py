"""What can go wrong for a user, each with its exit status. A bug is none of these and keeps its traceback.

CuratorError
├── UsageError        2   a wrong name, option, configuration or input file
├── HostError         3   disk, memory, lock or permission
└── JobError          1   the job or its proof failed
    ├── PluginError       a plugin raised or returned what its contract does not allow
    └── ValidationFailed  the finished set breaks its own rules
"""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable
from pathlib import Path


class CuratorError(Exception):
    """Base of all errors shown without a traceback: `what` happened and the `next` command or step."""

    status = 1

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.what, self.next_step = what, next_step

    def __str__(self) -> str:
        return f"{self.what}\n  {self.next_step}" if self.next_step else self.what


class UsageError(CuratorError):
    """The command line, a configuration file or an input file asks for something that cannot be."""

    status = 2


class HostError(CuratorError):
    """The disk, the memory, a lock or a permission stands in the way."""

    status = 3


class JobError(CuratorError):
    """The job ran and failed, or its result did not pass its check."""


class PluginError(JobError):
    """A plugin raised, or returned what its hook's contract does not allow; names plugin, hook and memory."""


class ValidationFailed(JobError):
    """A finished set breaks its own rules; nothing was published."""


def similar(name: str, known: Iterable[str]) -> str:
    """Return the one of the `known` names that `name` may have meant; "" where none is near."""
    names = sorted(known)
    without_case = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), without_case, n=1, cutoff=0.65)
    return without_case[near[0]] if near else ""


def unknown_name(kind: str, name: str, known: Iterable[str], next_step: str = "") -> UsageError:
    """Return a usage error for a `kind` of thing called `name`, listing the `known` names and the nearest of them."""
    names = sorted(known)
    near = similar(name, names)
    hint = f"Did you mean {near!r}? " if near else ""
    return UsageError(
        f"unknown {kind} {name!r}: expected one of {', '.join(names) or '(none exist)'}", (hint + next_step).strip()
    )


def counted(count: int, noun: str, many: str = "") -> str:
    """Return "1 row", "2,000 rows"; `many` is the plural where it is more than the noun and an s."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def printable(path: str) -> str:
    """Return a path that can be shown and written as UTF-8: the bytes of what cannot be shown stand as \\xNN."""
    if path.isprintable() and path.isascii():
        return path
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in c.encode()) for c in text)


_STEPS = {
    errno.ENOSPC: "free some space, or",
    errno.EDQUOT: "free some space, or",
    errno.EFBIG: "free some space or raise the file size limit (ulimit -f), or",
    errno.EROFS: "the file system is read-only:",
    errno.EACCES: "give yourself permission there, or",
    errno.EPERM: "give yourself permission there, or",
}


KEPT = "what was there before is still there"
PUBLISHED = "it is whole in its place, but a power cut now may still undo that"


def disk_error(error: OSError, doing: str, place: Path, kept: str = KEPT, *, option: str = "") -> HostError:
    """Return the one error (exit status 3) that a user sees for an OSError met while `doing` something at `place`.

    `kept` says what became of the user's files, `option` how the command at work is told of another place: only one
    that it has may be advised.
    """
    named = error.filename if isinstance(error.filename, str | os.PathLike) else place
    step = _STEPS.get(error.errno or 0, "see that the folder can be written, or")
    elsewhere = f"write elsewhere with {option}" if option else "name another place"
    return HostError(f"{doing} {printable(os.fspath(named))}: {error.strerror or error}; {kept}", f"{step} {elsewhere}")
