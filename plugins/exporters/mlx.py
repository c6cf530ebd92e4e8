"""MLX-LM (0.32.2): fine-tuning on a Mac, with a lora.yaml for `mlx_lm.lora`.

Read in its sources (mlx_lm/): lora.py merges the file's keys over CONFIG_DEFAULTS and takes a key it does not know
without a word. tuner/datasets.py tells a file's format by its first row; ChatDataset renders a row with the tokenizer's
chat template and, with `mask_prompt`, masks what the template writes without the last message. tuner/trainer.py counts
iterations: batches, not epochs and not steps of the optimizer. What follows from that is settled here:

- iterate_batches drops the rows that fill no last batch, the same in every pass, and raises where a split is smaller
  than a batch: where a batch does not divide both splits, batches are single rows, and more of them make a step;
- train makes a step each `grad_accumulation_steps` iterations and throws away what is gathered after the last one: the
  iterations are a whole number of steps;
- the schedule of the learning rate counts steps (the optimizer asks it, at each update).
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import Any

from curator import Conversation, Exporter, ExportJob, Recipe, UsageError, counted, hookimpl, yaml_with_reasons

VERSION = "0.32.2"
BASE, ADAPTERS, FUSED = "base", "adapters", "fused_model"


@hookimpl
def register_exporters() -> list[Exporter]:
    """Export to MLX-LM."""
    return [Exporter("mlx", "MLX-LM", row, recipe, data=("train.jsonl", "valid.jsonl"))]


def row(conversation: Conversation, job: ExportJob) -> dict[str, Any]:
    """Return the messages alone: other keys in the first row could make it another format."""
    _refuse(job)
    return {"messages": [{"role": message.role, "content": message.content} for message in conversation.messages]}


def _refuse(job: ExportJob) -> None:
    if job.own_template:
        raise UsageError(
            f"MLX-LM renders rows with the chat template of the model's tokenizer, and {job.family.family} has none",
            "export --to llama-factory, axolotl or trl: they take a template along",
        )


@dataclass(frozen=True)
class _Pace:
    """How MLX-LM goes through the rows: rows in a batch, batches in a step, steps; an epoch's batches, rounded up."""

    batch: int
    accumulate: int
    steps: int
    epoch: int

    @property
    def iterations(self) -> int:
        """Batches of the whole training."""
        return self.steps * self.accumulate


def _pace(job: ExportJob) -> _Pace:
    wanted, accumulate = job.keys["per_device_train_batch_size"], job.keys["gradient_accumulation_steps"]
    batch = 1 if job.train_rows % wanted or job.holdout_rows % wanted else wanted
    epoch = job.train_rows // batch
    accumulate = min(accumulate * wanted // batch, epoch)
    return _Pace(batch, accumulate, math.ceil(job.keys["num_train_epochs"] * epoch / accumulate), epoch)


def _config(job: ExportJob, pace: _Pace) -> dict[str, Any]:
    """Return lora.yaml's keys, by MLX-LM's names (CONFIG_DEFAULTS in mlx_lm/lora.py)."""
    keys, optimizer = job.keys, _optimizer(job)
    return {
        "model": BASE if _convert(job) else job.base_model, "train": True, "data": ".", "adapter_path": ADAPTERS,
        "fine_tune_type": job.method, "num_layers": -1, **_lora(job), "mask_prompt": True,
        "max_seq_length": keys["max_seq_length"], "grad_checkpoint": True,
        "batch_size": pace.batch, "grad_accumulation_steps": pace.accumulate, "iters": pace.iterations,
        **_rate(job, pace), "optimizer": optimizer, "optimizer_config": {optimizer: _OPTIMIZERS[optimizer]
                                                                         | {"weight_decay": keys["weight_decay"]}},
        "steps_per_report": keys["logging_steps"] * pace.accumulate, "steps_per_eval": pace.epoch,
        "val_batches": -1, "save_every": keys["save_steps"] * pace.accumulate, "seed": keys["seed"],
    }  # fmt: skip


# MLX's AdamW corrects no bias unless told to, and its Adafactor chooses rates of its own; transformers does otherwise.
_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw": {"bias_correction": True},
    "adafactor": {"relative_step": False, "scale_parameter": False},
}


def _optimizer(job: ExportJob) -> str:
    return "adafactor" if job.keys["optim"] == "adafactor" else "adamw"


def _lora(job: ExportJob) -> dict[str, Any]:
    """Return LoRA's shape. Without `keys` it goes on all linear layers; `scale` is what others call alpha / rank."""
    if job.method == "full":
        return {}
    keys = job.keys
    rank = keys["lora_rank"]
    return {
        "lora_parameters": {"rank": rank, "dropout": keys["lora_dropout"], "scale": keys["lora_alpha"] / rank},
    }


