"""The proof: tags where they belong and nowhere else, one mode a sample, no empty field, nothing broken.

`SampleChecker` looks at one sample and serves two masters: a run before it is published, and `curate validate`, which
reads any dataset back from disk. Position decides: the tag that the formatter wrote is no contamination, the same
letters anywhere else are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from curator.disguise import find_tags, may_hold_tags
from curator.errors import UsageError
from curator.families import Wrapper
from curator.files import printable
from curator.records import RUN_FORMAT, RUN_VERSION, Exchange, Family
from curator.spec import Mode


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a sample: where (file, line, sample id), mode, field, character offset, and what."""

    file: str
    line: int
    sample_id: str
    mode: str
    field: str
    offset: int
    what: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return (
            f"{where}: sample {self.sample_id or '?'} ({self.mode or '?'}), {self.field} at {self.offset}: {self.what}"
        )


@dataclass
class SampleChecker:
    """Checks tagged samples against the modes and the control tokens of a family."""

    modes: dict[str, Mode]
    control_tokens: tuple[str, ...]
    _openings: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._openings = {
            name: (f"<{mode.user_tag}>: ", f"<{mode.assistant_tag}>: ") for name, mode in self.modes.items()
        }
        self._tags = tuple(tag for mode in self.modes.values() for tag in (mode.user_tag, mode.assistant_tag))

    @property
    def answers(self) -> tuple[str, ...]:
        """What an answer begins with, in each mode."""
        return tuple(answer for _, answer in self._openings.values())

    def mode_of(self, given: str) -> str:
        """Return the mode whose user tag `given` begins with, or ""."""
        return next((name for name, (opening, _) in self._openings.items() if given.startswith(opening)), "")

    def check(self, given: str, reply: str, mode: str = "") -> Iterator[tuple[str, str, int, str]]:
        """Yield (mode, field, offset, what) for everything wrong with a tagged sample. `mode` "" is told by the tag."""
        mode = mode or self.mode_of(given)
        if mode not in self._openings:
            known = ", ".join(opening.strip() for opening, _ in self._openings.values())
            yield mode, "input", 0, f"begins with no mode tag: expected one of {known}"
            return
        for name, text, opening in zip(("input", "output"), (given, reply), self._openings[mode], strict=True):
            if not text.startswith(opening):
                yield mode, name, 0, f"does not begin with {opening!r}"
            elif not text[len(opening) :].strip():
                yield mode, name, len(opening), "empty after its tag"
            else:
                yield from self._inside(mode, name, text, len(opening))

    def _inside(self, mode: str, name: str, text: str, start: int) -> Iterator[tuple[str, str, int, str]]:
        body = text[start:]
        if not may_hold_tags(body):
            return
        tags, tokens = find_tags(body, self._tags, self.control_tokens)
        for found, what in ((tags, "mode tag"), (tokens, "control token")):
            for one in found:
                yield mode, name, start + one.start, f"{what} {one.name} inside the text"


@dataclass(frozen=True)
class Verdict:
    """How a validation ended: samples looked at, by mode, and the problems met (counted, the first `kept` of them)."""

    samples: int
    modes: dict[str, int]
    problems: list[Problem]
    count: int

    @property
    def passed(self) -> bool:
        """True where nothing is wrong and there is something at all."""
        return self.count == 0 and self.samples > 0


