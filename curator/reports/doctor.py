"""`curate doctor`: what is wrong with home, configuration, plugins and profiles, and how to mend it."""

from __future__ import annotations

import difflib
import importlib.metadata
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import msgspec

from curator.config import EXPORT_MODELS, MODELS, Settings, load_export, load_settings
from curator.contract import __version__
from curator.contract.chat_format import ChatFormat
from curator.contract.errors import CuratorError, PluginError, counted
from curator.contract.finetune_config import load_fine_tune
from curator.contract.homes import RUNS, check_link, find_home, profile_names, shipped_etc
from curator.encryption.profile import Unlocked, encrypted_files, nothing_unlocked
from curator.plugin_errors import raised
from curator.plugin_manager import BUILT_IN_PLUGINS, Registry, load_registry, waiting_plugins
from curator.reading.read import sources_of
from curator.records import Drop
from curator.reports.overrides import overrides

_NEEDED = ("msgspec", "numpy", "pluggy", "pydantic", "rensa", "rich", "sentencex", "jsonschema")
_READ = {"episodic", "curated", "curiosity"}
_MOST_READ = 10_000


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    status: Literal["ok", "note", "wrong"]
    what: str
    detail: str
    mend: str = ""


def examine(home: str | None, unlock: Callable[[Path], Unlocked | None] = nothing_unlocked) -> list[Finding]:
    """Look at everything; never raises for what a user or a file can cause. `unlock` opens an encrypted profile."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _NEEDED)
    findings = [Finding("ok", "versions", f"curator {__version__}, Python {sys.version.split()[0]}, {versions}")]
    try:
        root = find_home(home)
    except CuratorError as error:
        return [*findings, Finding("wrong", "home", error.what, error.next_step)]
    findings.append(Finding("ok", "home", str(root)))
    try:
        settings = load_settings(root)
    except CuratorError as error:
        return [*findings, Finding("wrong", "configuration", error.what, error.next_step)]
    findings += _misspelt(root)
    findings += _misspelt_types(settings)
    findings += _export_configuration(root)
    findings += _overrides(root)
    registry = None
    try:
        registry = load_registry(settings, root)
        findings += _plugins(settings, root, registry)
    except CuratorError as error:
        what = "plugins" if isinstance(error, PluginError) else "configuration"
        findings.append(Finding("wrong", what, error.what, error.next_step))
    try:
        names = profile_names(root)
    except CuratorError as error:
        return [*findings, Finding("wrong", "profiles", error.what, error.next_step)]
    if not names:
        mend = "curate docs memories shows what a profile is"
        findings.append(Finding("note", "profiles", f"none in {root / 'profiles'}", mend))
    for name in names:
        profile = root / "profiles" / name
        try:
            check_link(root, profile)
        except CuratorError as error:
            findings.append(Finding("wrong", f"profile {name}", error.what, error.next_step))
            continue
        found, unlocked = _encrypted(profile, unlock)
        findings += found
        if registry is not None:
            findings += _memories(profile, replace(settings, unlocked=unlocked), registry)
        findings += _profile(profile)
    return findings


def _encrypted(profile: Path, unlock: Callable[[Path], Unlocked | None]) -> tuple[list[Finding], Unlocked | None]:
    """Say how many files of a profile are encrypted, and whether the password opens them."""
    count = sum(1 for _ in encrypted_files(profile))
    if not count:
        return [], None
    name, what = f"profile {profile.name}", counted(count, "encrypted file")
    try:
        unlocked = unlock(profile)
    except CuratorError as error:
        return [Finding("wrong", name, f"{what}: {error.what}", error.next_step)], None
    if unlocked is None:
        mend = "to decrypt the profile in memory, give its password: --password-file FILE, or $CURATOR_PASSWORD"
        return [Finding("note", name, f"{what}; without a password they are not read", mend)], None
    if unlocked.why_not:
        mend = "curate docs encrypted says what that means"
        return [Finding("note", name, f"{what} that no password opens: {unlocked.why_not}", mend)], unlocked
    return [Finding("ok", name, f"{what}: the password is right")], unlocked


def _overrides(root: Path) -> Iterator[Finding]:
    """Name each file of the home's etc/ that is used in place of the shipped one, and what it changes."""
    try:
        changes = list(overrides(root))
    except CuratorError as error:
        yield Finding("wrong", "families", error.what, error.next_step)
        return
    if not changes:
        yield Finding("ok", "configuration", f"all as shipped ({shipped_etc()})")
    for name, effect in changes:
        yield Finding("note", name, f"the home's own: {effect}")


