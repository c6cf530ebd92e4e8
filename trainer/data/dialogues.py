"""Dialogues to fine-tune on: a curated run, the seeds' conversations, or {"input","output"} lines; then as tokens.

files --read--> Dialogue --template--> text --tokenizer--> TokenisedExample (ids and the weight of each as a target)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from curator.contract.cli_frame import command_line
from curator.contract.dialogue_files import OddMessage, Row, Turn, read_dialogue_file
from curator.contract.errors import JobError, UsageError, counted
from curator.contract.files import read_json, sha256_of
from curator.contract.homes import find_profile, latest_run
from curator.contract.modes import untag
from curator.contract.records import MAKE_AGAIN, SUMMARY, WRAPPED, Message, read_summary, source_of, year_of
from curator.contract.secret_scan import secrets_of
from curator.contract.special_tokens import foreign_token
from trainer.data.batches import TokenisedExample
from trainer.data.documents import held_out
from trainer.model.prompt_template import Exchange, Template
from trainer.model.tokenizer import BOS, Tokenizer

_SHORTEST_PROMPT = 8  # words that must remain of a long prompt after its front is cut
# A word with the blanks behind it. Of a word without end, as a script without blanks has, two letters count as a word.
_WORD = re.compile(r"\S{1,24}(?!\S)\s*|\S\S?|\s+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_SHOWN = 3  # odd rows that are named
REPLY_SHINGLE = 8  # dialogues are short: twelve tokens in a row in common (8 + window - 1) tie two of them together


@dataclass(frozen=True)
class Dialogue:
    """One prompt and its reply, with the exchanges before it. The texts have no template and no mode tags.

    Of a run, `source`, `type` and `year` say which memory it comes from, as `curate run --exclude` names them, and
    `question` where the prompt is one of ours, which kind.
    """

    name: str
    prompt: str
    reply: str
    history: tuple[Exchange, ...] = ()
    mode: str | None = None
    split: Literal["train", "holdout", ""] = ""
    conversation: str = ""
    source: str = ""
    type: str = ""
    year: str = ""
    question: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """Its own two texts, and those of the exchanges before it."""
        return (self.prompt, self.reply, *(text for exchange in self.history for text in exchange))


@dataclass
class Dataset:
    """Dialogues of one source."""

    source: Path
    dialogues: list[Dialogue]
    tags: dict[str, list[str]] = field(default_factory=dict)  # mode -> tags of its prompts and replies
    about: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def run(self) -> Path | None:
        """Return the folder of the run that they come from, None for a file."""
        return self.source if "run" in self.about else None


@dataclass
class Samples:
    """Dialogues as tokens, split; `left_out` names those that do not fit the context, `shortened` counts those cut."""

    train: list[TokenisedExample]
    holdout: list[TokenisedExample]
    train_dialogues: list[Dialogue]
    holdout_dialogues: list[Dialogue]
    shortened: int
    left_out: list[str]
    forgotten: int = 0  # of the shortened, those that lost earlier exchanges alone
    crowded: int = 0  # of those left out, those whose reply fits, but leaves no room for the prompt

    def counts(self) -> dict[str, int]:
        """Return the counts that trainer.json keeps."""
        return {
            "samples": len(self.train), "samples_held_out": len(self.holdout), "prompts_shortened": self.shortened,
            "samples_left_out": len(self.left_out), "tokens": sum(len(sample.ids) for sample in self.train),
            "tokens_trained": sum(sum(weight > 0 for weight in sample.weights) for sample in self.train),
        }  # fmt: skip


# --- reading -------------------------------------------------------------------------------------------------------


def read_dialogues(
    home: Path | None, profile: str | None, run: Path | None, data: Path | None, template: Template
) -> Dataset:
    """Read the dialogues of a profile's latest run, of a run's folder, or of a JSONL file.

    Raises UsageError where nothing is named, or what is named cannot be read; JobError where it is empty.
    """
    if profile is not None:
        if home is None:
            raise UsageError("no home found for --profile", "name one with --home DIR")
        return _without_turns(read_run(latest_run(find_profile(home, profile, "--profile"))), template)
    if run is not None:
        return _without_turns(read_run(run), template)
    if data is None:
        raise UsageError("what to train on?", "add --profile P, --run DIR or --data FILE")
    return read_file(data, template)


def read_run(folder: Path) -> Dataset:
    """Read a curated run: format and version first, then the untagged text of every sample.

    Raises UsageError where the folder is no whole run of this version, JobError where it has no sample.
    """
    summary = read_summary(folder)
    path = folder / WRAPPED
    if not path.is_file():
        raise UsageError(f"{folder}: {WRAPPED} is missing", MAKE_AGAIN)
    files = summary.get("files")
    recorded = files.get(WRAPPED) if isinstance(files, dict) else None
    if recorded and sha256_of(path) != recorded:
        raise UsageError(
            f"{path} is not the file that {SUMMARY} describes", "make the run again: curate run --username U"
        )
    rows = _whole_array(path)
    tags: dict[str, list[str]] = {}
    dialogues = []
    for number, row in enumerate(rows, 1):
        try:
            dialogues += _of_run(row, tags)
        except (KeyError, TypeError, AttributeError):
            raise UsageError(f"{path}: sample {number} is not what a run holds", MAKE_AGAIN) from None
    if not dialogues:
        raise JobError(f"{folder} holds no sample", f"see why: {command_line('curate', 'report', folder)}")
    about = {"run": folder.name, "run_day": folder.resolve().parent.name, "samples_sha256": recorded or sha256_of(path),
             "username": summary.get("username", "")}  # fmt: skip
    return Dataset(folder, dialogues, tags, about)


def _without_turns(dataset: Dataset, template: Template) -> Dataset:
    """Return a run without the samples in which a line begins like a turn of the template.

    The run may have been made for a family whose turns begin otherwise.

    Raises JobError where there is no other sample.
    """
    found = [(one, next(filter(None, map(template.turn_mark, one.texts)), "")) for one in dataset.dialogues]
    if not any(mark for _, mark in found):
        return dataset
    kept = [one for one, mark in found if not mark]
    names = [f"{one.name} ({mark.strip()})" for one, mark in found if mark]
    left_out = counted(len(names), "sample left out: a line of it begins", "samples left out: a line of each begins")
    more = " ..." if len(names) > _SHOWN else ""
    note = f"{left_out} like a turn of this model's prompts: {', '.join(names[:_SHOWN])}{more}"
    if not kept:
        raise JobError(f"{dataset.source}: {note}", "make the run for this model: curate run --family llisa")
    return replace(dataset, dialogues=kept, notes=[*dataset.notes, note])


def _whole_array(path: Path) -> list[Any]:
    """Return the rows of a file of the run. Raises UsageError where it is no array."""
    try:
        rows = read_json(path, 4 << 30)
    except UsageError as error:
        raise UsageError(error.what, MAKE_AGAIN) from None
    if not isinstance(rows, list):
        raise UsageError(f"{path}: expected an array of samples", MAKE_AGAIN)
    return rows


def _of_run(row: dict[str, Any], tags: dict[str, list[str]]) -> list[Dialogue]:
    """Return a dialogue for each reply of a sample that is trained, with the exchanges before it. The last is."""
    mode = row["mode"]
    if not isinstance(mode, str):
        raise TypeError(f"mode: {mode!r}")
    user_tag, prompt = untag(row["raw_input"])
    assistant_tag, reply = untag(row["raw_output"])
    tags.setdefault(mode, [user_tag, assistant_tag])
    context = row.get("context") or ()
    history = tuple((untag(exchange["user_text"])[1], untag(exchange["assistant_text"])[1]) for exchange in context)
    meta = row["metadata"]
    split: Literal["train", "holdout"] = "holdout" if meta.get("split") == "holdout" else "train"
    trained = [exchange.get("trained", False) for exchange in context]
    if meta.get("multi_turn") and not any(trained):  # older runs mark a conversation as a whole
        trained = [True] * len(context)
    name = str(meta["sample_id"])
    last = Dialogue(name, prompt, reply, history, mode, split, conversation=name, **_origin(meta))
    earlier = [
        replace(last, name=f"{name}, reply {place + 1}", prompt=said, reply=answered, history=history[:place])
        for place, (said, answered) in enumerate(history)
        if trained[place]
    ]
    return [*earlier, last]


def _origin(meta: dict[str, Any]) -> dict[str, str]:
    """Return which memory a sample comes from, by the fields of a Dialogue."""
    files = meta.get("sources") or [{"path": ""}]
    return {
        "source": source_of(files[0]["path"]), "type": str(meta.get("source_type", "")),
        "year": year_of(str(meta.get("timestamp", ""))), "question": str(meta.get("question", "")),
    }  # fmt: skip


def read_file(path: Path, template: Template) -> Dataset:
    """Read a file of dialogues in any shape of `dialogue_files`; rows and replies that are odd are left out and named.

    Raises UsageError with the line of the first odd one where nothing else is left, JobError where there is nothing.
    """
    out, systems = Dataset(path, []), 0
    left = _LeftOut()
    for row in read_dialogue_file(path):
        if isinstance(row, UsageError):
            left.odd.append(row)
            continue
        turns: Sequence[Turn] = _unwrapped(row.messages, template) if row.is_pair else row.messages
        found = _of_conversation(turns, row, template, left)
        out.dialogues += [replace(one, name=row.name) for one in found] if row.is_pair and len(turns) == 2 else found
        systems += sum(turn.role == "system" for turn in turns) if found else 0
    if not out.dialogues and left.odd:
        more = f" ({counted(len(left.odd) - 1, 'more row or reply', 'more rows or replies')} left out too)"
        raise UsageError(left.odd[0].what + more * (len(left.odd) > 1), left.odd[0].next_step)
    if left.untrained and not out.dialogues:
        raise UsageError(f"{path}: every reply has the weight 0", "give those that are to be trained the weight 1")
    if not out.dialogues:
        raise JobError(f"{path} holds no dialogue", 'expected {"input": ..., "output": ...} or a conversation a line')
    out.notes += left.notes()
    if systems:
        them = "it" if systems == 1 else "them"
        out.notes.append(f"{counted(systems, 'system message')} left out: the model's template has no place for {them}")
    out.about = {"file": path.name, "sha256": sha256_of(path)}
    return out


@dataclass
class _LeftOut:
    """What of a file is not trained: rows and replies that are odd, prompts without a reply, replies of no weight."""

    odd: list[UsageError] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    untrained: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Return a line for each kind, with its number and where the first of it are."""
        whats = [error.what for error in self.odd]
        return [
            *_named(whats, "; ", "row or reply left out", "rows or replies left out"),
            *_named(self.unanswered, ", ", "prompt without a reply left out", "prompts without a reply left out"),
            *_named(self.untrained, ", ", "reply of weight 0 not trained", "replies of weight 0 not trained"),
        ]