def _rate(job: ExportJob, pace: _Pace) -> dict[str, Any]:
    """Return the learning rate and its schedule: build_schedule in tuner/utils.py, by the names of mlx.optimizers."""
    rate, kind = job.keys["learning_rate"], job.keys["lr_scheduler_type"]
    warmup = min(job.keys["warmup_steps"], pace.steps)
    left = max(1, pace.steps - warmup)
    schedule: dict[str, Any] = {
        "cosine": {"name": "cosine_decay", "arguments": [rate, left, 0.0]},
        "linear": {"name": "linear_schedule", "arguments": [rate, 0.0, left]},
        "constant": {"name": "linear_schedule", "arguments": [rate, rate, left]},
    }[kind]
    return {"learning_rate": rate, "lr_schedule": schedule | ({"warmup": warmup} if warmup else {})}


def _convert(job: ExportJob) -> str:
    """Return the options of mlx_lm.convert, "" where the model is trained as it is stored. MLX trains in the type in
    which weights are stored, which is bf16 for nearly all, and on 4-bit weights where they are stored so."""
    kind = "float16" if job.keys["fp16"] else "bfloat16" if job.keys["bf16"] else "float32"
    dtype = "" if kind == "bfloat16" else f" --dtype {kind}"
    return dtype + (" -q --q-bits 4" if job.method == "lora" and job.keys["load_in_4bit"] else "")


_WHY = {
    "num_layers": "all of them",
    "mask_prompt": "the last reply and its end are learnt; without this the prompt is learnt too",
    "grad_checkpoint": "less memory for more time",
    "batch_size": "divides both splits, or MLX-LM would leave rows out",
    "iters": "batches, not epochs; a whole number of steps",
    "steps_per_report": "iterations, as all that follows",
    "steps_per_eval": "once an epoch",
    "val_batches": "the whole of valid.jsonl",
}
_UNUSED = {
    "max_grad_norm": "MLX-LM cannot limit the norm of gradients",
    "save_total_limit": f"MLX-LM keeps every save: {ADAPTERS}/NNNNNNN_adapters.safetensors",
    "gguf_conversion": "mlx_lm.fuse --export-gguf can do it for Llama and Mistral, in f16 only; llama.cpp can make a "
    "GGUF of any fused model",
}


def recipe(job: ExportJob) -> Recipe:
    """Return lora.yaml, the commands and what a user should know. Raises UsageError without a chat template."""
    _refuse(job)
    pace, convert = _pace(job), _convert(job)
    title = f"MLX-LM {VERSION}, in this folder: mlx_lm.lora --config lora.yaml"
    base = shlex.quote(job.base_model)
    model = BASE if convert else base
    commands = [f'pip install "mlx-lm[train]=={VERSION}"']
    if convert:
        commands.append(f"mlx_lm.convert --hf-path {base} --mlx-path {BASE}{convert}")
    commands += [
        "mlx_lm.lora --config lora.yaml",
        f"mlx_lm.fuse --model {model} --adapter-path {ADAPTERS} --save-path {FUSED}",
    ]
    return Recipe(
        {"lora.yaml": yaml_with_reasons(title, _config(job, pace), _WHY, flow=True)},
        tuple(commands),
        _UNUSED,
        tuple(_notes(job, pace)),
        tuple(_warnings(job)),
    )


def _notes(job: ExportJob, pace: _Pace) -> list[str]:
    rows, epochs = pace.batch * pace.accumulate, job.keys["num_train_epochs"]
    most = job.keys["max_seq_length"]
    notes = [
        f"MLX-LM counts batches, not epochs: {counted(pace.iterations, 'iteration is', 'iterations are')} "
        f"{counted(pace.steps, 'step')} of {counted(rows, 'row')}, which is {epochs:g} epochs rounded up to whole "
        "steps",
        f"MLX-LM cuts a row to max_seq_length {most:,} tokens, and says so. Where a prompt alone is longer, the loss "
        "becomes NaN and the training is lost: curate preview --tokenizer FOLDER --strict lists such rows",
        f"MLX-LM {VERSION} trains one token too many in each row, id 0 behind its end "
        "(ml-explore/mlx-lm#1697). It does no harm, since the reply has ended before it",
        "the model's tokenizer must have a chat template: that of an Instruct model has one, that of a plain "
        "base model has none",
        'MLX-LM is for Apple silicon; on Linux, pip install "mlx-lm[train,cpu]" or [train,cuda13] runs it as well',
    ]
    if job.keys["optim"] == "adamw_8bit":
        notes.append("MLX has no 8-bit optimizer: lora.yaml has AdamW, which keeps its states in the weights' type")
    if job.family.family == "gemma4":
        notes.append("MLX-LM turns Gemma 4's thinking on: it writes a system turn with <|think|> before each row")
    if job.method == "full":
        notes.append("MLX-LM's full fine-tuning trains all layers but the embeddings and the output layer")
    return notes


def _warnings(job: ExportJob) -> list[str]:
    if job.method == "lora" or not job.keys["bf16"] or job.keys["fp16"]:
        return []
    return [
        "MLX-LM trains the weights in the type in which they are stored: in bf16 most of a step of "
        f"{job.keys['learning_rate']:g} is rounded away; use --method lora, or set bf16 to false in "
        "etc/fine-tune-config.json"
    ]
