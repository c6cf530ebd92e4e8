"""etc/trainer.json: the defaults of the small model's training. A home's own file replaces the shipped one.

Every key is honoured or refused; a mistake is reported with file, line and what was expected.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError

from curator.contract.errors import UsageError
from curator.contract.finetune_config import FineTuneConfig
from curator.contract.settings_file import ConfigFile, ConfigModel, Share, etc_file, load_or_refuse

SomeSettings = TypeVar("SomeSettings", bound=ConfigModel)
Repeats = Annotated[int, Field(ge=1, le=1000)]


class TrainSettings(ConfigModel):
    """How a model is trained. A step is per_device_batch_size x gradient_accumulation_steps rows of the context."""

    renamed: ClassVar[dict[str, str]] = {
        "batch_rows": "per_device_batch_size",
        "accumulate": "gradient_accumulation_steps",
        "embedding_rate": "embedding_lr_scale",
        "final_share": "min_lr_ratio",
        "clip": "max_grad_norm",
        "eval_every": "eval_steps",
        "save_every": "save_steps",
        "validation_share": "holdout_share",
        "replay_weight": "kl_weight",
        "end_loss_weight": "eos_loss_weight",
    }
    per_device_batch_size: int = Field(8, ge=1, le=4096, description="rows of one micro-batch: as many as memory holds")
    gradient_accumulation_steps: int = Field(4, ge=1, le=4096, description="micro-batches that make one step")
    optimizer: Literal["adamw", "muon"] = Field("adamw", description="muon: of the matrices; the rest has AdamW")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="highest learning rate")
    embedding_lr_scale: float = Field(
        1.0, gt=0, le=100, description="learning rate of the embedding, as a multiple of it"
    )
    min_lr_ratio: Share = Field(0.1, description="share of it that the schedule ends at")
    lr_scheduler_type: Literal["cosine", "wsd"] = Field(
        "cosine", description="how it falls: along a cosine, or (wsd) not before the last decay_share of the steps"
    )
    decay_share: Share = Field(0.2, description="with wsd, share of the steps in which it falls")
    warmup_steps: int = Field(100, ge=0, description="steps over which it rises, half of all steps at most")
    weight_decay: float = Field(0.1, ge=0, le=10, description="of matrices; norms are not decayed")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's decay of the mean")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW's decay of the square")
    momentum: float = Field(0.95, ge=0, lt=1, description="Muon's")
    max_grad_norm: float = Field(1.0, gt=0, description="greatest norm of the gradient")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the embedding's values left out in training")
    eval_steps: int = Field(100, ge=1, description="steps from one validation to the next")
    save_steps: int = Field(100, ge=1, description="steps from one saved state to the next")
    patience: int = Field(0, ge=0, description="validations without a lower loss before it ends early; 0: never")
    holdout_share: float = Field(0.05, ge=0, le=0.5, description="share of the documents held out")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: by a trial of three passes each")
    compile: Literal["auto", "always", "never"] = Field("auto", description="torch.compile; auto: where it repays")
    threads: int = Field(0, ge=0, le=1024, description="threads of the CPU; 0: one for each core")
    seed: int = Field(42, ge=0, lt=2**31, description="decides everything random")


class FinetuneSettings(TrainSettings):
    """How a base is fine-tuned on dialogues; curate docs experiments says why so. Rows of replay come on top."""

    per_device_batch_size: int = Field(4, ge=1, le=4096, description="rows of one micro-batch: as many as memory holds")
    gradient_accumulation_steps: int = Field(1, ge=1, le=4096, description="micro-batches that make one step")
    learning_rate: float = Field(2.5e-4, gt=0, le=1, description="highest learning rate")
    embedding_lr_scale: float = Field(
        2.0, gt=0, le=100, description="learning rate of the embedding, as a multiple of it"
    )
    warmup_steps: int = Field(5, ge=0, description="steps over which it rises, half of all steps at most")
    weight_decay: float = Field(0.01, ge=0, le=10, description="of matrices; norms are not decayed")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the embedding's values left out in training")
    eval_steps: int = Field(10, ge=1, description="steps from one validation to the next")
    save_steps: int = Field(20, ge=1, description="steps from one saved state to the next")
    patience: int = Field(3, ge=0, description="validations without a better score before it ends early; 0: never")
    holdout_share: float = Field(0.05, ge=0, le=0.5, description="share of the conversations held out")
    epochs: float = Field(4.0, gt=0, description="times that every sample is trained on, where no steps are named")
    method: Literal["full", "lora"] = Field("full", description="train all weights, or low-rank changes to them")
    lora_rank: int = Field(16, ge=1, le=1024, description="rank of those changes")
    lora_alpha: float = Field(32.0, gt=0, description="their weight, divided by the rank")
    lora_learning_rate: float = Field(
        2e-3, gt=0, le=1, description="learning rate with lora, in place of learning_rate"
    )
    prompt_loss_weight: Share = Field(0.3, description="weight of the words of the prompt; the reply's is 1")
    eos_loss_weight: float = Field(3.0, ge=0, le=100, description="weight of the end mark; the reply's is 1")
    replay_ratio: float = Field(1.0, ge=0, le=16, description="rows of the base's text for each of dialogues; 0: none")
    kl_weight: float = Field(20.0, ge=0, le=1000, description="of the divergence from the base on those rows")
    mode_tags: Literal["auto", "none", "keep"] = Field(
        "auto", description="<thought> and the like in the model's text; auto: where a run has several modes"
    )


class PretrainSettings(TrainSettings):
    """How a base is trained from nothing."""

    learning_rate: float = Field(1.5e-3, gt=0, le=1, description="highest learning rate")
    min_lr_ratio: Share = Field(0.05, description="share of it that the schedule ends at")
    warmup_steps: int = Field(200, ge=0, description="steps over which it rises, half of all steps at most")
    eval_steps: int = Field(200, ge=1, description="steps from one validation to the next")
    save_steps: int = Field(200, ge=1, description="steps from one saved state to the next")
    holdout_share: float = Field(0.02, ge=0, le=0.5, description="share of the documents held out")
    steps: int = Field(4000, ge=1, description="steps of the whole training")


class SamplingSettings(ConfigModel):
    """How text is drawn from a model, where the command line says nothing else.

    What is named here comes before what a checkpoint has stored with it.
    """

    temperature: float = Field(0.8, ge=0, le=10, description="0: always the likeliest token")
    top_k: int = Field(0, ge=0, description="draw from so many of the likeliest; 0: from all")
    top_p: Share = Field(0.95, description="draw from the likeliest that hold this share of the probability")
    min_p: Share = Field(0.0, description="draw from those with at least this share of the likeliest one's probability")
    repetition_penalty: float = Field(1.1, gt=0, le=10, description="divides the score of what was written already")
    max_tokens: int = Field(120, ge=1, description="tokens of a reply at most")
    known_words: bool = Field(False, description="write no word that is not in the checkpoint's lexicon.txt.gz")
    best_of: int = Field(1, ge=1, le=64, description="replies drawn to a prompt, of which the best answer is given")


def drawn_as(stored: SamplingSettings | None, settings: SamplingSettings) -> SamplingSettings:
    """Return how text is drawn from a checkpoint: as stored with it, where etc/trainer.json says nothing else."""
    if stored is None:
        return settings
    return stored.model_copy(update=settings.model_dump(include=settings.model_fields_set))


class HealthSettings(ConfigModel):
    """How the health of a fine-tune is measured."""

    replies: int = Field(192, ge=8, le=10_000, description="replies to unseen prompts, at the end")
    most_replies: int = Field(
        1536, ge=8, le=100_000, description="replies at most where a figure is too near its budget to tell"
    )
    training_replies: int = Field(64, ge=0, le=10_000, description="replies to prompts of the training set")
    quick_replies: int = Field(32, ge=8, le=10_000, description="replies at each evaluation and point of the sweep")
    text_rows: int = Field(128, ge=8, le=10_000, description="rows of the base's held-out text")
    temperature: float = Field(0.8, gt=0, le=10, description="at which they are drawn, from all tokens")
    sweep: list[Share] = Field(
        default_factory=lambda: [1.0, 0.95, 0.9, 0.8, 0.7, 0.5],
        min_length=1,
        description="shares of the tuned weights that are tried, the rest is the base's",
    )
    prompts: list[str] = Field(default_factory=list, description="asked where there are too few held-out dialogues")


class CanarySettings(ConfigModel):
    """How memorisation is measured with planted sentences (trainer finetune --canaries)."""

    repeats: list[Repeats] = Field(
        default_factory=lambda: [1, 4, 16], min_length=1, description="how often a canary stands in the training set"
    )
    others: int = Field(512, ge=64, le=100_000, description="secrets drawn for each canary to find its rank")
    draws: int = Field(8, ge=0, le=1000, description="replies drawn to extract a secret, beside the likeliest one")


class BudgetSettings(ConfigModel):
    """The budgets of a fine-tune. A checkpoint past one of them is not kept."""

    renamed: ClassVar[dict[str, str]] = {
        "invented": "oov_rate",
        "verbatim": "memorisation",
        "stopped": "eos_rate",
    }
    base_perplexity: float = Field(0.02, ge=0, description="rise of the perplexity of the base's own text, at most")
    oov_rate: float = Field(0.003, ge=0, le=1, description="share of invented words above the base's, at most")
    memorisation: Share = Field(0.02, description="share of 8-grams from the training replies, unseen prompts, at most")
    reply_perplexity: Share = Field(0.1, description="fall of the perplexity of held-out replies, at least")
    eos_rate: Share = Field(0.8, description="share of replies that stop by themselves, at least")
    voice: float | None = Field(
        None, description="voice score of its replies, 0 as others and 100 as the person, at least; null: not asked for"
    )


class TrainerSettings(ConfigFile):
    """etc/trainer.json."""

    renamed: ClassVar[dict[str, str]] = {"gate": "budgets"}
    small_model_parameters: int = Field(
        50_000_000,
        ge=1,
        description="models up to this size take their defaults from here, larger ones from etc/modes/",
    )
    pretrain: PretrainSettings = PretrainSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    sampling: SamplingSettings = SamplingSettings()
    health: HealthSettings = HealthSettings()
    canaries: CanarySettings = CanarySettings()
    budgets: BudgetSettings = BudgetSettings()
    preview_prompts: list[str] = Field(default_factory=list, description="prompts sampled at each evaluation")


def load_settings(home: Path | None) -> TrainerSettings:
    """Return etc/trainer.json of the home, else the shipped one. Raises UsageError with every mistake and its line."""
    return load_or_refuse(etc_file(home, "trainer.json"), TrainerSettings)


def with_options(settings: SomeSettings, options: dict[str, Any]) -> SomeSettings:
    """Return settings with the command line's options in place. Raises UsageError for a value out of range."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return type(settings).model_validate({**settings.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise UsageError(f"--{name} {json.dumps(first['input'])}: {first['msg']}") from None


