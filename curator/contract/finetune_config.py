"""etc/fine-tune-config.json and etc/modes/<mode>-config.json: how a large model is fine-tuned, here or elsewhere.

The keys are MetaHuman OS's own, and its files can be used unchanged. A key in a mode's file overrides the same key in
fine-tune-config.json, as in MetaHuman. `curate export` translates the keys for other tools; `trainer finetune` takes
its defaults for a large model from them. The small model has etc/trainer.json: a learning rate of 5e-6 suits nine
billion parameters and is too small for seven million. A mistake in these files stops no `curate run`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from curator.contract.cli_frame import command_line
from curator.contract.errors import UsageError, counted
from curator.contract.settings_file import ConfigFile, ConfigModel, Share, etc_file, load_file, refuse

# Any mode may stand before _min_percent: a plugin's too.
MinPercent = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,31}_min_percent$")]
Percent = Annotated[float, Field(ge=0, le=100)]


class Requirements(ConfigModel):
    """What a set needs to be worth training on; less is told, not refused."""

    min_samples: int = Field(0, ge=0, description="fewer than this: a warning")
    recommended_samples: int = Field(0, ge=0, description="fewer than this: a note")
    mode_filter: str = Field("", description="the mode that the samples must have")
    mode_distribution: dict[MinPercent, Percent] = Field({}, description="<mode>_min_percent: its share at least")
    note: str = Field("", description="for the reader")


class Gguf(ConfigModel):
    """The conversion for llama.cpp and Ollama after training."""

    enabled: bool = Field(False, description="make a GGUF of the trained model, where the tool can")
    quantization_type: str = Field("Q8_0", pattern="^[A-Za-z0-9_]{2,16}$", description="llama.cpp's name")
    intermediate_type: str = Field("f16", pattern="^[A-Za-z0-9_]{2,16}$", description="before quantizing")
    notes: tuple[str, ...] = Field((), description="for the reader")


class FineTuneConfig(ConfigFile):
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
    per_device_train_batch_size: int = Field(1, ge=1, description="rows of one micro-batch: as many as memory holds")
    gradient_accumulation_steps: int = Field(32, ge=1, description="micro-batches that make one step")
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


def load_fine_tune(home: Path | None, mode: str) -> tuple[FineTuneConfig, dict[str, Path]]:
    """Return the configuration for samples of `mode` ("" for several), and for each key given in a file, that file.

    Raises UsageError that lists every mistake with its file and line.
    """
    values: dict[str, Any] = {}
    where: dict[str, Path] = {}
    problems: list[str] = []
    for name in ("fine-tune-config.json", *([f"modes/{mode}-config.json"] if mode else [])):
        path = etc_file(home, name)
        if not path.is_file():  # a plugin's mode need not have a file
            continue
        loaded, wrong = load_file(path, FineTuneConfig)
        problems += wrong
        if loaded is not None:
            own = {key: getattr(loaded, key) for key in loaded.model_fields_set}
            values |= own
            where |= dict.fromkeys(own, path)
    if problems:
        refuse(problems)
    config = FineTuneConfig(**values)
    if config.fp16 and config.bf16:
        raise UsageError(f"{where.get('fp16', 'etc')}: fp16 and bf16 are both true", "set one of them to false")
    return config, where


def require_mode(config: FineTuneConfig, modes: Collection[str]) -> None:
    """Raise UsageError where the configuration is for another mode than that of the samples."""
    wanted = config.dataset_requirements.mode_filter
    if wanted and set(modes) != {wanted}:
        raise UsageError(
            f"mode_filter is {wanted!r}; the samples are {', '.join(sorted(modes))}",
            f"make a run of that mode: {command_line('curate', 'run', '--mode', wanted)}",
        )


def size_note(config: FineTuneConfig, samples: int) -> str:
    """Return a note where the configuration asks for or recommends more samples; "" where these are enough."""
    need = config.dataset_requirements
    for least, verb in ((need.min_samples, "asks for"), (need.recommended_samples, "recommends")):
        if samples < least:
            return f"the set has {counted(samples, 'sample')}; the fine-tuning configuration of etc/ {verb} {least:,}"
    return ""


def share_notes(config: FineTuneConfig, counts: Mapping[str, int]) -> list[str]:
    """Return a line for each mode whose share of the rows (`counts`: mode -> rows) is below the configured minimum."""
    rows, notes = sum(counts.values()), []
    for key, wanted in config.dataset_requirements.mode_distribution.items():
        mode = key.removesuffix("_min_percent")
        share = 100 * counts.get(mode, 0) / rows
        if share < wanted:
            notes.append(
                f"{mode} is {share:.0f}% of the samples; the fine-tuning configuration of etc/ asks for {wanted:.0f}%"
            )
    return notes
