"""The files of etc/: one pydantic model each. A user's file in the home's etc/ replaces the shipped one of that name.

All mistakes of all files are reported at once, each with its file and line.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from curator.contract.chat_format import family_folders
from curator.contract.files import read_bytes
from curator.contract.finetune_config import FineTuneConfig
from curator.contract.homes import shipped_etc
from curator.contract.settings_file import ConfigFile, Share, etc_file, load_or_refuse, parse_settings, refuse
from curator.encryption.profile import Unlocked


class Limits(ConfigFile):
    """What is read at all."""

    max_file_bytes: int = Field(4_194_304, ge=1, description="larger files are dropped unread")
    memory_seconds: float = Field(10.0, gt=0, description="how long one memory may be worked on by a worker process")
    memory_megabytes: int = Field(1_000, ge=50, description="how much a process may grow at one memory or call")
    call_seconds: float = Field(
        60.0, gt=0, description="how long a plugin that is not built in may take to load, to register or to write a row"
    )


class CacheConfig(ConfigFile):
    """What a run keeps of its work for the next one, in the profile's out/cache/."""

    megabytes: int = Field(2_000, ge=0, description="the cache's size at most; 0: nothing is kept")
    from_memories: int = Field(1_000, ge=1, description="of fewer memories nothing is kept: to read them is quicker")


class PairingConfig(ConfigFile):
    """How memories become pairs."""

    outward_window_hours: float = Field(6.0, ge=0, description="how long after a thought the world may answer it")
    context: Literal["drop", "keep"] = Field("keep", description="an exchange that leans on what went before it")
    context_turns: int = Field(2, ge=1, description="exchanges of its session that such a one takes along")
    turns: int = Field(1, ge=1, description="exchanges in a sample at most; the reply of each is trained")
    burst_minutes: float = Field(5.0, ge=0, description="messages of one speaker no further apart are one turn")
    session_minutes: float = Field(60.0, gt=0, description="a longer silence begins a new session of a conversation")
    agent_talk: Literal["emulation", "agent"] = Field(
        "emulation", description="mode of an agent's exchanges that hold no tool call"
    )
    passage_words: int = Field(40, ge=5, description="words in a passage of a long entry, whole sentences apart")
    passage_sentences: int = Field(3, ge=1, description="sentences in such a passage")
    thought_words: int = Field(120, ge=5, description="words in a thought that the world answers")
    tool_input_characters: int = Field(400, ge=40, description="longer inputs of a tool are shortened item by item")
    tool_outcome_characters: int = Field(400, ge=40, description="a longer outcome of a tool is shortened item by item")
    sentence_language: str = Field(
        "auto",
        pattern="^(auto|[a-z]{2,3})$",
        description="whose abbreviations end no sentence; auto: each text's own",
    )
    questions: Literal["auto", "passage", "stock"] = Field(
        "auto",
        description="what one-sided text answers: a question made from it, or one of etc/prompts.json; "
        "auto: made from it, unless the home has questions of its own in etc/prompts.json",
    )
    question_words: Share = Field(
        0.25, description="share of a passage's words that its question may name; one word always may be"
    )
    stock_share: Share = Field(
        0.05, description="share of the passages, chosen by hash, that answer a stock question all the same"
    )
    prompt_share: Share = Field(
        0.02, description="share of a mode's samples that may answer one and the same stock question"
    )
    prompt_least: int = Field(20, ge=1, description="samples that may answer it in any case")


class ReplyConfig(ConfigFile):
    """How replies of the assistant are trimmed."""

    sentences: int = Field(3, ge=1, description="sentences that a trimmed reply keeps at most")
    words: int = Field(40, ge=5, description="words that it keeps at most, one whole sentence apart")
    long_share: Share = Field(0.075, description="share of the long replies that stay long, chosen by content hash")
    long_words: int = Field(300, ge=40, description="words of a long reply or passage at most")
    min_words: int = Field(2, ge=1, description="a reply of fewer words is dropped")
    cut_off_words: int = Field(
        20, ge=1, description="from so many words on, a reply that ends on a comma or in open code was cut off"
    )


class NearDuplicateConfig(ConfigFile):
    """Near-duplicates: word shingles and MinHash. In scripts that cannot be cut into words a character is a word."""

    threshold: Share = Field(0.7, description="Jaccard similarity of the word shingles from which on two are one")
    shingle_words: int = Field(2, ge=1, le=8, description="words in a shingle; where there are no blanks, characters")
    bands: int = Field(10, ge=1, le=64, description="more bands find more of the pairs just above the threshold")
    rows: Literal[3, 4] = Field(3, description="hashes in a band; bands x rows permutations in all")


