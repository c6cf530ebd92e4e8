"""`curate import`: find the format, read it, settle who the person is, and keep what is new beside the memories."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec

from curator.contract import __version__
from curator.contract.cli_frame import Progress, no_progress
from curator.contract.errors import CuratorError, JobError, UsageError, counted, printable, similar
from curator.contract.files import HashedFile, clear_dead, locked, scratch_folder, sha256_of, whole_folder
from curator.executing import watched
from curator.importing.dates.clocks import Order, WallClock
from curator.importing.detect import Detected, detect
from curator.importing.files.export_files import Damaged, Export, opened
from curator.importing.files.export_files import Progress as Bytes
from curator.importing.importer import Importer, Item, Reading
from curator.importing.owner import Senders, Settled, settle
from curator.importing.staging import ALTERNATIVE, SkipCounts, Staging
from curator.importing.store import IMPORTS, MESSAGES, SKIPPED, SUMMARY, known_keys, new_label
from curator.plugin_errors import plugin_failed, raised
from curator.records import IMPORT_FORMAT, IMPORT_VERSION, ImportedMessage, ImportSummary, SenderCount, Skip

_EXAMPLES = 5
_NO_ZONE = "its times name no zone and are taken for UTC: add --timezone ZONE, such as Europe/Berlin"


@dataclass(frozen=True)
class ImportRequest:
    """All that one import was asked for. `owners` are the names of --owner, `known` those that the profile
    knows, `known_by_format` those that people.json has for a reader's exports. With `again`,
    what earlier imports hold is read all the same."""

    paths: tuple[Path, ...]
    profile: Path
    owners: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    known_by_format: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    timezone: str | None = None
    date_order: Order | None = None
    format: str | None = None
    dry_run: bool = False
    again: bool = False


@dataclass
class Outcome:
    """What an import found. `folder` is None where nothing was written: a dry run, or nothing new.

    `files` are the sha256 of what was written into it.
    """

    importer: Importer
    what: str
    label: str
    folder: Path | None
    senders: Senders
    settled: Settled
    skips: SkipCounts
    messages: int = 0
    owner_messages: int = 0
    alternatives: int = 0
    conversations: int = 0
    first: str = ""
    last: str = ""
    notes: tuple[str, ...] = ()
    examples: list[ImportedMessage] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


def zone_of(name: str | None) -> ZoneInfo | None:
    """Return the zone of --timezone, None where none is given. Raises UsageError for an unknown one."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = similar(name, available_timezones())
        meant = f"did you mean {near}? " if near else ""
        raise UsageError(
            f"--timezone {printable(name)}: no such zone", f"{meant}a name of the IANA table, such as Europe/Berlin"
        ) from None


class Readers(NamedTuple):
    """The readers by their names, each with its plugin, and which plugins are built in."""

    importers: Mapping[str, tuple[str, Importer]]
    built_in: frozenset[str]


@contextmanager
def importing(request: ImportRequest, readers: Readers, progress: Progress = no_progress) -> Iterator[Outcome]:
    """Read an export, give what was found, and on a normal exit keep its new messages in the profile.

    Raises UsageError where the format, the owner or the order of dates is not clear, JobError where there is no message
    in it, HostError where the disk refuses. Nothing is kept then.
    """
    with _read(request, readers, progress) as (detected, reading, items):
        if request.dry_run:
            with scratch_folder("curate-import-") as aside, _staged(aside, items) as staging:
                outcome = _write(request, detected, reading, staging, None)
            yield outcome
            return
        imports = request.profile / IMPORTS
        imports.mkdir(mode=0o700, exist_ok=True)
        with locked(imports), suppress(_NothingNew):
            clear_dead(imports)
            label = new_label(request.profile, detected.importer.name, request.paths[0])
            with whole_folder(imports / label, option="") as building:
                with _staged(building, items) as staging:
                    outcome = _write(request, detected, reading, staging, building)
                    if outcome.messages or outcome.alternatives:
                        outcome.label, outcome.folder = label, imports / label
                        _summarise(request, outcome, building, reading)
                yield outcome
                if outcome.folder is None:
                    raise _NothingNew


