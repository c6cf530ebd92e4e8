"""`curate explain`: one memory's whole way through a run, from what the run wrote down and the file itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from curator.contract.cli_frame import print_hanging
from curator.contract.errors import HostError, UsageError, printable
from curator.contract.files import Unreadable, from_printable, open_file, sha256_of
from curator.contract.homes import find_home, find_profile
from curator.contract.records import CURATED, DROPPED, LINEAGE, MAKE_AGAIN, Record, read_summary
from curator.contract.strict_json import BadJson, parse_json
from curator.encryption.envelope import layers_of
from curator.encryption.profile import Unlocked, nothing_unlocked, read_plain
from curator.importing.store import IMPORTS, MESSAGES, read_messages
from curator.records import CuratedSample, Drop, LineageLine
from curator.reports.safe_text import safe

_MOST_BYTES = 1 << 26


class MemoryFile(Record, frozen=True, gc=False):
    """The source file as it is now: `state` says whether it is still what the run read."""

    path: str
    state: str
    id: str = ""
    type: str = ""
    timestamp: str = ""
    content: str = ""
    response: str = ""


class Explained(Record, frozen=True, gc=False):
    """All that a run knows of one memory."""

    run: str
    files: tuple[MemoryFile, ...]
    samples: tuple[tuple[LineageLine, CuratedSample], ...]
    drops: tuple[Drop, ...]


def explain(
    name: str, folder: Path, home: str | None, unlock: Callable[[Path], Unlocked | None] = nothing_unlocked
) -> Explained:
    """Find what the run in `folder` did with the memory or sample called `name`.

    `name` is a memory's id, its key, its path (or file name), or a sample's id; `unlock` is asked to open the profile
    where a file of the memory is encrypted. Raises UsageError where the name is unknown.
    """
    summary = read_summary(folder, ("username",))
    lineage = [line for line in _lines(folder / LINEAGE, LineageLine) if _is_meant(name, line)]
    keys = {key for line in lineage for key in line.events[:1]}
    drops = [drop for drop in _lines(folder / DROPPED, Drop) if _is_meant(name, drop) or keys & {*drop.event_ids}]
    if not lineage and not drops:
        raise UsageError(
            f"{safe(name).plain!r} is neither a memory nor a sample of {folder.name}",
            "name a memory's id, key or path, or a sample's id; ids stand in lineage.jsonl and dropped.jsonl",
        )
    samples = _samples(folder / CURATED, {line.sample_id for line in lineage})
    hashes = {source.path: source.sha256 for line in lineage for source in line.sources}
    paths = dict.fromkeys([*hashes, *(drop.path for drop in drops if drop.path)])
    profile = _profile(summary["username"], home)
    unlocked = unlock(profile) if profile and any(layers_of(path)[1] for path in paths) else None
    files: list[MemoryFile] = []
    for path in paths:
        file = _file(path, hashes.get(path, ""), profile, unlocked)
        turns = {source.turn for line in lineage for source in line.sources if source.path == path}
        ids = {drop.memory_id for drop in drops if drop.path == path}
        files += _imported(file, profile, turns, ids) if _is_import(file) and profile else [file]
    return Explained(
        str(folder), tuple(files), tuple((line, samples[line.sample_id]) for line in lineage), tuple(drops)
    )


def _is_meant(name: str, record: LineageLine | Drop) -> bool:
    keys = record.events if isinstance(record, LineageLine) else record.event_ids
    memory_id = record.original_id if isinstance(record, LineageLine) else record.memory_id
    paths = [source.path for source in record.sources] if isinstance(record, LineageLine) else [record.path]
    return name in (memory_id, record.sample_id, *keys) or any(
        name and p in (name, p.removesuffix("/" + name) + "/" + name) for p in paths
    )


def _samples(path: Path, ids: set[str]) -> dict[str, CuratedSample]:
    """Return the samples of these ids. Raises UsageError where one is not there, or the file is damaged."""
    samples = {row.metadata.sample_id: row for row in _lines(path, CuratedSample) if row.metadata.sample_id in ids}
    if missing := sorted(ids - samples.keys()):
        raise UsageError(f"{printable(str(path))}: the sample {missing[0]} of {LINEAGE} is missing", MAKE_AGAIN)
    return samples


def _lines(path: Path, kind: type[Any]) -> Iterator[Any]:
    """Yield the records of a file of the run, one a line. Raises UsageError that names the line that holds none."""
    decode, shown = msgspec.json.Decoder(kind).decode, printable(str(path))
    try:
        with open_file(path) as file:
            for number, line in enumerate(file, 1):
                row = line.strip().removesuffix(b",")
                try:
                    if row not in (b"[", b"]"):
                        yield decode(row)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    raise UsageError(f"{shown}:{number}: no record of a run: {error}", MAKE_AGAIN) from None
    except OSError as error:
        raise UsageError(f"cannot read {shown}: {error.strerror}", MAKE_AGAIN) from None


def _profile(username: str, home: str | None) -> Path | None:
    try:
        return find_profile(find_home(home), username)
    except (UsageError, HostError):
        return None


def _file(path: str, digest: str, profile: Path | None, unlocked: Unlocked | None) -> MemoryFile:
    if profile is None:
        return MemoryFile(path, "not there, or not readable")
    try:
        place = profile / from_printable(path)
        if not place.is_relative_to(profile) or ".." in place.parts:  # a run that somebody else wrote may name any file
            return MemoryFile(path, "not in the profile")
        if digest and sha256_of(place) != digest:
            return MemoryFile(path, "changed since the run")
        if unlocked is None and layers_of(path)[1]:
            return MemoryFile(path, "encrypted: --password-file FILE, or $CURATOR_PASSWORD, opens it")
        read = unlocked.read if unlocked else read_plain
        data, _ = parse_json(read(str(place), _MOST_BYTES).plain)
    except BadJson as error:
        return MemoryFile(path, f"as the run read it: {error}")
    except Unreadable as error:
        closed = bool(layers_of(path)[1]) and place.exists()
        return MemoryFile(path, f"not opened: {error.reason}" if closed else "not there, or not readable")
    except (HostError, OSError, ValueError):  # a ValueError: a NUL in the path
        return MemoryFile(path, "not there, or not readable")
    if not isinstance(data, dict):
        return MemoryFile(path, "as the run read it: no object")
    texts = {key: str(data[key]) for key in ("id", "type", "timestamp", "content", "response") if data.get(key)}
    return MemoryFile(path, "as the run read it", **texts)


def _is_import(file: MemoryFile) -> bool:
    return fnmatch(file.path, f"{IMPORTS}/*/{MESSAGES}") and file.state.startswith("as the run read it")


def _imported(file: MemoryFile, profile: Path, turns: set[int], ids: set[str]) -> Iterator[MemoryFile]:
    """Yield the messages of an import with which the memories begin: by their line, or by their id."""
    for number, message in read_messages((profile / from_printable(file.path)).parent):
        if number in turns or message.id in ids:
            yield MemoryFile(
                f"{file.path}:{number + 1}", "as the run read it", message.id, message.kind, message.time or "",
                f"{message.sender}: {message.text}",
            )  # fmt: skip


def show(explained: Explained, screen: Console) -> None:
    """Print it for a person. A path is never broken, nor run into what stands beside it."""
    for file in explained.files:
        _show_file(file, screen)
    for lineage, sample in explained.samples:
        head = f"\nsample    {lineage.sample_id}  {lineage.mode} (by {lineage.mode_source})"
        screen.print(Text(head, "bold"), soft_wrap=True)
        print_hanging(screen, _label("in"), safe(sample.user_text))
        for change in lineage.changes:
            print_hanging(screen, _label(""), Text.assemble((f"{change.plugin}: ", "yellow"), safe(change.note)))
        print_hanging(screen, _label("out"), safe(sample.assistant_text))
        screen.print(_label("").append(f"-> {lineage.file}, line {lineage.line}"), soft_wrap=True)
        for source in lineage.sources[1:]:
            screen.print(_label("").append_text(Text.assemble(("with ", "dim"), safe(source.path))), soft_wrap=True)
    for drop in explained.drops:
        screen.print(
            Text.assemble((f"\ndropped   {drop.sample_id or ' '.join(drop.event_ids[:1])}", "bold")), soft_wrap=True
        )
        why = Text.assemble((f"{drop.stage}: {drop.reason}", "yellow"), "  " if drop.detail else "")
        print_hanging(screen, _label(""), why.append_text(safe(drop.detail)))
    screen.print(Text(f"\n{'run':10}{printable(explained.run)}", "dim"), soft_wrap=True)


def _show_file(file: MemoryFile, screen: Console) -> None:
    screen.print(Text.assemble((f"{'file':10}", "bold"), safe(file.path)), soft_wrap=True)
    print_hanging(screen, _label(""), Text(f"({file.state})", "dim"))
    if file.type:
        print_hanging(screen, _label(""), safe(f"{file.timestamp}  {file.type}  {file.id}"))
    for label, text in (("content", file.content), ("response", file.response)):
        if text:
            print_hanging(screen, _label(label), safe(text))


def _label(name: str) -> Text:
    return Text(f"{name:10}", "dim")
