"""Training a base from nothing on token shards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from curator.contract.errors import UsageError
from curator.contract.settings_file import today
from trainer.data.batches import SequenceDataset
from trainer.data.token_shards import list_shards, parse_mix, shard_streams, split_documents
from trainer.model.checkpoint import load_checkpoint, refuse_probe
from trainer.model.lexicon import pack_words, words
from trainer.model.llama import Llama, ModelConfig
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import Tokenizer
from trainer.settings import PretrainSettings
from trainer.training.loop import TrainerCallback, TrainingRun, memory_watched
from trainer.training.run_dir import NO_PLAN, RunDir
from trainer.training.runner import PLAN_FORMAT, TrainingJob, run_training
from trainer.training.speed import check_memory, use_device


@dataclass(frozen=True)
class PretrainRequest:
    """The request of a pretraining; paths as given. `mix` are weights of the shards, "NAME=W,...".

    `base` is a checkpoint whose weights it begins with; `held_out`, the shard that is only measured on.
    """

    shards: Path
    tokenizer: Tokenizer
    config: ModelConfig
    settings: PretrainSettings
    out: Path
    mix: str | None = None
    device: str = "cpu"
    base: Path | None = None
    held_out: str | None = None


class _PretrainPlan(BaseModel):
    """What is read of the plan of a pretraining, beside the model's size."""

    model_config = ConfigDict(strict=True, frozen=True)
    modules: str
    settings: PretrainSettings
    mix: str | None
    device: Literal["cpu", "cuda", "mps"]
    base: str | None = None
    held_out: str | None = None


def pretrain_data(request: PretrainRequest) -> tuple[SequenceDataset, dict[str, Any]]:
    """Return the batches of a folder of token shards, and what trainer.json says of them.

    Raises UsageError where no shard has text to train on.
    """
    settings = request.settings
    shards = list_shards(request.shards)
    aside = [shard for shard in shards if shard.manifest.name == request.held_out]
    if request.held_out and not aside:
        names = ", ".join(shard.manifest.name for shard in shards)
        raise UsageError(
            f"{request.shards} has no shard {request.held_out!r} to hold out",
            f"expected --held-out to be one of {names}",
        )
    shards = [shard for shard in shards if shard not in aside]
    shares = parse_mix(request.mix, shards)
    shards = [shard for shard in shards if shard.manifest.name in shares]
    train, held, counts = shard_streams([*shards, *aside], request.tokenizer, settings.holdout_share, request.held_out)
    for name in [name for name in shares if len(train[name]) < 2]:
        shares.pop(name)  # all of a small shard's documents may be held out
    if not shares:
        raise UsageError(f"{request.shards}: no shard has two tokens to train on", "add a shard with more text")
    total = sum(shares.values())
    shares = {name: value / total for name, value in shares.items()}
    used = {name: train[name] for name in shares}
    rows = settings.per_device_batch_size * settings.gradient_accumulation_steps
    data = SequenceDataset(
        used, np.concatenate(list(held.values())), shares, rows=rows, length=request.config.max_seq_len,
        seed=settings.seed,
    )  # fmt: skip
    plain = all(shard.manifest.plain_quotes for shard in shards)
    about = {
        "plain_quotes": plain,
        "modules": {shard.manifest.name: shard.manifest.sha256 for shard in shards},
        "mix": shares,
        **({"held_out": {shard.manifest.name: shard.manifest.sha256 for shard in aside}} if aside else {}),
        **counts,
    }
    return data, about


def pretrain(
    request: PretrainRequest, callback: TrainerCallback, *, resuming: bool = False, allow_drift: bool = False
) -> Path:
    """Train a base and write its checkpoint to `request.out`, which is returned.

    Raises UsageError for a tokenizer of another size or shards without text, JobError where the training
    diverges, HostError where memory or disk are short.
    """
    config, tokenizer, settings = request.config, request.tokenizer, request.settings
    if tokenizer.vocab_size != config.vocab_size:
        raise UsageError(
            f"the model is asked to have {config.vocab_size:,} ids, its tokenizer has {tokenizer.vocab_size:,}",
            f"use --vocab-size {tokenizer.vocab_size}, or another tokenizer",
        )
    use_device(request.device)
    check_memory(config, config.max_seq_len)
    data, about = pretrain_data(request)
    with memory_watched():
        model = Llama(config, settings.dropout)
        model.reset(settings.seed)
        if request.base is not None:
            begin = load_checkpoint(request.base)
            refuse_probe(begin, "--base")
            fits = replace(begin.config, max_seq_len=config.max_seq_len) == config  # whatever the context
            if not fits or begin.tokenizer.sha256 != tokenizer.sha256:
                raise UsageError(
                    f"{request.base} has another size or another tokenizer", "make the shards with its tokenizer.model"
                )
            model.load_state_dict(begin.state)
            about |= {"base": begin.as_parent().model_dump()}
    plan = {
        "format": PLAN_FORMAT, "version": 1, "kind": "pretrain", "steps": settings.steps, "device": request.device,
        "mix": request.mix, "modules": str(request.shards.absolute()), "config": config.as_dict(),
        "settings": settings.model_dump(), "data": about, "tokenizer_sha256": tokenizer.sha256,
        "base": str(request.base.absolute()) if request.base else None, "held_out": request.held_out,
    }  # fmt: skip
    run = TrainingRun(model, data, settings, settings.steps, request.device, callback)
    template = Template(plain_quotes=bool(about["plain_quotes"]))
    job = TrainingJob(
        kind="pretrain", run=run, out=request.out, plan=plan, about=about, tokenizer=tokenizer, template=template,
        words=lambda: pack_words(_words_of(request.shards, about["mix"], tokenizer)),
    )  # fmt: skip
    run_training(job, resuming=resuming, allow_drift=allow_drift)
    return request.out


def _words_of(folder: Path, mix: dict[str, float], tokenizer: Tokenizer) -> set[str]:
    """Return the words of a base's corpus: a fine-tune that writes other words may have invented them."""
    used = (shard for shard in list_shards(folder) if shard.manifest.name in mix)
    documents = (
        document for shard in used for document in split_documents(shard.read(tokenizer.vocab_size, tokenizer.sha256))
    )
    return {word for document in documents for word in words(tokenizer.decode(document.tolist()))}


def resume_pretrain(out: Path, allow_drift: bool, callback: TrainerCallback) -> Path:
    """Go on with a pretraining from its last saved state. Raises UsageError where its plan is damaged."""
    run_dir = RunDir(out)
    raw = run_dir.plan()
    try:
        plan = _PretrainPlan.model_validate(raw | {"settings": today(raw["settings"], PretrainSettings)})
        config = ModelConfig.from_dict(raw["config"])
    except NO_PLAN as error:
        raise run_dir.damaged(error) from None
    request = PretrainRequest(
        shards=Path(plan.modules), tokenizer=Tokenizer.load(run_dir.folder / "tokenizer.model"), config=config,
        settings=plan.settings, out=out, mix=plan.mix, device=plan.device,
        base=Path(plan.base) if plan.base else None, held_out=plan.held_out,
    )  # fmt: skip
    return pretrain(request, callback, resuming=True, allow_drift=allow_drift)
