"""Which weights of a fine-tune are kept: the best by a score of all budgets, then mixed with the base, then judged.

Between base and tuned weights lies a line on which the base comes back faster than what was learnt goes (WiSE-FT,
Wortsman et al. 2022, arXiv 2109.01903). Points on it are tried from the tuned end on; the first that the gate lets
pass is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from trainer.gate import Finding, judge, refused
from trainer.health import Health, Probes, perplexity
from trainer.layouts import State
from trainer.model import Llama, ModelConfig
from trainer.settings import GateSettings, HealthSettings
from trainer.training import Watcher

_TRIES = 3  # points of the sweep that are measured in full
_NOISE = 0.01  # invented words by which a few replies may be off: less says nothing


@dataclass(frozen=True)
class Point:
    """One mix of the sweep: the share of the tuned weights, and its figures by a few replies."""

    alpha: float
    health: Health
    score: float


@dataclass(frozen=True)
class Choice:
    """What a fine-tune ends with; `findings` hold broken budgets where the gate refuses it."""

    state: State
    alpha: float
    base: Health
    tuned: Health
    findings: list[Finding]
    sweep: list[Point]

    @property
    def passed(self) -> bool:
        """Say whether every budget is kept."""
        return not refused(self.findings)


class Chooser:
    """Scores a model in training, and chooses in the end. The base's own figures are measured once."""

    def __init__(
        self, config: ModelConfig, base: State, probes: Probes, health: HealthSettings, gate: GateSettings,
        watcher: Watcher,
    ) -> None:  # fmt: skip
        self._config, self._base, self._probes, self._watcher = config, base, probes, watcher
        self._health, self._gate = health, gate
        self._quick_base: Health | None = None

    def _model(self, state: State) -> Llama:
        model = Llama(self._config)
        model.load_state_dict(state)
        return model.eval()

    def _quick(self, model: Llama, precision: str, rows: int) -> Health:
        return self._probes.measure(model, self._health.quick_replies, 0, rows, precision)

    def _few(self, precision: str, rows: int) -> Health:
        """Return the base's figures by a few replies and rows, measured once."""
        if self._quick_base is None:
            self._quick_base = self._quick(self._model(self._base), precision, rows)
        return self._quick_base

    def judge(self, model: Llama, loss: float, precision: str) -> tuple[float, dict[str, float]]:
        """Return the score of a model in training, and the figures for its line of metrics.jsonl."""
        was, rows = model.training, max(8, self._health.text_rows // 4)
        found = replace(self._quick(model.eval(), precision, rows), reply_loss=loss)
        model.train(was)
        figures = {
            "base_perplexity": perplexity(found.text_loss), "invented": found.invented.rate,
            "verbatim": found.unseen.share if found.unseen else None, "stopped": found.stopped,
        }  # fmt: skip
        told = {name: value for name, value in figures.items() if value is not None}
        return self._score(self._few(precision, rows), found), told

    def _score(self, base: Health, found: Health) -> float:
        return score(self._probes.beside(base, found), found, self._gate)

    def _forgets(self, base: Health, found: Health) -> bool:
        """Say whether the base's text is past its budget; it is measured in full, more replies change nothing."""
        before, after = perplexity(base.text_loss), perplexity(found.text_loss)
        return bool(before and after and after > before * (1 + self._gate.base_perplexity))

    def choose(self, tuned: State, precision: str) -> Choice:
        """Return the first mix of base and tuned weights that the gate lets pass, else the one with the best score."""
        health, say = self._health, self._watcher.say
        say(f"measuring the base, then {len(health.sweep)} mixes of its weights and the tuned ones")
        base = self._probes.measure(self._model(self._base), health.replies, 0, health.text_rows, precision)
        sweep = []
        for alpha in sorted(health.sweep, reverse=True):
            found = self._quick(self._model(mixed(self._base, tuned, alpha)), precision, health.text_rows)
            sweep.append(Point(alpha, found, self._score(base, found)))
            say(f"{alpha:.0%} of the tuned weights: {_figures(base, found)}")
        tried = []
        for point in sorted(sweep, key=lambda one: (self._forgets(base, one.health), one.score))[:_TRIES]:
            state = mixed(self._base, tuned, point.alpha)
            found = self._probes.measure(
                self._model(state), health.replies, health.training_replies, health.text_rows, precision
            )
            beside = self._probes.beside(base, found)
            choice = Choice(state, point.alpha, beside, found, judge(beside, found, self._gate), sweep)
            if choice.passed:
                return choice
            tried.append(choice)
            say(f"{point.alpha:.0%} of the tuned weights: refused: {refused(choice.findings)[0].says}")
        if base.reply_loss is None:  # nothing is held out: whatever is nearer to the base would look better
            return max(tried, key=lambda one: one.alpha)
        return min(tried, key=lambda one: score(one.base, one.tuned, self._gate))


def _figures(base: Health, found: Health) -> str:
    """Return a point's figures in one line."""
    before, after = perplexity(base.text_loss), perplexity(found.text_loss)
    replies = perplexity(found.reply_loss)
    parts = [
        f"replies {replies:.1f}" if replies else "",
        f"base text {after / before - 1:+.1%}" if before and after else "",
        f"invented {found.invented.rate:.1%}",
        f"stopped {found.stopped:.0%}",
    ]
    return ", ".join(part for part in parts if part)


def mixed(base: State, tuned: State, alpha: float) -> State:
    """Return base + alpha (tuned - base), weight by weight."""
    return {name: one + alpha * (tuned[name] - one) if alpha < 1 else tuned[name] for name, one in base.items()}


def score(base: Health, now: Health, budgets: GateSettings) -> float:
    """Return what decides, lower is better: the loss on held-out replies, and nats for what is past each budget."""
    before, after = perplexity(base.text_loss), perplexity(now.text_loss)
    forgotten = after / before - 1 - budgets.base_perplexity if before and after else 0.0
    invented = now.invented.rate - base.invented.rate - budgets.invented - _NOISE
    recited = now.unseen.share - budgets.verbatim if now.unseen else 0.0
    parts = (10 * forgotten, 20 * invented, 5 * recited, budgets.stopped - now.stopped)
    return (now.reply_loss or 0.0) + sum(max(0.0, part) for part in parts)
