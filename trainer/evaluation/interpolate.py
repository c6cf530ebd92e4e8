"""Which weights of a fine-tune are kept: the best by a score of all budgets, mixed with the base, within the budgets.

On the line from the tuned weights to the base, the base's abilities come back faster than what was learnt is lost
(WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903). Several points on it are measured with few replies; the best of them
are measured in full, and the first that keeps every budget is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from curator.contract.errors import counted
from trainer.evaluation.budgets import BudgetCheck, broken
from trainer.evaluation.probes import EvalResult, EvalSuite, perplexity
from trainer.evaluation.settling import settle
from trainer.inference.text_stream import BATCH
from trainer.model.convert import StateDict
from trainer.model.llama import Llama, ModelConfig
from trainer.settings import BudgetSettings, HealthSettings

_TRIES = 3  # points of the sweep that are measured in full
_NOISE = 0.01  # share of invented words that is noise in a few replies


@dataclass(frozen=True)
class Point:
    """One mix of the sweep: the share of the tuned weights, and its figures by a few replies."""

    alpha: float
    result: EvalResult
    score: float


@dataclass(frozen=True)
class Interpolated:
    """The mix that a fine-tune ends with; `checks` hold broken budgets where the gate refuses it."""

    state: StateDict
    alpha: float
    base: EvalResult
    tuned: EvalResult
    checks: list[BudgetCheck]
    sweep: list[Point]

    @property
    def passed(self) -> bool:
        """Say whether every budget is kept."""
        return not broken(self.checks)


def nothing(done: int, total: int) -> None:
    """Show nothing."""


def _times(replies: int) -> int:
    """Return how many evaluations in training take as long as this number of replies."""
    return -(-replies // BATCH)


class WeightInterpolation:
    """Scores a model in training, and chooses the mix at its end. The base's own figures are measured once."""

    def __init__(
        self, config: ModelConfig, base: StateDict, suite: EvalSuite, settings: HealthSettings,
        budgets: BudgetSettings, *, log: Callable[[str], None], measuring: Callable[[int, int], None] = nothing,
    ) -> None:  # fmt: skip
        self._config, self._base, self._suite, self._log = config, base, suite, log
        self._settings, self._budgets = settings, budgets
        self._quick_base: EvalResult | None = None
        self._measuring, self._done, self._all = measuring, 0, 0

    @property
    def evaluations(self) -> int:
        """Return how long `choose` takes, in evaluations of few replies, where the first mix that is tried passes."""
        return _times(self._settings.replies) + len(self._settings.sweep) + self._full

    @property
    def _full(self) -> int:
        return _times(self._settings.replies + self._settings.training_replies)

    def _tick(self, times: int) -> None:
        self._done += times
        self._all = max(self._all, self._done)
        self._measuring(self._done, self._all)

    def _more(self, replies: int) -> None:
        """Count replies that nobody foresaw."""
        self._all += _times(replies)
        self._tick(_times(replies))

    def _model(self, state: StateDict) -> Llama:
        model = Llama(self._config)
        model.load_state_dict(state)
        return model.eval()

    def _quick(self, model: Llama, precision: str, rows: int) -> EvalResult:
        return self._suite.measure(model, self._settings.quick_replies, 0, rows, precision=precision)

    def _few(self, precision: str, rows: int) -> EvalResult:
        """Return the base's figures by a few replies and rows, measured once."""
        if self._quick_base is None:
            self._quick_base = self._quick(self._model(self._base), precision, rows)
        return self._quick_base

    def score(self, model: Llama, loss: float, precision: str) -> tuple[float, dict[str, float]]:
        """Return the score of a model in training, and the figures for its line of metrics.jsonl."""
        was_training, rows = model.training, max(8, self._settings.text_rows // 4)
        result = replace(self._quick(model.eval(), precision, rows), reply_loss=loss)
        model.train(was_training)
        figures = {
            "base_perplexity": perplexity(result.text_loss), "oov_rate": result.oov.rate,
            "memorisation": result.unseen.share if result.unseen else None, "eos_rate": result.eos_rate,
            "voice": result.voice.score if result.voice else None,
        }  # fmt: skip
        measured = {name: value for name, value in figures.items() if value is not None}
        return self._score(self._few(precision, rows), result), measured

    def _score(self, base: EvalResult, result: EvalResult) -> float:
        return score(self._suite.beside(base, result), result, self._budgets)

    def _forgets(self, base: EvalResult, result: EvalResult) -> bool:
        """Say whether the base text's perplexity breaks its budget. It does not depend on the number of replies."""
        before, after = perplexity(base.text_loss), perplexity(result.text_loss)
        return bool(before and after and after > before * (1 + self._budgets.base_perplexity))

    def choose(self, tuned: StateDict, precision: str) -> Interpolated:
        """Return the first mix of base and tuned weights that the gate lets pass, else the one with the best score."""
        settings, log = self._settings, self._log
        log(
            f"measuring the base, then {counted(len(settings.sweep), 'mix', 'mixes')} of its weights and the tuned ones"
        )
        self._done, self._all = 0, self.evaluations
        self._measuring(0, self._all)
        base = self._suite.measure(
            self._model(self._base), settings.replies, 0, settings.text_rows, precision=precision
        )
        self._tick(_times(settings.replies))
        sweep = []
        for alpha in sorted(settings.sweep, reverse=True):
            result = self._quick(self._model(mixed(self._base, tuned, alpha)), precision, settings.text_rows)
            sweep.append(Point(alpha, result, self._score(base, result)))
            self._tick(1)
            log(f"{alpha:.0%} of the tuned weights: {_figures(base, result)}")
        tried = []
        for point in sorted(sweep, key=lambda point: (self._forgets(base, point.result), point.score))[:_TRIES]:
            self._all = max(self._all, self._done + self._full)
            state = mixed(self._base, tuned, point.alpha)
            result = self._suite.measure(
                self._model(state), settings.replies, settings.training_replies, settings.text_rows, precision=precision
            )
            self._tick(self._full)
            found = settle(
                self._suite, base, result, models=lambda state=state: (self._model(self._base), self._model(state)),  # type: ignore[misc]
                budgets=self._budgets, most=settings.most_replies, log=log, tick=self._more,
            )  # fmt: skip
            base = found.base
            choice = Interpolated(
                state, point.alpha, self._suite.beside(base, found.tuned), found.tuned, found.checks, sweep
            )
            if choice.passed:
                return choice
            tried.append(choice)
            log(f"{point.alpha:.0%} of the tuned weights: refused: {broken(choice.checks)[0].says}")
        if base.reply_loss is None:  # nothing is held out, so a mix nearer to the base would always score better
            return max(tried, key=lambda choice: choice.alpha)
        return min(tried, key=lambda choice: score(choice.base, choice.tuned, self._budgets))


def _figures(base: EvalResult, result: EvalResult) -> str:
    """Return a point's figures in one line."""
    before, after = perplexity(base.text_loss), perplexity(result.text_loss)
    replies = perplexity(result.reply_loss)
    parts = [
        f"replies {replies:.1f}" if replies else "",
        f"base text {after / before - 1:+.1%}" if before and after else "",
        f"invented {result.oov.rate:.1%}",
        f"stopped {result.eos_rate:.0%}",
        f"voice {result.voice.score:.0f}" if result.voice and result.voice.score is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def mixed(base: StateDict, tuned: StateDict, alpha: float) -> StateDict:
    """Return base + alpha (tuned - base), weight by weight."""
    return {
        name: weight + alpha * (tuned[name] - weight) if alpha < 1 else tuned[name] for name, weight in base.items()
    }


def _unlike(now: EvalResult, budgets: BudgetSettings) -> float:
    """Return how far a voice is below its budget, as a share of the way from others to the person; 0 without one."""
    known = now.voice.score if now.voice else None
    return 0.0 if known is None or budgets.voice is None else (budgets.voice - known) / 100


def score(base: EvalResult, now: EvalResult, budgets: BudgetSettings) -> float:
    """Return the score, lower is better: the loss on held-out replies plus a penalty for each broken budget, nats."""
    before, after = perplexity(base.text_loss), perplexity(now.text_loss)
    forgotten = after / before - 1 - budgets.base_perplexity if before and after else 0.0
    invented = now.oov.rate - base.oov.rate - budgets.oov_rate - _NOISE
    recited = now.unseen.share - budgets.memorisation if now.unseen else 0.0
    parts = (10 * forgotten, 20 * invented, 5 * recited, budgets.eos_rate - now.eos_rate, _unlike(now, budgets))
    return (now.reply_loss or 0.0) + sum(max(0.0, part) for part in parts)