class HoldoutConfig(ConfigFile):
    """The held-out split."""

    share: Share = Field(0.05, description="share of the set that is held out")
    by: Literal["random", "time"] = Field(
        "random", description="which conversations: drawn at random, or (time) the newest; undated ones are never those"
    )
    minimum: int = Field(20, ge=0, description="held-out samples at least")
    minimum_from: int = Field(400, ge=0, description="set size from which on the minimum holds")


class VoiceConfig(ConfigFile):
    """The filter `voice`: replies that are taken for the person's and are not like them."""

    at_least: Annotated[float, Field(ge=0, le=100)] | None = Field(
        None, description="score, from 0 (others) to 100 (the person), below which a reply is dropped; null: none is"
    )
    words: int = Field(20, ge=8, description="words of such a reply at least: fewer say little")


class PluginsConfig(ConfigFile):
    """Which plugins run."""

    home_plugins: bool = Field(False, description="load <home>/plugins/*.py")
    disabled: tuple[str, ...] = Field((), description="plugins, cleaners and filters that are left out, by name")
    order: tuple[str, ...] = Field(
        ("metadata", "type", "mapping"), description="who is asked for a mode; plugins not named here are asked first"
    )


class CurateConfig(ConfigFile):
    """etc/curate.json: how memories become a training set."""

    limits: Limits = Limits()
    cache: CacheConfig = CacheConfig()
    pairing: PairingConfig = PairingConfig()
    reply: ReplyConfig = ReplyConfig()
    near_duplicates: NearDuplicateConfig = NearDuplicateConfig()
    holdout: HoldoutConfig = HoldoutConfig()
    voice: VoiceConfig = VoiceConfig()
    plugins: PluginsConfig = PluginsConfig()
    cleaners: tuple[str, ...] = Field(
        ("leftovers", "whitespace", "fillers", "trim"), description="their order; others run after them"
    )
    filters: tuple[str, ...] = Field((), description="their order; others run after them")
    control_tokens: Literal["drop", "braces"] = Field(
        "drop", description="a text that holds a model's control token: dropped, or the token spelled {in braces}"
    )
    default_family: str = Field("qwen", description="family where neither --family nor --base-model is given")
    hybrid_limit: Share = Field(0.9, description="share of one mode from which on hybrid goes by type")
    links_out_of_home: Literal["refuse", "follow"] = Field(
        "refuse", description="a profile, or a folder of its memories, that is a link out of the home"
    )


class TypesConfig(ConfigFile):
    """etc/types.json: what each memory type is."""

    modes: dict[str, str] = Field(description="memory type -> mode")
    unknown: str = Field("emulation", description="mode of a type that is not listed; such types are reported")
    mapping: dict[str, str] = Field({}, description="the user's own mapping, by type or by tag:<tag>")
    outward: tuple[str, ...] = Field(description="types that are something the world sees")
    primary: tuple[str, ...] = Field(description="types taken whole")
    secondary: dict[str, Annotated[float, Field(ge=0)]] = Field(description="type -> percent of the primary count")
    notices: dict[str, Annotated[str, Field(min_length=1)]] = Field({}, description="name -> RE2 of bot notices")
    assistant_chats: Literal["own_turns", "conversation", "leave_out"] = Field(
        "own_turns",
        description="imported talks with an assistant: own_turns takes the person's long turns, each by itself; "
        "conversation takes them as talks, in which the person answers; leave_out takes none",
    )
    assistant_chat_words: int = Field(25, ge=1, description="words from which on a turn to an assistant is a long one")

    def named_modes(self) -> list[tuple[tuple[str, ...], str]]:
        """Return every mode that this file names, with the keys under which it stands."""
        listed = [(("modes", kind), mode) for kind, mode in self.modes.items()]
        mapped = [(("mapping", kind), mode) for kind, mode in self.mapping.items()]
        return [*listed, *mapped, (("unknown",), self.unknown)]

    def knows(self, memory_type: str, tags: tuple[str, ...]) -> bool:
        """Tell whether this file says what mode a memory of this type, or with one of these tags, has."""
        return memory_type in self.modes or any(
            name in self.mapping for name in (memory_type, *(f"tag:{tag}" for tag in tags))
        )


class SpeakersConfig(ConfigFile):
    """etc/speakers.json: names and words that tell who speaks. All languages are looked for; case does not matter."""

    users: dict[str, tuple[str, ...]] = Field(description="language -> labels of the user of an assistant")
    assistants: dict[str, tuple[str, ...]] = Field(description="names, or a language -> labels of assistants")
    placeholders: dict[str, tuple[str, ...]] = Field(
        {}, description="language -> what chat programs put in a message's place, whole messages"
    )


