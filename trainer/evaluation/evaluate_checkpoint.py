"""`trainer health`: the report of any checkpoint, compared with its base."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from curator.contract.cli_frame import Progress, no_progress
from curator.contract.errors import CuratorError, UsageError
from curator.contract.files import read_json
from trainer.data.dialogues import Dataset, Samples, encode_dataset, read_dialogues, without_secrets
from trainer.data.pretraining_replay import BaseText, base_text
from trainer.evaluation.budgets import BudgetCheck
from trainer.evaluation.perplexity import losses_by_year, recorded_share
from trainer.evaluation.probes import EvalResult, EvalSuite, lexicon_of
from trainer.evaluation.report import JSON_FILE, make_report, verdict_of
from trainer.evaluation.settling import settle
from trainer.evaluation.training_log import TrainingLog, under_new_names
from trainer.evaluation.voice import read_voice
from trainer.inference.known_words import known_words
from trainer.inference.sampling import Sampling
from trainer.memorisation.findings import CanaryFindings
from trainer.model.checkpoint import Checkpoint, load_checkpoint, load_record
from trainer.names import builtin_base
from trainer.settings import HealthSettings, TrainerSettings, drawn_as


@dataclass(frozen=True)
class CheckpointRequest:
    """What to evaluate. Without `base`, its parent; without dialogues, those of its training.

    `text` are token shards of the base's own text.
    """

    checkpoint: Path
    base: Path | None = None
    home: Path | None = None
    profile: str | None = None
    run: Path | None = None
    data: Path | None = None
    text: Path | None = None
    seed: int = 42


def evaluate_checkpoint(
    request: CheckpointRequest, settings: TrainerSettings, progress: Progress = no_progress
) -> tuple[dict[str, Any], list[str]]:
    """Return the report of a checkpoint, and notes on what could not be measured.

    Raises UsageError where the base named has another shape or tokenizer, or where a file cannot be read.
    """
    tuned = load_checkpoint(request.checkpoint)
    notes: list[str] = []
    parent = base_of(tuned, request.base, notes)
    dataset = _dialogues_of(tuned, request, notes)
    samples = _samples(tuned, dataset, settings)
    none = np.zeros(0, np.uint16)
    text = base_text(parent or tuned, request.text) if parent or request.text else BaseText(none, none, "")
    dialogues = [*samples.train_dialogues, *samples.holdout_dialogues] if samples else []
    drawn = drawn_as(tuned.record.sampling, settings.sampling)
    suite = EvalSuite(
        template=tuned.record.template, tokenizer=tuned.tokenizer, samples=samples, text=text.held,
        lexicon=lexicon_of(parent or tuned, dialogues, tuned), context=_context(tuned), settings=settings.health,
        seed=request.seed, drawn=Sampling.of(drawn, words=known_words(tuned) if drawn.known_words else None),
        voice=read_voice(dataset.run if dataset else None),
    )  # fmt: skip
    health = settings.health
    after = _measured(tuned, suite, health, health.training_replies, _named(progress, "the checkpoint"))
    before = _measured(parent, suite, health, 0, _named(progress, "the base")) if parent else None
    base, checks = None, list[BudgetCheck]()
    if parent and before:
        found = settle(
            suite, before, after, models=lambda: (parent.model(), tuned.model()), budgets=settings.budgets,
            most=health.most_replies, log=notes.append,
        )  # fmt: skip
        after, checks = found.tuned, found.checks
        base = suite.beside(found.base, after)
    gate, log = tuned.record.gate, TrainingLog(tuned.folder / "training")
    verdict = verdict_of(checks, bool(gate and gate.accepted_degraded), judged=base is not None)
    sizes = {"train": len(samples.train), "held_out": len(samples.holdout)} if samples else {}
    report = make_report(
        tuned.folder.resolve().name, parent.folder.resolve().name if parent else None, base, after, checks, suite,
        verdict="probe" if tuned.record.is_probe else verdict,
        sizes={**sizes, "base_text_tokens": len(text.held)}, curves=log.metrics(), sweep=_sweep(log),
        samples=log.samples(), canaries=_canaries(log),
        years=losses_by_year(samples, parent.model(), tuned.model()) if parent and samples else [],
    )  # fmt: skip
    return report, notes


def _named(progress: Progress, name: str) -> Progress:
    def named(stage: str, done: int, total: int) -> None:
        progress(f"{name}: {stage}", done, total)

    return named


def _measured(
    checkpoint: Checkpoint, suite: EvalSuite, health: HealthSettings, trained: int, progress: Progress
) -> EvalResult:
    return suite.measure(checkpoint.model(), health.replies, trained, health.text_rows, progress=progress)


def _own_report(log: TrainingLog) -> dict[str, Any]:
    """Return the fine-tune's own report; empty where there is none."""
    try:
        report = read_json(log.folder / JSON_FILE)
    except CuratorError:
        return {}
    return report if isinstance(report, dict) else {}


