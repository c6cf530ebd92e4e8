"""Where things are: the home, a person's profile, and its latest run. The rules are the curator's; so are the files."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from trainer.errors import HostError, UsageError

RUNS = Path("out") / "fine-tuned-models"
CHECKPOINTS = Path("out") / "checkpoints"
_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


def find_home(given: str | None) -> Path:
    """Return the home: `--home`, else $CURATOR_HOME, else the nearest folder upwards that holds `profiles/`."""
    named = given or os.environ.get("CURATOR_HOME")
    if named:
        home = Path(named).expanduser()
        if not (home / "profiles").is_dir():
            where = "--home" if given else "$CURATOR_HOME"
            raise UsageError(
                f"{where} {named}: there is no folder 'profiles' in it", "make a home with: curate init DIR"
            )
        return home.resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "profiles").is_dir():
            return folder
    raise UsageError(
        f"no home found: neither {here} nor a folder above it holds 'profiles'",
        "name one with --home DIR, or make one with: curate init DIR",
    )


def find_profile(home: Path, name: str) -> Path:
    """Return the folder of a person's profile. Raises UsageError for a name that could leave the home or is unknown."""
    if not _USERNAME.fullmatch(name) or ".." in name:
        shown = name.encode("unicode_escape").decode()[:80]
        raise UsageError(f"--profile {shown!r} is no profile's name", "expected letters, digits, '_', '-', '.' or '@'")
    profile = home / "profiles" / name
    if profile.is_dir():
        return profile
    try:
        known = sorted(path.name for path in (home / "profiles").iterdir() if path.is_dir())
    except OSError as error:
        raise HostError(f"{home / 'profiles'}: {error.strerror}") from None
    raise UsageError(f"unknown profile {name!r}: expected one of {', '.join(known) or '(none exist)'}",
                     f"profiles are looked for in {home / 'profiles'}")  # fmt: skip


def latest_run(profile: Path) -> Path:
    """Return the newest finished run of a profile: the one whose run-summary.json is the youngest."""
    summaries = [path for path in (profile / RUNS).glob("*/*/run-summary.json") if not path.parent.name.startswith(".")]
    if not summaries:
        raise UsageError(
            f"there is no run of {profile.name} in {profile / RUNS}",
            f"make one with: curate run --username {profile.name}",
        )
    return max(summaries, key=lambda path: (_created(path), path)).parent


def _created(path: Path) -> str:
    try:
        summary: Any = json.loads(path.read_bytes())
        return str(summary.get("created", ""))
    except (OSError, ValueError, AttributeError):
        return ""
