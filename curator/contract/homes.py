"""Where things are: the home, a person's profile, the folder of a run, the data and the pages shipped with the code.

And where the code itself came from, which decides how a part of it that is missing is installed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from curator.contract.cli_frame import command_line, log, made
from curator.contract.errors import HostError, UsageError, disk_error, printable, unknown_name
from curator.contract.files import read_bytes

RUNS = Path("out") / "fine-tuned-models"
CACHE = Path("out") / "cache" / "curate.sqlite"
CHECKPOINTS = Path("out") / "checkpoints"
CORE = Path("persona") / "core.json"
# Folders below a profile that hold memories: events, rewrites by MetaHuman's curator, answered questions, therapy.
MEMORY_FOLDERS = (
    "memory/episodic", "memory/curated/conversations", "memory/curiosity/questions/answered", "persona/therapy",
)  # fmt: skip
LINKS = "links_out_of_home"  # the key of etc/curate.json
LED_OUT = f"a link out of the home, which is followed where {LINKS} of etc/curate.json says so"
PACKAGE = Path(__file__).resolve().parent.parent  # curator/
_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
# What reading a file of MetaHuman's can raise that is not there or not as it writes it; DecodeError is a ValueError.
_NOT_AS_EXPECTED = (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError)
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def optional_home(given: str | None) -> Path | None:
    """Return the home, or None where none is named and none is found: some commands need none.

    Raises UsageError where --home or $CURATOR_HOME names a folder that is no home.
    """
    if given is not None:
        return find_home(given)
    try:
        return find_home(None)
    except UsageError:
        if os.environ.get("CURATOR_HOME"):
            raise
        return None


def find_home(given: str | None) -> Path:
    """Return the home: `--home`, else $CURATOR_HOME, else the nearest folder upwards that holds `profiles/`.

    Raises UsageError where there is none.
    """
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
            f"{where} {shown}: there is no folder 'profiles' in it",
            f"make a home there with: {command_line('curate', 'init', shown)}",
        )
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "profiles").is_dir():
            return folder
    raise UsageError(
        f"no home found: neither {here} nor a folder above it holds 'profiles'",
        f"name one with --home DIR, or make one with: {command_line('curate', 'init', 'DIR')}",
    )


def find_profile(home: Path, username: str, option: str = "--username") -> Path:
    """Return the folder of a person's profile; MetaHuman OS may keep it elsewhere (persona/users.json).

    Raises UsageError for a name (of `option`) that could leave the home or, listing the known ones, for an unknown one.
    """
    check_username(username, option)
    profile = home / "profiles" / username
    known = profile_names(home)
    if profile.is_dir():
        check_link(home, profile)
        return profile
    elsewhere = _stored_elsewhere(home, username)
    if elsewhere:
        return elsewhere
    raise unknown_name("user", username, known, f"profiles are looked for in {home / 'profiles'}")


def check_link(home: Path, profile: Path) -> None:
    """Raise UsageError where a profile is a link out of the home, and the home does not say that it is followed."""
    if not profile.resolve().is_relative_to(home.resolve()) and not _follows_links(home):
        raise UsageError(
            f"{printable(str(profile))} is a link that leads out of the home {printable(str(home))}",
            f'it is followed where {home / "etc" / "curate.json"} says "{LINKS}": "follow"',
        )


def _follows_links(home: Path) -> bool:
    """Tell whether a home's own etc/curate.json says that links out of it are followed."""
    try:
        return bool(msgspec.json.decode(read_bytes(home / "etc" / "curate.json"))[LINKS] == "follow")
    except _NOT_AS_EXPECTED:
        return False


def leads_out(profile: Path, folder: Path) -> bool:
    """Tell whether a folder of a profile is, by a link, one outside of the profile and of the home that it lies in."""
    inside = [profile.resolve(), *([profile.parents[1].resolve()] if profile.parent.name == "profiles" else [])]
    real = folder.resolve()
    return not any(real.is_relative_to(place) for place in inside)


def check_username(username: str, option: str = "--username") -> None:
    """Raise UsageError for a name (of `option`) that is none of a user, or that could leave the home."""
    if not _is_username(username):
        shown = username.encode("unicode_escape").decode()[:80]
        raise UsageError(
            f"{option} {shown!r} is no user name",
            "expected 1 to 64 letters, digits, '_', '-', '.' or '@', the first a letter or digit",
        )


def _is_username(name: str) -> bool:
    return bool(_USERNAME.fullmatch(name)) and ".." not in name and not _RESERVED.fullmatch(name)


def find_or_make_profile(home: Path, username: str, make: bool) -> Path:
    """Return the folder of a person's profile; where there is none, with `make`, it is made, which is said.

    Raises UsageError for a name that is none, HostError where the disk refuses.
    """
    check_username(username)
    if username not in {*(profile_names(home) if (home / "profiles").is_dir() else ()), *_users_elsewhere(home)}:
        profile = home / "profiles" / username
        if make:
            try:
                profile.mkdir(mode=0o700)
            except OSError as error:
                raise disk_error(error, "cannot make the profile", profile, option="--username") from None
            made(profile, "a profile")
        return profile
    return find_profile(home, username)


