"""Dialogues to fine-tune on: a curated run, the seeds' conversations, or {"input","output"} lines; then as tokens.

files --read--> Dialogue --template--> text --tokenizer--> Encoded (ids and the weight of each as a target)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trainer.batches import Encoded
from trainer.documents import held_out, read_text
from trainer.errors import UsageError
from trainer.files import read_json, sha256_of
from trainer.homes import find_profile, latest_run
from trainer.templates import Exchange, Template
from trainer.tokenizer import BOS, Tokenizer

RUN_FORMAT, RUN_VERSION = "persona-curator-run", 1
SUMMARY, SAMPLES = "run-summary.json", "schema_applied.json"
_TAG = re.compile(r"<([a-z][a-z_-]{0,30})>: ")
# Text that another family's template wrote; in this model it would be letters to be learnt by heart.
_FOREIGN = re.compile(r"<\|[a-z_]+\|>|\[/?INST\]|<(?:start|end)_of_turn>|<</?SYS>>")
_SHORTEST_PROMPT = 8  # words of the person's that must be left where a long prompt is shortened from its front
REPLY_SHINGLE = 8  # dialogues are short: twelve tokens in a row in common (8 + window - 1) tie two of them together


@dataclass(frozen=True)
class Dialogue:
    """One prompt and its reply, with the exchanges before it. Texts bear no template; tags stand in `tags`."""

    name: str
    prompt: str
    reply: str
    history: tuple[Exchange, ...] = ()
    mode: str | None = None
    split: Literal["train", "holdout", ""] = ""
    conversation: str = ""


@dataclass
class Dataset:
    """Dialogues of one source."""

    source: Path
    dialogues: list[Dialogue]
    tags: dict[str, list[str]] = field(default_factory=dict)  # mode -> what stood before its prompts and replies
    about: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class Samples:
    """Dialogues as tokens, split; `left_out` names what has no room in the context."""

    train: list[Encoded]
    held: list[Encoded]
    train_dialogues: list[Dialogue]
    held_dialogues: list[Dialogue]
    shortened: int
    left_out: list[str]

    def counts(self) -> dict[str, int]:
        """Return the counts that trainer.json keeps."""
        return {
            "samples": len(self.train), "samples_held_out": len(self.held), "prompts_shortened": self.shortened,
            "samples_left_out": len(self.left_out), "tokens": sum(len(one.ids) for one in self.train),
            "tokens_trained": sum(sum(weight > 0 for weight in one.weights) for one in self.train),
        }  # fmt: skip


# --- reading -------------------------------------------------------------------------------------------------------


def read_dialogues(
    home: Path | None, profile: str | None, run: Path | None, data: Path | None, template: Template
) -> Dataset:
    """Read the dialogues of a profile's latest run, of a run's folder, or of a JSONL file."""
    if profile is not None:
        if home is None:
            raise UsageError("no home found for --profile", "name one with --home DIR")
        return read_run(latest_run(find_profile(home, profile)))
    if run is not None:
        return read_run(run)
    if data is None:
        raise UsageError("what to train on?", "add --profile P, --run DIR or --data FILE")
    return read_jsonl(data, template)


def read_run(folder: Path) -> Dataset:
    """Read a curated run: format and version first, then the untagged text of every sample."""
    summary = _summary(folder)
    path = folder / SAMPLES
    if not path.is_file():
        raise UsageError(f"{folder}: {SAMPLES} is missing", "make the run again: curate run --username U")
    told = _told_sha256(summary)
    if told and sha256_of(path) != told:
        raise UsageError(
            f"{path} is not the file that {SUMMARY} describes", "make the run again: curate run --username U"
        )
    rows = read_json(path, 4 << 30)
    tags: dict[str, list[str]] = {}
    dialogues = []
    for number, row in enumerate(rows if isinstance(rows, list) else [None], 1):
        try:
            dialogues.append(_of_run(row, tags))
        except (KeyError, TypeError, AttributeError):
            raise UsageError(f"{path}: sample {number} is not what a run holds", "make the run again") from None
    if not dialogues:
        raise UsageError(f"{folder} holds no sample", "see why: curate report " + str(folder))
    about = {"run": folder.name, "run_day": folder.resolve().parent.name, "samples_sha256": told or sha256_of(path),
             "username": summary.get("username", "")}  # fmt: skip
    return Dataset(folder, dialogues, tags, about)


def _summary(folder: Path) -> dict[str, Any]:
    if not (folder / SUMMARY).is_file():
        raise UsageError(f"{folder} is no finished run: it has no {SUMMARY}", "make one with: curate run --username U")
    summary = read_json(folder / SUMMARY)
    if not isinstance(summary, dict) or summary.get("format") != RUN_FORMAT:
        raise UsageError(f"{folder / SUMMARY} is no summary of a run", f"expected the format {RUN_FORMAT!r}")
    if summary.get("version") != RUN_VERSION:
        raise UsageError(
            f"{folder}: run version {summary.get('version')!r}; this trainer reads version {RUN_VERSION}",
            "make the run again with this version: curate run --username U",
        )
    return summary


def _told_sha256(summary: dict[str, Any]) -> str | None:
    files = summary.get("sha256") or summary.get("files") or {}
    told = files.get(SAMPLES) if isinstance(files, dict) else None
    return told if isinstance(told, str) else None


def _of_run(row: dict[str, Any], tags: dict[str, list[str]]) -> Dialogue:
    mode = row["mode"]
    user_tag, prompt = _untag(row["raw_input"])
    assistant_tag, reply = _untag(row["raw_output"])
    tags.setdefault(mode, [user_tag, assistant_tag])
    history = tuple((_untag(one["user_text"])[1], _untag(one["assistant_text"])[1]) for one in row.get("context") or ())
    meta = row["metadata"]
    split: Literal["train", "holdout"] = "holdout" if meta.get("split") == "holdout" else "train"
    return Dialogue(str(meta["sample_id"]), prompt, reply, history, mode, split, str(meta["sample_id"]))


def _untag(text: str) -> tuple[str, str]:
    """Return (the mode's tag with its blank, the text behind it). The curator has proven that only it writes those."""
    found = _TAG.match(text)
    return (found[0], text[found.end() :]) if found else ("", text)


def read_jsonl(path: Path, template: Template) -> Dataset:
    """Read a JSONL file: a conversation or one {"input","output"} a line. Raises UsageError with the line's number."""
    text = read_text(path)
    out = Dataset(path, [], about={"file": path.name, "sha256": sha256_of(path)})
    try:
        whole = json.loads(text) if text.lstrip().startswith("[[") else None
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, list):  # one JSON array of conversations: the seeds have such files too
        rows: list[tuple[int, Any]] = list(enumerate(whole, 1))
    else:
        rows = list(_json_lines(path, text))
    ignored = 0
    for number, row in rows:
        where = f"{path}:{number}"
        dialogues, systems = _of_row(row, where, f"line {number}", template)
        out.dialogues += dialogues
        ignored += systems
    if not out.dialogues:
        raise UsageError(f"{path} holds no dialogue", 'expected {"input": ..., "output": ...} or a conversation a line')
    if ignored:
        out.notes.append(f"{ignored:,} system messages left out: the model's template has no place for them")
    return out


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}:{number} is no JSON: {str(error)[:120]}") from None


