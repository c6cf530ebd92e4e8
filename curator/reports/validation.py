"""The proof: tags where they belong and nowhere else, one mode a sample, no empty field, nothing broken.

`SampleChecker` looks at one sample. A run uses it before it is published, and so does `curate validate`, which reads
any dataset back from disk. Position decides: a tag where the formatter wrote it is no contamination, the same tag
anywhere else is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from curator.contract.chat_format import ChatFormat, forged_turn, line_markers
from curator.contract.cli_frame import command_line
from curator.contract.dialogue_files import shape_of
from curator.contract.errors import UsageError, counted, printable
from curator.contract.files import open_file, sha256_of
from curator.contract.modes import Tags, bare
from curator.contract.records import (
    HOLDOUT,
    LINEAGE,
    SUMMARY,
    TRAIN,
    VOICE_REFERENCE,
    WRAPPED,
    Exchange,
    Family,
    family_of_run,
    read_summary,
)
from curator.contract.special_tokens import find_tags, may_hold_tags
from curator.contract.voice.stored import read_reference


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


class _Named(msgspec.Struct, frozen=True):
    sample_id: str


class _Wrapped(msgspec.Struct, frozen=True):
    """What is checked of a row of schema_applied.json."""

    mode: str
    input: str
    output: str
    raw_input: str
    raw_output: str
    metadata: _Named
    context: tuple[Exchange, ...] = ()


@dataclass
class SampleChecker:
    """Checks tagged samples against the modes, the control tokens, and what a line of a family's turns begins with."""

    modes: Mapping[str, Tags]
    control_tokens: tuple[str, ...]
    markers: tuple[str, ...] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        """What an answer begins with, in each mode."""
        return tuple(tags.assistant for tags in self.modes.values())

    def mode_of(self, prompt: str) -> str:
        """Return the mode whose user tag `prompt` begins with, or ""."""
        return next((name for name, tags in self.modes.items() if prompt.startswith(tags.user)), "")

    def check(self, prompt: str, reply: str, mode: str = "") -> Iterator[tuple[str, str, int, str]]:
        """Yield (mode, field, offset, message) for each fault of a tagged sample; `mode` "" is told by the tag."""
        mode = mode or self.mode_of(prompt)
        if mode not in self.modes:
            known = ", ".join(tags.user.strip() for tags in self.modes.values())
            yield mode, "input", 0, f"begins with no mode tag: expected one of {known}"
            return
        for name, text, opening in zip(("input", "output"), (prompt, reply), self.modes[mode], strict=True):
            if not text.startswith(opening):
                yield mode, name, 0, f"does not begin with {opening!r}"
                continue
            body = text[len(opening) :]
            if not body.strip():
                yield mode, name, len(opening), "empty after its tag"
                continue
            if may_hold_tags(body, self.control_tokens):
                yield from self._inside(mode, name, body, len(opening))
            if (place := forged_turn(body, self.markers)) >= 0:
                yield mode, name, len(opening) + place, "a line begins like a turn of the family"

    def _inside(self, mode: str, name: str, body: str, start: int) -> Iterator[tuple[str, str, int, str]]:
        tags, tokens = find_tags(body, bare(self.modes.values()), self.control_tokens)
        for findings, kind in ((tags, "mode tag"), (tokens, "control token")):
            for finding in findings:
                yield mode, name, start + finding.start, f"{kind} {finding.name} inside the text"