def profile_names(home: Path) -> list[str]:
    """Return the names of the profiles in a home. Raises HostError where they cannot be listed."""
    try:
        return sorted(path.name for path in (home / "profiles").iterdir() if path.is_dir())
    except OSError as error:
        problem = f"{printable(str(home / 'profiles'))}: {error.strerror}"
        raise HostError(problem, "give yourself permission to list that folder") from None


def chosen_profile(home: Path, username: str | None, option: str = "--username") -> str:
    """Return the user name that was given or, said on stderr, that of the home's only profile.

    Raises UsageError where there are several, listing them with the `option` to add, and where there is none.
    """
    if username is not None:
        return username
    names = _usernames(home)
    if len(names) == 1:
        log(f"profile {names[0]}: the only one in {home}")
        return names[0]
    if names:
        choices = "\n  ".join(f"{option} {name}" for name in names)
        raise UsageError(f"which profile? there are {len(names):,} in {home}", f"add one of\n  {choices}")
    raise _no_profile(home)


def all_profiles(home: Path) -> list[str]:
    """Return the user names of all profiles of a home, in order; what lies beside them and is none is said on stderr.

    Raises UsageError where there is none.
    """
    names = _usernames(home)
    others = [name for name in profile_names(home) if not _is_username(name) and not name.startswith(".")]
    if others:
        log(f"left out of {home / 'profiles'}, as no user is called so: {', '.join(map(repr, others))}")
    if not names:
        raise _no_profile(home)
    return names


def _usernames(home: Path) -> list[str]:
    """Return the user names of the profiles in a home and of those that it keeps elsewhere, in order."""
    return sorted({name for name in (*profile_names(home), *_users_elsewhere(home)) if _is_username(name)})


def _no_profile(home: Path) -> UsageError:
    return UsageError(
        f"there is no profile in {home / 'profiles'}",
        f"put one there, as {home / 'profiles'}{os.sep}NAME, or begin with the demo profile: "
        + command_line("curate", "init", home, "--demo"),
    )


def home_of_run(run: Path, given: str | None) -> Path | None:
    """Return the home for a run's folder: the one `given`, else that in whose profiles/ it lies, else the usual one.

    Raises UsageError where --home or $CURATOR_HOME names a folder that is no home.
    """
    parents = run.resolve().parents
    if given is None and len(parents) > 5 and Path(*parents[1].parts[-2:]) == RUNS and parents[4].name == "profiles":
        return parents[5]
    return optional_home(given)


def named_home(home: Path | None) -> tuple[str, ...]:
    """Return the words that name a home on a command line: none where it is found without them."""
    if home is None:
        return ()
    try:
        found = find_home(None).resolve()
    except UsageError:
        found = None
    return () if found == home.resolve() else ("--home", str(home))


def _stored_elsewhere(home: Path, username: str) -> Path | None:
    return _users_elsewhere(home).get(username)


def _users_elsewhere(home: Path) -> dict[str, Path]:
    """Return the folders of the users whose profiles persona/users.json keeps elsewhere, of those that are there."""
    found: dict[str, Path] = {}
    try:
        for user in msgspec.json.decode(read_bytes(home / "persona" / "users.json"))["users"]:
            with suppress(*_NOT_AS_EXPECTED):  # a user without a place of his own
                name, path = user["username"], Path(user["metadata"]["profileStorage"]["path"])
                if isinstance(name, str) and path.is_absolute() and path.is_dir():
                    found.setdefault(name, path)
    except _NOT_AS_EXPECTED:
        pass
    return found


class PeopleNames(NamedTuple):
    """Names of persona/core.json: those that mean the person, and those of their digital twin."""

    owner: tuple[str, ...] = ()
    twin: tuple[str, ...] = ()


def owner_names(profile: Path) -> tuple[str, ...]:
    """Return the names that mean the person, from persona/core.json; none where it cannot be read."""
    return people_names(profile).owner


def people_names(profile: Path, core: bytes | None = None) -> PeopleNames:
    """Return the names of persona/core.json, or of its bytes where these are given; none where it cannot be read.

    identity.name is the twin's, but for a name that is the person's too (humanName, aliases).
    """
    try:
        identity = msgspec.json.decode(read_bytes(profile / CORE) if core is None else core)["identity"]
        human, aliases, name = identity.get("humanName"), identity.get("aliases"), identity.get("name")
    except _NOT_AS_EXPECTED:
        return PeopleNames()
    names = [human, *(aliases if isinstance(aliases, list) else ())]
    names = [known for known in names if isinstance(known, str) and known.strip()]
    if isinstance(human, str) and " " in human.strip():
        names.append(human.split()[0])
    # In "MetaHuman: ..." it is the assistant who speaks, whatever the file's aliases are.
    owner = {known.strip() for known in names} - {"MetaHuman", "AI", "Assistant"}
    twin = {name.strip()} if isinstance(name, str) and name.strip() else set()
    return PeopleNames(tuple(sorted(owner)), tuple(sorted(twin - owner)))


