"""The parts around the loop that all trainings share: the run directory and its lock, the record, the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from curator.contract.errors import JobError, UsageError, counted, disk_error
from curator.contract.files import locked, write_whole
from curator.contract.settings_file import today
from trainer.evaluation.training_log import TrainingLog
from trainer.model.checkpoint import Parent, Record, save_checkpoint, write_checkpoint
from trainer.model.convert import StateDict
from trainer.model.lexicon import LEXICON
from trainer.model.llama import Llama
from trainer.model.lora import merged_state
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import Tokenizer
from trainer.settings import SamplingSettings
from trainer.training.loop import Outcome, TrainerCallback, TrainingRun, train
from trainer.training.run_dir import RunDir, processor_note
from trainer.training.speed import taken_note, threads

PLAN_FORMAT = "persona-curator-training"


class Acceptance(Protocol):
    """Decides which weights of a fine-tune are kept."""

    def score(self, model: Llama, step: int, loss: float, precision: str) -> tuple[float, dict[str, float]]:
        """Return the score of a model in training, and its figures; see `loop.ScoreFn`."""

    def keep(self, best: StateDict, record: Record, log: TrainingLog) -> tuple[StateDict, Record]:
        """Return the weights to keep and their record, and write the report beside `log`. Raises JobError to refuse."""


@dataclass(frozen=True)
class TrainingJob:
    """A training and the checkpoint that it ends in, at `out`.

    `plan` is the request, resolved; `about` is the entry of the data in trainer.json. `acceptance` scores the weights
    in training and decides which are kept. `sampling` is stored with the checkpoint. `begun_from` names the fine-tune
    that it goes on from. `words` gives the lexicon to store beside it, if any.
    """

    kind: Literal["pretrain", "finetune"]
    run: TrainingRun
    out: Path
    plan: dict[str, Any]
    about: dict[str, Any]
    tokenizer: Tokenizer
    template: Template
    parent: Parent | None = None
    acceptance: Acceptance | None = None
    sampling: SamplingSettings | None = None
    begun_from: str | None = None
    words: Callable[[], bytes | None] = lambda: None


def run_training(job: TrainingJob, *, resuming: bool, allow_drift: bool) -> Path:
    """Run the loop in `job.out`, locked, and write the best weights there as a checkpoint. Returns `job.out`.

    Raises the JobError of `job.acceptance`, with all of the training left in place, where nothing may be kept;
    UsageError where the place is taken, or where something changed since a training that is resumed began.
    """
    out, run, callback = job.out, job.run, job.run.callback
    run_dir = RunDir(out, callback.log)
    plan = {**job.plan, "fingerprint": run.data.fingerprint()}
    if not resuming:
        run_dir.refuse_taken()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, "cannot make", out) from None
    with locked(out), threads(run.settings.threads):
        if taken := taken_note(run.settings.threads):
            callback.log(taken)
        plan["machine"] = processor_note()
        if resuming:
            _refuse_drift(_of_today(run_dir.plan(), job), plan, allow_drift, callback)
        else:
            run_dir.begin(plan, job.tokenizer.model)
        callback.begin(run_dir.folder)
        outcome = train(run, run_dir)
        best = run_dir.load_best()
        if job.begun_from and not outcome.best_step:
            raise JobError(
                f"no step was better than {job.begun_from}, from which it began, by what is held out: that one is kept",
                "gather more before the next update, or begin from the base, with all there is: trainer finetune",
            )
        if job.acceptance is not None and not outcome.best_step:
            # No step scored better than the base: the gate reports on the last step, so that the report explains why.
            loss = run_dir.log.metrics()[-1].get("validation_loss")
            best, outcome = merged_state(run.model), replace(outcome, best_step=outcome.step, best_loss=loss)
        record = make_record(job, outcome, plan)
        if job.acceptance is not None:
            best, record = job.acceptance.keep(best, record, run_dir.log)
        if outcome.best_step != outcome.step:
            _save_last(job, record, outcome)
        if (known := job.words()) is not None:
            write_whole(out / LEXICON, known)
        write_checkpoint(out, best, run.model.config, job.tokenizer, record)  # beside training/; trainer.json last
        run_dir.finish()
    (out / ".lock").unlink(missing_ok=True)
    callback.log(summary(outcome))
    return out


def _save_last(job: TrainingJob, record: Record, outcome: Outcome) -> None:
    note = f"the weights of the last step, {outcome.step}; the best, of {outcome.best_step}, are in {job.out.name}"
    last = record.model_copy(update={"notes": [*record.notes, note]})
    model = job.run.model
    save_checkpoint(job.out / "last", merged_state(model), model.config, job.tokenizer, last, replace=True)


def make_record(job: TrainingJob, outcome: Outcome, plan: dict[str, Any]) -> Record:
    """Return the record of a training that has ended; `plan` is the job's plan with fingerprint and machine."""
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
    settings = {
        **job.run.settings.model_dump(),
        "precision": outcome.precision,
        "compile": outcome.compiled,
        **plan["machine"],
    }
    return Record(
        made_by=job.kind, steps=outcome.step, template=job.template, parent=job.parent, settings=settings,
        metrics=metrics, data={**job.about, "fingerprint": plan["fingerprint"]}, notes=[f"ended: {outcome.ended}"],
        sampling=job.sampling,
    )  # fmt: skip


def _of_today(plan: dict[str, Any], job: TrainingJob) -> dict[str, Any]:
    """Return the plan of an earlier training in today's words: version 0.1 had others."""
    data, settings = plan.get("data"), plan.get("settings")
    if isinstance(data, dict) and str(data.get("replay")).startswith("modules of "):
        data = {**data, "replay": str(data["replay"]).replace("modules", "shards", 1)}
    return {**plan, "data": data, "settings": today(settings, type(job.run.settings)) if settings else settings}


def _refuse_drift(before: dict[str, Any], now: dict[str, Any], allow: bool, callback: TrainerCallback) -> None:
    """Raise UsageError, naming each, where data, settings or machine differ from those the training began with."""
    old, new = _leaves(before), _leaves(now)
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    if not changed:
        return
    changes = "; ".join(f"{name} was {_short(old.get(name))}, is {_short(new.get(name))}" for name in changed)
    if not allow:
        raise UsageError(f"this is not what the training began with: {changes}", "put it back, or add --allow-drift")
    callback.log(f"going on although something changed: {changes}")


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Return every value of nested objects by its dotted name."""
    if not isinstance(value, dict):
        return {name: value}
    return {
        path: leaf for key, inner in value.items() for path, leaf in _leaves(inner, f"{name}.{key}".lstrip(".")).items()
    }


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 120 else text[:117] + "..."


def summary(outcome: Outcome) -> str:
    """Return one line on how a training ended."""
    line = f"{counted(outcome.step, 'step')} in {outcome.seconds:,.0f} s ({outcome.ended})"
    if outcome.best_loss is None or outcome.first_loss is None:
        return line + "; nothing was held out, so the last weights are kept"
    if outcome.best_step == 0:
        return f"{line}; no step was better than the base ({outcome.first_loss:.3f} on what is held out), so it is kept"
    losses = f"{outcome.first_loss:.3f} -> {outcome.best_loss:.3f}"
    fell = outcome.best_loss < outcome.first_loss
    return f"{line}; validation loss {losses}, {'best' if fell else 'higher'} at step {outcome.best_step:,}"
