"""The records that flow through a run, one declaration each; all are frozen.

    files --source--> MemoryEvent --pair--> Pair --clean--> Pair --screen--> CuratedSample --select--> CuratedSample
          --format--> FormattedSample --wrap--> SchemaSample --write--> dataset folder

What a stage turns down becomes a Drop. `msgspec.Struct` serves for speed: a run makes several records for each of
hundreds of thousands of passages. The JSON Schemas in `schemas/` are generated from this file.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

from curator.contract.records import Exchange, Family, Message, Record, Source

EXPORT_FORMAT = "persona-curator-export"
EXPORT_VERSION = 1
IMPORT_FORMAT = "persona-curator-import"
IMPORT_VERSION = 1
PEOPLE_FORMAT = "persona-curator-people"
PEOPLE_VERSION = 1


# What a prompt of ours is: one of etc/prompts.json, or made from the passage. "": it stood in the memory.
Question = Literal["", "stock", "passage"]

# Whose words a text is. "person": the one whose memories these are. "assistant": their digital twin, or any model.
Author = Literal["person", "other_human", "assistant", "tool"]
AUTHORS: Final[tuple[Author, ...]] = get_args(Author)
_WHOSE: dict[str, Author] = {
    "user": "person", "me": "person", "assistant": "assistant", "other": "other_human",
}  # fmt: skip


class Turn(Record, frozen=True, gc=False):
    """One utterance. `speaker`: "user", "assistant" (the person's digital twin), "me" or "other" (imported chats).

    `name` is the speaker's as the file has it, `time` in milliseconds since 1970-01-01 UTC (0 where the file gives a
    turn no time of its own), `id` the message's and `reply_to` the id of the message that it answers. `author` is
    given where the speaker alone would tell it wrongly: an interviewer who is a model, say.
    """

    speaker: Literal["user", "assistant", "me", "other"]
    text: str
    name: str = ""
    time: int = 0
    id: str = ""
    reply_to: str = ""
    author: Author | None = None

    @property
    def whose(self) -> Author:
        """Whose words these are."""
        return self.author or _WHOSE[self.speaker]


class TurnedDown(Record, frozen=True, gc=False):
    """A turn that no pair is made of: a reason code, a detail in words, and its number in the memory."""

    reason: str
    detail: str
    turn: int = 0


class Shape(Record, frozen=True, gc=False):
    """A memory's text: the `turns` of a conversation, or one-sided `text` and whose words that is.

    `truncated` is True where MetaHuman cut a text in mid-sentence, so that its broken last sentence was left out.
    `turned_down` are the turns that are left out: nobody's words, or words of which nothing tells whose they are.
    """

    turns: tuple[Turn, ...] = ()
    text: str = ""
    author: Author = "person"
    truncated: bool = False
    turned_down: tuple[TurnedDown, ...] = ()


class ToolCall(Record, frozen=True, gc=False):
    """A tool invocation; `inputs` and `outputs` are compact JSON texts, `success` None where the file does not say."""

    name: str
    inputs: str = "{}"
    outputs: str = ""
    success: bool | None = None
    error: str = ""
    instruction: str = ""


class MemoryEvent(Record, frozen=True, gc=False):
    """One memory as it was read.

    `key` is 16 hex digits of the path and the content hash, of an encrypted file those of the plain one; `id` is what
    the file says and may collide. `path` is relative to the profile, `sha256` that of the file's bytes (of the line's,
    in a JSONL file), `turn` the index within a file of several memories.
    `time` is in milliseconds since 1970-01-01 UTC.
    `notes` are codes of what had to be done to read it ("guessed_time", "no_zone", "odd_importance",
    "utf-16", "encrypted").
    `mode` is metadata.cognitiveMode as written, `session` the conversation's or session's id.
    `by_model`, `by_tool` and `by_program` hold, in words, what in the file says that MetaHuman's model wrote the text,
    that it is a skill's own record, or a notice of one of its programs; "" where nothing says so. `captured` is True
    where the person typed it in.
    `turned_down` are turns of `messages` that cannot be used, `chat_start` the time of an imported chat's first line.
    `parts` are the other files of a text that an ingestor cut, `rewrite` is True for a curated rewrite of the memory
    of the same id, `superseded` where that memory is in the profile too.
    """

    key: str
    id: str
    path: str
    sha256: str
    time: int
    type: str
    timestamp: str = ""
    content: str = ""
    response: str | None = None
    turns: tuple[Turn, ...] = ()
    tool: ToolCall | None = None
    mode: str = ""
    session: str = ""
    tags: tuple[str, ...] = ()
    turn: int = 0
    pruned: bool = False
    discard: bool = False
    multi_turn: bool = False
    long_output: bool = False
    priority: bool = False
    rejected: str = ""
    disliked: bool = False
    signal: int = 0
    target: str = ""
    notes: tuple[str, ...] = ()
    by_model: str = ""
    by_tool: str = ""
    by_program: str = ""
    captured: bool = False
    turned_down: tuple[TurnedDown, ...] = ()
    chat_start: int = 0
    parts: tuple[Source, ...] = ()
    rewrite: bool = False
    superseded: bool = False

    @property
    def sources(self) -> tuple[Source, ...]:
        """The file that the memory was read from, then the files of its other parts."""
        return (Source(self.path, self.sha256, self.turn), *self.parts)


class TextPart(Record, frozen=True, gc=False):
    """A memory that is part `number` of `total` of the text `name`; `glue` is what the cut took away."""

    event: MemoryEvent
    name: str
    number: int
    total: int
    glue: str


class Change(Record, frozen=True, gc=False):
    """One change made to a reply: which plugin, what it did in words, and the lengths before and after (characters)."""

    plugin: str
    note: str
    before: int
    after: int


class Pair(Record, frozen=True, gc=False):
    """What one memory (and for dual mode the event that followed) says and answers.

    `author` tells whose words the reply is: "person" (never changed), "assistant" or "other_human" (may be cleaned and
    trimmed) or "tool" (rendered by us). `prompted` is True where `user_text` is a question of
    ours, and `question` tells which kind, `thought` where it is a one-sided thought and the reply comes from the event
    that followed it, `flipped` where --dual-direction turned a conversation round. `events` are the keys of the other
    memories in it. `follows` is True where it goes on from the exchange before it, or from the memory before it where
    it is its memory's first: with --turns such pairs become one sample.
    """

    user_text: str
    assistant_text: str
    author: Author = "assistant"
    turn: int = 0
    prompted: bool = False
    question: Question = ""
    thought: bool = False
    flipped: bool = False
    context: tuple[Exchange, ...] = ()
    changes: tuple[Change, ...] = ()
    events: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    follows: bool = False


class SampleMetadata(Record, frozen=True, gc=False):
    """What a sample carries beside its two texts; names as MetaHuman OS has them where it has them.

    `prompted` is True where the prompt is a question of ours, not the memory's: `question` tells which kind.
    `language` is the reply's, as ISO 639-1 has it; "und" where it cannot be told.
    `multi_turn` is True where replies of the context are trained too.
    """

    sample_id: str
    original_id: str
    source_type: str
    timestamp: str
    mode_source: str
    reply_author: Author
    sources: tuple[Source, ...]
    split: Literal["train", "holdout"] = "train"
    multi_turn: bool = False
    long_output: bool = False
    pair_flipped: bool = False
    prompted: bool = False
    question: Question = ""
    thought: bool = False
    language: str = "und"


class CuratedSample(Record, frozen=True, gc=False):
    """A cleaned and screened pair in its mode, untagged. `context` holds earlier exchanges, oldest first."""

    mode: str
    user_text: str
    assistant_text: str
    metadata: SampleMetadata
    context: tuple[Exchange, ...] = ()


class FormattedSample(Record, frozen=True, gc=False):
    """A curated sample with its mode's tags: `input` "<thought>: ..." and `output` "<world>: ..."."""

    mode: str
    input: str
    output: str
    metadata: SampleMetadata
    context: tuple[Exchange, ...] = ()


