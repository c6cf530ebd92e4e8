"""axolotl (0.19.0): messages, each of which says whether it is trained, and a config.yaml.

axolotl renders rows with the base model's own chat template (`tokenizer_default`), or with the family's where no
tokenizer has one. It finds each message in the rendering and trains those that say so, with the end mark behind them.
The defaults that are set otherwise, and why:

- `excess_length_strategy`: it drops rows that are too long and goes on; `raise` stops and says so.
- `eot_tokens`: the end of a turn is often not the tokenizer's eos (Gemma, Phi-3, base models). Left out, it would never
  be trained, the loss would look healthy, and the model would never stop.
- `train` stands in every message: one without it would count as trained wherever the role is the assistant's.
- `sample_packing` is off: it fuses short rows into a few long ones, and then steps, epochs and warm-up are no longer
  those of the configuration; a small set would have no step at all.
- `special_tokens.pad_token` is not set, since the collator masks padding by its place and never by its id: a pad token
  that is the end mark harms nothing, and a new one would make the model grow.
- It keeps the weights of a full fine-tune in bf16, under FSDP too, where a step of 5e-6 is mostly rounded away: after a
  hundred such steps of AdamW, nine weights of ten have not changed. `optimi_adamw` is AdamW with Kahan summation,
  which keeps the rest of each step.

What remains different: of a reply's end only the mark is trained, so that Llama 2's blank before `</s>` is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from curator import Conversation, Exporter, ExportJob, Recipe, UsageError, hookimpl, yaml_with_reasons

VERSION = "0.19.0"
OUTPUT = "output"
_OPTIMIZERS = {"adamw": "adamw_torch_fused", "adamw_8bit": "adamw_bnb_8bit", "adafactor": "adafactor"}
_KAHAN = "optimi_adamw"
_SCHEDULERS = {"constant": "constant_with_warmup"}  # transformers' own "constant" has no warm-up
# axolotl's names of the keys that need no translation.
_NAMES = {
    "max_seq_length": "sequence_len", "per_device_train_batch_size": "micro_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps", "num_train_epochs": "num_epochs",
    "learning_rate": "learning_rate", "warmup_steps": "warmup_steps", "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm", "bf16": "bf16", "fp16": "fp16", "logging_steps": "logging_steps",
    "save_steps": "save_steps", "save_total_limit": "save_total_limit", "seed": "seed",
}  # fmt: skip


@hookimpl
def register_exporters() -> list[Exporter]:
    """Export to axolotl."""
    return [Exporter("axolotl", "axolotl", row, recipe, per_message=True, ends="mark")]


def row(conversation: Conversation, job: ExportJob) -> dict[str, Any]:
    """Return the messages, each with whether it is trained."""
    return {
        "messages": [
            {"role": message.role, "content": message.content, "train": message.train}
            for message in conversation.messages
        ]
    }


def _data(name: str) -> dict[str, Any]:
    return {
        "path": name, "ds_type": "json", "split": "train", "type": "chat_template", "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"}, "message_field_training": "train",
        "roles_to_train": ["assistant"], "train_on_eos": "turn",
    }  # fmt: skip


def _config(job: ExportJob) -> dict[str, Any]:
    """Return config.yaml's keys, by axolotl's names."""
    train, validation = job.data
    schedule = job.keys["lr_scheduler_type"]
    config = {
        "base_model": job.base_model, **_method(job),
        "datasets": [_data(train)], **({"test_datasets": [_data(validation)]} if job.holdout_rows else {}),
        "dataset_prepared_path": "prepared", **_template(job), "excess_length_strategy": "raise",
        "sample_packing": False, "output_dir": OUTPUT, "gradient_checkpointing": True,
        "lr_scheduler": _SCHEDULERS.get(schedule, schedule), "optimizer": _optimizer(job),
        **{theirs: job.keys[ours] for ours, theirs in _NAMES.items()},
    }  # fmt: skip
    return config | ({"eval_strategy": "epoch"} if job.holdout_rows else {})


def _method(job: ExportJob) -> dict[str, Any]:
    if job.method == "full":
        return {}
    keys = job.keys
    four = {"adapter": "qlora", "load_in_4bit": True} if keys["load_in_4bit"] else {"adapter": "lora"}
    return four | {
        "lora_r": keys["lora_rank"], "lora_alpha": keys["lora_alpha"], "lora_dropout": keys["lora_dropout"],
        "lora_target_linear": True,
    }  # fmt: skip


def _optimizer(job: ExportJob) -> str:
    name = job.keys["optim"]
    if job.method == "full" and job.keys["fp16"]:
        raise UsageError(
            "axolotl keeps a whole model in fp16 to train it so, and torch refuses to scale such gradients",
            "set bf16 in etc/fine-tune-config.json, or use --method lora or another tool",
        )
    return _KAHAN if name == "adamw" and job.method == "full" and job.keys["bf16"] else _OPTIMIZERS[name]


def _template(job: ExportJob) -> dict[str, Any]:
    template: dict[str, Any] = {"chat_template": "tokenizer_default"}
    if job.own_template:
        template = {"chat_template": "jinja", "chat_template_jinja": "chat_template.jinja"}
    return template | ({"eot_tokens": [job.family.eos_token]} if job.family.eos_token else {})


_WHY = {
    "test_datasets": "held out by the curator; never val_set_size besides",
    "chat_template_jinja": "the family's: the base model's tokenizer has none",
    "eot_tokens": "what ends a reply; trained with it",
    "excess_length_strategy": "axolotl would drop rows that are too long",
    "sample_packing": "rows stay rows: steps are what the configuration says",
    "message_field_training": "each message says whether it is trained",
}


def recipe(job: ExportJob) -> Recipe:
    """Return config.yaml and what the method needs besides."""
    config, packages = _config(job), [f"axolotl=={VERSION}"]
    if config["optimizer"] == _KAHAN:
        packages.append("torch-optimi==0.2.1")
    files = {"config.yaml": yaml_with_reasons(f"axolotl {VERSION}: axolotl train config.yaml", config, _WHY)}
    if job.method == "full":
        sliced = config | _FSDP
        if config["optimizer"] == "adamw_bnb_8bit":
            sliced["optimizer"] = "adamw_torch_8bit"  # FSDP 2 takes no other of 8 bits
        title = "Sliced over several GPUs: axolotl train config-fsdp.yaml"
        files["config-fsdp.yaml"] = yaml_with_reasons(title, sliced, _WHY)
    if job.own_template:
        files["chat_template.jinja"] = job.chat_template
    commands = [
        f"pip install {' '.join(packages)}",
        "export AXOLOTL_DO_NOT_TRACK=1",
        "axolotl preprocess config.yaml --debug",
        "axolotl train config.yaml",
    ]
    if job.method == "lora":
        commands.append(f"axolotl merge-lora config.yaml --lora-model-dir={OUTPUT}")
    unused = {"gguf_conversion": "axolotl cannot make a GGUF; llama.cpp can make one of the merged model"}
    return Recipe(
        files, tuple(commands), unused, tuple(_notes(job)), tuple(_warnings(config)) if job.method == "full" else ()
    )


# FSDP 2; the layers to slice by are those that the model's own class names.
_FSDP = {
    "gradient_checkpointing": False,  # FSDP's own takes its place
    "fsdp_version": 2,
    "fsdp_config": {
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "activation_checkpointing": True,
        "reshard_after_forward": True,
        "cpu_ram_efficient_loading": True,
        "offload_params": False,
        "state_dict_type": "FULL_STATE_DICT",
    },
}


def _notes(job: ExportJob) -> Iterator[str]:
    yield (
        "axolotl sends a report of its use over the network; AXOLOTL_DO_NOT_TRACK=1, among the commands, turns that off"
    )
    yield (
        "axolotl preprocess shows a row with the label of each token, and stops at a row that is longer than "
        "sequence_len. Run it again after any change to the data: axolotl train would go on with the old tokens, since "
        "it looks for changes in the configuration alone"
    )
    yield (
        "on several GPUs each processes a batch of its own: divide gradient_accumulation_steps by their number, so "
        "that a step still takes as many rows"
    )
    if job.method == "full":
        yield "a model too large for one GPU is shared by several (FSDP) with: axolotl train config-fsdp.yaml"
    gap = job.chat_format.response_suffix
    if gap:
        yield (
            f"{job.family.family} writes {gap!r} between a reply and its end mark; axolotl trains the end mark but not "
            f"that {gap!r}"
        )


def _warnings(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what to do something about in a full fine-tune."""
    if config["bf16"] and config["optimizer"] != _KAHAN:
        yield (
            f"the weights are kept in bf16, where most of a step of {config['learning_rate']:g} is rounded away with "
            f"{config['optimizer']}: set optim to adamw in etc/fine-tune-config.json, or use --method lora"
        )
