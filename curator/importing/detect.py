"""Which format an export is: found by its structure; where none fits, the nearest one and what differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from curator.contract.cli_frame import command_line
from curator.contract.errors import PluginError, UsageError, printable, unknown_name
from curator.executing import watched
from curator.importing.files.export_files import Export
from curator.importing.importer import Differs, Found, Importer
from curator.importing.unread import known_but_unread
from curator.plugin_errors import plugin_failed, raised

LIST = ("curate", "import", "--list")


class UnknownFormat(UsageError):
    """No reader knows the export."""


class Detected(NamedTuple):
    """The reader of an export, the plugin that gives it, and what it found."""

    plugin: str
    importer: Importer
    found: Found


def detect(
    export: Export, importers: Mapping[str, tuple[str, Importer]], asked: str | None, built_in: frozenset[str]
) -> Detected:
    """Find the reader of an export; `asked` is the format that --format names.

    Raises UnknownFormat where none reads it, UsageError where several do; PluginError where a plugin's reader fails.
    """
    if asked is not None and asked not in importers:
        raise unknown_name("format", asked, importers, f"all of them: {command_line(*LIST)}")
    hits: list[Detected] = []
    near: list[tuple[str, str]] = []
    for name, (plugin, importer) in importers.items():
        if name != asked and (asked is not None or importer.asked):
            continue
        answer = _look(plugin, importer, export, plugin in built_in)
        if isinstance(answer, Found):
            hits.append(Detected(plugin, importer, answer))
        elif isinstance(answer, Differs):
            near.append((importer.title, answer.what))
    if len(hits) == 1:
        return hits[0]
    if hits:
        names = ", ".join(f"{hit.importer.name} ({hit.importer.title})" for hit in hits)
        raise UsageError(
            f"{_shown(export)} holds exports of several kinds: {names}",
            f"name one with --format {hits[0].importer.name}, and import the others after it",
        )
    raise UnknownFormat(*_nothing(export, importers, asked, near))


def _look(plugin: str, importer: Importer, export: Export, ours: bool) -> Found | Differs | None:
    try:
        answer = watched.call(plugin, f"importer {importer.name}: find", importer.find, export)
    except PluginError:
        raise
    except Exception as error:
        if ours:
            raise  # our own mistake: keep the traceback
        raise plugin_failed(plugin, f"importer {importer.name}: find", "", raised(error)) from error
    if answer is not None and not isinstance(answer, Found | Differs):
        problem = f"returned {type(answer).__name__}: expected Found, Differs or None"
        raise plugin_failed(plugin, f"importer {importer.name}: find", "", problem)
    return answer


def _nothing(
    export: Export, importers: Mapping[str, tuple[str, Importer]], asked: str | None, near: list[tuple[str, str]]
) -> tuple[str, str]:
    """Say that no reader reads an export, and what the person can do."""
    shown = _shown(export)
    if not export.entries:
        why = f": {export.skipped[0].where}: {export.skipped[0].detail}" if export.skipped else ": it is empty"
        return f"{shown} holds no file that can be read{why}", "name the export that the app gave you"
    unread = known_but_unread(export)
    if near:
        said = "; ".join(f"nearest is {title}: {what}" for title, what in near[:3])
        return f"no reader knows the format of {shown}: {said}", unread or _how(importers, near[0][0])
    if asked is not None:
        importer = importers[asked][1]
        return f"{shown} is no export of {importer.title}", unread or f"{importer.how}\n  {_help(asked)}"
    return (
        f"no reader knows the format of {shown}",
        unread or f"what is read, and how to get it: {command_line(*LIST)}",
    )


def _how(importers: Mapping[str, tuple[str, Importer]], title: str) -> str:
    importer = next(one for _, one in importers.values() if one.title == title)
    return f"{importer.how}\n  {_help(importer.name)}"


def _help(name: str) -> str:
    page = f"import-{name.replace('_', '-')}"
    return f"more of it: {command_line('curate', 'docs', page)}"


def _shown(export: Export) -> str:
    return ", ".join(printable(str(path)) for path in export.paths[:3]) + (", ..." if len(export.paths) > 3 else "")