def _of_row(row: Any, where: str, name: str, template: Template) -> tuple[list[Dialogue], int]:
    if isinstance(row, dict) and "messages" in row:
        row = row["messages"]
    if isinstance(row, dict) and isinstance(row.get("input"), str) and isinstance(row.get("output"), str):
        prompt, reply = _unwrapped(row["input"], row["output"], template)
        _refuse_foreign(prompt + reply, where)
        return [Dialogue(name, prompt, reply.strip(), conversation=name)], 0
    if isinstance(row, list):
        return _of_conversation(row, where, name)
    raise UsageError(
        f"{where}: expected a list of messages or an object with input and output",
        'such as [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]',
    )


def _of_conversation(messages: list[Any], where: str, name: str) -> tuple[list[Dialogue], int]:
    """Return a dialogue for each reply, with the exchanges before it; and how many system messages there were."""
    history: list[Exchange] = []
    dialogues: list[Dialogue] = []
    asked: list[str] = []
    systems = 0
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise UsageError(f"{where}: expected messages with role and content", "the content must be text")
        role, content = message.get("role"), message["content"]
        if role == "system":
            systems += 1
        elif role == "user":
            asked.append(content)
        elif role == "assistant":
            if not asked:
                raise UsageError(f"{where}: a reply stands before any prompt", "begin with a message of role 'user'")
            prompt = "\n".join(asked)
            _refuse_foreign(prompt + content, where)
            number = f"{name}, reply {len(dialogues) + 1}"
            dialogues.append(Dialogue(number, prompt, content.strip(), tuple(history), conversation=name))
            history.append((prompt, content.strip()))
            asked = []
        else:
            raise UsageError(f"{where}: unknown role {role!r}", "expected 'user', 'assistant' or 'system'")
    if not dialogues:
        raise UsageError(
            f"{where}: the conversation has no reply to train on", "expected a message of role 'assistant'"
        )
    return dialogues, systems


def _unwrapped(prompt: str, reply: str, template: Template) -> tuple[str, str]:
    """Take this model's own template off a pair that bears it already: it is added once, by us."""
    before, after = template.prompt.split("{input}")
    if prompt.startswith(before) and prompt.rstrip().endswith(after.strip()) and len(prompt) > len(before + after):
        return prompt.rstrip()[len(before) :].removesuffix(after.strip()).rstrip("\n"), reply
    return prompt, reply