class FillersConfig(ConfigFile):
    """etc/fillers.json: per language, openers to take off a reply's first sentence and sentences to take out."""

    languages: dict[str, FillerLanguage] = Field(description="language -> its fillers; all languages are looked for")

    def covers(self, language: str) -> bool:
        """Tell whether this file lists any filler of a language (ISO 639-1)."""
        own = self.languages.get(language)
        return own is not None and any((own.openers, own.remarks, own.sentences, own.patterns))


class FillerLanguage(ConfigFile):
    """The fillers of one language. Plain phrases, matched without regard to case."""

    openers: tuple[str, ...] = Field(
        (), description="a yes before the answer: taken off where punctuation and a main clause follow"
    )
    remarks: tuple[str, ...] = Field(
        (), description="what is no answer at all: taken off where punctuation follows, whatever comes then"
    )
    sentences: tuple[str, ...] = Field(
        (), description="a sentence that is this phrase is taken out; with … at its end, one that begins so"
    )
    patterns: tuple[str, ...] = Field((), description="RE2 patterns taken off the start of a reply")


class ContextConfig(ConfigFile):
    """etc/context.json: per language, how to tell that a reply cannot stand without the turn before it."""

    languages: dict[str, ContextLanguage] = Field(description="language -> its phrases; all languages are looked for")


class ContextLanguage(ConfigFile):
    """Phrases of one language, in lower case."""

    replies: tuple[str, ...] = Field(
        (),
        description="a reply whose first clause it is leans on the turn before; with … at its end, any that begins so",
    )
    users: tuple[str, ...] = Field((), description="so does the answer to an utterance that begins so")
    acknowledgements: tuple[str, ...] = Field(
        (), description="an utterance of these words alone says nothing by itself"
    )
    closings: tuple[str, ...] = Field((), description="what one says to end a talk; it asks for nothing")


