"""What the training scripts have in common: their options, and what they do with the rows before anything is trained.

An export carries no module of ours: what stands below the line is put into each script, at its end.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import json
import math
import os
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# --- what all training scripts have in common ------------------------------------------------------------------------

HERE = Path(__file__).resolve().parent


class Stop(Exception):
    """Ends the script: what is wrong and where, and what to do next. Status 2: it was asked for wrongly."""

    def __init__(self, what: str, hint: str, status: int = 1) -> None:
        super().__init__(f"{what}; {hint}")
        self.status = status


def is_main() -> bool:
    """Tell whether this is the process that speaks, of several that train together."""
    return os.environ.get("RANK", "0") == "0"


def processes() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def common_options(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all scripts have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", metavar="NAME-OR-FOLDER", help="the base model; without it that of training.json")
    parser.add_argument("--tokenizer", metavar="FOLDER", help="its tokenizer, where it is not in the model's folder")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("output"), help="what is trained goes here")
    parser.add_argument("--dry-run", action="store_true", help="check all, train nothing")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --output")
    parser.add_argument("--max-steps", metavar="N", type=int, default=-1, help="stop after so many steps")
    parser.add_argument("--allow-truncation", action="store_true", help="cut rows that are longer than max_seq_length")
    parser.add_argument(
        "--bf16-weights", action="store_true",
        help="full fine-tuning: keep the weights in 16 bits; half the memory, but small steps are lost to rounding",
    )  # fmt: skip
    return parser


def status_of(run: Callable[[argparse.Namespace], None], chosen: argparse.Namespace) -> int:
    """Run a script: 0 where all went well, 1 where data or machine stood in the way, 2 for a wrong call."""
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    warnings.filterwarnings("ignore", category=FutureWarning)
    name = Path(sys.argv[0]).name
    try:
        run(chosen)
    except Stop as error:
        if is_main():
            print(f"{name}: {error}", file=sys.stderr)
        return error.status
    except ImportError as error:
        print(f"{name}: {first_line(error)}; pip install -r requirements.txt", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: stopped; --resume goes on from the last checkpoint", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if "out of memory" not in str(error):
            raise
        hint = "set per_device_train_batch_size to 1 or max_seq_length lower in training.json, or see LAUNCH.md"
        print(f"{name}: {first_line(error)}; {hint}", file=sys.stderr)
        return 1
    return 0


@dataclasses.dataclass(frozen=True)
class Training:
    """training.json: the hyperparameters by MetaHuman's names, and what there is to know of the set and the family."""

    base_model: str
    family: str
    method: str
    turn_end: str  # the token that ends a reply; it must be trained, or the model never learns to stop
    bos_token: str  # "" where the family has none
    bos_each_turn: bool  # Llama 2 begins every exchange with one
    own_template: bool  # no published tokenizer carries the family's template: chat_template.jinja is used
    train_file: str
    validation_file: str
    train_rows: int
    validation_rows: int
    learning_rate: float
    num_train_epochs: float
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    max_seq_length: int
    warmup_steps: int
    lr_scheduler_type: str
    logging_steps: int
    save_steps: int
    save_total_limit: int
    fp16: bool
    bf16: bool
    optim: str
    weight_decay: float
    max_grad_norm: float
    seed: int
    lora_rank: int = 0
    lora_alpha: int = 0
    lora_dropout: float = 0.0
    load_in_4bit: bool = False
    gguf: str = ""  # the quantization of a GGUF to be made after training, by llama.cpp's name
    gguf_intermediate: str = ""