def _misspelt(root: Path) -> Iterator[Finding]:
    """Find files of the home's etc/ that are nearly, but not quite, called as one that is read."""
    for path in sorted((root / "etc").glob("*.json")):
        known = [*MODELS, *EXPORT_MODELS]
        near = difflib.get_close_matches(path.stem, known, n=1, cutoff=0.85)
        if path.stem not in known and near:
            yield Finding("note", f"etc/{path.name}", "is not read", f"did you mean etc/{near[0]}.json?")


def _misspelt_types(settings: Settings) -> Iterator[Finding]:
    """Find memory types of etc/types.json that are nearly, but not quite, one that has a mode there."""
    types = settings.types
    lists = {"outward": types.outward, "primary": types.primary, "secondary": tuple(types.secondary)}
    for key, names in lists.items():
        for name in names:
            near = difflib.get_close_matches(name, types.modes, n=1, cutoff=0.85)
            if near and name not in types.modes and name not in types.mapping:
                problem = f"the type {name!r} has no mode in 'modes'"
                yield Finding("note", f"etc/types.json: {key}", problem, f"did you mean {near[0]!r}?")


def _export_configuration(root: Path) -> Iterator[Finding]:
    """Read what exports alone are configured with; a mistake in it stops no run."""
    modes = [path.name.removesuffix("-config.json") for path in sorted((root / "etc" / "modes").glob("*-config.json"))]
    try:
        load_export(root)
        for mode in ("", *modes):
            load_fine_tune(root, mode)
    except CuratorError as error:
        yield Finding("wrong", "configuration of exports", error.what, error.next_step)


def _plugins(settings: Settings, root: Path, registry: Registry) -> Iterator[Finding]:
    yield Finding("ok", "plugins", f"{len(registry.versions)} loaded: {', '.join(registry.versions)}")
    waiting = [] if settings.curate.plugins.home_plugins else waiting_plugins(settings, root)
    waiting = [path for path in waiting if path.parent != _own()]
    if waiting:
        names = ", ".join(path.name for path in waiting)
        yield Finding("note", "home plugins", f"not loaded: {names}", "set plugins.home_plugins in etc/curate.json")
    for family in registry.families.values():
        if ChatFormat(family).touches and family.family != "gptj":
            problem = f"family {family.family}: nothing stands between question and answer but the mode tags"
            mend = f"remove etc/schemas/{family.family}.json from the home to use the shipped one"
            yield Finding("note", "families", problem, mend if settings.home_families else "")


def _own() -> Path:
    import curator_plugins

    return Path(str(curator_plugins.__file__)).parent


def _memories(profile: Path, settings: Settings, registry: Registry) -> Iterator[Finding]:
    """Read the memories as a run would, the first 10,000 of them, and tell what came of it."""
    name = f"profile {profile.name}"
    readers = sources_of(registry, profile)
    if not readers:
        yield Finding("wrong", name, "no plugin reads it", "enable the plugin 'metahuman' again in etc/curate.json")
        return
    counts: Counter[str] = Counter()
    for plugin, source in readers:
        try:
            for item in islice(source.read(profile, settings), _MOST_READ):
                counts[item.reason if isinstance(item, Drop) else ""] += 1
        except Exception as error:
            if plugin in BUILT_IN_PLUGINS and not isinstance(error, OSError | CuratorError):
                raise  # our own mistake: keep the traceback
            yield Finding("wrong", name, f"the source {source.name} of the plugin {plugin!r} {raised(error)}")
            return
    more = "more than " if counts.total() >= _MOST_READ else ""
    memories = counts.pop("", 0)
    if not memories and not counts:
        mend = "curate docs memories shows where memories lie, and in what form"
        yield Finding("note", name, f"no memory in {profile / 'memory'}: a run would make nothing", mend)
        return
    what = f"{more}{counted(memories, 'memory', 'memories')}"
    yield Finding("ok" if memories else "note", name, f"{what} can be read")
    if counts:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items()))
        yield Finding("note", name, f"not read: {reasons}", "a run lists each, with the reason, in its dropped.jsonl")


def _profile(profile: Path) -> Iterator[Finding]:
    name = f"profile {profile.name}"
    memory = profile / "memory"
    unread = sorted(path.name for path in memory.iterdir() if path.name not in _READ) if memory.is_dir() else []
    if unread:
        yield Finding("note", name, f"not read, since no memories: memory/{', memory/'.join(unread)}")
    out = profile / RUNS
    place = next(folder for folder in (out, *out.parents) if folder.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        yield Finding("wrong", name, f"runs cannot be written to {place}", "give yourself permission, or use --out DIR")