def _named(places: list[str], between: str, one: str, many: str) -> list[str]:
    more = f"{between}..." if len(places) > _SHOWN else ""
    return [f"{counted(len(places), one, many)}: {between.join(places[:_SHOWN])}{more}"] if places else []


@dataclass
class _Said:
    """An exchange as it is read: what is asked, what is answered, and what is wrong with any of it."""

    asked: list[str] = field(default_factory=list)
    answered: list[Message] = field(default_factory=list)
    odd: UsageError | None = None
    over: bool = False  # something was answered: what is asked next begins another

    @property
    def prompt(self) -> str:
        return "\n".join(self.asked)

    @property
    def reply(self) -> str:
        return "\n".join([one.content for one in self.answered if one.content.strip()]).strip()


def _exchanges(turns: Sequence[Turn]) -> list[_Said]:
    """Return the exchanges of a conversation: several prompts in a row are one, and so are several replies."""
    found = [_Said()]
    for turn in turns:
        if turn.role == "system":
            continue
        if turn.role == "user" and found[-1].over:
            found.append(_Said())
        said = found[-1]
        said.over = said.over or turn.role != "user"
        if isinstance(turn, OddMessage):
            said.odd = said.odd or turn.why
        elif turn.role == "user":
            said.asked.append(turn.content)
        else:
            said.answered.append(turn)
    return found


