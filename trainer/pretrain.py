"""Training a base from nothing on knowledge modules, and what all trainings have in common around the loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import ValidationError

from trainer import training
from trainer.anchor import Anchor
from trainer.batches import Data, Windows
from trainer.checkpoint import Parent, Record, save_checkpoint, write_checkpoint
from trainer.documents import held_out
from trainer.errors import UsageError, disk_error
from trainer.files import locked, write_whole
from trainer.layouts import State
from trainer.lexicon import LEXICON, pack_words, words
from trainer.lora import merged_state
from trainer.model import Llama, ModelConfig
from trainer.modules import Module, Tokens, list_modules, parse_mix, split_documents
from trainer.settings import PretrainSettings, TrainSettings
from trainer.speed import check_memory, threads, use_device
from trainer.templates import Template
from trainer.tokenizer import BOS, Tokenizer
from trainer.work import Work, processor_note

PLAN_FORMAT = "persona-curator-training"


def module_streams(
    modules: list[Module], tokenizer: Tokenizer, share: float
) -> tuple[dict[str, Tokens], dict[str, Tokens], dict[str, Any]]:
    """Return (training tokens by module, held-out tokens by module, counts).

    Documents are clustered over all modules together, so that none is trained on in one and held out in another.
    """
    documents: list[Tokens] = []
    owner: list[str] = []
    for module in modules:
        found = split_documents(module.read(tokenizer.vocab_size, tokenizer.sha256))
        documents += found
        owner += [module.manifest.name] * len(found)
    held = held_out(documents, share)
    empty = np.zeros(0, np.uint16)
    train, valid = {}, {}
    for module in modules:
        name = module.manifest.name
        mine = [index for index, one in enumerate(owner) if one == name]
        train[name] = np.concatenate([empty, *[_marked(documents[one]) for one in mine if not held[one]]])
        valid[name] = np.concatenate([empty, *[_marked(documents[one]) for one in mine if held[one]]])
    counts = {
        "documents": len(documents), "documents_held_out": int(held.sum()),
        "tokens": sum(len(one) for one in train.values()), "tokens_held_out": sum(len(one) for one in valid.values()),
    }  # fmt: skip
    return train, valid, counts


def _marked(document: Tokens) -> Tokens:
    """Return a document begun by `<s>`: the first of a foreign shard may lack it, and would join the one before."""
    return document if document[0] == BOS else np.concatenate((np.array([BOS], document.dtype), document))


def pretrain_data(
    folder: Path, mix: str | None, tokenizer: Tokenizer, settings: PretrainSettings, length: int
) -> tuple[Windows, dict[str, Any]]:
    """Return the batches of a folder of modules, and what trainer.json says of them."""
    modules = list_modules(folder)
    shares = parse_mix(mix, modules)
    modules = [module for module in modules if module.manifest.name in shares]
    train, held, counts = module_streams(modules, tokenizer, settings.validation_share)
    for name in [name for name in shares if len(train[name]) < 2]:
        shares.pop(name)  # all of a small module's documents may be held out
    if not shares:
        raise UsageError(f"{folder}: no module has two tokens to train on", "add a module with more text")
    whole = sum(shares.values())
    shares = {name: value / whole for name, value in shares.items()}
    used = {name: train[name] for name in shares}
    rows = settings.batch_rows * settings.accumulate
    data = Windows(used, np.concatenate(list(held.values())), shares, rows, length, settings.seed)
    plain = all(module.manifest.plain_quotes for module in modules)
    about = {
        "plain_quotes": plain,
        "modules": {one.manifest.name: one.manifest.sha256 for one in modules},
        "mix": shares,
        **counts,
    }
    return data, about


def pretrain(
    modules: Path, tokenizer: Tokenizer, config: ModelConfig, settings: PretrainSettings, out: Path,
    mix: str | None, device: str, watcher: training.Watcher, resuming: bool = False,
    allow_drift: bool = False,
) -> Path:  # fmt: skip
    """Train a base and leave its checkpoint at `out`. Returns `out`."""
    if tokenizer.vocab_size != config.vocab_size:
        raise UsageError(
            f"the model is asked to have {config.vocab_size:,} ids, its tokenizer has {tokenizer.vocab_size:,}",
            f"use --vocab-size {tokenizer.vocab_size}, or another tokenizer",
        )
    use_device(device)
    check_memory(config, config.max_seq_len)
    data, about = pretrain_data(modules, mix, tokenizer, settings, config.max_seq_len)
    template = Template(plain_quotes=bool(about["plain_quotes"]))
    with training.memory_watched():
        model = Llama(config, settings.dropout)
        model.reset(settings.seed)
    plan = {
        "format": PLAN_FORMAT, "version": 1, "kind": "pretrain", "steps": settings.steps, "device": device, "mix": mix,
        "modules": str(modules.absolute()), "config": config.as_dict(),
        "settings": settings.model_dump(), "data": about, "tokenizer_sha256": tokenizer.sha256,
    }  # fmt: skip
    run_training(
        "pretrain", model, data, settings, settings.steps, out, plan, tokenizer, template, None,
        about, device, watcher, resuming, allow_drift, None,
    )  # fmt: skip
    write_whole(out / LEXICON, pack_words(_words_of(modules, about["mix"], tokenizer)))
    return out


def _words_of(folder: Path, mix: dict[str, float], tokenizer: Tokenizer) -> set[str]:
    """Return the words that a base read: what is none of them, its fine-tunes may have invented."""
    used = (module for module in list_modules(folder) if module.manifest.name in mix)
    documents = (one for module in used for one in split_documents(module.read(tokenizer.vocab_size, tokenizer.sha256)))
    return {word for one in documents for word in words(tokenizer.decode(one.tolist()))}


def run_training(
    kind: Literal["pretrain", "finetune"], model: Llama, data: Data, settings: TrainSettings, steps: int, out: Path,
    plan: dict[str, Any], tokenizer: Tokenizer, template: Template, parent: Parent | None, about: dict[str, Any],
    device: str, watcher: training.Watcher, resuming: bool, allow_drift: bool, epoch: Any,
    anchor: Anchor | None = None, gated: Gated | None = None,
) -> Path:  # fmt: skip
    """Run the loop in `out`, locked, and write the best weights there as a checkpoint.

    With `gated`, that decides what is best and what of it is kept. Raises its JobError, with all of the training left
    in place, where nothing may be kept.
    """
    work = Work(out, watcher.say)
    plan = {**plan, "fingerprint": data.fingerprint()}
    if not resuming:
        work.refuse_taken()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, "cannot make", out) from None
    with locked(out), threads(settings.threads):
        plan["machine"] = processor_note()
        if resuming:
            _refuse_drift(work.plan(), plan, allow_drift, watcher)
        else:
            work.begin(plan, tokenizer.model)
        watcher.begin(work.folder)
        judge = gated.judge if gated else None
        outcome = training.train(model, data, settings, steps, work, watcher, device, epoch, anchor, judge)
        best = work.load_best()
        if gated is not None and not outcome.best_step:
            # No step scored better than the base: the gate is shown the last one, it is what has to be explained.
            loss = work.metrics()[-1].get("validation_loss")
            best, outcome = merged_state(model), replace(outcome, best_step=outcome.step, best_loss=loss)
        record = make_record(kind, outcome, settings, template, parent, about, plan)
        if gated is not None:
            best, record = gated.keep(best, record, work)
        if outcome.best_step != outcome.step:
            note = f"the weights of the last step, {outcome.step}; the best, of {outcome.best_step}, are in {out.name}"
            last = record.model_copy(update={"notes": [*record.notes, note]})
            save_checkpoint(out / "last", merged_state(model), model.config, tokenizer, last, replace=True)
        finish(out, work, best, model.config, tokenizer, record)
    (out / ".lock").unlink(missing_ok=True)
    watcher.say(summary(outcome))
    return out


class Gated(Protocol):
    """What decides over the weights of a fine-tune."""

    def judge(self, model: Llama, step: int, loss: float, precision: str) -> tuple[float, dict[str, float]]:
        """Return the score of a model in training, and its figures; see `training.Judge`."""

    def keep(self, best: State, record: Record, work: Work) -> tuple[State, Record]:
        """Return the weights to keep and their record, the report left in `work`. Raises JobError to keep nothing."""


def make_record(
    kind: Literal["pretrain", "finetune"], outcome: training.Outcome, settings: TrainSettings, template: Template,
    parent: Parent | None, about: dict[str, Any], plan: dict[str, Any],
) -> Record:  # fmt: skip
    """Return what trainer.json says of a training that has ended."""
    metrics = {
        "best_step": float(outcome.best_step),
        "tokens_trained": float(outcome.tokens),
        "seconds": round(outcome.seconds, 1),
    }
    if outcome.best_loss is not None and outcome.first_loss is not None:
        metrics |= {
            "validation_loss": round(outcome.best_loss, 5), "validation_loss_at_start": round(outcome.first_loss, 5),
            "validation_perplexity": round(float(np.exp(min(outcome.best_loss, 50))), 4),
        }  # fmt: skip
    how = {**settings.model_dump(), "precision": outcome.precision, "compile": outcome.compiled, **plan["machine"]}
    return Record(
        made_by=kind, steps=outcome.step, template=template, parent=parent, settings=how, metrics=metrics,
        data={**about, "fingerprint": plan["fingerprint"]}, notes=[f"ended: {outcome.ended}"],
    )  # fmt: skip


def finish(out: Path, work: Work, state: State, config: ModelConfig, tokenizer: Tokenizer, record: Record) -> None:
    """Write the checkpoint beside its training/ folder, trainer.json last, and let go of the states."""
    write_checkpoint(out, state, config, tokenizer, record)
    work.finish()


def _refuse_drift(before: dict[str, Any], now: dict[str, Any], allow: bool, watcher: training.Watcher) -> None:
    """Raise UsageError, naming each, where data, settings or machine differ from those the training began with."""
    old, new = _leaves(before), _leaves(now)
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    if not changed:
        return
    told = "; ".join(f"{name} was {_short(old.get(name))}, is {_short(new.get(name))}" for name in changed)
    if not allow:
        raise UsageError(f"this is not what the training began with: {told}", "put it back, or add --allow-drift")
    watcher.say(f"going on although something changed: {told}")


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Return every value of nested objects by its dotted name."""
    if not isinstance(value, dict):
        return {name: value}
    return {
        key: leaf for one, inner in value.items() for key, leaf in _leaves(inner, f"{name}.{one}".lstrip(".")).items()
    }


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 120 else text[:117] + "..."