class SchemaSample(Record, frozen=True, gc=False):
    """A formatted sample wrapped for a model family; `raw_input` and `raw_output` are the formatted texts."""

    mode: str
    input: str
    output: str
    raw_input: str
    raw_output: str
    schema_family: str
    metadata: SampleMetadata
    context: tuple[Exchange, ...] = ()


class DatasetLine(Record, frozen=True, gc=False):
    """One line of fine_tune_dataset.jsonl or fine_tune_holdout.jsonl: `input` + `output` is the wrapped text."""

    input: str
    output: str


class LineageLine(Record, frozen=True, gc=False):
    """For one dataset line (`file`, `line` counted from 1): where its texts came from and how the reply was changed."""

    file: str
    line: int
    sample_id: str
    mode: str
    mode_source: str
    original_id: str
    events: tuple[str, ...]
    sources: tuple[Source, ...]
    changes: tuple[Change, ...] = ()


class Conversation(Record, frozen=True, gc=False):
    """A sample as messages: the common form of all exports. An optional system message comes first, then user and
    assistant strictly in turn; the last message is an assistant's and is trained."""

    sample_id: str
    mode: str
    split: Literal["train", "holdout"]
    messages: tuple[Message, ...]


class ImportedMessage(Record, frozen=True, gc=False, omit_defaults=False):
    """One line of an import's messages.jsonl: a message as an app's export has it.

    `id` is the export's own, else a hash; `conversation` is its name as shown, `conversation_id` the export's own ("":
    the name). `time` is UTC, ISO 8601, None where none is known; `time_source` tells how: "exact", "wall" (a clock with
    the zone that was given), "wall_as_utc" (without one), "day" (the day alone, `day` then names it), "conversation"
    (that of the whole conversation), "" for none. `is_owner` is None only until it is settled who the person is.
    `kind`: "message"; "post" (said to nobody by name), "journal", "mail"; "assistant_chat" (a talk with a model),
    "role_play"; "alternative" (an answer that was thrown away or chosen against, with `rating` 1 or -1 where it was
    rated; `reply_to` names what it answers). `quote` is the text that it quotes, `prompt` what it answers that is
    nobody's words, `attachments` how many files came with it, `title` a name of the conversation beside the one that
    tells it apart.
    """

    id: str
    conversation: str
    time: str | None
    sender: str
    is_owner: bool | None
    text: str
    time_source: str = "exact"
    kind: str = "message"
    reply_to: str = ""
    edited: bool = False
    attachments: int = 0
    conversation_id: str = ""
    title: str = ""
    sender_id: str = ""
    day: str = ""
    quote: str = ""
    prompt: str = ""
    rating: int = 0


