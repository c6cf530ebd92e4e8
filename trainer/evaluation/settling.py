"""As many replies as it takes to tell on which side of its budget a figure lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from curator.contract.errors import counted
from trainer.evaluation.budgets import BudgetCheck, broken, check_budgets
from trainer.evaluation.probes import EvalResult, EvalSuite
from trainer.model.llama import Llama
from trainer.settings import BudgetSettings


@dataclass(frozen=True)
class Settled:
    """Both models' figures, the checks of them, and how far apart they lie."""

    base: EvalResult
    tuned: EvalResult
    checks: list[BudgetCheck]


def settle(
    suite: EvalSuite, base: EvalResult, tuned: EvalResult, *, models: Callable[[], tuple[Llama, Llama]],
    budgets: BudgetSettings, most: int, log: Callable[[str], None], tick: Callable[[int], None] = lambda replies: None,
) -> Settled:  # fmt: skip
    """Return the figures of two models and the checks, from as many replies as it takes to tell.

    While a figure's interval holds its limit, both write twice as many replies, `most` at most; a budget that is broken
    for sure ends it. `models` gives the base and the fine-tune; `tick` is told of replies that were written. `base` may
    have more replies than `tuned`; the base that is returned has them all.
    """
    while True:
        checks = check_budgets(suite.beside(base, tuned), tuned, budgets, suite.margins(base, tuned))
        there = len(tuned.replies)
        more = min(there, most - there)
        unsure = [check for check in checks if not check.settled]
        known = broken([check for check in checks if check.settled])
        if not unsure or known or more <= 0:
            return Settled(base, tuned, checks)
        near = ", ".join(check.name for check in unsure)
        log(f"{near} too near the limit to tell: {counted(more, 'more reply', 'more replies')}")
        base_model, tuned_model = models()
        missing = there + more - len(base.replies)
        if missing > 0:
            base = suite.extended(base_model, base, missing)
            tick(missing)
        tuned = suite.extended(tuned_model, tuned, more)
        tick(more)
