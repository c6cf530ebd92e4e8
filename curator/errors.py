"""What can go wrong for a user, each with its exit status. A bug is none of these and keeps its traceback.

CuratorError
├── UsageError        2   a wrong name, option or configuration file
├── HostError          3   disk, lock or permission
└── JobError          1   the job or its proof failed
    ├── PluginError       a plugin raised or returned what its contract does not allow
    └── ValidationFailed  the finished set breaks its own rules
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CuratorError(Exception):
    """Base of all errors shown without a traceback: `what` happened and the `next` command or step."""

    status = 1

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.what, self.next_step = what, next_step

    def __str__(self) -> str:
        return f"{self.what}\n  {self.next_step}" if self.next_step else self.what


class UsageError(CuratorError):
    """The command line or a configuration file asks for something that does not exist."""

    status = 2


class HostError(CuratorError):
    """The disk, a lock or a permission stands in the way."""

    status = 3


class JobError(CuratorError):
    """The job ran and failed."""


class PluginError(JobError):
    """A plugin raised, or returned what its hook's contract does not allow; names plugin, hook and memory."""


class ValidationFailed(JobError):
    """A finished set breaks its own rules; nothing was published."""


def unknown_name(kind: str, name: str, known: Iterable[str], next_step: str = "") -> UsageError:
    """A usage error for a `kind` of thing called `name`, listing the `known` names and the nearest of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return UsageError(
        f"unknown {kind} {name!r}: expected one of {', '.join(names) or '(none exist)'}", (hint + next_step).strip()
    )
