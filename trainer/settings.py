"""etc/trainer.json: the defaults of the small model's training. A home's own file replaces the shipped one.

Every key is honoured or refused; a mistake is reported with file, line and what was expected.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import json_source_map
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.errors import UsageError
from trainer.files import read_json

Share = Annotated[float, Field(ge=0, le=1)]
Model = TypeVar("Model", bound=BaseModel)
Settings = TypeVar("Settings", bound=BaseModel)


class _File(BaseModel):
    """Base of the configuration models: unknown keys are errors, values are never converted in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TrainSettings(_File):
    """How a model is trained. A step is `batch_rows` x `accumulate` rows of the model's context."""

    batch_rows: int = Field(
        8, ge=1, le=4096, description="rows in memory at a time; changes speed and memory, never the step"
    )
    accumulate: int = Field(4, ge=1, le=4096, description="times so many rows make one step")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="highest learning rate of AdamW")
    embedding_rate: float = Field(1.0, gt=0, le=100, description="learning rate of the embedding, as a multiple of it")
    final_share: Share = Field(0.1, description="share of it that the cosine ends at")
    warmup_steps: int = Field(100, ge=0, description="steps over which it rises, half of all steps at most")
    weight_decay: float = Field(0.1, ge=0, le=10, description="of matrices; norms are not decayed")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's decay of the mean")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW's decay of the square")
    clip: float = Field(1.0, gt=0, description="greatest norm of the gradient")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the embedding's values left out in training")
    eval_every: int = Field(100, ge=1, description="steps from one validation to the next")
    save_every: int = Field(100, ge=1, description="steps from one saved state to the next")
    patience: int = Field(0, ge=0, description="validations without a lower loss before it ends early; 0: never")
    validation_share: float = Field(0.05, ge=0, le=0.5, description="share of the documents held out")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: by a trial of three passes each")
    compile: Literal["auto", "always", "never"] = Field("auto", description="torch.compile; auto: where it repays")
    threads: int = Field(0, ge=0, le=1024, description="threads of the CPU; 0: one for each core")
    seed: int = Field(42, ge=0, lt=2**31, description="decides everything random")


class FinetuneSettings(TrainSettings):
    """How a base is fine-tuned on dialogues; docs/experiments.md says why so. Rows of replay come on top."""

    batch_rows: int = Field(
        4, ge=1, le=4096, description="rows in memory at a time; changes speed and memory, never the step"
    )
    accumulate: int = Field(1, ge=1, le=4096, description="times so many rows make one step")
    learning_rate: float = Field(2.5e-4, gt=0, le=1, description="highest learning rate of AdamW")
    embedding_rate: float = Field(2.0, gt=0, le=100, description="learning rate of the embedding, as a multiple of it")
    warmup_steps: int = Field(5, ge=0, description="steps over which it rises, half of all steps at most")
    weight_decay: float = Field(0.01, ge=0, le=10, description="of matrices; norms are not decayed")
    dropout: float = Field(0.05, ge=0, lt=1, description="share of the embedding's values left out in training")
    eval_every: int = Field(10, ge=1, description="steps from one validation to the next")
    save_every: int = Field(20, ge=1, description="steps from one saved state to the next")
    patience: int = Field(3, ge=0, description="validations without a better score before it ends early; 0: never")
    validation_share: float = Field(0.05, ge=0, le=0.5, description="share of the conversations held out")
    epochs: float = Field(8.0, gt=0, description="times that every sample is trained on, where no steps are named")
    method: Literal["full", "lora"] = Field("full", description="train all weights, or low-rank changes to them")
    lora_rank: int = Field(16, ge=1, le=512, description="rank of those changes")
    lora_alpha: float = Field(32.0, gt=0, description="their weight, divided by the rank")
    lora_learning_rate: float = Field(
        2e-3, gt=0, le=1, description="learning rate with lora, in place of learning_rate"
    )
    prompt_loss_weight: Share = Field(0.3, description="weight of the words of the prompt; the reply's is 1")
    end_loss_weight: float = Field(3.0, ge=0, le=100, description="weight of the end mark; the reply's is 1")
    replay_ratio: float = Field(2.0, ge=0, le=16, description="rows of the base's text for each of dialogues; 0: none")
    replay_weight: float = Field(20.0, ge=0, le=1000, description="of the divergence from the base on those rows")
    mode_tags: Literal["auto", "none", "keep"] = Field(
        "auto", description="<thought> and the like in the model's text; auto: where a run has several modes"
    )