class Skip(Record, frozen=True, gc=False, omit_defaults=False):
    """One line of an import's skipped.jsonl: what gives no message; where, why (a code), and how many of them."""

    where: str
    reason: str
    detail: str = ""
    count: int = 1


class SenderCount(Record, frozen=True, gc=False, omit_defaults=False):
    """Somebody of an import: the name as shown, the account ("" where there is none), messages, conversations."""

    name: str
    account: str
    messages: int
    conversations: int
    me: bool


class ImportSummary(Record, frozen=True, gc=False, omit_defaults=False):
    """import.json, written last: without it there is no import.

    `inputs` are the sha256 of the files that were read, `counts` the numbers of messages (`owner_messages` of the
    person, `alternatives` beside them) and conversations, `skipped` those of each reason; `first` and `last` bound the
    times. `owners` are the names that are the person's, `owner_evidence` says by what; `senders` is everybody. `files`
    are the sha256 of the files beside it.
    """

    format: str
    version: int
    created: str
    curator_version: str
    importer: str
    label: str
    inputs: dict[str, str]
    options: dict[str, str]
    counts: dict[str, int]
    skipped: dict[str, int]
    first: str
    last: str
    owners: tuple[str, ...]
    senders: tuple[SenderCount, ...]
    owner_evidence: str
    notes: tuple[str, ...]
    files: dict[str, str]


