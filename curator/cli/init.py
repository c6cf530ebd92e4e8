"""`curate init`: make a home."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import command_line, log, made, next_step
from curator.contract.errors import UsageError, disk_error


def add(commands: Any) -> None:
    """Add the command to the parser."""
    init = commands.add_parser(
        "init",
        help="make a home: etc/ and profiles/",
        description="Make a home: etc/ with the shipped configuration and an empty profiles/. Nothing is overwritten.",
    )
    init.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="default: here")
    init.add_argument("--demo", action="store_true", help="put the demo profile greggles in it")
    init.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    home = make_home(options.folder, options.demo)
    print(home)
    _say_next(home, options.demo)
    return 0


def _say_next(home: Path, demo: bool) -> None:
    from curator.contract.homes import named_home

    made(home, "etc/ with the configuration, and profiles/")
    where = named_home(home)
    if demo:
        next_step(
            command_line("curate", "run", *where, "--username", "greggles"), "makes a training set of the demo profile"
        )
        return
    log(f"put a profile into it: the folder of a user of MetaHuman OS, as {home / 'profiles'}{os.sep}NAME; then")
    next_step(command_line("curate", "run", *where, "--username", "NAME"), "makes a training set of it")


def make_home(folder: Path, demo: bool) -> Path:
    """Make a home in `folder`: etc/ and profiles/, with the demo profile on request. Overwrites nothing.

    Returns the home. Raises UsageError where the demo profile is there already, HostError where the disk refuses.
    """
    from curator.contract.files import whole_folder, write_whole  # slow to load, and --help needs no file
    from curator.contract.homes import shipped_demo, shipped_etc  # here, since `curate --help` must not pay for it

    try:
        _copy_missing(shipped_etc(), folder / "etc", "*.json", write_whole)
        (folder / "profiles").mkdir(parents=True, exist_ok=True)
        if demo:
            place = folder / "profiles" / "greggles"
            if place.exists():
                raise UsageError(f"{place} is there already", "remove it first, or leave --demo away")
            with whole_folder(place, option="") as building:
                _copy_missing(shipped_demo(), building, "*", Path.write_bytes)
    except OSError as error:
        raise disk_error(error, "cannot make the home", folder, option="curate init DIR") from error
    return folder.resolve()


def _copy_missing(source: Path, target: Path, pattern: str, write: Callable[[Path, bytes], object]) -> None:
    for path in sorted(source.rglob(pattern)):
        relative = path.relative_to(source)
        if path.is_dir() or relative.parts[0] == "out" or (target / relative).exists():
            continue
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        write(target / relative, path.read_bytes())
