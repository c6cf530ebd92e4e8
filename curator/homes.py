"""Where things are: the home, a person's profile, and the folder of a run."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from curator.errors import HostError, UsageError, unknown_name
from curator.files import printable

RUNS = Path("out") / "fine-tuned-models"
_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def find_home(given: str | None) -> Path:
    """Return the home: `--home`, else $CURATOR_HOME, else the nearest folder upwards that holds `profiles/`."""
    named = given or os.environ.get("CURATOR_HOME")
    if named:
        where, shown = "--home" if given else "$CURATOR_HOME", printable(named)[:200]
        try:
            home = Path(named).expanduser()
            if (home / "profiles").is_dir():
                return home.resolve()
        except (RuntimeError, ValueError, OSError) as error:  # ~nobody, a NUL, a name that is too long
            raise UsageError(f"{where} {shown}: no folder: {error}", "name the folder that holds 'profiles'") from None
        raise UsageError(
            f"{where} {shown}: there is no folder 'profiles' in it", f"make a home there with: curate init {shown}"
        )
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "profiles").is_dir():
            return folder
    raise UsageError(
        f"no home found: neither {here} nor a folder above it holds 'profiles'",
        "name one with --home DIR, or make one with: curate init DIR",
    )


def find_profile(home: Path, username: str) -> Path:
    """Return the folder of a person's profile; MetaHuman OS may keep it elsewhere (persona/users.json).

    Raises UsageError for a name that could leave the home, or, listing those that exist, for an unknown one.
    """
    if not _USERNAME.fullmatch(username) or ".." in username or _RESERVED.fullmatch(username):
        shown = username.encode("unicode_escape").decode()[:80]
        raise UsageError(
            f"--username {shown!r} is no user name",
            "expected 1 to 64 letters, digits, '_', '-', '.' or '@', the first a letter or digit",
        )
    profile = home / "profiles" / username
    known = profile_names(home)
    if profile.is_dir():
        if not profile.resolve().is_relative_to(home.resolve()) and not profile.is_symlink():
            raise UsageError(f"{profile} leads out of the home {home}")
        return profile
    elsewhere = _stored_elsewhere(home, username)
    if elsewhere:
        return elsewhere
    raise unknown_name("user", username, known, f"profiles are looked for in {home / 'profiles'}")


def profile_names(home: Path) -> list[str]:
    """Return the names of the profiles in a home. Raises HostError where they cannot be listed."""
    try:
        return sorted(path.name for path in (home / "profiles").iterdir() if path.is_dir())
    except OSError as error:
        what = f"{printable(str(home / 'profiles'))}: {error.strerror}"
        raise HostError(what, "give yourself permission to list that folder") from None


def _stored_elsewhere(home: Path, username: str) -> Path | None:
    try:
        users = msgspec.json.decode((home / "persona" / "users.json").read_bytes())["users"]
        for user in users:
            if user.get("username") == username:
                path = Path(user["metadata"]["profileStorage"]["path"])
                return path if path.is_dir() else None
    except (OSError, msgspec.DecodeError, RecursionError, KeyError, TypeError, AttributeError):
        pass
    return None


def owner_names(profile: Path) -> tuple[str, ...]:
    """Return the names that mean the person, from persona/core.json; none where it cannot be read."""
    try:
        identity = msgspec.json.decode((profile / "persona" / "core.json").read_bytes())["identity"]
        human = identity.get("humanName")
        names = [human, *(identity.get("aliases") or ())]
    except (OSError, msgspec.DecodeError, RecursionError, KeyError, TypeError, AttributeError):
        return ()
    names = [name for name in names if isinstance(name, str) and name.strip()]
    if isinstance(human, str) and " " in human.strip():
        names.append(human.split()[0])
    # The twin's own name (identity.name) stays out: in "MetaHuman: ..." it is the assistant who speaks.
    return tuple(sorted({name.strip() for name in names} - {"MetaHuman", "AI", "Assistant"}))


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
        return str(msgspec.json.decode(path.read_bytes()).get("created", ""))
    except (OSError, msgspec.DecodeError, AttributeError):
        return ""