def _refuse_foreign(text: str, where: str) -> None:
    found = _FOREIGN.search(text)
    if found:
        raise UsageError(
            f"{where} is wrapped for another model: it holds {found[0]!r}",
            "train on the run itself (--run DIR or --profile P), which has the text without a template",
        )


# --- tokens --------------------------------------------------------------------------------------------------------


def with_tags(template: Template, dataset: Dataset, how: str) -> Template:
    """Return the template a model of this dataset has: with mode tags where asked, or where a run has several modes."""
    tags = {mode: pair for mode, pair in dataset.tags.items() if all(pair)}
    keep = how == "keep" or (how == "auto" and len(tags) > 1)
    return template.model_copy(update={"tags": tags if keep else {}})


def encode(dialogue: Dialogue, template: Template, tokenizer: Tokenizer, context: int) -> tuple[Encoded | None, bool]:
    """Return (ids with weights, whether the prompt was shortened), or (None, False) where it does not fit the context.

    Only what stands before the reply is ever cut: the oldest exchanges, then the front of the prompt, whole words.
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
            return Encoded(dialogue.name, (*ids, *reply), weights), cut
        cut = True
        if history:
            history = history[1:]
            continue
        over = len(ids) + len(reply) - context - 1
        # Half of the words that are too many by the prompt's average: rather once more round than a word too many.
        keep = len(words) - max(1, over * len(words) // (2 * len(ids)))
        if keep < _SHORTEST_PROMPT:
            return None, False
        words = words[-keep:]
        prompt = " ".join(words)


def emphasised(
    sample: Encoded, dialogue: Dialogue, template: Template, tokenizer: Tokenizer, prompt_weight: float,
    end_weight: float,
) -> Encoded:  # fmt: skip
    """Return a sample whose end mark and whose prompt's words have weights of their own.

    The template's own text is never trained: a model that learnt it would go on with the next question by itself.
    Neither are earlier exchanges, since each is a sample of its own.
    """
    lead, tail = template.around(dialogue.mode)
    before, after = len(tokenizer.encode(lead.rstrip(" "))), len(tokenizer.encode_after(tail))  # a word has its blank
    words = len(tokenizer.encode(template.wrap(dialogue.prompt, (), dialogue.mode))) - before - after
    weights = list(sample.weights)
    end = weights.index(1.0) - after  # the first token of the template behind the prompt
    begin = max(before, end - words)  # a shortened prompt has fewer
    weights[begin:end] = [prompt_weight] * max(0, end - begin)
    weights[-1] = end_weight
    return Encoded(sample.name, sample.ids, tuple(weights))


def encode_dataset(dataset: Dataset, template: Template, tokenizer: Tokenizer, context: int, share: float) -> Samples:
    """Return a dataset as tokens, split as its run says, else by conversation and near-duplicate cluster.

    Every token of a reply and its end mark weigh 1, those of a prompt 0: `emphasised` weighs them for training.
    """
    encoded: list[tuple[Dialogue, Encoded]] = []
    left_out: list[str] = []
    shortened = 0
    for dialogue in dataset.dialogues:
        one, cut = encode(dialogue, template, tokenizer, context)
        shortened += cut
        if one is None:
            left_out.append(dialogue.name)
        else:
            encoded.append((dialogue, one))
    if not encoded:
        raise UsageError(
            f"{dataset.source}: none of {len(dataset.dialogues):,} samples fits the context of {context} tokens",
            "use a base with a longer context",
        )
    held = _held([dialogue for dialogue, _ in encoded], tokenizer, share)
    pairs = list(zip(encoded, held, strict=True))
    train = [pair for pair, is_held in pairs if not is_held]
    valid = [pair for pair, is_held in pairs if is_held]
    if not train:
        raise UsageError(f"{dataset.source}: every sample is held out, none is left to train on")
    return Samples(
        [one for _, one in train], [one for _, one in valid], [one for one, _ in train], [one for one, _ in valid],
        shortened, left_out,
    )  # fmt: skip


def _held(dialogues: list[Dialogue], tokenizer: Tokenizer, share: float) -> list[bool]:
    """Return which dialogues are held out. Compared are prompts and replies alone: a template is common to all."""
    if any(one.split == "holdout" for one in dialogues):
        return [one.split == "holdout" for one in dialogues]
    names = list(dict.fromkeys(one.conversation for one in dialogues))
    joined: dict[str, list[int]] = {name: [] for name in names}
    for dialogue in dialogues:
        joined[dialogue.conversation] += tokenizer.encode(dialogue.prompt) + tokenizer.encode(dialogue.reply)
    chosen = held_out([np.array(joined[name], np.uint16) for name in names], share, REPLY_SHINGLE)
    by_name = dict(zip(names, chosen.tolist(), strict=True))
    return [by_name[one.conversation] for one in dialogues]