def _of_conversation(turns: Sequence[Turn], row: Row, template: Template, left: _LeftOut) -> list[Dialogue]:
    """Return a dialogue for each reply that is trained, with the exchanges before it; add what is left out to `left`.

    An exchange that is odd is left out of what comes before the later ones, too.
    """
    history: list[Exchange] = []
    dialogues: list[Dialogue] = []
    before = len(left.odd), len(left.untrained)
    said = _exchanges(turns)
    for one in said:
        if not one.over and not one.odd:
            continue
        wrong = one.odd or _wrong(one, row.where, template)
        if wrong:
            left.odd.append(wrong)
            continue
        if all(message.train for message in one.answered):
            name = f"{row.name}, reply {len(dialogues) + 1}"
            dialogues.append(Dialogue(name, one.prompt, one.reply, tuple(history), conversation=row.name))
        elif not row.is_pair or one is said[-1]:  # what stands before a wrapped pair is its context
            left.untrained.append(row.where)
        history.append((one.prompt, one.reply))
    if not dialogues and before == (len(left.odd), len(left.untrained)):
        expected = "expected a message of role 'assistant'"
        left.odd.append(UsageError(f"{row.where}: the conversation has no reply to train on", expected))
    elif said[-1].asked and not said[-1].over and not said[-1].odd:
        left.unanswered.append(row.where)
    return dialogues