class Validator:
    """Reads a run folder or a single dataset file back and checks every sample of it."""

    def __init__(self, modes: dict[str, Mode], families: dict[str, Family], tokens: tuple[str, ...], kept: int = 1000):
        self._families, self._modes, self._kept = families, modes, kept
        self._checker = SampleChecker(modes, tokens)
        self._problems: list[Problem] = []
        self._count = self._samples = 0
        self._by_mode: dict[str, int] = {}

    def run(self, path: Path, family: str | None = None) -> Verdict:
        """Validate a run folder or a file. Raises UsageError for what is neither."""
        if path.is_dir():
            self._run_folder(path)
        elif path.is_file():
            self._file(path, self._wrapper(family) if family else None)
        else:
            raise UsageError(
                f"{printable(str(path))}: no such file or folder", "name a run folder, a .jsonl or a .json file"
            )
        if not self._samples and not self._count:
            self._problem(path.name, 0, "", "", "file", 0, "no sample in it")
        return Verdict(self._samples, self._by_mode, self._problems, self._count)

    def _problem(self, file: str, line: int, sample: str, mode: str, name: str, offset: int, what: str) -> None:
        self._count += 1
        if len(self._problems) < self._kept:
            self._problems.append(Problem(printable(file), line, sample, mode, name, offset, what))

    def _wrapper(self, family: str) -> Wrapper:
        return Wrapper(self._families[family])

    def _run_folder(self, folder: Path) -> None:
        summary = read_summary(folder)
        for name, digest in summary["files"].items():
            if not (folder / name).is_file():
                self._problem(name, 0, "", "", "file", 0, "named in run-summary.json but not there")
            elif sha256_of(folder / name) != digest:
                self._problem(name, 0, "", "", "file", 0, "its sha256 is not that of run-summary.json")
        family = summary["family"]
        wrapper = self._wrapper(family) if family in self._families else None
        ids = self._lineage(folder / "lineage.jsonl")
        lines = 0
        for name in ("fine_tune_dataset.jsonl", "fine_tune_holdout.jsonl"):
            if (folder / name).is_file():
                lines += self._file(folder / name, wrapper, ids.get(name, []))
        wanted = int(summary["counts"]["samples"])
        if lines != wanted:
            self._problem("run-summary.json", 0, "", "", "counts", 0, f"{wanted} samples promised, {lines} lines found")
        self._wrapped(folder / "schema_applied.json", wrapper)

    def _lineage(self, path: Path) -> dict[str, list[str]]:
        ids: dict[str, list[str]] = {}
        for number, row in self._rows(path):
            if isinstance(row, dict) and isinstance(row.get("file"), str):
                ids.setdefault(row["file"], []).append(str(row.get("sample_id", "")))
            else:
                self._problem(path.name, number, "", "", "line", 0, "no lineage record")
        return ids

    def _wrapped(self, path: Path, wrapper: Wrapper | None) -> None:
        """Check that wrapped texts are the raw ones in their wrapper, with the tags that metadata names."""
        for number, row in self._rows(path):
            try:
                sample_id, mode = row["metadata"]["sample_id"], row["mode"]
                given, reply, raw = row["input"], row["output"], (row["raw_input"], row["raw_output"])
            except (KeyError, TypeError):
                self._problem(path.name, number, "", "", "row", 0, "no wrapped sample")
                continue
            for mode_name, name, offset, what in self._checker.check(*raw, mode):
                self._problem(path.name, number, sample_id, mode_name, f"raw_{name}", offset, what)
            context = tuple(Exchange(one["user_text"], one["assistant_text"]) for one in row.get("context", ()))
            if wrapper and wrapper.halves(*raw, context) != (given, reply):
                self._problem(
                    path.name, number, sample_id, mode, "input", 0, "is not raw_input in its family's wrapper"
                )

    def _file(self, path: Path, wrapper: Wrapper | None, ids: list[str] | None = None) -> int:
        """Check every line of a dataset; returns how many there were."""
        count = 0
        for number, row in self._rows(path):
            count += 1
            name = ids[number - 1] if ids and number <= len(ids) else str(number)
            texts = self._texts(path, number, name, row)
            if texts is None:
                continue
            wrapper = wrapper or self._guess(*texts)
            found = (wrapper.exchanges(*texts, self._checker.answers) if wrapper else None) or [(*texts, 0)]
            mode = self._checker.mode_of(found[-1][0])
            self._samples += 1
            self._by_mode[mode or "none"] = self._by_mode.get(mode or "none", 0) + 1
            for asked, answered, place in found:
                last = asked is found[-1][0]
                before = {"input": place, "output": texts[1].find(answered) if last else place + len(asked)}
                for mode_name, field_name, offset, what in self._checker.check(asked, answered, mode):
                    where = field_name if last else "input"
                    self._problem(path.name, number, name, mode_name, where, max(before[field_name], 0) + offset, what)
        return count

    def _texts(self, path: Path, number: int, name: str, row: Any) -> tuple[str, str] | None:
        if isinstance(row, dict) and "raw_input" in row:
            row = {"input": row["raw_input"], "output": row.get("raw_output")}
        if isinstance(row, dict) and "user_text" in row and row.get("mode") in self._modes:
            mode = self._modes[row["mode"]]
            row = {
                "input": f"<{mode.user_tag}>: {row['user_text']}",
                "output": f"<{mode.assistant_tag}>: {row.get('assistant_text')}",
            }
        if not isinstance(row, dict):
            self._problem(path.name, number, name, "", "line", 0, "no JSON object")
            return None
        for key in ("input", "output"):
            if not isinstance(row.get(key), str):
                self._problem(path.name, number, name, "", key, 0, "missing, or no text")
                return None
            if not row[key].strip():
                self._problem(path.name, number, name, "", key, 0, "empty")
                return None
        return row["input"], row["output"]

    def _guess(self, given: str, reply: str) -> Wrapper | None:
        """Find the family that this line is wrapped for: the one whose wrapper leaves a tagged text."""
        fits = []
        for family in self._families.values():
            wrapper = Wrapper(family)
            found = wrapper.exchanges(given, reply, self._checker.answers)
            if found and self._checker.mode_of(found[-1][0]):
                bare = sum(len(asked) + len(answered) for asked, answered, _ in found)
                fits.append((len(given) + len(reply) - bare, family.family, wrapper))
        return max(fits)[2] if fits else None

    def _rows(self, path: Path) -> Iterator[tuple[int, Any]]:
        """Yield (line, value) of a JSONL file or of a JSON array; what is no JSON becomes a problem."""
        try:
            file = path.open("rb")
        except OSError as error:
            self._problem(path.name, 0, "", "", "file", 0, error.strerror or "unreadable")
            return
        with file:
            first, second = file.readline(), file.readline()
            lines: Iterable[tuple[int, bytes]]
            if first.strip() == b"[" and (second.strip() in (b"]", b"") or _is_element(second)):
                rest = chain([second], file)  # an array as we write it: one element a line
                lines = ((n, line.strip().removesuffix(b",")) for n, line in enumerate(rest, 2) if line.strip() != b"]")
            elif first.lstrip().startswith(b"["):
                yield from self._array(path, first + second + file.read())
                return
            else:
                lines = enumerate(chain([first, second], file), 1)
            for number, line in lines:
                if not line.strip():
                    continue
                try:
                    yield number, _DECODE(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    self._problem(path.name, number, str(number), "", "line", 0, f"no JSON: {error}")

    def _array(self, path: Path, raw: bytes) -> Iterator[tuple[int, Any]]:
        try:
            rows = _DECODE(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._problem(path.name, 0, "", "", "file", 0, f"no JSON: {error}")
            return
        yield from enumerate(rows if isinstance(rows, list) else [rows], 1)


def _is_element(line: bytes) -> bool:
    try:
        return isinstance(_DECODE(line.strip().removesuffix(b",")), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


_DECODE: Callable[[bytes], Any] = msgspec.json.Decoder().decode


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_summary(folder: Path) -> dict[str, Any]:
    """Read a run's summary. Raises UsageError where the folder is no finished run, or one of another format."""
    path = folder / "run-summary.json"
    try:
        summary = _DECODE(path.read_bytes())
    except OSError:
        raise UsageError(
            f"{printable(str(folder))} is no finished run: it has no run-summary.json", "make one with: curate run"
        ) from None
    except msgspec.DecodeError as error:
        raise UsageError(f"{printable(str(path))}: no JSON: {error}", "the run is damaged; make a new one") from None
    if not isinstance(summary, dict) or summary.get("format") != RUN_FORMAT:
        raise UsageError(f"{printable(str(path))}: not a run of persona-curator", f"expected the format {RUN_FORMAT!r}")
    if summary.get("version") != RUN_VERSION:
        raise UsageError(
            f"{printable(str(path))}: run version {summary.get('version')}; this curator reads {RUN_VERSION}",
            "make the run again with this curator, or install the one that wrote it",
        )
    return summary