def large_model_settings(
    config: FineTuneConfig, given: dict[str, Path], settings: FinetuneSettings
) -> tuple[FinetuneSettings, dict[str, str]]:
    """Return the settings of a large model's fine-tune, and a line for each key of etc/ that is not used here.

    `given` are the keys that a file holds, with that file (see `load_fine_tune`). Raises UsageError for fp16.
    """
    if config.fp16:
        raise UsageError(
            f"{given.get('fp16', 'etc')}: fp16 is true", "this trainer knows fp32 and bf16: set it to false"
        )
    values: dict[str, Any] = {
        "learning_rate": config.learning_rate,
        "lora_learning_rate": config.learning_rate if config.training_mode == "lora" else config.lora_learning_rate,
        "lora_rank": config.lora_rank, "lora_alpha": float(config.lora_alpha),
        "epochs": float(config.num_train_epochs),
        "per_device_batch_size": config.per_device_train_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "warmup_steps": config.warmup_steps, "eval_steps": config.logging_steps, "save_steps": config.save_steps,
        "weight_decay": config.weight_decay, "max_grad_norm": config.max_grad_norm,
        "precision": "auto" if config.bf16 else "fp32",
        "method": "lora" if config.training_mode == "lora" else "full",
        "replay_ratio": 0.0,  # replay needs a second large model in memory, and there is no text of that base
    }  # fmt: skip
    unused: dict[str, str] = {}
    if config.optim != "adamw":
        unused["optim"] = f"optim {config.optim}: this trainer uses adamw"
    if config.save_total_limit != 2:
        unused["save_total_limit"] = f"save_total_limit {config.save_total_limit}: this trainer keeps two states"
    if config.lr_scheduler_type != "cosine":
        unused["lr_scheduler_type"] = f"lr_scheduler_type {config.lr_scheduler_type}: this trainer uses cosine"
    others = {
        "base_model": "the base is --base", "gguf_conversion": "see: trainer export --to gguf",
        "lora_dropout": "this trainer has none", "load_in_4bit": "this trainer has none", "seed": "it is --seed",
    }  # fmt: skip
    unused |= {name: f"{name}: {why}" for name, why in others.items() if name in given}
    return FinetuneSettings.model_validate({**settings.model_dump(), **values}), unused