def _wrong(said: _Said, where: str, template: Template) -> UsageError | None:
    """Say why a reply cannot be trained; None where it can."""
    if not said.asked:
        return UsageError(f"{where}: a reply stands before any prompt", "begin with a message of role 'user'")
    if not said.reply:
        return UsageError(f"{where}: the reply is empty, so no token would be trained", "take it out")
    if not said.prompt.strip():
        return UsageError(f"{where}: the prompt is empty", "a reply is trained as the answer to something")
    if control := _CONTROL.search(said.prompt + said.reply):
        return UsageError(f"{where}: a text holds the control character U+{ord(control[0]):04X}", "take it out")
    if token := foreign_token(f"{said.prompt}\n{said.reply}"):
        return UsageError(
            f"{where} is wrapped for another model: it holds {token!r}",
            "train on the run itself (--run DIR or --profile P), which has the text without a template",
        )
    if mark := template.turn_mark(said.prompt) or template.turn_mark(said.reply):
        return UsageError(
            f"{where}: a text holds {mark!r}, with which this model's own turns begin", "write it in other words"
        )
    return None


def _unwrapped(turns: tuple[Turn, ...], template: Template) -> Sequence[Turn]:
    """Remove this model's own template from a pair that has it already, with its earlier exchanges: we add it, once."""
    texts = [turn.content for turn in turns if isinstance(turn, Message)]
    before, after = template.prompt.split("{input}")
    if len(texts) != len(turns) or not template.is_wrapped(texts[0]) or not texts[0].startswith(before):
        return turns
    prompt = texts[0].rstrip()[len(before) :].removesuffix(after.strip()).rstrip("\n")
    if not prompt:
        return turns
    *earlier, last = prompt.split(template.between + before)
    pairs = [part.partition(after)[::2] for part in earlier]
    train = [turn.train for turn in turns if isinstance(turn, Message)][1]
    messages = [one for asked, answered in pairs for one in (Message("user", asked), Message("assistant", answered))]
    return (*messages, Message("user", last), Message("assistant", texts[1], train))


