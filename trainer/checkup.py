"""`trainer health`: the report of any checkpoint, its base beside it, whoever trained it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.checkpoint import Checkpoint, builtin_base, load_checkpoint, load_record
from trainer.datasets import Dataset, Samples, encode_dataset, read_dialogues
from trainer.errors import TrainerError, UsageError
from trainer.evaluate import recorded_share
from trainer.files import read_json
from trainer.finetune import without_secrets
from trainer.gate import judge
from trainer.health import Health, Probes, Tick, lexicon_of
from trainer.replay import BaseText, base_text
from trainer.report import JSON_FILE, make_report, verdict_of
from trainer.settings import TrainerSettings
from trainer.work import Work


@dataclass(frozen=True)
class Source:
    """Where the dialogues of a checkpoint are; all None: those that its training names."""

    home: Path | None = None
    profile: str | None = None
    run: Path | None = None
    data: Path | None = None

    @property
    def named(self) -> bool:
        """Say whether anything is named."""
        return bool(self.profile or self.run or self.data)


def check_up(
    folder: Path, base: Path | None, source: Source, modules: Path | None, settings: TrainerSettings,
    seed: int = 42, tick: Tick = lambda what, done, whole: None,
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """Return the report of a checkpoint, and notes on what could not be measured.

    Raises UsageError where the base named has another shape or tokenizer, or where a file cannot be read.
    """
    tuned = load_checkpoint(folder)
    notes: list[str] = []
    parent = _base_of(tuned, base, notes)
    dataset = _dialogues_of(tuned, source, notes)
    samples = _samples(tuned, dataset, settings)
    none = np.zeros(0, np.uint16)
    text = base_text(parent or tuned, modules) if parent or modules else BaseText(none, none, "")
    told = [*samples.train_dialogues, *samples.held_dialogues] if samples else []
    probes = Probes(
        tuned.record.template, tuned.tokenizer, samples, text.held, lexicon_of(parent or tuned, told),
        _context(tuned), settings.health, seed,
    )  # fmt: skip
    after = _measured(tuned, probes, settings, settings.health.training_replies, "the checkpoint", tick)
    before = _measured(parent, probes, settings, 0, "the base", tick) if parent else None
    return _report(tuned, parent, before, after, probes, settings, samples, text), notes


def _measured(
    checkpoint: Checkpoint, probes: Probes, settings: TrainerSettings, trained: int, name: str, tick: Tick
) -> Health:
    def named(what: str, done: int, whole: int) -> None:
        tick(f"{name}: {what}", done, whole)

    asked = settings.health
    return probes.measure(checkpoint.model(), asked.replies, trained, asked.text_rows, tick=named)


def _report(
    tuned: Checkpoint, parent: Checkpoint | None, before: Health | None, after: Health, probes: Probes,
    settings: TrainerSettings, samples: Samples | None, text: BaseText,
) -> dict[str, Any]:  # fmt: skip
    base = probes.beside(before, after) if before else None
    findings = judge(base, after, settings.gate) if base else []
    gate = tuned.record.gate
    verdict = verdict_of(findings, bool(gate and gate.accepted_degraded), judged=base is not None)
    work = Work(tuned.folder)
    sizes = {"train": len(samples.train), "held_out": len(samples.held)} if samples else {}
    return make_report(
        tuned.folder.resolve().name, parent.folder.resolve().name if parent else None, base, after, findings, probes,
        verdict, {**sizes, "base_text_tokens": len(text.held)}, work.metrics(), _sweep(work), work.samples(),
    )  # fmt: skip


def _sweep(work: Work) -> list[dict[str, Any]]:
    """Return the sweep that the fine-tune left; none where it is of another making."""
    try:
        found = read_json(work.folder / JSON_FILE)
    except TrainerError:
        return []
    sweep = found.get("sweep") if isinstance(found, dict) else None
    return sweep if isinstance(sweep, list) and all(isinstance(one, dict) for one in sweep) else []


def _base_of(tuned: Checkpoint, named: Path | None, notes: list[str]) -> Checkpoint | None:
    """Return the base: the one named, else the parent where it is still there; None for a base itself."""
    if named is not None:
        return _fitting(load_checkpoint(named), tuned)
    parent = tuned.record.parent
    if parent is None:
        if tuned.record.made_by == "import":
            notes.append("it names no base; name one to compare it with: --base CHECKPOINT")
        return None
    planned = _planned(tuned).get("base")
    for folder in (*([Path(planned)] if isinstance(planned, str) else []), builtin_base()):
        if (folder / "trainer.json").is_file():
            _, record = load_record(folder)
            if record.sha256.get("model.safetensors") == parent.sha256:
                return load_checkpoint(folder)
    notes.append(f"its base {parent.name} ({parent.sha256[:12]}) is not here; name it with --base CHECKPOINT")
    return None


def _fitting(base: Checkpoint, tuned: Checkpoint) -> Checkpoint:
    if base.tokenizer.sha256 != tuned.tokenizer.sha256 or base.config.vocab_size != tuned.config.vocab_size:
        raise UsageError(
            f"{base.folder} has another tokenizer than {tuned.folder}", "name the base that it was trained from"
        )
    return base


def _planned(tuned: Checkpoint) -> dict[str, Any]:
    try:
        plan = read_json(tuned.folder / "training" / "plan.json")
    except TrainerError:
        return {}
    return plan if isinstance(plan, dict) else {}


def _dialogues_of(tuned: Checkpoint, source: Source, notes: list[str]) -> Dataset | None:
    """Return the dialogues that are named, else those of its own training; None where they are gone."""
    plan = _planned(tuned)
    if not source.named:
        paths = {name: Path(plan[name]) for name in ("run", "data_file") if isinstance(plan.get(name), str)}
        if not paths or not all(path.exists() for path in paths.values()):
            notes.append("its dialogues are not here; name them to measure replies: --profile, --run or --data")
            return None
        source = Source(run=paths.get("run"), data=paths.get("data_file"))
    dataset = read_dialogues(source.home, source.profile, source.run, source.data, tuned.record.template)
    if not plan.get("keep_secrets"):
        dataset, left_out = without_secrets(dataset)
        notes += left_out
    if tuned.record.made_by != "finetune":
        notes.append("what it was trained on is not known: some of the dialogues held out here may have been in it")
    return dataset


def _samples(tuned: Checkpoint, dataset: Dataset | None, settings: TrainerSettings) -> Samples | None:
    if dataset is None:
        return None
    share = recorded_share(tuned.record, "finetune", settings.finetune.validation_share)
    return encode_dataset(dataset, tuned.record.template, tuned.tokenizer, _context(tuned), share)


def _context(tuned: Checkpoint) -> int:
    """Return the tokens of a sample that it was fine-tuned with, at most the model's own."""
    asked = _planned(tuned).get("context")
    return min(asked, tuned.config.max_seq_len) if isinstance(asked, int) and asked > 0 else tuned.config.max_seq_len


def show(report: dict[str, Any]) -> None:
    """Print a report on stdout: what must be known in three lines, then every figure."""
    from trainer.chat import harmless
    from trainer.shell import table

    for line in report["headline"]:
        print(harmless(line))
    print()
    heads = ("figure", "checkpoint", *(("base",) if report["base"] else ()), "limit", "")
    table(heads, [_row(one, bool(report["base"])) for one in report["metrics"] if one["tuned"] is not None])
    for name, title in (("invented", "invented words"), ("base_invented", "the base's")):
        if report[name]:
            print(harmless(f"{title}: {', '.join(word for word, _ in report[name][:12])}"))
    for line in report["advice"]:
        print(harmless(f"to do: {line}"))


def _row(one: dict[str, Any], with_base: bool) -> list[str]:
    limit = "" if one["limit"] is None else f"{one['limit_says']} {_figure(one['limit'], one['unit'])}"
    ok = {True: "ok", False: "BROKEN", None: ""}[one["ok"]]
    base = [_figure(one["base"], one["unit"])] if with_base else []
    return [one["label"], _figure(one["tuned"], one["unit"]), *base, limit, ok]


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "%":
        return f"{value:.2%}"
    return f"{value:,.0f} {unit}" if unit else f"{value:,.2f}"
