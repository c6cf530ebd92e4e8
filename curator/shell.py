"""What several commands share: the console, progress on stderr, finding a run, and making a home."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from curator.errors import HostError, UsageError
from curator.files import disk_error, printable
from curator.homes import find_home, find_profile, latest_run, profile_names
from curator.pipeline import Progress, no_progress

if TYPE_CHECKING:
    from rich.console import Console

    from curator.report import Report
    from curator.validation import Validator


def console() -> Console:
    """Return the console for results: stdout, at least 100 columns wide where it is no terminal."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(markup=True, emoji=False, highlight=False)
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdigit() and int(columns) >= 40 else 110
    return Console(width=width, emoji=False, highlight=False, force_terminal=False)


def print_json(value: Any) -> None:
    """Print a value as one JSON document on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Give a progress callback that draws on stderr once a job has taken a second, if that is a terminal."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    begun = time.monotonic()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("reading", total=None)

    def report(what: str, done: int, total: int) -> None:
        if not bar.live.is_started and time.monotonic() - begun > 1:
            bar.start()
        bar.update(task, description=what, completed=done, total=total or None)

    try:
        yield report
    finally:
        if bar.live.is_started:
            bar.stop()


def find_run(run: Path | None, username: str | None, home: str | None) -> Path:
    """Return the folder of a run: the one named, else the latest of the user's, else that of the only profile."""
    if run is not None:
        if not run.is_dir():
            raise UsageError(f"{printable(str(run))}: no such folder", "name a run's folder, or --username U")
        return run
    root = find_home(home)
    if username is None:
        profiles = profile_names(root)
        if len(profiles) != 1:
            raise UsageError(
                f"which profile? {root / 'profiles'} has {', '.join(profiles) or 'none'}", "add --username U"
            )
        username = profiles[0]
    return latest_run(find_profile(root, username))


def read_report(folder: Path) -> Report:
    """Read a run's report.json."""
    from curator.report import Report
    from curator.validation import read_summary

    read_summary(folder)
    try:
        return msgspec.json.decode((folder / "report.json").read_bytes(), type=Report)
    except OSError as error:
        raise HostError(f"{printable(str(folder / 'report.json'))}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{printable(str(folder / 'report.json'))}: {error}", "the run is damaged; make a new one"
        ) from None


def optional_home(home: str | None) -> Path | None:
    """Return the home, or None where none is named and none is found: some commands do without."""
    if home is not None:
        return find_home(home)
    try:
        return find_home(None)
    except UsageError:
        if os.environ.get("CURATOR_HOME"):
            raise
        return None


def validator(home: str | None, path: Path, family: str | None) -> Validator:
    """Build the validator with the home's modes and families."""

    from curator.config import load_settings
    from curator.families import pick_family
    from curator.plugin_manager import fill, load_plugins
    from curator.validation import Validator

    root = optional_home(home)
    settings = load_settings(root)
    registry = load_plugins(settings, root)
    fill(registry, settings, lambda families: pick_family(families, family, None, settings.curate.default_family))
    return Validator(registry.modes, registry.families, registry.control_tokens)


def list_plugins(home: str | None) -> list[dict[str, str]]:
    """Return every loaded plugin with its version and what it gives."""
    from curator.config import load_settings
    from curator.families import pick_family
    from curator.plugin_manager import fill, load_plugins

    root = optional_home(home)
    settings = load_settings(root)
    registry = load_plugins(settings, root)
    fill(registry, settings, lambda families: pick_family(families, None, None, settings.curate.default_family))
    gives: dict[str, list[str]] = {name: [] for name in registry.versions}
    for plugin, source in registry.sources:
        gives[plugin].append(f"source {source.name}")
    for mode in registry.modes.values():
        gives[registry.owners[f"mode {mode.name}"]].append(f"mode {mode.name} <{mode.user_tag}> <{mode.assistant_tag}>")
    for plugin, _ in registry.mappers:
        gives[plugin].append("a map of memories to modes")
    for kind, things in (("cleaner", registry.cleaners), ("filter", registry.memory_filters + registry.sample_filters)):
        for plugin, one in things:
            gives[plugin].append(f"{kind} {one.name}")
    for name in registry.exporters:
        gives[registry.owners[f"export {name}"]].append(f"export to {name}")
    for name in registry.families:
        gives[registry.owners[name]].append(f"family {name}")
    return [
        {"name": name, "version": version, "gives": ", ".join(gives[name]) or "nothing"}
        for name, version in registry.versions.items()
    ]


def make_home(folder: Path, demo: bool) -> Path:
    """Make a home in `folder`: etc/ and profiles/, with the demo profile on request. Overwrites nothing.

    Returns the home. Raises HostError where the disk refuses.
    """
    from curator.shipped import shipped_demo, shipped_etc

    try:
        _copy_missing(shipped_etc(), folder / "etc", "*.json")
        (folder / "profiles").mkdir(parents=True, exist_ok=True)
        if demo:
            place = folder / "profiles" / "greggles"
            if place.exists():
                raise UsageError(f"{place} is there already", "remove it first, or leave --demo away")
            _copy_missing(shipped_demo(), place, "*")
    except OSError as error:
        raise disk_error(error, "cannot make the home", folder) from error
    return folder.resolve()


def _copy_missing(source: Path, target: Path, pattern: str) -> None:
    for path in sorted(source.rglob(pattern)):
        relative = path.relative_to(source)
        if path.is_dir() or relative.parts[0] == "out" or (target / relative).exists():
            continue
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / relative)
