"""The records and files in which the two programs meet: a run's folder, its texts, and a model family.

`msgspec.Struct` serves for speed. The JSON Schemas in `schemas/` are generated from these declarations.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from curator.contract.errors import UsageError, printable
from curator.contract.files import read_bytes

RUN_FORMAT = "persona-curator-run"
RUN_VERSION = 1

# The files of a run's folder.
CURATED, FORMATTED, WRAPPED = "curated_memories.json", "formatted_samples.json", "schema_applied.json"
TRAIN, HOLDOUT = "fine_tune_dataset.jsonl", "fine_tune_holdout.jsonl"
DROPPED, LINEAGE = "dropped.jsonl", "lineage.jsonl"
REPORT, REPORT_PAGE = "report.json", "report.html"
VOICE_REFERENCE = "voice-reference.npz"
SUMMARY = "run-summary.json"

# Part of a run folder's name, so nothing that a file system or the last line of stdout could stumble over.
Name = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Record(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Base of all records: frozen, defaults left out on disk, unknown keys refused."""


class Exchange(Record, frozen=True, gc=False):
    """An earlier exchange of a sample: what was said and what was answered; tagged once its sample is.

    `trained` is True where the sample is a conversation of which this reply is learnt too, False where the exchange
    stands there as context alone.
    """

    user_text: str
    assistant_text: str
    trained: bool = False


class Source(Record, frozen=True, gc=False):
    """Where a text came from: file (relative to the profile), sha256 of its bytes, index of the turn within it."""

    path: str
    sha256: str
    turn: int = 0


_DATED = re.compile(r"_pruned|\d{1,4}(-\d\d){0,2}")  # a folder that says when, or that the memory is archived
_YEARS = ("1600", "2199")
UNKNOWN_YEAR = "unknown"


def source_of(path: str) -> str:
    """Return the name of the source of a memory by its file, relative to the profile: the folder, without its dates.

    memory/episodic/dreams/2024/05/07/evt-1.json is of "episodic/dreams", imports/whatsapp/messages.jsonl of
    "imports/whatsapp". A file that lies in no folder is a source of its own.
    """
    folders = path.split("/")[:-1]
    dated = next((place for place, name in enumerate(folders) if _DATED.fullmatch(name)), len(folders))
    return "/".join(folders[:dated]).removeprefix("memory/") or path


def year_of(timestamp: str) -> str:
    """Return the year that a memory's timestamp begins with; "unknown" where it has none that can be."""
    year = timestamp[:4]
    return year if year.isdecimal() and year.isascii() and _YEARS[0] <= year <= _YEARS[1] else UNKNOWN_YEAR


class Message(Record, frozen=True, gc=False):
    """One message of a conversation as it goes out to another tool. `train` says whether its tokens are learnt."""

    role: Literal["system", "user", "assistant"]
    content: str
    train: bool = False


class Family(Record, frozen=True, gc=False):
    """A model family's chat format: the texts put around a sample, in the order in which they stand.

    user_prefix + input + user_suffix + separator + assistant_prefix | output + assistant_suffix + eos_token

    `eos_token` is left out where `assistant_suffix` already holds it. `turn_separator` joins two exchanges.
    A system text stands between `system_prefix` and `system_suffix`: before the first turn ("turn"), or inside the
    first or the last user's turn behind its `user_prefix` ("first_user", "last_user"). `default_system` is what the
    published template puts there where none is given, `reply_lead` what it puts before the last reply alone and
    `document_end` what it puts behind the whole conversation.
    `bos_token` is added by the downstream tokenizer, never by us. `models` are names by which a base model is
    recognised, `control_tokens` what no memory may contain, `line_markers` what no line of one may begin with.
    """

    family: Name
    user_prefix: str
    assistant_prefix: str
    description: str = ""
    user_suffix: str = ""
    separator: str = ""
    assistant_suffix: str = ""
    eos_token: str = ""
    turn_separator: str = ""
    bos_token: str = ""
    system_prefix: str = ""
    system_suffix: str = ""
    system_place: Literal["turn", "first_user", "last_user"] = "turn"
    default_system: str = ""
    reply_lead: str = ""
    document_end: str = ""
    models: tuple[str, ...] = ()
    control_tokens: tuple[str, ...] = ()
    line_markers: tuple[str, ...] = ()
    source: str = ""
    notes: str = ""


_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Counts(msgspec.Struct, frozen=True, gc=False):
    samples: _Count
    memories: _Count
    memories_used: _Count


class _ReadAgain(msgspec.Struct, frozen=True, gc=False):
    """The keys of a summary that commands read, with their types; the rest is for the reader of the file."""

    username: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    family: str | UnsetType = UNSET
    mode: str | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    counts: _Counts | UnsetType = UNSET
    options: dict[str, str] | UnsetType = UNSET
    files: dict[Name, str] | UnsetType = UNSET
    encrypted: _Count | UnsetType = UNSET


MAKE_AGAIN = "the run is damaged; make it again: curate run --username U"


def family_of_run(summary: Mapping[str, Any]) -> Family | None:
    """Return the family of a run as it was when the run was made; None of a run that an older version made.

    Raises UsageError where it is not what was written.
    """
    own, digest = summary.get("family_definition"), summary.get("family_sha256")
    if own is None and digest is None:
        return None
    try:
        family = msgspec.convert(own, Family)
    except msgspec.ValidationError:
        family = None
    if family is None or digest != family_sha256(family) or family.family != summary.get("family"):
        raise UsageError(f"{SUMMARY}: family_definition is not what was written", MAKE_AGAIN)
    return family


def family_sha256(family: Family) -> str:
    """Return the sha256 of a family's definition."""
    return hashlib.sha256(msgspec.json.encode(family)).hexdigest()


def read_summary(folder: Path, needed: Collection[str] = ()) -> dict[str, Any]:
    """Return a run's summary. The keys `needed` are there, and each that a command may read has the type it should.

    Raises UsageError where the folder is no finished run, one of another format, or damaged.
    """
    path, shown = folder / SUMMARY, printable(str(folder / SUMMARY))
    try:
        summary = msgspec.json.decode(read_bytes(path))
    except OSError:
        raise UsageError(
            f"{printable(str(folder))} is no finished run: it has no {SUMMARY}",
            "make one with: curate run --username U",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{shown} is no JSON: {error}", MAKE_AGAIN) from None
    if not isinstance(summary, dict) or summary.get("format") != RUN_FORMAT:
        raise UsageError(f"{shown} is no summary of a run", f"expected the format {RUN_FORMAT!r}")
    if summary.get("version") != RUN_VERSION:
        raise UsageError(
            f"{shown}: run version {summary.get('version')!r}; this program reads version {RUN_VERSION}",
            "make the run again with this version: curate run --username U",
        )
    try:
        msgspec.convert(summary, _ReadAgain)
    except msgspec.ValidationError as error:
        raise UsageError(f"{shown}: {error}", MAKE_AGAIN) from None
    if missing := [key for key in needed if key not in summary]:
        raise UsageError(f"{shown}: {missing[0]!r} is missing", MAKE_AGAIN)
    return summary