def latest_run(profile: Path) -> Path:
    """Return the newest finished run of a profile that holds a sample: that of the highest number.

    The numbers are those of the summaries, so a clock that went back changes nothing. Runs of earlier versions have
    none: they are older than those that have one, and of them that is the newest which says so.
    Raises UsageError where there is none.
    """
    runs = profile / RUNS
    summaries = _summaries(runs)
    told = [(_age_and_samples(path), path) for path in summaries]
    full = [(number, created, path) for (number, created, samples), path in told if samples]
    if full:
        return max(full)[2].parent
    which = "no run that holds a sample" if summaries else "no run"
    home = profile.parents[1]
    words = ("run", "--username", profile.name, *(named_home(home) if profile.parent == home / "profiles" else ()))
    raise UsageError(
        f"there is {which} of {profile.name} in {printable(str(runs))}",
        f"make one with: {command_line('curate', *words)}",
    )


def next_run_number(runs: Path) -> int:
    """Return the number of the next run of a folder of runs: one more than the highest that is there."""
    return 1 + max((_age_and_samples(path)[0] for path in _summaries(runs)), default=0)


def _summaries(runs: Path) -> list[Path]:
    return [path for path in runs.glob("*/*/run-summary.json") if not path.parent.name.startswith(".")]


def _age_and_samples(path: Path) -> tuple[int, str, bool]:
    """Return a run's number, when it was made, and whether it holds a sample; where it does not say, that it does."""
    try:
        summary = msgspec.json.decode(read_bytes(path))
        counts = summary.get("counts")
        empty = isinstance(counts, dict) and counts.get("samples") == 0
        number = summary.get("number")
        return number if type(number) is int else 0, str(summary.get("created", "")), not empty
    except (OSError, ValueError, AttributeError, RecursionError):
        return 0, "", True


# --- shipped data: inside the package in a wheel, at the top of the repository in a checkout ----------------------


def shipped(in_wheel: str, in_checkout: str) -> Path:
    """Return the folder of shipped data: `curator/<in_wheel>`, else `<repository>/<in_checkout>`."""
    folder = PACKAGE / in_wheel
    return folder if folder.is_dir() else PACKAGE.parent / in_checkout


def shipped_etc() -> Path:
    """Return the folder of the default configuration."""
    return shipped("etc", "etc")


def shipped_schemas() -> Path:
    """Return the folder of the JSON Schemas."""
    return shipped("schemas", "schemas")


def shipped_demo() -> Path:
    """Return the demo profile."""
    return shipped("demo", "profiles/greggles")


def shipped_docs() -> Path:
    """Return the folder of the pages that `curate docs` shows."""
    return shipped("docs", "docs")


# --- installing what is missing ------------------------------------------------------------------------------------


def install(what: str) -> str:
    """Return the command that installs `what`, as pip takes it, beside this code; uv's where there is no pip."""
    python = Path(sys.executable)
    shown = shlex.quote(str(python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python))
    program = f"{shown} -m pip install" if importlib.util.find_spec("pip") else f"uv pip install --python {shown}"
    return f"{program} {what}"


def install_extra(extra: str) -> str:
    """Say how an extra (`trainer`, `preview`) of persona-curator is installed: from where this code itself came.

    No package index has it: the clone is named, or the wheel or address that pip noted in direct_url.json.
    """
    clone = PACKAGE.parent
    if (clone / "pyproject.toml").is_file():
        where = "." if clone == Path.cwd() else clone
        return f"install it with: {install('-e ' + shlex.quote(f'{where}[{extra}]'))}"
    source = _came_from()
    by_hand = install(shlex.quote(f"WHEEL[{extra}]"))
    if not source:
        return f"install it from the wheel that curate was installed from: {by_hand}"
    if not source.startswith("file:"):
        return f"install it with: {install(shlex.quote(f'persona-curator[{extra}] @ {source}'))}"
    from urllib.request import url2pathname  # loads all that speaks HTTP

    place = Path(url2pathname(urlsplit(source).path))
    if place.exists():
        return f"install it with: {install(shlex.quote(f'{place}[{extra}]'))}"
    return f"{printable(str(place))}, which curate was installed from, is gone; with another copy of it: {by_hand}"


def _came_from() -> str:
    """Return the address of what pip installed, as it noted it; "" where it noted none (an index, a copied folder)."""
    try:
        noted = json.loads(importlib.metadata.distribution("persona-curator").read_text("direct_url.json") or "{}")
        url = str(noted["url"])
        repository = noted.get("vcs_info")
        return f"{repository['vcs']}+{url}@{repository['commit_id']}" if repository else url
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