def summary(outcome: training.Outcome) -> str:
    """Return one line on how a training ended."""
    line = f"{outcome.step:,} steps in {outcome.seconds:,.0f} s ({outcome.ended})"
    if outcome.best_loss is None or outcome.first_loss is None:
        return line + "; nothing was held out, so the last weights are kept"
    if outcome.best_step == 0:
        return f"{line}; no step was better than the base ({outcome.first_loss:.3f} on what is held out), so it is kept"
    losses = f"{outcome.first_loss:.3f} -> {outcome.best_loss:.3f}"
    fell = outcome.best_loss < outcome.first_loss
    return f"{line}; validation loss {losses}, {'best' if fell else 'higher'} at step {outcome.best_step:,}"


def resume_pretrain(out: Path, allow_drift: bool, watcher: training.Watcher) -> Path:
    """Go on with a pretraining from its last saved state."""
    plan = Work(out).plan()
    tokenizer = Tokenizer.load(out / "training" / "tokenizer.model")
    try:
        settings, config = PretrainSettings.model_validate(plan["settings"]), ModelConfig.from_dict(plan["config"])
        modules, mix, device = Path(plan["modules"]), plan["mix"], plan["device"]
    except (KeyError, TypeError, ValidationError) as error:
        raise UsageError(f"{out}: the plan of its training is damaged: {str(error)[:200]}", "begin it anew") from None
    return pretrain(
        modules, tokenizer, config, settings, out, mix, device, watcher, resuming=True, allow_drift=allow_drift
    )
