"""etc/fine-tune-config.json, etc/modes/<mode>-config.json and etc/export.json: what an export is configured with.

The keys are MetaHuman OS's own; its files count as they stand. A mode's file goes before fine-tune-config.json key by
key, as MetaHuman reads them. The curator needs these for exports alone, so a mistake in them stops no `curate run`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from curator.config import Share, _File, load_file
from curator.errors import UsageError
from curator.shipped import shipped_etc


class ModeDistribution(_File):
    """Shares of the modes, in percent."""

    dual_min_percent: float = Field(0, ge=0, le=100, description="dual samples at least")
    emulation_min_percent: float = Field(0, ge=0, le=100, description="emulation samples at least")
    agent_min_percent: float = Field(0, ge=0, le=100, description="agent samples at least")


class Requirements(_File):
    """What a set needs to be worth training on; less is told, not refused."""

    min_samples: int = Field(0, ge=0, description="fewer than this: a warning")
    recommended_samples: int = Field(0, ge=0, description="fewer than this: a note")
    mode_filter: str = Field("", description="the mode that the samples must have")
    mode_distribution: ModeDistribution = ModeDistribution()
    note: str = Field("", description="for the reader")


class Gguf(_File):
    """The conversion for llama.cpp and Ollama after training."""

    enabled: bool = Field(False, description="make a GGUF of the trained model, where the tool can")
    quantization_type: str = Field("Q8_0", pattern="^[A-Za-z0-9_]{2,16}$", description="llama.cpp's name")
    intermediate_type: str = Field("f16", pattern="^[A-Za-z0-9_]{2,16}$", description="before quantizing")
    notes: tuple[str, ...] = Field((), description="for the reader")


class FineTuneConfig(_File):
    """etc/fine-tune-config.json: how a large model is fine-tuned; curate export translates it for each tool."""

    notes: tuple[str, ...] = Field((), description="for the reader")
    cognitive_mode: str = Field("", description="of a mode's own file: the mode it is for")
    base_model: str = Field("Qwen/Qwen3-4B-Instruct-2507", description="the model to train; --base-model goes first")
    training_mode: Literal["full_finetune", "lora"] = Field(
        "full_finetune", description="the method; --method goes first"
    )
    learning_rate: float = Field(5e-6, gt=0, le=1, description="of full fine-tuning; of LoRA if training_mode is lora")
    lora_learning_rate: float = Field(2e-4, gt=0, le=1, description="of LoRA where training_mode is full_finetune")
    num_train_epochs: float = Field(3, gt=0, le=1000, description="times that every sample is trained on")
    per_device_train_batch_size: int = Field(1, ge=1, description="rows in memory at a time")
    gradient_accumulation_steps: int = Field(32, ge=1, description="times so many rows make one step")
    max_seq_length: int = Field(2048, ge=8, description="tokens of a sample at most")
    warmup_steps: int = Field(100, ge=0, description="steps over which the learning rate rises; a tenth of all at most")
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = Field("cosine", description="how it falls then")
    logging_steps: int = Field(10, ge=1, description="steps between two lines of the log")
    save_steps: int = Field(500, ge=1, description="steps between two saved states")
    save_total_limit: int = Field(2, ge=1, description="saved states that are kept")
    fp16: bool = Field(False, description="train in fp16, for GPUs without bf16")
    bf16: bool = Field(True, description="train in bf16")
    optim: Literal["adamw", "adamw_8bit", "adafactor"] = Field("adamw", description="optimizer")
    weight_decay: float = Field(0.01, ge=0, le=10, description="of the optimizer")
    max_grad_norm: float = Field(1.0, gt=0, description="greatest norm of the gradient")
    lora_rank: int = Field(16, ge=1, le=1024, description="rank of LoRA's matrices, on all linear layers")
    lora_alpha: int = Field(32, ge=1, description="LoRA's scale is alpha / rank")
    lora_dropout: Share = Field(0.05, description="share of LoRA's inputs left out in training")
    load_in_4bit: bool = Field(False, description="QLoRA: the base's weights in 4 bits")
    seed: int = Field(42, ge=0, lt=2**31, description="decides everything random")
    dataset_requirements: Requirements = Requirements()
    gguf_conversion: Gguf = Gguf()


class ExportConfig(_File):
    """etc/export.json: the words that exports add, and what their dataset card says."""

    system: dict[str, str] = Field(description="mode -> its system message with --tags none")
    other_system: str = Field("Mode: {mode}.", description="that of a mode not named above")
    language: str = Field("en", pattern="^[a-z]{2,3}$", description="language of the memories, for the dataset card")
    licence: str = Field("other", min_length=1, description="licence of the set, for the dataset card")
    licence_note: str = Field("", description="what the card says of the licence")
    consent: str = Field("", description="who consented to what; empty: the card says that nobody did")

    def system_text(self, mode: str) -> str:
        """Return the system message of a mode."""
        return self.system.get(mode) or self.other_system.replace("{mode}", mode)


EXPORT_MODELS: dict[str, type[_File]] = {"fine-tune-config": FineTuneConfig, "export": ExportConfig}

# Of every key the commands themselves make use: they are no hyperparameters of a tool.
_OURS = {"comment", "notes", "cognitive_mode", "base_model", "training_mode", "lora_learning_rate",
         "dataset_requirements"}  # fmt: skip


class Keys(Mapping[str, Any]):
    """The hyperparameters of one export by MetaHuman's names. What is read is noted, so that no key is forgotten."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        value = self._values[name]
        self.read.add(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def config_files(home: Path | None, mode: str) -> list[Path]:
    """Return the files that configure an export, the general one first: the home's before the shipped of that name."""
    names = ["fine-tune-config.json", *([f"modes/{mode}-config.json"] if mode else [])]
    found = []
    for name in names:
        places = [folder / name for folder in (home / "etc" if home else None, shipped_etc()) if folder]
        found += [path for path in places if path.is_file()][:1]
    return found


def load_fine_tune(home: Path | None, mode: str) -> tuple[FineTuneConfig, dict[str, Path]]:
    """Return the configuration for samples of `mode` ("" for several), and for each key given in a file, that file.

    Raises UsageError that lists every mistake with its file and line.
    """
    values: dict[str, Any] = {}
    where: dict[str, Path] = {}
    problems: list[str] = []
    for path in config_files(home, mode):
        loaded, found = load_file(path, FineTuneConfig)
        problems += found
        if loaded is not None:
            own = {name: getattr(loaded, name) for name in loaded.model_fields_set}
            values |= own
            where |= dict.fromkeys(own, path)
    _refuse(problems)
    config = FineTuneConfig(**values)
    if config.fp16 and config.bf16:
        raise UsageError(f"{where.get('fp16', 'etc')}: fp16 and bf16 are both true", "set one of them to false")
    return config, where


def load_export(home: Path | None) -> ExportConfig:
    """Return etc/export.json, the home's before the shipped one. Raises UsageError that lists every mistake."""
    path = home / "etc" / "export.json" if home else None
    loaded, problems = load_file(path if path and path.is_file() else shipped_etc() / "export.json", ExportConfig)
    _refuse(problems)
    assert isinstance(loaded, ExportConfig)
    return loaded


def _refuse(problems: list[str]) -> None:
    if problems:
        raise UsageError("the configuration has mistakes:\n  " + "\n  ".join(problems), "mend these lines")


def keys_for(config: FineTuneConfig, method: Literal["lora", "full"], steps: int) -> tuple[Keys, list[str]]:
    """Return the keys of one export, and what had to be made to fit: no warm-up longer than a tenth of the steps.

    A learning rate that is for the other method is never used: 5e-6 teaches an adapter nothing, 2e-4 ruins a model.
    """
    values = {name: getattr(config, name) for name in FineTuneConfig.model_fields if name not in _OURS}
    notes = []
    if method == "lora" and config.training_mode != "lora":
        values["learning_rate"] = config.lora_learning_rate
    elif method == "full" and config.training_mode == "lora" and "learning_rate" in config.model_fields_set:
        values["learning_rate"] = min(config.learning_rate, FineTuneConfig.model_fields["learning_rate"].default)
        if values["learning_rate"] != config.learning_rate:
            notes.append(f"learning_rate {config.learning_rate:g} is LoRA's: full fine-tuning uses 5e-06")
    most = max(1, steps // 10)
    if steps and config.warmup_steps > most:
        values["warmup_steps"] = most
        notes.append(f"warmup_steps {config.warmup_steps}: {most}, since there are only {steps:,} steps")
    return Keys(values), notes


def steps_of(config: FineTuneConfig, rows: int) -> int:
    """Return the optimizer's steps of a whole training on one device."""
    size = config.per_device_train_batch_size * config.gradient_accumulation_steps
    return math.ceil(math.ceil(rows / size) * config.num_train_epochs)
