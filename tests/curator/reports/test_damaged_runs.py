"""Run folders that were damaged or that another program wrote: each command that reads one says so, in one message.

Every file of a run with every field left out or of another type, cut off, overwritten, missing or a folder: exit status
1, 2 or 3, the file's name in the message, what to run next, and never a traceback.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from conftest import Home, Result, curate_once
from json_fixtures import FEW, damaged, variants

from curator.contract.records import CURATED, DROPPED, FORMATTED, HOLDOUT, LINEAGE, REPORT, SUMMARY, TRAIN, WRAPPED

Curate = Callable[..., Result]
# The commands, by the files that they read.
READERS: dict[str, tuple[str, ...]] = {
    SUMMARY: ("report", "explain", "validate", "export", "export-plain", "preview"),
    REPORT: ("report",),
    LINEAGE: ("explain", "validate"),
    DROPPED: ("explain",),
    CURATED: ("explain", "export-plain", "validate-file"),
    FORMATTED: ("export", "preview", "validate-file"),
    WRAPPED: ("validate", "validate-file"),
    TRAIN: ("validate", "validate-file"),
    HOLDOUT: ("validate",),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, with a memory in two exchanges, a changed reply, a held-out sample and a dropped one."""
    home = Home(tmp_path_factory.mktemp("whole") / "home")
    talks = ["the sea", "the pump", "the hull", "the nets", "the stove", "the lane"]
    for number, what in enumerate(talks):
        home.memory(f"How was {what} on day {number}?", response=f"Sure! It was {what} number {number} that we mended.")
    turns = [("user", "Tea or coffee?"), ("assistant", "Coffee, if there is any left.")] * 2
    messages = [{"role": role, "content": f"{text} {n}"} for n, (role, text) in enumerate(turns)]
    home.memory(messages=messages, id="both", metadata={"multi_turn": True})
    home.memory("What is it?", response="<thought>: it is a tag", id="tagged")
    options = ("--holdout", "0.3", "--out", home.folder / "out")
    return curate_once("run", "--username", "ann", "--home", home.folder, *options).run


class Damaged:
    """A copy of the run whose files a test overwrites, one after the other."""

    def __init__(self, whole: Path, folder: Path, curate: Curate) -> None:
        self.home, self.whole, self.run = whole.parents[2], whole, folder / "run"
        self._out, self._curate = folder / "exported", curate
        shutil.copytree(whole, self.run)

    def put(self, name: str, raw: bytes) -> None:
        """Overwrite a file; the summary then names the new sha256, as if the file had been written so."""
        (self.run / name).write_bytes(raw)
        if name != SUMMARY:
            summary = json.loads((self.whole / SUMMARY).read_bytes())
            summary["files"][name] = hashlib.sha256(raw).hexdigest()
            (self.run / SUMMARY).write_text(json.dumps(summary))

    def read(self, command: str, file: str) -> Result:
        """Run one of the commands that read a run."""
        to = ("--to", "trl", "--home", self.home)
        arguments: dict[str, Sequence[object]] = {
            "report": ("report", self.run),
            "explain": ("explain", "both", "--run", self.run, "--home", self.home),
            "validate": ("validate", self.run, "--home", self.home),
            "validate-file": ("validate", self.run / file, "--home", self.home),
            "export": ("export", self.run, *to, "--out", self._out),
            "export-plain": ("export", self.run, *to, "--tags", "none", "--out", self._out),
            "preview": ("preview", self.run, *to),
        }
        result = self._curate(*arguments[command])
        if self._out.exists():
            assert result.status == 0
            shutil.rmtree(self._out)
        return result


@pytest.fixture
def run(whole: Path, tmp_path: Path, curate: Curate) -> Damaged:
    """A copy of the run that may be damaged."""
    return Damaged(whole, tmp_path, curate)


def files_of(whole: Path, name: str, values: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of a file of a run, damaged in every way; of one of many rows, the first row of each kind."""
    raw = (whole / name).read_bytes()
    yield from damaged(raw)
    if name in (SUMMARY, REPORT):
        skip = [("config",), ("plugins",), ("config_sha256",), ("metrics",)]
        skip += [(name, place) for name in ("checks", "funnel", "drops", "cards") for place in range(1, 9)]
        skip += [("options", name) for name in ("keep_going", "keep_secrets", "old_samples", "days_recent", "holdout")]
        for way, text in variants(json.loads(raw), values, skip):
            yield way, text.encode()
        return
    array = name.endswith(".json")
    rows = [json.loads(row.rstrip(b",")) for row in raw.splitlines() if row not in (b"[", b"]")]
    rows.sort(key=lambda row: (row.get("sample_id") or row.get("metadata", {}).get("sample_id", ""), "context" in row))
    place = next((number for number, row in enumerate(rows) if row.get("context")), 0)
    for way, text in variants(rows[place], values):
        lines = [text, *(json.dumps(row, ensure_ascii=False) for number, row in enumerate(rows) if number != place)]
        yield way, ("[\n" + ",\n".join(lines) + "\n]\n" if array else "\n".join(lines) + "\n").encode()


def check(result: Result, file: str, way: str) -> None:
    """A command succeeded, or said in one message what is wrong with which file and what to do."""
    about = f"{file}, {way}: {result}"
    assert result.status in (0, 1, 2, 3), about
    if result.status == 0:
        return
    if result.out:  # validate: its findings are its result
        assert result.status == 1 and (file in result.out or SUMMARY in result.out), about
        return
    assert result.err.startswith("curate: ") and "Traceback" not in result.err and len(result.err) < 1_500, about
    assert file in result.err or "sample" in result.err, about
    assert "\n  " in result.err, f"nothing to do next: {about}"


@pytest.mark.parametrize("values", [{"mixed": FEW["mixed"]}, pytest.param(FEW, marks=pytest.mark.verify)])
@pytest.mark.parametrize(("file", "command"), [(file, one) for file, many in READERS.items() for one in many])
def test_a_damaged_file_is_one_clear_error(run: Damaged, file: str, command: str, values: dict[str, str]) -> None:
    wrong = 0
    for way, raw in files_of(run.whole, file, values):
        run.put(file, raw)
        result = run.read(command, file)
        check(result, file, way)
        wrong += result.status != 0
    assert wrong > 5


@pytest.mark.parametrize(("file", "command"), [(file, one) for file, many in READERS.items() for one in many])
def test_a_missing_file_and_a_folder_in_its_place(run: Damaged, file: str, command: str) -> None:
    (run.run / file).unlink()
    for way in ("missing", "folder"):
        if way == "folder":
            (run.run / file).mkdir()
        result = run.read(command, file)
        check(result, file, way)
        assert result.status != 0, way


def test_an_export_can_do_without_a_report(run: Damaged) -> None:
    """Its card then leaves out what the report tells."""
    for way, raw in damaged((run.whole / REPORT).read_bytes()):
        run.put(REPORT, raw)
        assert run.read("export", REPORT).status == 0, way
