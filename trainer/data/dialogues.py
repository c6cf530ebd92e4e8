"""Dialogues to fine-tune on: a curated run, the seeds' conversations, or {"input","output"} lines; then as tokens.

files --read--> Dialogue --template--> text --tokenizer--> TokenisedExample (ids and the weight of each as a target)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from curator.contract.cli_frame import command_line
from curator.contract.dialogue_files import read_dialogue_file
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
    """Dialogues as tokens, split; `left_out` names those that do not fit the context."""

    train: list[TokenisedExample]
    holdout: list[TokenisedExample]
    train_dialogues: list[Dialogue]
    holdout_dialogues: list[Dialogue]
    shortened: int
    left_out: list[str]

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
        return read_run(latest_run(find_profile(home, profile, "--profile")))
    if run is not None:
        return read_run(run)
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
    odd: list[UsageError] = []
    for row in read_dialogue_file(path):
        if isinstance(row, UsageError):
            odd.append(row)
            continue
        messages = row.messages
        if row.is_pair:
            prompt, reply = _unwrapped(messages[0].content, messages[1].content, template)
            messages = (Message("user", prompt), Message("assistant", reply))
        found, wrong = _of_conversation(messages, row.where, f"line {row.number}")
        odd += wrong
        out.dialogues += [replace(one, name=one.conversation) for one in found] if row.is_pair else found
        systems += sum(message.role == "system" for message in row.messages) if found else 0
    if not out.dialogues and odd:
        raise odd[0]
    if not out.dialogues:
        raise JobError(f"{path} holds no dialogue", 'expected {"input": ..., "output": ...} or a conversation a line')
    if odd:
        more = "; ..." if len(odd) > _SHOWN else ""
        shown = "; ".join(error.what for error in odd[:_SHOWN])
        out.notes.append(f"{counted(len(odd), 'row or reply', 'rows or replies')} left out: {shown}{more}")
    if systems:
        them = "it" if systems == 1 else "them"
        out.notes.append(f"{counted(systems, 'system message')} left out: the model's template has no place for {them}")
    out.about = {"file": path.name, "sha256": sha256_of(path)}
    return out


def _of_conversation(messages: Sequence[Message], where: str, name: str) -> tuple[list[Dialogue], list[UsageError]]:
    """Return a dialogue for each reply, with the exchanges before it, and what is wrong with replies that give none."""
    history: list[Exchange] = []
    dialogues: list[Dialogue] = []
    odd: list[UsageError] = []
    asked: list[str] = []
    for message in messages:
        if message.role == "user":
            asked.append(message.content)
        elif message.role == "assistant":
            prompt, reply = "\n".join(asked), message.content.strip()
            wrong = _wrong(asked, message.content, where)
            asked = []
            if wrong:
                odd.append(wrong)
                continue
            number = f"{name}, reply {len(dialogues) + 1}"
            dialogues.append(Dialogue(number, prompt, reply, tuple(history), conversation=name))
            history.append((prompt, reply))
    if not dialogues and not odd:
        expected = "expected a message of role 'assistant'"
        odd.append(UsageError(f"{where}: the conversation has no reply to train on", expected))
    return dialogues, odd


def _wrong(asked: list[str], reply: str, where: str) -> UsageError | None:
    """Say why a reply cannot be trained; None where it can."""
    if not asked:
        return UsageError(f"{where}: a reply stands before any prompt", "begin with a message of role 'user'")
    if not reply.strip():
        return UsageError(f"{where}: the reply is empty, so no token would be trained", "take it out")
    if not "".join(asked).strip():
        return UsageError(f"{where}: the prompt is empty", "a reply is trained as the answer to something")
    token = foreign_token("\n".join(asked) + reply)
    if not token:
        return None
    return UsageError(
        f"{where} is wrapped for another model: it holds {token!r}",
        "train on the run itself (--run DIR or --profile P), which has the text without a template",
    )


def _unwrapped(prompt: str, reply: str, template: Template) -> tuple[str, str]:
    """Remove this model's own template from a pair that has it already: we add it, once."""
    before, after = template.prompt.split("{input}")
    if prompt.startswith(before) and prompt.rstrip().endswith(after.strip()) and len(prompt) > len(before + after):
        return prompt.rstrip()[len(before) :].removesuffix(after.strip()).rstrip("\n"), reply
    return prompt, reply


def without_secrets(dataset: Dataset) -> tuple[Dataset, list[str]]:
    """Return a dataset without the samples that hold a secret, and a note that names them.

    Raises UsageError where every sample holds one.
    """
    checked = [(dialogue, _secret_in(dialogue)) for dialogue in dataset.dialogues]
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


def _secret_in(dialogue: Dialogue) -> str | None:
    texts = (dialogue.prompt, dialogue.reply, *(text for exchange in dialogue.history for text in exchange))
    return ", ".join(secrets_of(texts)) or None


# --- tokens --------------------------------------------------------------------------------------------------------


def with_tags(template: Template, dataset: Dataset, setting: str) -> Template:
    """Return the template a model of this dataset has: with mode tags where asked, or where a run has several modes."""
    tags = {mode: pair for mode, pair in dataset.tags.items() if all(pair)}
    keep = setting == "keep" or (setting == "auto" and len(tags) > 1)
    return template.model_copy(update={"tags": tags if keep else {}})


def encode(
    dialogue: Dialogue, template: Template, tokenizer: Tokenizer, context: int
) -> tuple[TokenisedExample | None, bool]:
    """Return (ids with weights, whether the prompt was shortened), or (None, False) where it does not fit the context.

    Only the text before the reply is cut: the oldest exchanges first, then whole words from the front of the prompt.
    Raises UsageError where no token of the reply would be trained.
    """
    if not dialogue.reply.strip():
        raise UsageError(f"{dialogue.name}: the reply is empty, so no token would be trained", "take the sample out")
    reply = [*tokenizer.encode_after(template.after_prompt(dialogue.reply, dialogue.mode)), BOS]
    history, words = dialogue.history, dialogue.prompt.split(" ")
    prompt, cut = dialogue.prompt, False
    while True:
        ids = tokenizer.encode(template.wrap(prompt, history, dialogue.mode))
        if len(ids) + len(reply) <= context + 1:
            weights = (*[0.0] * len(ids), *[1.0] * len(reply))
            return TokenisedExample(dialogue.name, (*ids, *reply), weights), cut
        cut = True
        if history:
            history = history[1:]
            continue
        over = len(ids) + len(reply) - context - 1
        # By the average tokens of a word, cut half of what is too much: better one more round than one word too many.
        keep = len(words) - max(1, over * len(words) // (2 * len(ids)))
        if keep < _SHORTEST_PROMPT:
            return None, False
        words = words[-keep:]
        prompt = " ".join(words)


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
    shortened = 0
    for dialogue in dataset.dialogues:
        sample, cut = encode(dialogue, template, tokenizer, context)
        shortened += cut
        if sample is None:
            left_out.append(dialogue.name)
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
        [dialogue for dialogue, _ in train], [dialogue for dialogue, _ in valid], shortened, left_out,
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
