"""The hyperparameters of one export: the part of the fine-tuning configuration that a tool is given, and its steps."""

from __future__ import annotations

import math
from typing import Literal

from curator.contract.errors import counted
from curator.contract.finetune_config import FineTuneConfig, Keys

# The commands use these keys themselves: they are no hyperparameters of a tool.
_OURS = {"comment", "notes", "cognitive_mode", "base_model", "training_mode", "lora_learning_rate",
         "dataset_requirements"}  # fmt: skip


def keys_for(config: FineTuneConfig, method: Literal["lora", "full"], steps: int) -> tuple[Keys, list[str]]:
    """Return the keys of one export, and a note for each that was changed: a warm-up is at most a tenth of the steps.

    A learning rate that is for the other method is never used: 5e-6 teaches an adapter nothing, 2e-4 ruins a model.
    """
    values = {name: getattr(config, name) for name in FineTuneConfig.model_fields if name not in _OURS}
    notes = []
    if method == "lora" and config.training_mode != "lora":
        values["learning_rate"] = config.lora_learning_rate
    elif method == "full" and config.training_mode == "lora" and "learning_rate" in config.model_fields_set:
        values["learning_rate"] = min(config.learning_rate, FineTuneConfig.model_fields["learning_rate"].default)
        if values["learning_rate"] != config.learning_rate:
            notes.append(
                f"learning_rate {config.learning_rate:g} is meant for LoRA; full fine-tuning uses "
                f"{values['learning_rate']:g}"
            )
    most = max(1, steps // 10)
    if steps and config.warmup_steps > most:
        values["warmup_steps"] = most
        notes.append(
            f"warmup_steps is {most} in place of {config.warmup_steps}: a tenth of the {counted(steps, 'step')} of "
            "this training"
        )
    return Keys(values), notes


def steps_of(config: FineTuneConfig, rows: int) -> int:
    """Return the optimizer's steps of a whole training on one device."""
    size = config.per_device_train_batch_size * config.gradient_accumulation_steps
    return math.ceil(math.ceil(rows / size) * config.num_train_epochs)
