"""What the paths on a command line may lead to: a pipe or a device is refused before it can hang, and so is a place
for results among a person's memories."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from curator.contract.errors import UsageError, printable

FILE: Final = "FILE"  # metavar of an option that names a file; PATH is that of one that may be a folder too
_WRITTEN: Final = frozenset({"out", "html", "shards", "folder"})  # what commands write to, by the options' names
_PIPED: Final = frozenset({"password_file"})  # `--password-file <(command)` keeps a password off the disk
_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def names_path(action: argparse.Action) -> bool:
    """Tell whether an option names a file or folder."""
    return action.type is Path or getattr(action.type, "__annotations__", {}).get("return") in (Path, "Path")


def check_paths(parser: argparse.ArgumentParser, words: Sequence[str], options: argparse.Namespace) -> None:
    """Raise UsageError where one of the options of a command line names what its command can never take."""
    for action in _actions(parser, words):
        if not names_path(action) or action.dest in _PIPED:
            continue
        value = getattr(options, action.dest, None)
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path):
                _check(action, path)


def _actions(parser: argparse.ArgumentParser, words: Sequence[str]) -> Iterator[argparse.Action]:
    """Yield the options of the command that the words of a command line call."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            yield action
            continue
        choices: dict[str, Any] = dict(action.choices)
        for number, word in enumerate(words):
            if word in choices:
                yield from _actions(choices[word], words[number + 1 :])
                break


def _check(action: argparse.Action, path: Path) -> None:
    option = next((name for name in action.option_strings if name.startswith("--")), str(action.metavar))
    shown = f"{option} {printable(str(path))}"
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # it is not there, or is no name: the command says what it wanted of it
        mode = 0
    for is_kind, kind in _KINDS:
        if mode and is_kind(mode):
            raise UsageError(f"{shown} is {kind}; expected a file", "write what it gives into a file, and name that")
    if mode and stat.S_ISDIR(mode) and action.metavar == FILE and action.dest not in _WRITTEN:
        raise UsageError(f"{shown} is a folder; expected a file", "name a file in it")
    if action.dest in _WRITTEN and (profile := _memories_around(path)):
        raise UsageError(
            f"{shown} lies among the memories of {printable(profile)}, which are never written to",
            "name a place outside of the profile's memory/ and persona/therapy/",
        )


def _memories_around(path: Path) -> str:
    """Return the name of the profile among whose memories a path lies, links followed; "" where it lies in none."""
    try:
        real = Path(os.path.realpath(path))
    except (OSError, ValueError):
        return ""
    for place in (real, *real.parents):
        for folder in ("memory", "persona/therapy"):
            if place.as_posix().endswith(f"/{folder}") and _is_profile(profile := place.parents[folder.count("/")]):
                return profile.name
    return ""


def _is_profile(folder: Path) -> bool:
    if folder.parent.name == "profiles":
        return True
    try:
        return (folder / "persona" / "core.json").is_file() or (folder / "memory" / "episodic").is_dir()
    except OSError:
        return False
