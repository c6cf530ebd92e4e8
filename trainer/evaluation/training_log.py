"""The log of a training: metrics.jsonl, a line a step, and samples.jsonl, a line an evaluation, in `training/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curator.contract.errors import disk_error
from curator.contract.files import read_bytes, write_whole
from curator.contract.strict_json import BadJson, parse_json

METRICS, SAMPLES = "metrics.jsonl", "samples.jsonl"
# Names of figures in files of version 0.1, which are still read.
RENAMED = {"invented": "oov_rate", "verbatim": "memorisation", "stopped": "eos_rate"}


class TrainingLog:
    """The two files of one training in `folder`; a checkpoint keeps them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl; what is None is left out. Raises HostError where the disk refuses."""
        self._append(METRICS, {name: _plain(value) for name, value in row.items() if value is not None})

    def add_samples(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Add the replies of an evaluation to samples.jsonl. Raises HostError where the disk refuses."""
        self._append(SAMPLES, {"step": step, "samples": rows})

    def _append(self, name: str, row: dict[str, Any]) -> None:
        try:
            with (self.folder / name).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise disk_error(error, "cannot write", self.folder / name) from None

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl, figures under today's names; what is no line of a step is left out."""
        return [under_new_names(row) for row in self._lines(METRICS)]

    def samples(self) -> list[dict[str, Any]]:
        """Return the lines of samples.jsonl; what is none is left out."""
        return [row for row in self._lines(SAMPLES) if _are_objects(row.get("samples"))]

    def _lines(self, name: str) -> list[dict[str, Any]]:
        try:
            text = read_bytes(self.folder / name).decode("utf-8", "replace")
        except OSError:  # a training that has not logged yet; a log that cannot be read costs the curves alone
            return []
        rows = []
        for line in text.split("\n"):
            try:
                row, _ = parse_json(line.encode())
            except BadJson:  # the last line of a run that was killed while it wrote
                continue
            if isinstance(row, dict) and type(row.get("step")) is int:
                rows.append(row)
        return rows

    def forget_after(self, step: int) -> None:
        """Delete the lines of later steps: a resumed training writes them again."""
        for name in (METRICS, SAMPLES):
            if (self.folder / name).is_file():
                kept = [json.dumps(row, ensure_ascii=False) + "\n" for row in self._lines(name) if row["step"] <= step]
                write_whole(self.folder / name, "".join(kept))


def under_new_names(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of figures with version 0.1's names replaced by today's."""
    return {RENAMED.get(name, name): value for name, value in row.items()}


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _plain(value: Any) -> Any:
    """Return a number that JSON knows: NaN is written as null, figures with six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if value == value and abs(value) != float("inf") else None
    return value
