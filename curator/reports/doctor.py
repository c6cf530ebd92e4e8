"""`curate doctor`: what is wrong with home, configuration, plugins and profiles, and how to mend it."""

from __future__ import annotations

import difflib
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from curator.config import EXPORT_MODELS, MODELS, Settings, load_export, load_settings
from curator.contract import __version__
from curator.contract.chat_format import ChatFormat
from curator.contract.errors import CuratorError
from curator.contract.finetune_config import load_fine_tune
from curator.contract.homes import RUNS, find_home, profile_names, shipped_etc
from curator.plugin_manager import load_registry, waiting_plugins

_NEEDED = ("msgspec", "numpy", "pluggy", "pydantic", "rensa", "rich", "sentencex", "jsonschema")
_READ = {"episodic", "curated", "curiosity"}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    status: Literal["ok", "note", "wrong"]
    what: str
    detail: str
    mend: str = ""


def examine(home: str | None) -> list[Finding]:
    """Look at everything; never raises for what a user or a file can cause."""
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
    findings += _export_configuration(root)
    own = ", ".join(sorted(settings.overridden)) or "all as shipped"
    findings.append(Finding("ok", "configuration", f"{own} (shipped: {shipped_etc()})"))
    findings += _plugins(settings, root)
    try:
        names = profile_names(root)
    except CuratorError as error:
        return [*findings, Finding("wrong", "profiles", error.what, error.next_step)]
    for name in names:
        findings += _profile(root / "profiles" / name)
    return findings


def _misspelt(root: Path) -> Iterator[Finding]:
    """Find files of the home's etc/ that are nearly, but not quite, called as one that is read."""
    for path in sorted((root / "etc").glob("*.json")):
        known = [*MODELS, *EXPORT_MODELS]
        near = difflib.get_close_matches(path.stem, known, n=1, cutoff=0.85)
        if path.stem not in known and near:
            yield Finding("note", f"etc/{path.name}", "is not read", f"did you mean etc/{near[0]}.json?")


def _export_configuration(root: Path) -> Iterator[Finding]:
    """Read what exports alone are configured with; a mistake in it stops no run."""
    modes = [path.name.removesuffix("-config.json") for path in sorted((root / "etc" / "modes").glob("*-config.json"))]
    try:
        load_export(root)
        for mode in ("", *modes):
            load_fine_tune(root, mode)
    except CuratorError as error:
        yield Finding("wrong", "configuration of exports", error.what, error.next_step)


def _plugins(settings: Settings, root: Path) -> Iterator[Finding]:
    try:
        registry = load_registry(settings, root)
    except CuratorError as error:
        yield Finding("wrong", "plugins", error.what, error.next_step)
        return
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


def _profile(profile: Path) -> Iterator[Finding]:
    name = f"profile {profile.name}"
    memory = profile / "memory"
    if not (memory / "episodic").is_dir():
        yield Finding("note", name, "no memory/episodic: nothing to read", "see docs/memories.md for the layout")
    elif (profile / ".encryption-meta.json").exists():
        yield Finding(
            "note", name, "encrypted files (.enc) are counted but not read", "decrypt the profile to use them"
        )
    else:
        yield Finding("ok", name, "memories found")
    unread = sorted(path.name for path in memory.iterdir() if path.name not in _READ) if memory.is_dir() else []
    if unread:
        yield Finding("note", name, f"not read, since no memories: memory/{', memory/'.join(unread)}")
    out = profile / RUNS
    place = next(folder for folder in (out, *out.parents) if folder.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        yield Finding("wrong", name, f"runs cannot be written to {place}", "give yourself permission, or use --out DIR")
