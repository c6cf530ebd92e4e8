"""Which files of a home's etc/ differ from the shipped ones, and what each of them changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from curator.config import EXPORT_MODELS, MODELS
from curator.contract.chat_format import load_family, read_family_files
from curator.contract.files import read_bytes
from curator.contract.finetune_config import FineTuneConfig
from curator.contract.homes import shipped_etc
from curator.contract.records import Family
from curator.contract.settings_file import ConfigFile, load_file

_SHOWN = 6
_TRAINER = "trainer"  # its keys are known to the other program alone, so they are compared as they are written
_NOT_THERE = object()


def overrides(home: Path) -> Iterator[tuple[str, str]]:
    """Yield (file of the home's etc/, what it changes) for each that is read and differs from the shipped one.

    Raises UsageError that lists every mistake of a family file.
    """
    own, shipped = home / "etc", shipped_etc()
    if not own.is_dir() or own.resolve() == shipped.resolve():
        return
    models = MODELS | EXPORT_MODELS
    for path in sorted(own.glob("*.json")):
        if path.stem in models or path.stem == _TRAINER:
            yield from _changed(path, shipped / path.name, models.get(path.stem))
    for path in sorted((own / "modes").glob("*-config.json")):
        yield from _changed(path, shipped / "modes" / path.name, FineTuneConfig)
    yield from _families(own / "schemas", shipped / "schemas")


def _changed(path: Path, shipped: Path, model: type[ConfigFile] | None) -> Iterator[tuple[str, str]]:
    mine = _values(path, model)
    theirs = _values(shipped, model) if shipped.is_file() else {}
    difference = _difference(mine, theirs)
    if difference:
        yield path.relative_to(path.parents[1 if path.parent.name == "etc" else 2]).as_posix(), difference


def _values(path: Path, model: type[ConfigFile] | None) -> dict[str, Any]:
    """Return the keys of a file, dotted; of a damaged one, none: another finding tells of that."""
    if model is not None:
        loaded, _ = load_file(path, model)
        # A key that a mode's file leaves out is that of fine-tune-config.json; elsewhere it has its default.
        of_mode = path.parent.name == "modes"
        data: Any = loaded.model_dump(mode="json", exclude_unset=of_mode) if loaded else {}
    else:
        try:
            data = msgspec.json.decode(read_bytes(path))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            data = {}
    return dict(_flat(data, ""))


def _flat(data: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(data, Mapping):
        yield prefix, data
        return
    for key, value in data.items():
        if key not in ("comment", "notes", "note"):
            yield from _flat(value, f"{prefix}.{key}" if prefix else key)


def _difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    parts = []
    for key, value in mine.items():
        other = theirs.get(key, _NOT_THERE)
        if value == other:
            continue
        if _short(value) and _short(other):
            was = "" if other is _NOT_THERE else f" (shipped: {_text(other)})"
            parts.append(f"{key} {_text(value)}{was}")
        else:
            parts.append(f"{key} differs")
    more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return ", ".join(parts[:_SHOWN]) + more


def _short(value: Any) -> bool:
    return value is _NOT_THERE or not isinstance(value, list | tuple | dict)


def _text(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:50]}...{text[-1]}"


def _families(own: Path, shipped: Path) -> Iterator[tuple[str, str]]:
    if not own.is_dir():
        return
    known, aside = read_family_files(shipped, None).families, read_family_files(shipped, own).set_aside.values()
    for path in sorted(own.glob("*.json")):
        name, mine = f"etc/schemas/{path.name}", load_family(path)
        twin = known.get(mine.family)
        if path in aside:
            yield name, f"puts nothing between question and answer: the shipped family {mine.family!r} is used instead"
        elif twin is None:
            yield name, f"adds the family {mine.family!r}"
        elif changed := [key for key in Family.__struct_fields__ if getattr(mine, key) != getattr(twin, key)]:
            yield name, f"replaces the family {mine.family!r}: {', '.join(changed)}"