class PretrainSettings(TrainSettings):
    """How a base is trained from nothing."""

    learning_rate: float = Field(1.5e-3, gt=0, le=1, description="highest learning rate of AdamW")
    final_share: Share = Field(0.05, description="share of it that the cosine ends at")
    warmup_steps: int = Field(200, ge=0, description="steps over which it rises, half of all steps at most")
    eval_every: int = Field(200, ge=1, description="steps from one validation to the next")
    save_every: int = Field(200, ge=1, description="steps from one saved state to the next")
    validation_share: float = Field(0.02, ge=0, le=0.5, description="share of the documents held out")
    steps: int = Field(4000, ge=1, description="steps of the whole training")


class SamplingSettings(_File):
    """How text is drawn from a model, where the command line says nothing else."""

    temperature: float = Field(0.8, ge=0, le=10, description="0: always the likeliest token")
    top_k: int = Field(0, ge=0, description="draw from so many of the likeliest; 0: from all")
    top_p: Share = Field(0.95, description="draw from the likeliest that hold this share of the probability")
    min_p: Share = Field(0.0, description="draw from those with at least this share of the likeliest one's probability")
    repetition_penalty: float = Field(1.1, gt=0, le=10, description="divides the score of what was written already")
    max_tokens: int = Field(120, ge=1, description="tokens of a reply at most")


class HealthSettings(_File):
    """How the health of a fine-tune is measured."""

    replies: int = Field(192, ge=8, le=10_000, description="replies to unseen prompts, at the end")
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


class GateSettings(_File):
    """The budgets of a fine-tune. A checkpoint past one of them is not kept."""

    base_perplexity: float = Field(0.02, ge=0, description="rise of the perplexity of the base's own text, at most")
    invented: float = Field(0.003, ge=0, le=1, description="share of invented words above the base's, at most")
    verbatim: Share = Field(0.02, description="share of 8-grams from the training replies, unseen prompts, at most")
    reply_perplexity: Share = Field(0.1, description="fall of the perplexity of held-out replies, at least")
    stopped: Share = Field(0.8, description="share of replies that stop by themselves, at least")


class TrainerSettings(_File):
    """etc/trainer.json."""

    comment: str = ""
    small_model_parameters: int = Field(
        50_000_000,
        ge=1,
        description="models up to this size take their defaults from here, larger ones from etc/modes/",
    )
    pretrain: PretrainSettings = PretrainSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    sampling: SamplingSettings = SamplingSettings()
    health: HealthSettings = HealthSettings()
    gate: GateSettings = GateSettings()
    preview_prompts: list[str] = Field(default_factory=list, description="prompts sampled at each evaluation")


def shipped_etc() -> Path:
    """Return the folder of the default configuration: in a wheel beside the curator's code, else at the top."""
    top = Path(__file__).resolve().parent.parent
    in_wheel = top / "curator" / "etc"
    return in_wheel if in_wheel.is_dir() else top / "etc"


def settings_file(home: Path | None, name: str) -> Path:
    """Return the file of etc/ that counts: the home's where it has one, else the shipped one."""
    own = home / "etc" / name if home else None
    return own if own and own.is_file() else shipped_etc() / name


def load_settings(home: Path | None) -> TrainerSettings:
    """Read etc/trainer.json. Raises UsageError with every mistake, each with its line."""
    path = settings_file(home, "trainer.json")
    return parse(path, TrainerSettings)


def parse(path: Path, model: type[Model]) -> Model:
    """Return a JSON file as a model of it. Raises UsageError with every mistake, each with its line."""
    raw = read_json(path)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = [_line(path, one["loc"], one["msg"]) for one in error.errors()]
        raise UsageError("\n".join(lines), "docs/settings.md lists every key") from None


def _line(path: Path, place: tuple[int | str, ...], message: str) -> str:
    try:
        entry = json_source_map.calculate(path.read_text("utf-8")).get("/" + "/".join(map(str, place)))
    except (OSError, ValueError):
        entry = None
    number = f":{entry.value_start.line + 1}" if entry else ""
    return f"{path}{number}: {'.'.join(map(str, place)) or 'the whole'}: {message}"


def with_options(settings: Settings, options: dict[str, Any]) -> Settings:
    """Return settings with the command line's options in place. Raises UsageError for a value out of range."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return type(settings).model_validate({**settings.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise UsageError(f"--{name} {json.dumps(first['input'])}: {first['msg']}") from None