def without_secrets(dataset: Dataset) -> tuple[Dataset, list[str]]:
    """Return a dataset without the samples that hold a secret, and a note that names them.

    Raises UsageError where every sample holds one.
    """
    kinds: dict[str, tuple[str, ...]] = {}  # an exchange stands before every later one of its conversation
    checked = [(dialogue, _secret_in(dialogue, kinds)) for dialogue in dataset.dialogues]
    bad = [f"{dialogue.name}: {kind}" for dialogue, kind in checked if kind]
    if not bad:
        return dataset, []
    kept = [dialogue for dialogue, kind in checked if not kind]
    if not kept:
        raise UsageError(
            f"{dataset.source}: every sample holds a secret ({bad[0]} ...)", "--keep-secrets trains on them"
        )
    more = " ..." if len(bad) > 3 else ""
    left_out = counted(len(bad), "sample left out: it holds", "samples left out: they hold")
    note = f"{left_out} a secret ({', '.join(bad[:3])}{more}); --keep-secrets trains on them"
    return replace(dataset, dialogues=kept), [note]


def _secret_in(dialogue: Dialogue, kinds: dict[str, tuple[str, ...]]) -> str | None:
    found: dict[str, None] = {}
    for text in dialogue.texts:
        if text not in kinds:
            kinds[text] = secrets_of([text])
        found |= dict.fromkeys(kinds[text])
    return ", ".join(found) or None


# --- tokens --------------------------------------------------------------------------------------------------------


Cut = Literal["", "exchanges", "prompt"]  # what a sample lost to fit: nothing, earlier exchanges, words of the prompt


def with_tags(template: Template, dataset: Dataset, setting: str) -> Template:
    """Return the template a model of this dataset has: with mode tags where asked, or where a run has several modes."""
    tags = {mode: pair for mode, pair in dataset.tags.items() if all(pair)}
    keep = setting == "keep" or (setting == "auto" and len(tags) > 1)
    return template.model_copy(update={"tags": tags if keep else {}})