KNOWN = {"optim": ("adamw", "adamw_8bit", "adafactor"), "lr_scheduler_type": ("cosine", "linear", "constant")}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row as it is trained on. `labels` are its tokens again, with -100 for those that are not learnt."""

    place: str  # "train.jsonl:7"
    messages: Sequence[dict[str, str]]  # the last is the reply
    ids: Sequence[int]
    labels: Sequence[int]

    @property
    def trained(self) -> list[int]:
        """The tokens that are learnt."""
        return [token for token, label in zip(self.ids, self.labels, strict=True) if label != -100]


def read_training(method: str) -> Training:
    """Read training.json. Raises Stop for a key that is missing, unknown or of another type, or for another method."""
    path = HERE / "training.json"
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Stop(f"{path}: {error}", "copy the whole export's folder here") from None
    fields = {field.name: field for field in dataclasses.fields(Training)}
    if not isinstance(data, dict):
        raise Stop(f"{path}: no JSON object", "copy the whole export's folder here")
    if unknown := sorted(data.keys() - fields.keys()):
        raise Stop(f"{path}: unknown key {unknown[0]!r}", f"known are {', '.join(sorted(fields))}", 2)
    for name, field in fields.items():
        if name not in data and field.default is dataclasses.MISSING:
            raise Stop(f"{path}: the key {name!r} is missing", "take it from the export's first training.json", 2)
        wanted = {"str": str, "bool": bool, "int": int, "float": (int, float)}[field.type]
        value = data.get(name, field.default)
        if not isinstance(value, wanted) or (isinstance(value, bool) and field.type != "bool"):
            raise Stop(f"{path}: {name} is {value!r}", f"expected {field.type}", 2)
    for name, known in KNOWN.items():
        if data[name] not in known:
            raise Stop(f"{path}: {name} is {data[name]!r}", f"expected {' or '.join(known)}", 2)
    if data["method"] != method:
        raise Stop(f"{path} is for the method {data['method']}, this script for {method}", "export the set for it", 2)
    return Training(**data)


def read_rows(name: str, promised: int) -> list[dict[str, Any]]:
    """Read a data file. Raises Stop for a line that is no row, and where rows are missing: a copy may be cut short."""
    path = HERE / name
    if not promised and not path.is_file():
        return []
    rows = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                row = json.loads(line)
                if [one["role"] for one in row["completion"]] != ["assistant"] or not row["prompt"]:
                    raise Stop(f"{path}:{number}: no prompt with one assistant's completion", "export the set again")
                rows.append({"prompt": row["prompt"], "completion": row["completion"]})
    except OSError as error:
        raise Stop(f"{path}: {error.strerror}", "copy the whole export's folder here", 2) from None
    except (ValueError, KeyError, TypeError) as error:
        raise Stop(f"{path}:{len(rows) + 1}: no row: {error!r}", "copy the file again") from None
    if len(rows) != promised:
        raise Stop(
            f"{path} has {counted(len(rows), 'row')}, training.json promises {promised:,}",
            "copy it again, or name the new count in training.json where you changed the set yourself",
        )
    return rows


# Tokens that base models have for padding, or that stand in no text. The token that ends a turn must never pad: tools
# that mask by id would mask it in every reply, and the model would never learn to stop. A token that is added would
# need a larger model, so one is taken that is there: Llama 3.1 has the first, Qwen and Phi the second, Gemma the
# third; Llama 3.0 has spare tokens, GPT-J too; Llama 2 and Mistral v1 have nothing else than <unk>.
PADDING = (
    "<|finetune_right_pad_id|>", "<|endoftext|>", "<pad>", "[PAD]", "<|reserved_special_token_0|>",
    "<|extratoken_1|>", "[control_8]", "<unk>",
)  # fmt: skip


def load_tokenizer(source: str, training: Training) -> Any:
    """Load the base's tokenizer, with the shipped template where it has none of its own and with a token for padding.

    Raises Stop where it cannot be had, or is another family's.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except Exception as error:  # the hub's and the libraries' own exceptions are many
        raise Stop(
            f"the tokenizer of {source} cannot be had: {first_line(error)}",
            "name a folder of the base model with --model, or one of its tokenizer alone with --tokenizer",
        ) from None
    for token in filter(None, (training.turn_end, training.bos_token)):
        if token not in tokenizer.get_vocab():
            raise Stop(
                f"the tokenizer of {source} has no token {token}",
                f"this set is for models of the family {training.family}: name one, or export again for this one",
                2,
            )
    if training.own_template or not tokenizer.chat_template:
        tokenizer.chat_template = (HERE / "chat_template.jinja").read_text("utf-8")
    if tokenizer.pad_token is None or tokenizer.pad_token == (training.turn_end or tokenizer.eos_token):
        known = tokenizer.get_vocab()
        spare = [token for token in PADDING if token in known and token != training.turn_end]
        if spare:
            tokenizer.pad_token = spare[0]
    # A base that was not trained to chat ends documents, not turns: what is saved with the model should name the
    # turn's end. But a template may write eos_token (Phi's do), and a row must look as the published template has it.
    if training.turn_end and "eos_token" not in str(tokenizer.chat_template):
        tokenizer.eos_token = training.turn_end
    return tokenizer


def end_turns(model: Any, tokenizer: Any, training: Training) -> None:
    """Let generation stop at the turn's end too, whatever the base's generation_config knew of.

    A changed generation_config is saved only if it is strictly valid, and some published ones are not (a temperature
    without sampling): better mended now than found out when the first checkpoint is written.
    """
    config = model.generation_config
    known = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    ends = [tokenizer.convert_tokens_to_ids(training.turn_end)] if training.turn_end else []
    config.eos_token_id = list(dict.fromkeys([*ends, *(one for one in known if one is not None)])) or None
    try:
        config.validate(strict=True)
    except ValueError:
        config.do_sample = True


