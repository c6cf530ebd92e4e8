"""What can go wrong for a user, each with its exit status. A bug is none of these and keeps its traceback.

TrainerError
├── UsageError        2   a wrong name, option, configuration or input file
├── HostError         3   disk, memory, lock or permission
└── JobError          1   the job or its proof failed
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


class TrainerError(Exception):
    """Base of all errors shown without a traceback: `what` happened and the `next` command or step."""

    status = 1

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.what, self.next_step = what, next_step

    def __str__(self) -> str:
        return f"{self.what}\n  {self.next_step}" if self.next_step else self.what


class UsageError(TrainerError):
    """The command line, a configuration file or an input file asks for something that cannot be."""

    status = 2


class HostError(TrainerError):
    """The disk, the memory, a lock or a permission stands in the way."""

    status = 3


class JobError(TrainerError):
    """The job ran and failed, or its result did not pass its check."""


def disk_error(error: OSError, doing: str, place: Path) -> HostError:
    """Translate an OSError met while `doing` something at `place` into the one error that a user sees."""
    named = os.fspath(error.filename) if isinstance(error.filename, str | os.PathLike) else place
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    step = "free some space, or write elsewhere with --out" if full else "see that it can be reached and written"
    return HostError(f"{doing} {named}: {error.strerror or error}; what was there before is still there", step)
