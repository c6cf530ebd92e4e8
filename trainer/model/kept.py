"""The checkpoints of a person, and which of them is in use.

`out/checkpoints/in-use.json` holds the names of those that were in use, the last one is; what it does not name, or what
is gone, counts for nothing. Without it the newest that the gate let pass is in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from curator.contract.errors import UsageError, unknown_name
from curator.contract.files import pretty_json, read_json, write_whole
from trainer.model.checkpoint import RECORD, Record, load_record

IN_USE = "in-use.json"


class InUse(BaseModel):
    """in-use.json: the names of the checkpoints that were in use, the last one is."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    format: Literal["persona-curator-in-use"] = "persona-curator-in-use"
    version: Literal[1] = 1
    names: list[str]


@dataclass(frozen=True)
class Kept:
    """A checkpoint of a person, or a training that has not ended, which has no record."""

    folder: Path
    record: Record | None

    @property
    def passed(self) -> bool:
        """Say whether the gate let it pass; a probe is no model to use, whatever its figures."""
        record = self.record
        return record is not None and not record.is_probe and record.gate is not None and record.gate.passed


def kept(folder: Path) -> list[Kept]:
    """Return what lies in a folder of checkpoints, the newest last. Raises UsageError for a damaged record."""
    if not folder.is_dir():
        return []
    found = []
    for place in folder.iterdir():
        if (place / RECORD).is_file():
            found.append(Kept(place, load_record(place)[1]))
        elif (place / "training").is_dir():
            found.append(Kept(place, None))
    return sorted(found, key=_age)


def _age(one: Kept) -> tuple[int, str, str]:
    """Return what is higher of a newer one: its number first, so that a clock that went back changes nothing."""
    return (one.record.number, one.record.created, one.folder.name) if one.record else (0, "", one.folder.name)


def in_use(folder: Path) -> Path | None:
    """Return the checkpoint in use: the last one named that is there, else the newest that passed, None without one."""
    for name in reversed(_names(folder)):
        if (folder / name / RECORD).is_file():
            return folder / name
    passed = [one.folder for one in kept(folder) if one.passed]
    return passed[-1] if passed else None


def use(folder: Path, name: str) -> Path:
    """Put a checkpoint to use; return it.

    Raises UsageError for one that is not there or is a probe, HostError for a full disk.
    """
    models = {one.folder.name: one.record for one in kept(folder) if one.record}
    there = [*models]
    if name not in there:
        raise unknown_name("checkpoint", name, there)
    if models[name].is_probe:
        raise UsageError(
            f"{name} is a probe, with canaries planted in what it learnt",
            "name one that was trained without --canaries",
        )
    before = in_use(folder)
    names = _names(folder) or ([before.name] if before else [])
    if not names or names[-1] != name:
        _write(folder, [*names, name])
    return folder / name


def roll_back(folder: Path) -> Path:
    """Put the checkpoint to use that was in use before; return it. Raises UsageError where there was none."""
    names = [name for name in _names(folder) if (folder / name / RECORD).is_file()]
    if len(names) < 2:
        raise UsageError("no other checkpoint was in use before this one", "name one with --use NAME")
    _write(folder, names[:-1])
    return folder / names[-2]


def _names(folder: Path) -> list[str]:
    path = folder / IN_USE
    if not path.is_file():
        return []
    try:
        return InUse.model_validate(read_json(path)).names
    except ValidationError:
        raise UsageError(f"{path} is not in its form", "remove it, and name a checkpoint with --use NAME") from None


def _write(folder: Path, names: list[str]) -> None:
    write_whole(folder / IN_USE, pretty_json(InUse(names=names).model_dump()))
