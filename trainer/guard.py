"""The guard of a fine-tune: it scores what is trained, keeps what passes the gate, and leaves the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.checkpoint import Gate, Record
from trainer.choosing import Choice, Chooser
from trainer.errors import JobError
from trainer.files import pretty_json, write_whole
from trainer.gate import refused
from trainer.health import Probes, lexicon_of
from trainer.layouts import State
from trainer.model import Llama
from trainer.replay import BaseText
from trainer.report import JSON_FILE, PAGE_FILE, advice, make_report, sweep_rows, verdict_of
from trainer.training import Watcher
from trainer.work import Work

if TYPE_CHECKING:
    from trainer.finetune import Prepared


def probes_of(ready: Prepared, text: BaseText) -> Probes:
    """Return what is asked of a base and of a fine-tune of it."""
    dialogues = [*ready.samples.train_dialogues, *ready.samples.held_dialogues]
    return Probes(
        ready.template, ready.base.tokenizer, ready.samples, text.held, lexicon_of(ready.base, dialogues),
        ready.context, ready.shipped.health, ready.settings.seed,
    )  # fmt: skip


class HealthGate:
    """Decides over the weights of one fine-tune; see `pretrain.Gated`."""

    def __init__(self, ready: Prepared, text: BaseText, watcher: Watcher, accept: bool) -> None:
        self._ready, self._text, self._watcher, self._accept = ready, text, watcher, accept
        self._probes = probes_of(ready, text)
        shipped = ready.shipped
        self._chooser = Chooser(
            ready.base.config, ready.base.state, self._probes, shipped.health, shipped.gate, watcher
        )

    def judge(self, model: Llama, step: int, loss: float, precision: str) -> tuple[float, dict[str, float]]:
        """Return the score of a model in training, and its figures."""
        return self._chooser.judge(model, loss, precision)

    def keep(self, best: State, record: Record, work: Work) -> tuple[State, Record]:
        """Return the mix that the gate lets pass and its record. Raises JobError where none passes."""
        choice = self._chooser.choose(best, str(record.settings["precision"]))
        verdict = verdict_of(choice.findings, self._accept, judged=True)
        report = self._report(choice, verdict, work)
        self._leave(report, work)
        for line in report["headline"]:
            self._watcher.say(line)
        if verdict == "refused":
            self._refuse(choice, work)
        broken = [one.says for one in refused(choice.findings)]
        gate = Gate(passed=choice.passed, accepted_degraded=bool(broken), alpha=choice.alpha, broken=broken)
        figures = {f"health_{one['name']}": one["tuned"] for one in report["metrics"] if one["tuned"] is not None}
        metrics = {**record.metrics, **{name: round(float(value), 6) for name, value in figures.items()}}
        notes = [*record.notes, f"{choice.alpha:.0%} of the tuned weights, the rest is the base's"]
        return choice.state, record.model_copy(update={"gate": gate, "metrics": metrics, "notes": notes})

    def _refuse(self, choice: Choice, work: Work) -> None:
        told = "; ".join(one.says for one in refused(choice.findings))
        tries = "\n  ".join(advice(choice.findings, choice.tuned))
        raise JobError(
            f"the fine-tune is refused, the base is kept: {told}",
            f"{tries}\n  all figures: {work.folder / PAGE_FILE}\n"
            f"  keep it all the same: trainer resume {work.out} --accept-degraded",
        )

    def _report(self, choice: Choice, verdict: str, work: Work) -> dict[str, Any]:
        samples = self._ready.samples
        sizes = {
            "train": len(samples.train), "held_out": len(samples.held), "base_text_tokens": len(self._text.held),
        }  # fmt: skip
        sweep = sweep_rows(choice.sweep, choice.base, choice.alpha)
        return make_report(
            work.out.name, self._ready.base.folder.name, choice.base, choice.tuned, choice.findings, self._probes,
            verdict, sizes, work.metrics(), sweep, work.samples(),
        )  # fmt: skip

    def _leave(self, report: dict[str, Any], work: Work) -> None:
        from trainer.health_page import page

        write_whole(work.folder / JSON_FILE, pretty_json(report))
        write_whole(work.folder / PAGE_FILE, page(report))