class PromptLanguage(ConfigFile):
    """The questions of one language; a mode or a memory type that has none takes the default of the mode."""

    dual: dict[str, tuple[str, ...]] = Field({}, description="memory type, or default -> questions put to oneself")
    emulation: dict[str, tuple[str, ...]] = Field({}, description="memory type, or default -> questions")
    agent: dict[str, tuple[str, ...]] = Field({}, description="the same; {tool} and {inputs} are filled in")
    modes: dict[str, dict[str, tuple[str, ...]]] = Field({}, description="the same for modes of other plugins")

    @field_validator("dual", "emulation", "agent")
    @classmethod
    def _no_empty_lists(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return no_empty_lists(value)


class PromptsConfig(ConfigFile):
    """etc/prompts.json: questions that one-sided memories answer, in the memory's language where it has them."""

    dual: dict[str, tuple[str, ...]] = Field(description="memory type, or default -> questions put to oneself")
    emulation: dict[str, tuple[str, ...]] = Field(description="memory type, or default -> questions")
    agent: dict[str, tuple[str, ...]] = Field(description="the same; {tool} and {inputs} are filled in")
    modes: dict[str, dict[str, tuple[str, ...]]] = Field({}, description="the same for modes of other plugins")
    languages: dict[str, PromptLanguage] = Field(
        {}, description="language (ISO 639-1) -> its questions; a language that is not here has those above"
    )

    @model_validator(mode="after")
    def _has_defaults(self) -> PromptsConfig:
        for name, lists in (("dual", self.dual), ("emulation", self.emulation), ("agent", self.agent)):
            if not lists.get("default"):
                raise ValueError(f"{name}: a list called 'default' with at least one question is needed")
        return self

    @field_validator("dual", "emulation", "agent")
    @classmethod
    def _no_empty_lists(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return no_empty_lists(value)

    def questions(self, mode: str, memory_type: str, language: str = "und") -> tuple[str, ...]:
        """Return the questions for a memory type in a mode, in the language given where it has any for that mode."""
        own = self.languages.get(language, _NO_QUESTIONS)
        # A plugin's mode without questions of its own is asked as emulation is, in the memory's language too.
        for lists in (_lists(own, mode), _lists(self, mode), own.emulation, self.emulation):
            if found := lists.get(memory_type) or lists.get("default"):
                return found
        return self.emulation["default"]


def no_empty_lists(value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the lists as they are. Raises ValueError that names those without a question, or with an empty one."""
    empty = [name for name, questions in value.items() if not questions or not all(q.strip() for q in questions)]
    if empty:
        raise ValueError(f"no questions, or an empty one, for {', '.join(empty)}")
    return value


_NO_QUESTIONS = PromptLanguage()


def _lists(questions: PromptLanguage | PromptsConfig, mode: str) -> dict[str, tuple[str, ...]]:
    """Return a mode's lists: of a plugin's mode, or of one of ours."""
    built_in = {"dual": questions.dual, "emulation": questions.emulation, "agent": questions.agent}
    return questions.modes.get(mode) or built_in.get(mode, {})


Kind = Literal["person", "place", "when", "activity", "thing"]
_SLOT = re.compile(r"\{([^{}]*)\}")


class QuestionTemplates(ConfigFile):
    """The questions of one language and one mode, with slots: {person} {place} {when} {activity} {thing}."""

    any: tuple[str, ...] = Field(description="for every memory")
    event: tuple[str, ...] = Field((), description="for memories that tell what happened, beside the others")

    @model_validator(mode="after")
    def _slots(self) -> QuestionTemplates:
        if not any(slots_of(template) == {"thing"} for template in self.any):
            raise ValueError("any: a question with the slot {thing} alone is needed")
        for template in (*self.any, *self.event):
            unknown = slots_of(template) - set(get_args(Kind))
            if unknown or not slots_of(template):
                raise ValueError(f"{template!r}: the slots are {{person}} {{place}} {{when}} {{activity}} {{thing}}")
        return self


class QuestionLanguage(ConfigFile):
    """How questions are made from passages in one language. Words are written apart by blanks."""

    blanks: bool = Field(True, description="blanks stand between its words")
    capitals: Literal["names", "nouns", "none"] = Field("none", description="what a capital inside a sentence tells")
    quotes: str = Field('""', min_length=2, max_length=2, description="marks around words taken from the text")
    inflected: bool = Field(False, description="names change their endings, so that they too stand in these marks")
    spaced_quotes: bool = Field(False, description="blanks stand inside these marks")
    least_letters: int = Field(4, ge=1, description="letters of a word that is asked about for want of better")
    stop: str = Field("", description="words that tell nothing of a passage's subject")
    titles: str = Field("", description="words before a name")
    before_person: str = Field("", description="words after which a name is a person's")
    before_place: str = Field("", description="words after which a name is a place's")
    articles: str = Field("", description="words after which a noun may stand")
    beginnings: str = Field("", description="particles that may stand at the beginning of a word that has a label")
    endings: str = Field("", description="particles that may stand at its end")
    mine: dict[str, str] = Field({}, description="my -> your; a label that has one counts only after such a word")
    people: dict[str, str] = Field({}, description="label of the slot {person} -> words")
    places: dict[str, str] = Field({}, description="label of the slot {place} -> words")
    times: dict[str, str] = Field({}, description="label of the slot {when} -> words")
    activities: dict[str, str] = Field({}, description="label of the slot {activity} -> words")
    weekdays: tuple[str, ...] = Field((), description="labels of {when}, from Monday, for the memory's own time")
    months: tuple[str, ...] = Field((), description="labels of {when}, from January, for the memory's own time")
    names: str = Field("", description="regular expression whose first group is a person's name")
    things: str = Field("", description="regular expression of words that can be asked about")
    dual: QuestionTemplates = Field(description="questions put to oneself")
    emulation: QuestionTemplates = Field(description="questions that another asks; other plugins' modes have them too")
    agent: QuestionTemplates = Field(description="demands for a report")

    @field_validator("names", "things")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return value


class QuestionsConfig(ConfigFile):
    """etc/questions.json: questions made from the passage that answers them."""

    events: tuple[str, ...] = Field(description="memory types that tell what happened")
    languages: dict[str, QuestionLanguage] = Field(description="language -> its questions; other: of any language")

    @field_validator("languages")
    @classmethod
    def _has_other(cls, value: dict[str, QuestionLanguage]) -> dict[str, QuestionLanguage]:
        if "other" not in value:
            raise ValueError("a language called 'other' is needed, for texts in none of those named")
        return value


def slots_of(template: str) -> frozenset[str]:
    """Return the names of a template's slots."""
    return frozenset(_SLOT.findall(template))


class Range(ConfigFile):
    """A target range, both ends included; None is open."""

    least: float | None = Field(None, description="lowest good value")
    most: float | None = Field(None, description="highest good value")


class TargetsConfig(ConfigFile):
    """etc/targets.json: what a good set looks like. Shares are in percent."""

    average_reply_words: Range
    short_replies: Range
    long_replies: Range
    fillers: Range
    modes: dict[str, Range] = Field(description="mode -> its share")
    person_replies: Range = Field(Range(least=50), description="share of the replies that are the person's own words")
    stock_questions: Range = Field(Range(most=30), description="share of the prompts that are of etc/prompts.json")
    short_words: int = Field(40, description="a reply of up to so many words is short")
    long_words: int = Field(100, description="a reply of more words is long")
    lora_samples: int = Field(1000, description="training samples that LoRA needs")
    full_samples: int = Field(5000, description="training samples that full fine-tuning needs")
    characters_per_token: float = Field(
        4.0, gt=0, description="by which tokens of English are estimated; other languages have figures of their own"
    )
    max_tokens: int = Field(2048, ge=1, description="a longer sample is reported: trainers cut or refuse it")


class ExportConfig(ConfigFile):
    """etc/export.json: the words that exports add, and what their dataset card says."""

    system: dict[str, str] = Field(description="mode -> its system message with --tags none")
    other_system: str = Field("Mode: {mode}.", description="that of a mode not named above")
    language: str = Field(
        "auto", pattern="^([a-z]{2,3}|auto)$", description="language on the dataset card; auto: those of the report"
    )
    licence: str = Field("other", min_length=1, description="licence of the set, for the dataset card")
    licence_note: str = Field("", description="what the card says of the licence")
    consent: str = Field("", description="who consented to what; empty: the card says that nobody did")

    def system_text(self, mode: str) -> str:
        """Return the system message of a mode."""
        return self.system.get(mode) or self.other_system.replace("{mode}", mode)


MODELS: dict[str, type[ConfigFile]] = {
    "curate": CurateConfig,
    "types": TypesConfig,
    "speakers": SpeakersConfig,
    "fillers": FillersConfig,
    "prompts": PromptsConfig,
    "questions": QuestionsConfig,
    "context": ContextConfig,
    "targets": TargetsConfig,
}


# Read for exports alone, so a mistake in them stops no run.
EXPORT_MODELS: dict[str, type[ConfigFile]] = {"fine-tune-config": FineTuneConfig, "export": ExportConfig}


@dataclass(frozen=True)
class Settings:
    """The whole configuration of a run. `files` maps each file's name to its sha256, `overridden` to its path.

    `unlocked` is the encrypted profile that is read, opened by its password; None for a plain one or without one.
    """

    curate: CurateConfig
    types: TypesConfig
    speakers: SpeakersConfig
    fillers: FillersConfig
    prompts: PromptsConfig
    questions: QuestionsConfig
    context: ContextConfig
    targets: TargetsConfig
    families: Path
    home_families: Path | None
    files: dict[str, str]
    overridden: dict[str, str]
    unlocked: Unlocked | None = None

    @property
    def asks_of_passages(self) -> bool:
        """Whether one-sided texts answer questions made from them."""
        wanted = self.curate.pairing.questions
        return wanted == "passage" or (wanted == "auto" and "etc/prompts.json" not in self.overridden)

    def path_of(self, name: str) -> Path:
        """Return the file of etc/ that was read as `name` ("types.json")."""
        return Path(self.overridden.get(f"etc/{name}", shipped_etc() / name))


def load_settings(home: Path | None) -> Settings:
    """Load every file of etc/: the home's own, else the shipped. Raises one UsageError that lists all mistakes."""
    shipped, own = shipped_etc(), home / "etc" if home else None
    problems: list[str] = []
    loaded: dict[str, Any] = {}
    hashes: dict[str, str] = {}
    overridden: dict[str, str] = {}
    for name, model in MODELS.items():
        path = shipped / f"{name}.json"
        if own and (own / f"{name}.json").exists() and (own / f"{name}.json").resolve() != path.resolve():
            path = own / f"{name}.json"
        try:
            raw = read_bytes(path)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
            continue
        hashes[f"etc/{name}.json"] = hashlib.sha256(raw).hexdigest()
        if path.parent == own and raw != (shipped / f"{name}.json").read_bytes():
            overridden[f"etc/{name}.json"] = str(path)
        loaded[name], wrong = parse_settings(path, raw, model)
        problems += wrong
    if problems:
        refuse(problems, "mend these lines, or take the file away to use the shipped one; then run: curate doctor")
    families, home_families = family_folders(home)
    return Settings(**loaded, families=families, home_families=home_families, files=hashes, overridden=overridden)


def load_export(home: Path | None) -> ExportConfig:
    """Return etc/export.json: the home's own, else the shipped. Raises UsageError that lists every mistake."""
    return load_or_refuse(etc_file(home, "export.json"), ExportConfig, "mend these lines")


FillersConfig.model_rebuild()
ContextConfig.model_rebuild()