def _canaries(log: TrainingLog) -> CanaryFindings | None:
    """Return what was found of a probe's canaries when it was made."""
    try:
        return CanaryFindings.model_validate(_own_report(log).get("canaries"))
    except ValidationError:
        return None


def _sweep(log: TrainingLog) -> list[dict[str, Any]]:
    """Return the sweep in the fine-tune's own report; empty where there is none."""
    sweep = _own_report(log).get("sweep")
    if not isinstance(sweep, list) or not all(isinstance(point, dict) for point in sweep):
        return []
    return [under_new_names(point) for point in sweep]


def base_of(tuned: Checkpoint, named: Path | None, notes: list[str]) -> Checkpoint | None:
    """Return the base: the one named, else the parent if it can be found; None, with a note, where there is none.

    Raises UsageError where the one named has another shape or tokenizer.
    """
    if named is not None:
        return _fitting(load_checkpoint(named), tuned)
    parent = tuned.record.parent
    if parent is None:
        if tuned.record.made_by == "import":
            notes.append(
                "the checkpoint does not say what it was trained from: name it with --base CHECKPOINT to "
                "compare the two"
            )
        return None
    begun = planned(tuned).get("base")
    for folder in (*([Path(begun)] if isinstance(begun, str) else []), builtin_base()):
        if (folder / "trainer.json").is_file():
            _, record = load_record(folder)
            if record.sha256.get("model.safetensors") == parent.sha256:
                return load_checkpoint(folder)
    notes.append(f"its base {parent.name} ({parent.sha256[:12]}) was not found; name its folder with --base CHECKPOINT")
    return None


def _fitting(base: Checkpoint, tuned: Checkpoint) -> Checkpoint:
    if base.tokenizer.sha256 != tuned.tokenizer.sha256 or base.config.vocab_size != tuned.config.vocab_size:
        raise UsageError(
            f"{base.folder} has another tokenizer than {tuned.folder}", "name the base that it was trained from"
        )
    return base


def planned(tuned: Checkpoint) -> dict[str, Any]:
    """Return the plan of the training that made a checkpoint; empty where it is gone."""
    try:
        plan = read_json(tuned.folder / "training" / "plan.json")
    except CuratorError:
        return {}
    return plan if isinstance(plan, dict) else {}


def _dialogues_of(tuned: Checkpoint, request: CheckpointRequest, notes: list[str]) -> Dataset | None:
    """Return the dialogues that are named, else those of its own training; None where they are gone."""
    plan, run, data = planned(tuned), request.run, request.data
    if not (request.profile or run or data):
        paths = {name: Path(plan[name]) for name in ("run", "data_file") if isinstance(plan.get(name), str)}
        if not paths or not all(path.exists() for path in paths.values()):
            notes.append(
                "the dialogues that it was trained on were not found; name them with --profile, --run or "
                "--data to measure replies"
            )
            return None
        run, data = paths.get("run"), paths.get("data_file")
    dataset = read_dialogues(request.home, request.profile, run, data, tuned.record.template)
    if not plan.get("keep_secrets"):
        dataset, left_out = without_secrets(dataset)
        notes += left_out
    if tuned.record.made_by != "finetune":
        notes.append(
            "it is not known what the checkpoint was trained on: it may have seen dialogues that are held out here"
        )
    return dataset


def _samples(tuned: Checkpoint, dataset: Dataset | None, settings: TrainerSettings) -> Samples | None:
    if dataset is None:
        return None
    share = recorded_share(tuned.record, "finetune", settings.finetune.holdout_share)
    return encode_dataset(dataset, tuned.record.template, tuned.tokenizer, _context(tuned), share)


def _context(tuned: Checkpoint) -> int:
    """Return the tokens of a sample that it was fine-tuned with, at most the model's own."""
    context = planned(tuned).get("context")
    return (
        min(context, tuned.config.max_seq_len) if isinstance(context, int) and context > 0 else tuned.config.max_seq_len
    )
