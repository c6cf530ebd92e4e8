"""etc/modes/*.json: the defaults of a cognitive mode for large models, with the keys that MetaHuman OS uses.

The small model takes its defaults from etc/trainer.json: 5e-6, right for nine billion parameters, teaches seven million
nothing. Larger models take them from here. Every key is honoured, refused, or named as not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from trainer.errors import UsageError
from trainer.files import read_json
from trainer.settings import FinetuneSettings, _File, parse, shipped_etc


class DatasetRequirements(_File):
    """How many samples a mode needs."""

    min_samples: int = Field(0, ge=0, description="fewer than this: a warning")
    recommended_samples: int = Field(0, ge=0, description="fewer than this: a note")
    mode_filter: str = Field("", description="the mode that the samples must have")
    note: str = ""


class GgufConversion(_File):
    """How a large model is converted for llama.cpp; `trainer export --to gguf` is told on its command line."""

    enabled: bool = False
    quantization_type: str = "Q8_0"
    intermediate_type: str = "f16"
    notes: list[str] = Field(default_factory=list)


class ModeSettings(_File):
    """etc/modes/<mode>-config.json."""

    comment: str = ""
    notes: list[str] = Field(default_factory=list)
    cognitive_mode: str = Field(description="the mode that this file is for")
    base_model: str = Field("", description="name of the model to train elsewhere")
    training_mode: Literal["full_finetune", "lora"] = Field("full_finetune", description="as --method full or lora")
    learning_rate: float = Field(5e-6, gt=0, le=1, description="highest learning rate")
    num_train_epochs: float = Field(3, gt=0, description="times that every sample is trained on")
    per_device_train_batch_size: int = Field(1, ge=1, description="rows in memory at a time")
    gradient_accumulation_steps: int = Field(32, ge=1, description="times so many rows make one step")
    max_seq_length: int = Field(2048, ge=8, description="tokens of a sample at most")
    warmup_steps: int = Field(100, ge=0, description="steps over which the learning rate rises")
    logging_steps: int = Field(10, ge=1, description="steps between two validations")
    save_steps: int = Field(500, ge=1, description="steps between two saved states")
    fp16: bool = Field(False, description="must be false: this trainer knows fp32 and bf16")
    bf16: bool = Field(True, description="bf16 where the device has it, else fp32")
    optim: Literal["adafactor", "adamw", "adamw_8bit"] = Field("adamw", description="this trainer knows adamw")
    weight_decay: float = Field(0.01, ge=0, le=10, description="of matrices")
    max_grad_norm: float = Field(1.0, gt=0, description="greatest norm of the gradient")
    save_total_limit: int = Field(2, ge=1, description="saved states that are kept; this trainer keeps two")
    lora_rank: int = Field(16, ge=1, le=512, description="rank of LoRA's matrices")
    lora_alpha: int = Field(32, ge=1, description="LoRA's scale is alpha / rank")
    lora_learning_rate: float = Field(2e-4, gt=0, le=1, description="of LoRA where training_mode is full_finetune")
    lora_dropout: float = Field(0.05, ge=0, le=1, description="for curate export; this trainer has none")
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="this trainer knows cosine"
    )
    load_in_4bit: bool = Field(False, description="for curate export; this trainer has none")
    seed: int = Field(42, ge=0, lt=2**31, description="for curate export; here it is --seed")
    dataset_requirements: DatasetRequirements = DatasetRequirements()
    gguf_conversion: GgufConversion = GgufConversion()


def load_modes(home: Path | None) -> dict[str, tuple[Path, ModeSettings]]:
    """Return every mode's file and settings, the home's own before the shipped one."""
    found: dict[str, tuple[Path, ModeSettings]] = {}
    for folder in (shipped_etc(), home / "etc" if home else None):
        for path in sorted((folder / "modes").glob("*.json")) if folder else ():
            settings = parse(path, ModeSettings)
            found[settings.cognitive_mode] = (path, settings)
    return found


def finetune_settings(path: Path, mode: ModeSettings, settings: FinetuneSettings) -> tuple[FinetuneSettings, list[str]]:
    """Return the settings of a large model's fine-tune, and the keys of the file that are not used here, and why."""
    if mode.fp16:
        raise UsageError(f"{path}: fp16 is true", "this trainer knows fp32 and bf16: set fp16 to false")
    values: dict[str, Any] = {
        "learning_rate": mode.learning_rate,
        "lora_learning_rate": mode.learning_rate if mode.training_mode == "lora" else mode.lora_learning_rate,
        "lora_rank": mode.lora_rank, "lora_alpha": float(mode.lora_alpha),
        "epochs": float(mode.num_train_epochs),
        "batch_rows": mode.per_device_train_batch_size, "accumulate": mode.gradient_accumulation_steps,
        "warmup_steps": mode.warmup_steps, "eval_every": mode.logging_steps, "save_every": mode.save_steps,
        "weight_decay": mode.weight_decay, "clip": mode.max_grad_norm, "precision": "auto" if mode.bf16 else "fp32",
        "method": "lora" if mode.training_mode == "lora" else "full",
        "replay_ratio": 0.0,  # a second large model in memory, and no text of its own at hand
    }  # fmt: skip
    unused = []
    given = read_json(path)
    if mode.optim != "adamw":
        unused.append(f"optim {mode.optim}: this trainer uses adamw")
    if mode.save_total_limit != 2:
        unused.append(f"save_total_limit {mode.save_total_limit}: this trainer keeps two states")
    if mode.lr_scheduler_type != "cosine":
        unused.append(f"lr_scheduler_type {mode.lr_scheduler_type}: this trainer uses cosine")
    others = (
        ("base_model", "the base is --base"), ("gguf_conversion", "see: trainer export --to gguf"),
        ("lora_dropout", "this trainer has none"), ("load_in_4bit", "this trainer has none"), ("seed", "it is --seed"),
    )  # fmt: skip
    for name, why in others:
        if name in given:
            unused.append(f"{name}: {why}")
    return FinetuneSettings.model_validate({**settings.model_dump(), **values}), unused


def check_dataset(path: Path, mode: ModeSettings, samples: int, modes: set[str]) -> list[str]:
    """Return what a mode's file says against a dataset. Raises UsageError where its samples are of another mode."""
    need = mode.dataset_requirements
    if need.mode_filter and modes != {need.mode_filter}:
        raise UsageError(
            f"{path}: mode_filter is {need.mode_filter!r}; the samples are {', '.join(sorted(modes))}",
            f"make a run of that mode: curate run --mode {need.mode_filter}",
        )
    if samples < need.min_samples:
        return [f"{samples:,} samples; {path.name} asks for {need.min_samples:,} at least"]
    if samples < need.recommended_samples:
        return [f"{samples:,} samples; {path.name} recommends {need.recommended_samples:,}"]
    return []