def import_export(request: ImportRequest, readers: Readers, progress: Progress = no_progress) -> Outcome:
    """Read an export and keep its new messages in the profile at once. Raises as `importing` does."""
    with importing(request, readers, progress) as outcome:
        return outcome


def import_aside(request: ImportRequest, readers: Readers, folder: Path, progress: Progress = no_progress) -> Outcome:
    """Read an export into an empty `folder`, which then is an import by itself; the profile is not touched.

    Raises as `import_export` does.
    """
    with _read(request, readers, progress) as (detected, reading, items), _staged(folder, items) as staging:
        outcome = _write(request, detected, reading, staging, folder)
        outcome.label, outcome.folder = folder.name, folder
        staging.close()
        _summarise(request, outcome, folder, reading)
        return outcome


@contextmanager
def _read(
    request: ImportRequest, readers: Readers, progress: Progress
) -> Iterator[tuple[Detected, Reading, Iterator[Item]]]:
    """Open an export and give its reader, what that is told, and what it gives."""
    clock = WallClock(zone_of(request.timezone))
    with opened(request.paths) as export:
        detected = detect(export, readers.importers, request.format, readers.built_in)
        known = (*request.known_by_format.get(detected.importer.name, ()), *request.known)
        reading = Reading((*request.owners, *known), clock, request.date_order or "")
        watched = Bytes(progress, sum(entry.size for entry in detected.found.entries))
        for entry in export.entries:
            entry.progress = watched
        yield detected, reading, _items(detected, reading, export, detected.plugin in readers.built_in)


class _NothingNew(Exception):
    """Every message is in the profile already; the folder that was begun goes."""


@contextmanager
def _staged(folder: Path, items: Iterator[Item]) -> Iterator[Staging]:
    with closing(Staging(folder)) as staging:
        for item in items:
            staging.add(item)
        yield staging


def _items(detected: Detected, reading: Reading, export: Export, ours: bool) -> Iterator[Item]:
    """Yield what the reader gives, and what opening the files refused; a plugin that fails is named."""
    yield from export.skipped
    name = f"importer {detected.importer.name}: read"
    try:
        for item in watched.each(detected.plugin, name, iter(detected.importer.read(detected.found, reading))):
            if not isinstance(item, ImportedMessage | Skip):
                problem = f"yielded {type(item).__name__}: expected ImportedMessage or Skip"
                raise plugin_failed(detected.plugin, name, "", problem)
            yield item
    except Damaged as error:
        yield Skip(error.where or "export", "damaged", error.what)
    except (CuratorError, OSError):
        raise
    except Exception as error:
        if ours:
            raise  # our own mistake: keep the traceback
        raise plugin_failed(detected.plugin, name, "", raised(error)) from error


def _write(
    request: ImportRequest, detected: Detected, reading: Reading, staging: Staging, folder: Path | None
) -> Outcome:
    """Settle the owner and pass every message on, to `folder` where there is one."""
    importer = detected.importer
    _refuse_unclear(staging, importer, request)
    settled = settle(staging.senders, staging.conversations, reading, request.owners)
    outcome = Outcome(
        importer=importer,
        what=detected.found.what,
        label="",
        folder=None,
        senders=staging.senders,
        settled=settled,
        skips=staging.skips,
    )
    out = HashedFile(folder / MESSAGES) if folder else None
    encode = msgspec.json.Encoder().encode
    before = ""
    held = () if request.again else known_keys(request.profile, importer.name)
    for item in staging.ordered(held, importer.order == "time"):
        if isinstance(item, Skip):
            staging.skip(item)
            continue
        message = msgspec.structs.replace(item, is_owner=settled.owns(item))
        if message.time_source == "wall_as_utc":
            reading.note(_NO_ZONE)
        if out:
            out.write(encode(message) + b"\n")
        before = _count(outcome, message, before)
    outcome.notes = tuple(reading.notes)
    if out and folder:
        skipped = HashedFile(folder / SKIPPED)
        for line in staging.skipped():
            skipped.write(line)
        outcome.files = {MESSAGES: out.close(), SKIPPED: skipped.close()}
    return outcome


