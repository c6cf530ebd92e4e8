"""Every extension point of the curator, and the small types that plugins give back.

A plugin is a module (or one file in `<home>/plugins/`) with functions marked `@hookimpl`; each hook is optional.
Arguments a plugin does not need may be left out of its signature. All records are frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pluggy

from curator.contract.modes import Tags
from curator.contract.records import Family
from curator.importing.importer import Importer as Importer
from curator.language.names import Names
from curator.records import Conversation, CuratedSample, Drop, MemoryEvent, Pair, Question, Shape, TextPart

if TYPE_CHECKING:
    from curator.config import Settings
    from curator.contract.chat_format import ChatFormat
    from curator.contract.finetune_config import Keys

PROJECT = "curator"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class FileReader:
    """How a source reads one file without the others, so that several processes share the work.

    `files(path, settings)` yields the name of each file, in order, and a Drop for what cannot be listed.
    `read(path, name, settings)` returns what one of them holds: memories, Drops, and a TextPart for each part of a text
    that was cut into several; the parts of all files are joined when all are read.
    """

    files: Callable[[Path, Settings], Iterator[str | Drop]]
    read: Callable[[Path, str, Settings], Sequence[MemoryEvent | Drop | TextPart]]


@dataclass(frozen=True)
class MemorySource:
    """A reader of memories. `accepts(path)` says whether it reads that profile folder or file; `read` yields events
    and, for what it cannot read, Drops of the stage "read", in an order that does not depend on the file system.

    The first that accepts a path reads it; one that is `beside` the others reads its part of it as well. Where there is
    `by_file`, a run reads by that, and what comes of it is the same.
    """

    name: str
    accepts: Callable[[Path], bool]
    read: Callable[[Path, Settings], Iterator[MemoryEvent | Drop]]
    beside: bool = False
    by_file: FileReader | None = None


class Pairing(Protocol):
    """What a mode's `pairs` is given: helpers that know the settings of the run and the memories around one."""

    @property
    def settings(self) -> Settings:
        """The settings of the run."""
        ...

    @property
    def owner_names(self) -> tuple[str, ...]:
        """Names that mean the person."""
        ...

    @property
    def names(self) -> Names:
        """Names by which speakers are known: the person's, their twin's, those of assistants."""
        ...

    @property
    def dual_direction(self) -> str:
        """Who thinks in a conversation: "thought-is-user" or "thought-is-assistant"."""
        ...

    @property
    def outward(self) -> Callable[[MemoryEvent], MemoryEvent | None]:
        """Gives the next event that the world saw, or None."""
        ...

    @property
    def before(self) -> Callable[[MemoryEvent], MemoryEvent | None]:
        """Gives the event before this one in the same conversation, or None."""
        ...

    @property
    def earlier(self) -> Callable[[MemoryEvent], Iterator[MemoryEvent | None]]:
        """Gives the memories before this one in the same session, the latest first; None and no more where one of
        them was turned down."""
        ...

    @property
    def on_drop(self) -> Callable[[str, str, int | str], None]:
        """Takes note of a turn that makes no pair: (reason, detail, turn)."""
        ...

    def shape(self, event: MemoryEvent) -> Shape:
        """Return the turns or the one-sided text of `event`."""
        ...

    def language(self, event: MemoryEvent) -> str:
        """Return the language of `event` as ISO 639-1 has it, "und" where its text is too short to tell."""
        ...

    def passages(self, text: str) -> list[str]:
        """Cut the person's own text into passages of reply length, each a slice of it."""
        ...

    def prompt(self, mode: str, memory_type: str, text: str, language: str = "und") -> str:
        """Return the question that `text` answers: one of etc/prompts.json, in `language` where it has any."""
        ...

    def question(self, mode: str, event: MemoryEvent, text: str) -> tuple[str, Question]:
        """Return the question that the passage `text` of `event` answers, made from it or one of etc/prompts.json."""
        ...

    def leans_on_context(self, user_text: str, reply: str) -> bool:
        """Tell whether the exchange makes no sense without the turn before it."""
        ...

    def only_acknowledges(self, text: str) -> bool:
        """Tell whether an utterance says nothing by itself ("Yes, that's right.")."""
        ...

    def asks_nothing(self, text: str) -> bool:
        """Tell whether an utterance only acknowledges, or ends the talk ("No, that's all, thanks.")."""
        ...


@dataclass(frozen=True)
class Mode:
    """A cognitive mode: its name, the two tags without brackets, and how a memory becomes pairs.

    `pairs(event, pairing)` yields Pairs; the helpers of `pairing` give turns, passages, prompts and the event that
    followed. Left out, conversations give their turns and one-sided memories answer a prompt.
    """

    name: str
    user_tag: str
    assistant_tag: str
    pairs: Callable[[MemoryEvent, Pairing], Iterable[Pair]] | None = None

    @property
    def tags(self) -> Tags:
        """What stands before the two texts of a sample."""
        return Tags.of(self.user_tag, self.assistant_tag)


@dataclass(frozen=True)
class Reject:
    """What a cleaner returns for a reply that it cannot mend: a reason code and a detail in words."""

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Cleaner:
    """A step of cleaning. `clean(reply, event)` returns the reply, changed or not, or a Reject.

    It sees replies of the assistant only: the person's own words and rendered tool calls never pass through it.
    """

    name: str
    clean: Callable[[str, MemoryEvent], str | Reject]