class Person(Record, frozen=True, gc=False, omit_defaults=False):
    """One human of people.json: the name to show, the names under which the exports know them, whether it is the
    person whose memories these are."""

    name: str
    handles: tuple[str, ...]
    me: bool = False


class People(Record, frozen=True, gc=False, omit_defaults=False):
    """people.json of a profile: which names are one human. Written by `curate people`; nothing is guessed."""

    format: str
    version: int
    people: tuple[Person, ...]


class Drop(Record, frozen=True, gc=False):
    """Something turned down: the event keys, the stage, a reason code, and a detail in words.

    `path` is the file's (printable form), `memory_id` the id it claims, `sample_id` the pair's where one was formed.
    """

    event_ids: tuple[str, ...]
    stage: Literal["read", "event", "pair", "clean", "screen", "select"]
    reason: str
    detail: str = ""
    path: str = ""
    memory_id: str = ""
    sample_id: str = ""


class ExportIndex(Record, frozen=True, gc=False):
    """One line of an export's index.jsonl: which sample stands in which line (from 1) of which file."""

    file: str
    line: int
    sample_id: str
    mode: str


class PackSource(Record, frozen=True, gc=False):
    """One line of a persona pack's sources.jsonl: a sample that the pack quotes or names, the files that it came from,
    and for each file of the pack the lines (from 1) on which its id stands."""

    sample_id: str
    sources: tuple[Source, ...]
    lines: dict[str, tuple[int, ...]]


class ExportSummary(Record, frozen=True, gc=False, omit_defaults=False):
    """export.json, written last: without it there is no export. The only file of an export that carries the clock.

    `keys` are the hyperparameters that the tool was given, by MetaHuman's names, `unused` those it was not, and why.
    `run_sha256` is that of the run's run-summary.json. A persona pack trains nothing: its `method`, `base_model` and
    `family` are "". `warnings` are what the user should do something about, `notes`
    facts beside.
    """

    format: str
    version: int
    created: str
    curator_version: str
    tool: str
    method: str
    base_model: str
    family: str
    tags: str
    username: str
    run: str
    run_sha256: str
    counts: dict[str, int]
    keys: msgspec.Raw
    unused: dict[str, str]
    notes: tuple[str, ...]
    commands: tuple[str, ...]
    files: dict[str, str]
    warnings: tuple[str, ...] = ()


class RunSummary(Record, frozen=True, gc=False, omit_defaults=False):
    """run-summary.json, written last: without it there is no run. The only file of a run that carries the clock.

    `metrics` are the values of the report's checks, `config` is etc/curate.json as it was resolved for this run.
    `modes` are the modes of the samples, each with its two tags without brackets. `command` makes the same set again,
    word by word. `encrypted` counts the memories that were read from encrypted files: what the run holds of them is
    plain. `family_definition` is the family as it was: its file may have changed since, or stand in no home. Its
    sha256 stands beside it. `number` counts the runs of the folder that it lies in: the latest has the highest,
    whatever the clock said.
    """

    format: str
    version: int
    created: str
    username: str
    label: str
    curator_version: str
    seed: int
    family: str
    base_model: str
    mode: str
    dual_direction: str
    counts: dict[str, int]
    metrics: dict[str, float]
    modes: dict[str, list[str]]
    config: msgspec.Raw
    options: dict[str, str]
    command: tuple[str, ...]
    plugins: dict[str, str]
    config_sha256: dict[str, str]
    files: dict[str, str]
    family_definition: Family
    family_sha256: str
    encrypted: int = 0
    number: int = 0