def _count(outcome: Outcome, message: ImportedMessage, before: str) -> str:
    """Count a message, and return the name of its conversation; `before` is that of the one before it."""
    if message.kind == ALTERNATIVE:
        outcome.alternatives += 1
        return before
    outcome.messages += 1
    outcome.owner_messages += message.is_owner is True
    name = message.conversation_id or message.conversation
    outcome.conversations += name != before
    if message.time:
        outcome.first = min(outcome.first or message.time, message.time)
        outcome.last = max(outcome.last, message.time)
    if len(outcome.examples) < _EXAMPLES:
        outcome.examples.append(message)
    return name


def _refuse_unclear(staging: Staging, importer: Importer, request: ImportRequest) -> None:
    """Raise UsageError where days cannot be told from months, JobError where there is no message at all."""
    counts = staging.skips.counts
    if counts["date_order_unknown"]:
        where = staging.skips.places["date_order_unknown"][0]
        raise UsageError(
            f"{where}: every day and month is below 13, so nothing says which is which; nothing was imported",
            "add --date-order dmy (13.01.25), mdy (1/13/25) or ymd (25/1/13), as that phone shows dates",
        )
    if len(staging):
        return
    told = ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common(8))
    first = next((f"; first: {places[0]}" for places in staging.skips.places.values()), "")
    raise JobError(
        f"no message in {printable(str(request.paths[0]))}, read as {importer.title}"
        + (f"; skipped: {told}{first}" if told else ""),
        f"how to get an export that holds messages: {importer.how}",
    )


def _summarise(request: ImportRequest, outcome: Outcome, folder: Path, reading: Reading) -> None:
    """Write import.json."""
    options = {
        "owner": ", ".join(request.owners), "timezone": request.timezone or "", "date_order": request.date_order or "",
        "format": request.format or "",
    }  # fmt: skip
    summary = ImportSummary(
        format=IMPORT_FORMAT,
        version=IMPORT_VERSION,
        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        curator_version=__version__,
        importer=outcome.importer.name,
        label=outcome.label,
        inputs=_hashes(request.paths),
        options={name: value for name, value in options.items() if value},
        counts={
            "messages": outcome.messages, "owner_messages": outcome.owner_messages,
            "alternatives": outcome.alternatives, "conversations": outcome.conversations,
            "skipped": sum(outcome.skips.counts.values()),
        },
        skipped=dict(sorted(outcome.skips.counts.items())),
        first=outcome.first,
        last=outcome.last,
        owners=outcome.settled.names,
        senders=tuple(
            SenderCount(one.name, one.account, count.messages, len(count.conversations), me)
            for one, count in outcome.senders.ranked()
            for me in (outcome.settled.is_me(one, count),)
        ),
        owner_evidence=outcome.settled.evidence,
        notes=outcome.notes,
        files=outcome.files,
    )  # fmt: skip
    with (folder / SUMMARY).open("xb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


def _hashes(paths: tuple[Path, ...]) -> dict[str, str]:
    """Return the sha256 of each file that was given; of a folder, of its files' hashes in the order of their names."""
    hashes: dict[str, str] = {}
    for path in paths:
        if path.is_dir():
            together = hashlib.sha256()
            for file in sorted(one for one in path.rglob("*") if one.is_file() and not one.is_symlink()):
                together.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode("utf-8", "replace"))
            hashes[printable(path.name or str(path))] = together.hexdigest()
        else:
            hashes[printable(path.name)] = sha256_of(path)
    return hashes


def skipped_of(outcome: Outcome) -> dict[str, int]:
    """Return the counts of what gave no message, the most frequent reason first."""
    return dict(Counter(outcome.skips.counts).most_common())


def told(outcome: Outcome) -> str:
    """Say in a few words what an import holds."""
    return f"{counted(outcome.messages, 'message')} in {counted(outcome.conversations, 'conversation')}"