def encode(
    dialogue: Dialogue, template: Template, tokenizer: Tokenizer, context: int
) -> tuple[TokenisedExample | None, Cut]:
    """Return (ids with weights, what was cut to fit the context), or (None, "") where it does not fit.

    Only the text before the reply is cut: the oldest exchanges first, then whole words from the front of the prompt.
    Raises UsageError where no token of the reply would be trained.
    """
    if not dialogue.reply.strip():
        raise UsageError(f"{dialogue.name}: the reply is empty, so no token would be trained", "take the sample out")
    reply = [*tokenizer.encode_after(template.after_prompt(dialogue.reply, dialogue.mode)), BOS]
    room = context + 1 - len(reply)

    def encoded(prompt: str, exchanges: int) -> list[int]:
        history = dialogue.history[len(dialogue.history) - exchanges :]
        return tokenizer.encode(template.wrap(prompt, history, dialogue.mode))

    ids, fitting = encoded(dialogue.prompt, 0), 0
    too_many, step = len(dialogue.history) + 1, 1
    while len(ids) <= room and too_many - fitting > 1:
        # From the newest exchange back, in strides that double until there are too many, then by halves: what lies
        # further back than the context is never encoded, however long the conversation is.
        tried = min(fitting + step, (fitting + too_many) // 2) if too_many <= len(dialogue.history) else fitting + step
        tried = min(tried, len(dialogue.history))
        more = encoded(dialogue.prompt, tried)
        if len(more) <= room:
            ids, fitting, step = more, tried, 2 * step
        else:
            too_many = tried
    cut: Cut = "exchanges" if fitting < len(dialogue.history) else ""
    if len(ids) > room:
        words, cut = _WORD.findall(dialogue.prompt), "prompt"
        while len(ids) > room:
            # By the average tokens of a word, cut half of what is too much: rather one more round than one word.
            over = len(ids) - room
            keep = len(words) - max(1, over * len(words) // (2 * len(ids)))
            if room <= 0 or keep < _SHORTEST_PROMPT:
                return None, ""
            words = words[-keep:]
            ids = encoded("".join(words), 0)
    weights = (*[0.0] * len(ids), *[1.0] * len(reply))
    return TokenisedExample(dialogue.name, (*ids, *reply), weights), cut


def emphasised(
    sample: TokenisedExample, dialogue: Dialogue, template: Template, tokenizer: Tokenizer, prompt_weight: float,
    end_weight: float,
) -> TokenisedExample:  # fmt: skip
    """Return a sample with other weights for its end mark and for the words of its prompt.

    The template's own text is never trained: a model that learnt it would write the next question by itself. Earlier
    exchanges are not trained either, since each that is to be is a sample of its own.
    """
    lead, tail = template.around(dialogue.mode)
    before, after = len(tokenizer.encode(lead.rstrip(" "))), len(tokenizer.encode_after(tail))  # a word has its blank
    words = len(tokenizer.encode(template.wrap(dialogue.prompt, (), dialogue.mode))) - before - after
    weights = list(sample.weights)
    end = weights.index(1.0) - after  # the first token of the template behind the prompt
    begin = max(before, end - words)  # a shortened prompt has fewer
    weights[begin:end] = [prompt_weight] * max(0, end - begin)
    weights[-1] = end_weight
    return TokenisedExample(sample.name, sample.ids, tuple(weights))


def encode_dataset(dataset: Dataset, template: Template, tokenizer: Tokenizer, context: int, share: float) -> Samples:
    """Return a dataset as tokens, split as its run says, else by conversation and near-duplicate cluster.

    Every token of a reply and its end mark weigh 1, those of a prompt 0: `emphasised` weighs them for training.

    Raises UsageError where no sample fits the context, or none is left to train on.
    """
    encoded: list[tuple[Dialogue, TokenisedExample]] = []
    left_out: list[str] = []
    cuts: list[Cut] = []
    crowded = 0
    for dialogue in dataset.dialogues:
        sample, cut = encode(dialogue, template, tokenizer, context)
        cuts.append(cut)
        if sample is None:
            left_out.append(dialogue.name)
            crowded += encode(replace(dialogue, prompt="", history=()), template, tokenizer, context)[0] is not None
        else:
            encoded.append((dialogue, sample))
    if not encoded:
        raise UsageError(
            f"{dataset.source}: none of {counted(len(dataset.dialogues), 'sample')} fits the context of "
            f"{context} tokens",
            "use a base with a longer context",
        )
    held = _held([dialogue for dialogue, _ in encoded], tokenizer, share)
    pairs = list(zip(encoded, held, strict=True))
    train = [pair for pair, is_held in pairs if not is_held]
    valid = [pair for pair, is_held in pairs if is_held]
    if not train:
        raise UsageError(f"{dataset.source}: every sample is held out, none is left to train on")
    return Samples(
        [sample for _, sample in train], [sample for _, sample in valid],
        [dialogue for dialogue, _ in train], [dialogue for dialogue, _ in valid],
        shortened=len(cuts) - cuts.count(""), left_out=left_out, forgotten=cuts.count("exchanges"), crowded=crowded,
    )  # fmt: skip


def _held(dialogues: list[Dialogue], tokenizer: Tokenizer, share: float) -> list[bool]:
    """Return which dialogues are held out. Only prompts and replies are compared, since all share the template."""
    if any(dialogue.split == "holdout" for dialogue in dialogues):
        return [dialogue.split == "holdout" for dialogue in dialogues]
    names = list(dict.fromkeys(dialogue.conversation for dialogue in dialogues))
    joined: dict[str, list[int]] = {name: [] for name in names}
    for dialogue in dialogues:
        joined[dialogue.conversation] += tokenizer.encode(dialogue.prompt) + tokenizer.encode(dialogue.reply)
    chosen = held_out([np.array(joined[name], np.uint16) for name in names], share, REPLY_SHINGLE)
    by_name = dict(zip(names, chosen.tolist(), strict=True))
    return [by_name[dialogue.conversation] for dialogue in dialogues]