@dataclass(frozen=True)
class Verdict:
    """How a validation ended: samples looked at, by mode, the first `kept` problems, and the count of all."""

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

    def __init__(
        self, modes: Mapping[str, Tags], families: dict[str, Family], tokens: tuple[str, ...], kept: int = 1000
    ):
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
            self._file(path, self._chat_format(family) if family else None)
        else:
            raise UsageError(
                f"{printable(str(path))}: no such file or folder", "name a run folder, a .jsonl or a .json file"
            )
        if not self._samples and not self._count:
            self._note(path, 0, "no sample in it")
        return Verdict(self._samples, self._by_mode, self._problems, self._count)

    def _note(
        self, path: Path | str, line: int, what: str, field: str = "file", *,
        sample_id: str = "", mode: str = "", offset: int = 0,
    ) -> None:  # fmt: skip
        """Count a problem, and keep it if it is among the first. Line 0 is the file as a whole."""
        self._count += 1
        if len(self._problems) < self._kept:
            file = printable(path if isinstance(path, str) else path.name)
            self._problems.append(
                Problem(file=file, line=line, sample_id=sample_id, mode=mode, field=field, offset=offset, what=what)
            )

    def _chat_format(self, family: str) -> ChatFormat:
        return ChatFormat(self._families[family])

    def _run_folder(self, folder: Path) -> None:
        summary = read_summary(folder, ("files", "family", "counts"))
        for name, digest in summary["files"].items():
            if not (folder / name).is_file():
                self._note(name, 0, "named in run-summary.json but not there")
            elif sha256_of(folder / name) != digest:
                self._note(name, 0, "its sha256 is not that of run-summary.json")
        family = family_of_run(summary) or self._families.get(summary["family"])
        chat_format = ChatFormat(family) if family else None
        if family:
            tokens = tuple(sorted({*self._checker.control_tokens, *family.control_tokens}))
            self._checker = SampleChecker(self._modes, tokens, line_markers(family))
        ids = self._lineage(folder / LINEAGE)
        lines = 0
        for name in (TRAIN, HOLDOUT):
            if (folder / name).is_file():
                lines += self._file(folder / name, chat_format, ids.get(name, []))
        wanted = summary["counts"]["samples"]
        if lines != wanted:
            self._note(SUMMARY, 0, f"{counted(wanted, 'sample')} promised, {counted(lines, 'line')} found", "counts")
        self._wrapped(folder / WRAPPED, chat_format)
        if (folder / VOICE_REFERENCE).is_file():
            try:
                read_reference(folder / VOICE_REFERENCE)
            except UsageError as error:
                self._note(VOICE_REFERENCE, 0, error.what.partition(": ")[2])

    def _lineage(self, path: Path) -> dict[str, list[str]]:
        ids: dict[str, list[str]] = {}
        for number, row in self._rows(path):
            if isinstance(row, dict) and isinstance(row.get("file"), str):
                ids.setdefault(row["file"], []).append(str(row.get("sample_id", "")))
            else:
                self._note(path, number, "no lineage record", "line")
        return ids

    def _wrapped(self, path: Path, chat_format: ChatFormat | None) -> None:
        """Check that wrapped texts are the raw ones in their chat format, with the tags that metadata names."""
        for number, row in self._rows(path):
            try:
                sample = msgspec.convert(row, _Wrapped)
            except msgspec.ValidationError as error:
                self._note(path, number, f"no wrapped sample: {error}", "row")
                continue
            sample_id, mode, raw = sample.metadata.sample_id, sample.mode, (sample.raw_input, sample.raw_output)
            for mode_name, name, offset, message in self._checker.check(*raw, mode):
                self._note(path, number, message, f"raw_{name}", sample_id=sample_id, mode=mode_name, offset=offset)
            for place, one in enumerate(sample.context):
                for mode_name, _, offset, message in self._checker.check(one.user_text, one.assistant_text, mode):
                    where = f"context[{place}]"
                    self._note(path, number, message, where, sample_id=sample_id, mode=mode_name, offset=offset)
            whole = sample.input, sample.output
            if chat_format and chat_format.prompt_and_completion(*raw, sample.context) != whole:
                what = "is not raw_input in its family's chat format"
                self._note(path, number, what, "input", sample_id=sample_id, mode=mode)

    def _file(self, path: Path, chat_format: ChatFormat | None, ids: list[str] | None = None) -> int:
        """Check every line of a dataset; returns how many there were."""
        count = 0
        for number, row in self._rows(path):
            count += 1
            name = ids[number - 1] if ids and number <= len(ids) else str(number)
            texts = self._texts(path, number, name, row)
            if texts is None:
                continue
            chat_format = chat_format or self._guess(*texts)
            exchanges = (chat_format.exchanges(*texts, self._checker.answers) if chat_format else None) or [(*texts, 0)]
            mode = self._checker.mode_of(exchanges[-1][0])
            self._samples += 1
            self._by_mode[mode or "none"] = self._by_mode.get(mode or "none", 0) + 1
            for asked, answered, place in exchanges:
                last = asked is exchanges[-1][0]
                before = {"input": place, "output": texts[1].find(answered) if last else place + len(asked)}
                for mode_name, field_name, offset, message in self._checker.check(asked, answered, mode):
                    where, offset = field_name if last else "input", max(before[field_name], 0) + offset
                    self._note(path, number, message, where, sample_id=name, mode=mode_name, offset=offset)
        return count

    def _texts(self, path: Path, number: int, name: str, row: Any) -> tuple[str, str] | None:
        if isinstance(row, dict) and "raw_input" in row:
            row = {"input": row["raw_input"], "output": row.get("raw_output")}
        if isinstance(row, dict) and "user_text" in row and _is_mode(row.get("mode"), self._modes):
            tags = self._modes[row["mode"]]
            texts = ("input", tags.user, row["user_text"]), ("output", tags.assistant, row.get("assistant_text"))
            row = {key: tag + text if isinstance(text, str) else None for key, tag, text in texts}
        if not self._samples and (shape := shape_of(row)):
            raise _other_shape(path, number, *shape)
        if not isinstance(row, dict):
            self._note(path, number, "no JSON object", "line", sample_id=name)
            return None
        for key in ("input", "output"):
            if not isinstance(row.get(key), str):
                self._note(path, number, "missing, or no text", key, sample_id=name)
                return None
            if not row[key].strip():
                self._note(path, number, "empty", key, sample_id=name)
                return None
        return row["input"], row["output"]

    def _guess(self, prompt: str, reply: str) -> ChatFormat | None:
        """Find the family that this line is wrapped for: the one whose chat format leaves a tagged text."""
        fits = []
        for family in self._families.values():
            chat_format = ChatFormat(family)
            exchanges = chat_format.exchanges(prompt, reply, self._checker.answers)
            if exchanges and self._checker.mode_of(exchanges[-1][0]):
                bare = sum(len(asked) + len(answered) for asked, answered, _ in exchanges)
                fits.append((len(prompt) + len(reply) - bare, family.family, chat_format))
        return max(fits)[2] if fits else None

    def _rows(self, path: Path) -> Iterator[tuple[int, Any]]:
        """Yield (line, value) of a JSONL file or of a JSON array; what is no JSON becomes a problem."""
        try:
            file = open_file(path)
        except OSError as error:
            self._note(path, 0, error.strerror or "unreadable")
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
                    self._note(path, number, f"no JSON: {error}", "line", sample_id=str(number))

    def _array(self, path: Path, raw: bytes) -> Iterator[tuple[int, Any]]:
        try:
            rows = _DECODE(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._note(path, 0, f"no JSON: {error}")
            return
        yield from enumerate(rows if isinstance(rows, list) else [rows], 1)


def _is_mode(name: Any, modes: Mapping[str, Tags]) -> bool:
    return isinstance(name, str) and name in modes


def _other_shape(path: Path, number: int, shape: str, trainable: bool) -> UsageError:
    """Return the one error for a file of another shape: the same fault for each line of it would tell nothing."""
    steps = []
    if (path.parent / "export.json").is_file():
        steps.append("curate export made it: check the run that it was made from, with curate validate RUN")
    if trainable:
        steps.append(f"see what of it would be trained: {command_line('trainer', 'preview', '--data', path)}")
        steps.append(f"train the small model on it: {command_line('trainer', 'finetune', '--data', path)}")
    else:
        steps.append('write it as {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", ...}]}, one')
        steps.append("conversation a line, and see what would be trained with: trainer preview --data FILE")
    return UsageError(
        f"{printable(str(path))}:{number}: this is {shape}. curate validate checks the files that curate run makes: "
        'lines with an "input" and an "output" that begin with the tags of a mode',
        "\n  ".join(steps),
    )


def _is_element(line: bytes) -> bool:
    try:
        return isinstance(_DECODE(line.strip().removesuffix(b",")), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


_DECODE: Callable[[bytes], Any] = msgspec.json.Decoder().decode