@dataclass(frozen=True)
class Filter:
    """A check that turns something down. `check` returns None or a reason code ([a-z0-9_]+), with a detail after
    ": " where there is one. `on` says what it looks at: a MemoryEvent before pairing, or a CuratedSample."""

    name: str
    check: Callable[[MemoryEvent], str | None] | Callable[[CuratedSample], str | None]
    on: Literal["memory", "sample"] = "sample"


@dataclass(frozen=True)
class ExportJob:
    """What an exporter may look at. `keys` are the hyperparameters by the names of etc/fine-tune-config.json; reading
    one counts as using it.

    `own_template` is True where no published tokenizer carries the family's template, so that `chat_template` (Jinja,
    the family's) has to go along. Rows and steps are known once the data is written: an exporter's `row` sees zeros.
    """

    method: Literal["lora", "full"]
    base_model: str
    family: Family
    chat_format: ChatFormat
    keys: Keys
    chat_template: str
    own_template: bool
    data: tuple[str, str]
    train_rows: int = 0
    holdout_rows: int = 0
    steps: int = 0


@dataclass(frozen=True)
class Recipe:
    """What goes beside the data: `files` by name (text), and the `commands` to paste, run in the export's folder.

    `unused` names each key of etc/fine-tune-config.json that the tool does not take, and why. `notes` are facts for
    the user; `warnings` are what the user should do something about, for this set with this configuration.
    """

    files: Mapping[str, str]
    commands: tuple[str, ...]
    unused: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackJob:
    """What an exporter of a persona pack may look at.

    `folder` is the name of the pack's folder, `person` what the person is called, `run` the run's name. `samples` are
    those of the run in its order, and may be gone through again; control tokens in them are spelled in braces.
    `consent` is what etc/export.json says of it, "" for nothing.
    """

    folder: str
    username: str
    person: str
    run: str
    samples: Iterable[CuratedSample]
    settings: Settings
    consent: str = ""


@dataclass(frozen=True)
class Pack:
    """A persona pack: `files` by name, text or bytes, and `first`, the one to open first.

    A line that rests on a sample names it by its id: sources.jsonl is made from that, with the sample's files from the
    run's lineage. `counts` are figures for export.json; `notes` and `warnings` as in a Recipe.
    """

    files: Mapping[str, str | bytes]
    first: str
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exporter:
    """A tool that takes the set elsewhere. Its `kind` says what is made for it.

    "sft": training data. `row(conversation, job)` returns one row of its data, JSON's own types; `recipe(job)` its
    configuration and commands. Every key of `job.keys` must be read there or be named in `unused`. "pack": a persona
    pack for a chat model that is not trained: `pack(job)` returns it, and the other fields are not looked at.

    `per_message` is True where a row can say of each message whether it is trained; else each trained reply gets a row
    of its own, in which it comes last. `template` tells who renders a row: the base model's "tokenizer", the "tool"'s
    own templates, or a "server". `ends` is what of a reply's end is trained: its end mark alone, or all that follows.
    """

    name: str
    title: str
    row: Callable[[Conversation, ExportJob], dict[str, Any]] | None = None
    recipe: Callable[[ExportJob], Recipe] | None = None
    per_message: bool = False
    methods: tuple[str, ...] = ("lora", "full")
    data: tuple[str, str] = ("train.jsonl", "validation.jsonl")
    template: Literal["tokenizer", "tool", "server"] = "tokenizer"
    ends: Literal["mark", "all"] = "all"
    kind: Literal["sft", "pack"] = "sft"
    pack: Callable[[PackJob], Pack] | None = None


class CuratorSpec:
    """The hooks. All are optional."""

    @hookspec
    def register_sources(self) -> list[MemorySource]:  # type: ignore[empty-body]
        """Return readers of memories; the first that accepts the path reads it, and those beside it their part."""

    @hookspec
    def register_modes(self) -> list[Mode]:  # type: ignore[empty-body]
        """Return cognitive modes; a name or a tag that another plugin has already given is an error."""

    @hookspec
    def map_mode(self, event: MemoryEvent, mode_from: str, settings: Settings, modes: tuple[str, ...]) -> str | None:
        """Return the name of the mode this event belongs to, or None for no opinion; the first answer wins.

        Plugins are asked in the order of `plugins.order` in etc/curate.json. `mode_from` is "metadata" or "type",
        `modes` are the names of all modes.
        """

    @hookspec
    def register_cleaners(self, settings: Settings) -> list[Cleaner]:  # type: ignore[empty-body]
        """Return cleaners of replies; they run in the order of `cleaners` in etc/curate.json, others after them."""

    @hookspec
    def register_filters(  # type: ignore[empty-body]
        self, settings: Settings, family: Family, tags: tuple[str, ...], control_tokens: tuple[str, ...]
    ) -> list[Filter]:
        """Return filters; `family` is the one the run is wrapped for, `tags` are the tags of all modes and
        `control_tokens` those of all families, so that a set is safe with another family too.

        They run in the order of `filters` in etc/curate.json, others after them; the first reason wins.
        """

    @hookspec
    def register_families(self, settings: Settings) -> list[Family]:  # type: ignore[empty-body]
        """Return model families. A file in the home's etc/schemas/ replaces a family of the same name."""

    @hookspec
    def register_importers(self) -> list[Importer]:  # type: ignore[empty-body]
        """Return readers of apps' exports; `curate import` asks them in the order of their plugins."""

    @hookspec
    def register_exporters(self, settings: Settings) -> list[Exporter]:  # type: ignore[empty-body]
        """Return exporters: each writes the set as one tool for fine-tuning takes it, or a persona pack."""