def faults(row: Row, tokenizer: Any, training: Training) -> Iterator[str]:
    """Yield what would make a row teach the wrong thing: looked for in its tokens, whatever made them."""
    if not row.trained:
        yield "no token is trained"
        return
    if training.turn_end:
        mark = tokenizer.convert_tokens_to_ids(training.turn_end)
        last = max((place for place, token in enumerate(row.ids) if token == mark), default=-1)
        if last < 0 or row.labels[last] == -100:
            yield f"the end mark {training.turn_end} is missing or not trained, so the model would not learn to stop"
        elif plain(tokenizer, row.ids[last + 1 :]):
            yield f"text follows the last end mark {training.turn_end}"
    if training.bos_token:
        begin = tokenizer.convert_tokens_to_ids(training.bos_token)
        turns = sum(message["role"] == "user" for message in row.messages)
        wanted, found = turns if training.bos_each_turn else 1, list(row.ids).count(begin)
        if found != wanted or row.ids[0] != begin:
            yield f"{counted(found, 'begin mark')} {training.bos_token}, expected {wanted} and one at the start"
    if squeezed(row.messages[-1]["content"]) not in plain(tokenizer, row.trained):
        yield "what is trained is not the whole reply"


def plain(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return what tokens say, without special ones and blanks."""
    return squeezed(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def squeezed(text: str) -> str:
    """Return a text without blanks, by which tokenizers and templates differ, in the form that Qwen's writes."""
    return "".join(unicodedata.normalize("NFC", text).split())


def judge(rows: Sequence[Row], tokenizer: Any, training: Training) -> None:
    """Raise Stop that names the rows which would teach the wrong thing."""
    found = [f"{row.place}: {fault}" for row in rows for fault in faults(row, tokenizer, training)]
    if found:
        raise Stop(
            f"{counted(len(found), 'fault')} in the rows as they would be trained: {listed(found, 10)}",
            "is this the base model that the set was exported for? see it with curate preview --tokenizer FOLDER",
        )


def fit(rows: Sequence[Row], most: int, cut: bool) -> list[Row]:
    """Return the rows at `most` tokens at most, or raise Stop that names the longer ones unless they may be cut.

    A row that is cut loses its end, one whose prompt fills it altogether everything: it is left out, and named.
    """
    long = [f"{row.place} ({counted(len(row.ids), 'token')})" for row in rows if len(row.ids) > most]
    if long and not cut:
        raise Stop(
            f"{counted(len(long), 'row is', 'rows are')} longer than max_seq_length {most:,}: {listed(long)}",
            "raise max_seq_length in training.json, or have them cut with --allow-truncation",
        )
    kept = [dataclasses.replace(row, ids=row.ids[:most], labels=row.labels[:most]) for row in rows]
    empty = [row.place for row in kept if not row.trained]
    if long and is_main():
        print(f"cut to {most:,} tokens, their replies without an end: {listed(long)}")
        print(f"left out, since nothing of their replies is left: {listed(empty) or 'none'}")
    return [row for row in kept if row.trained]


def counted(count: int, noun: str, many: str = "") -> str:
    """Return "1 row", "2,000 rows"; `many` is the plural where it is more than the noun and an s."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def listed(found: Sequence[str], most: int = 40) -> str:
    """Return the first of many in one line."""
    return ", ".join(found[:most]) + (f" and {len(found) - most:,} more" if len(found) > most else "")


def describe(rows: Sequence[Row], held_out: Sequence[Row], tokenizer: Any, texts: bool) -> None:
    """Print the counts; with `texts` also the first and the longest row, what is trained of them marked."""
    longest = max(rows, key=lambda row: len(row.ids))
    tokens, trained = sum(len(row.ids) for row in rows), sum(len(row.trained) for row in rows)
    print(f"rows            {len(rows):,}, {len(held_out):,} more for validation")
    print(f"tokens          {tokens:,}, of which {trained:,} are trained ({100 * trained / tokens:.0f}%)")
    print(f"longest row     {counted(len(longest.ids), 'token')}, {longest.place}")
    for row in {rows[0].place: rows[0], longest.place: longest}.values() if texts else ():
        print(f"--- {row.place}: {counted(len(row.ids), 'token')}, {len(row.trained):,} trained ---")
        print(marked(row, tokenizer, sys.stdout.isatty()))
        print("---")


def marked(row: Row, tokenizer: Any, colours: bool) -> str:
    """Return a row's text with what is trained in green on a terminal, in double brackets elsewhere."""
    before, after = ("\x1b[32m", "\x1b[0m") if colours else ("[[", "]]")
    found = []
    for trained, run in itertools.groupby(zip(row.ids, row.labels, strict=True), key=lambda one: one[1] != -100):
        text = tokenizer.decode([token for token, _ in run], clean_up_tokenization_spaces=False)
        # Nobody's memory may write escape sequences to a terminal.
        text = "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)
        found.append(f"{before}{text}{after}" if trained else text)
    return "".join(found)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its name where it says nothing."""
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)


# --- training --------------------------------------------------------------------------------------------------------


def steps_per_epoch(training: Training, rows: int) -> int:
    """Return the optimizer's steps in an epoch."""
    batches = math.ceil(rows / (training.per_device_train_batch_size * processes()))
    return math.ceil(batches / training.gradient_accumulation_steps)


def total_steps(training: Training, rows: int, most: int) -> int:
    """Return the optimizer's steps in all."""
    return most if most > 0 else math.ceil(steps_per_epoch(training, rows) * training.num_train_epochs)


def common_arguments(chosen: argparse.Namespace, training: Training, rows: int, held_out: int) -> dict[str, Any]:
    """Return what SFTConfig is told by every script; what it is not told is TRL's default."""
    steps = total_steps(training, rows, chosen.max_steps)
    warmup = min(training.warmup_steps, max(1, steps // 10))  # no longer than a tenth, whatever --max-steps says
    schedule = training.lr_scheduler_type
    if schedule == "constant" and warmup:
        schedule = "constant_with_warmup"
    # With fewer steps in an epoch than between two checkpoints an interruption would lose everything.
    each_epoch = training.save_steps >= steps_per_epoch(training, rows)
    return {
        "output_dir": str(chosen.output),
        "max_length": training.max_seq_length,  # TRL cuts at 1,024 tokens unless told
        "packing": False,
        "learning_rate": training.learning_rate,
        "num_train_epochs": training.num_train_epochs,
        "max_steps": chosen.max_steps,
        "per_device_train_batch_size": training.per_device_train_batch_size,
        "per_device_eval_batch_size": training.per_device_train_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "warmup_steps": warmup,  # transformers 5 has no warmup_ratio
        "lr_scheduler_type": schedule,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "logging_steps": training.logging_steps,
        "logging_first_step": True,
        "save_strategy": "epoch" if each_epoch else "steps",
        "save_steps": training.save_steps,
        "save_total_limit": training.save_total_limit,
        "eval_strategy": "epoch" if held_out else "no",
        "seed": training.seed,
        "report_to": "none",
        "disable_tqdm": True,
    }


def look_at_output(chosen: argparse.Namespace, training: Training) -> str:
    """Return the note that tells one training from another. Raises Stop where --output holds another, or this one."""
    data = HERE / training.train_file
    digest = hashlib.sha256(data.read_bytes()).hexdigest() if data.is_file() else ""
    base = chosen.model or training.base_model
    now = json.dumps({"data_sha256": digest, "method": training.method, "base_model": base}, indent=2) + "\n"
    note = chosen.output / "started.json"
    if note.is_file() and not chosen.dry_run:
        if not chosen.resume:
            raise Stop(f"{chosen.output} holds a training", "go on with --resume, or name another folder: --output", 2)
        if note.read_text("utf-8") != now:
            raise Stop(f"{chosen.output} holds a training of other data or another base", "name another --output", 2)
    return now


def last_checkpoint(chosen: argparse.Namespace) -> str | None:
    """Return the checkpoint to go on from, and say so; None without --resume, or where there is none yet."""
    from transformers.trainer_utils import get_last_checkpoint

    if not chosen.resume:
        return None
    last = get_last_checkpoint(str(chosen.output)) if chosen.output.is_dir() else None
    if is_main():
        print(f"going on from {last}" if last else f"{chosen.output} has no checkpoint: it starts at the beginning")
    return last


def check_trainer(trainer: Any, rows: Sequence[Row]) -> None:
    """Raise Stop where a trainer holds other tokens than those that were judged, or its batches learn others."""
    wanted = [(list(row.ids), list(row.labels)) for row in rows]
    if [(list(one["input_ids"]), list(one["labels"])) for one in trainer.train_dataset] != wanted:
        raise Stop("the trainer changed the rows", "use the versions of requirements.txt")
    few = dict.fromkeys((0, max(range(len(rows)), key=lambda place: len(rows[place].ids))))  # one of them is padded
    batch = trainer.data_collator([trainer.train_dataset[place] for place in few])
    learnt = [[label for label in labels if label != -100] for labels in batch["labels"].tolist()]
    if learnt != [rows[place].trained for place in few]:
        raise Stop("the trainer's batches learn other tokens", "use the versions of requirements.txt")
    if is_main():
        print(f"rows            {len(rows):,} in, {len(trainer.train_dataset):,} trained on")


def metrics_writer(path: Path) -> Any:
    """Return a callback that writes each line of the log to a file, as it comes."""
    from transformers import TrainerCallback

    class Metrics(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if state.is_world_process_zero and logs:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"step": state.global_step, **logs}) + "\n")

    return Metrics()
