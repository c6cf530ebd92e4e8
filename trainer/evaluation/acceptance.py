"""The acceptance gate of a fine-tune: it scores the model in training, keeps a mix within all budgets, and reports."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from curator.contract.cli_frame import command_line
from curator.contract.errors import JobError, counted
from curator.contract.files import pretty_json, write_whole
from trainer.data.dialogues import Samples
from trainer.evaluation.budgets import broken, check_budgets
from trainer.evaluation.evidence import Folds
from trainer.evaluation.interpolate import Interpolated, WeightInterpolation, nothing
from trainer.evaluation.page import page
from trainer.evaluation.perplexity import YearLoss, losses_by_year
from trainer.evaluation.probes import EvalSuite
from trainer.evaluation.report import JSON_FILE, advice, make_report, sweep_rows, verdict_of, voice_lines
from trainer.evaluation.training_log import TrainingLog
from trainer.memorisation.findings import CanaryFindings
from trainer.model.checkpoint import Checkpoint, GateResult, Record
from trainer.model.convert import StateDict
from trainer.model.llama import Llama
from trainer.names import PAGE_FILE
from trainer.settings import TrainerSettings


class AcceptanceGate:
    """Decides which weights of one fine-tune of `base` are kept; see `runner.Acceptance`.

    `log` gets lines for a person, `detail` those on how it is done, `measuring` how much of `evaluations` is done. With
    `accept`, a result that breaks a budget is kept, and its record says so. `folds` cross-validates: from best step,
    share of the tuned weights and precision to the losses of all conversations, by which replies are judged then.
    `canaries` finds out what the weights kept of planted ones: they are those of a probe, which is never refused.
    """

    def __init__(
        self, base: Checkpoint, suite: EvalSuite, samples: Samples, settings: TrainerSettings, *,
        log: Callable[[str], None], accept: bool, detail: Callable[[str], None] | None = None,
        measuring: Callable[[int, int], None] = nothing, folds: Callable[[int, float, str], Folds] | None = None,
        canaries: Callable[[Llama], CanaryFindings] | None = None,
    ) -> None:  # fmt: skip
        self._budgets, self._folds, self._canaries = settings.budgets, folds, canaries
        self._base, self._suite, self._samples, self._log, self._accept = base, suite, samples, log, accept
        self._mixes = WeightInterpolation(
            base.config, base.state, suite, settings.health, settings.budgets, log=detail or log, measuring=measuring
        )

    @property
    def evaluations(self) -> int:
        """Return how long `keep` takes, in evaluations as they are made in training."""
        return self._mixes.evaluations

    def score(self, model: Llama, step: int, loss: float, precision: str) -> tuple[float, dict[str, float]]:
        """Return the score of a model in training, lower is better (nats), and its figures."""
        return self._mixes.score(model, loss, precision)

    def keep(self, best: StateDict, record: Record, log: TrainingLog) -> tuple[StateDict, Record]:
        """Return the mix that the gate lets pass and its record. Raises JobError where none passes."""
        choice, found = self._mixes.choose(best, str(record.settings["precision"])), None
        others = {check.name for check in broken(choice.checks)} - {"reply_perplexity"}
        if self._folds and not others:  # what breaks another budget is refused whatever its replies
            found = self._folds(int(record.metrics["best_step"]), choice.alpha, str(record.settings["precision"]))
            choice = self._judged_by(found, choice)
        planted = self._canaries(_model(self._base, choice.state)) if self._canaries else None
        verdict = "probe" if planted else verdict_of(choice.checks, self._accept, judged=True)
        report = self._report(choice, verdict, log, found, planted)
        write_whole(log.folder / JSON_FILE, pretty_json(report))
        write_whole(log.folder / PAGE_FILE, page(report))
        for line in (*report["headline"], *voice_lines(report)):
            self._log(line)
        if verdict == "refused":
            raise _refusal(choice, log)
        says = [check.says for check in broken(choice.checks)]
        gate = GateResult(passed=choice.passed, accepted_degraded=bool(says), alpha=choice.alpha, broken=says)
        figures = {f"health_{row['name']}": row["tuned"] for row in report["metrics"] if row["tuned"] is not None}
        metrics = {**record.metrics, **{name: round(float(value), 6) for name, value in figures.items()}}
        notes = [*record.notes, f"{choice.alpha:.0%} of the tuned weights, the rest is the base's"]
        kept = None if planted else gate
        return choice.state, record.model_copy(update={"gate": kept, "metrics": metrics, "notes": notes})

    def _judged_by(self, found: Folds, choice: Interpolated) -> Interpolated:
        """Return the choice with its replies judged by a cross-validation, not by the few that are held out."""
        base, tuned = replace(choice.base, reply_loss=found.base), replace(choice.tuned, reply_loss=found.tuned)
        reply = next(check for check in check_budgets(base, tuned, self._budgets) if check.name == "reply_perplexity")
        changes = [math.exp(after - before) - 1 for before, after in found.each]
        says = f"{reply.says}; each of {counted(found.samples, 'sample')} held out once, in {len(changes)} folds "
        says += f"({min(changes):+.0%} to {max(changes):+.0%})"
        others = [check for check in choice.checks if check.name != "reply_perplexity"]
        checks = sorted([replace(reply, says=says), *others], key=lambda check: check.kept)
        return replace(choice, base=base, tuned=tuned, checks=checks)

    def _report(
        self, choice: Interpolated, verdict: str, log: TrainingLog, found: Folds | None, planted: CanaryFindings | None
    ) -> dict[str, Any]:
        sizes = {
            "train": len(self._samples.train), "held_out": len(self._samples.holdout),
            "base_text_tokens": self._suite.text_tokens, **({"cross_validated": found.samples} if found else {}),
        }  # fmt: skip
        return make_report(
            log.folder.parent.name, self._base.folder.name, choice.base, choice.tuned, choice.checks, self._suite,
            verdict=verdict, sizes=sizes, curves=log.metrics(), samples=log.samples(),
            sweep=sweep_rows(choice.sweep, choice.base, choice.alpha), folds=found.each if found else [],
            canaries=planted, years=self._years(choice),
        )  # fmt: skip

    def _years(self, choice: Interpolated) -> list[YearLoss]:
        return losses_by_year(self._samples, self._base.model(), _model(self._base, choice.state))


def _model(base: Checkpoint, state: StateDict) -> Llama:
    model = Llama(base.config)
    model.load_state_dict(state)
    return model.eval()


def _refusal(choice: Interpolated, log: TrainingLog) -> JobError:
    says = "; ".join(check.says for check in broken(choice.checks))
    tries = "\n  ".join(advice(choice.checks, choice.tuned))
    return JobError(
        f"the fine-tune is refused, the base is kept: {says}",
        f"{tries}\n  all figures: {log.folder / PAGE_FILE}\n"
        f"  keep it all the same: {command_line('trainer', 'resume', log.folder.parent, '--accept-degraded')}",
    )
