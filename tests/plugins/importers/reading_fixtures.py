"""How the tests read an export: by the reader that finds it, without the command around it."""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from datetime import datetime
from functools import cache
from pathlib import Path
from types import ModuleType

from curator.config import load_settings
from curator.importing.dates.clocks import WallClock
from curator.importing.files.export_files import opened
from curator.importing.importer import Found, Importer, Item, Reading
from curator.plugin_manager import load_importers
from curator.records import ImportedMessage
from importers import writers
from importers.talk import ZONE


@cache
def readers() -> dict[str, Importer]:
    """Every built-in reader by its name."""
    registry = load_importers(load_settings(None), None)
    return {name: importer for name, (_, importer) in registry.importers.items()}


@cache
def all_writers() -> dict[str, ModuleType]:
    """Every writer by its module's name."""
    names = [module.name for module in pkgutil.iter_modules(writers.__path__)]
    return {name: importlib.import_module(f"importers.writers.{name}") for name in names}


def finders(path: Path) -> dict[str, Found]:
    """Return which readers, of those that are not asked for by name, say that an export is theirs."""
    with opened([path]) as export:
        found = {name: reader.find(export) for name, reader in readers().items() if not reader.asked}
    return {name: hit for name, hit in found.items() if isinstance(hit, Found)}


def read_items(path: Path, format_name: str, reading: Reading | None = None) -> list[Item]:
    """Read an export by one reader; none where it does not find its format."""
    reading = reading or Reading((), WallClock(ZONE))
    with opened([path]) as export:
        found = readers()[format_name].find(export)
        return list(readers()[format_name].read(found, reading)) if isinstance(found, Found) else []


def read_with(path: Path, writer: ModuleType) -> tuple[list[Item], Reading]:
    """Read what a writer wrote."""
    owners = tuple(name for name in getattr(writer, "OWNERS", ()) if name)
    reading = Reading(owners, WallClock(ZONE if writer.KEEPS.wall else None))
    return read_items(path, writer.FORMAT, reading), reading


def conversations(items: list[Item], order: str = "file") -> list[list[ImportedMessage]]:
    """Return the messages of each conversation in order, alternatives left out."""
    talks: dict[str, list[ImportedMessage]] = defaultdict(list)
    for item in items:
        if isinstance(item, ImportedMessage) and item.kind != "alternative":
            talks[item.conversation_id or item.conversation].append(item)
    if order == "time":
        return [sorted(talk, key=lambda one: milliseconds(one) or 0) for talk in talks.values()]
    return list(talks.values())


def milliseconds(message: ImportedMessage) -> int | None:
    """Return a message's time in milliseconds since 1970."""
    return int(datetime.fromisoformat(message.time).timestamp() * 1000 + 0.5) if message.time else None
