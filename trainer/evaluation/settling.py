"""As many replies as it takes to tell on which side of its budget a figure lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from curator.contract.errors import counted
from trainer.evaluation.budgets import BudgetCheck, broken, check_budgets
from trainer.evaluation.probes import EvalResult, EvalSuite
from trainer.model.llama import Llama
from trainer.settings import BudgetSettings

# From so many replies on, a figure whose interval still holds its limit is not shown to be over it, and counts as kept.
# Of fewer, an interval is so wide that it would excuse anything: there the figure itself decides.
ENOUGH_REPLIES = 1000


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
    for sure ends it. What is not settled by the most replies counts as kept where these are ENOUGH_REPLIES. `models`
    gives the base and the fine-tune; `tick` is told of replies that were written. `base` may have more replies than
    `tuned`; the base that is returned has them all.
    """
    while True:
        checks = check_budgets(suite.beside(base, tuned), tuned, budgets, suite.margins(base, tuned))
        there = len(tuned.replies)
        more = min(there, most - there)
        unsure = [check for check in checks if not check.settled]
        known = broken([check for check in checks if check.settled])
        if not unsure or known:
            return Settled(base, tuned, checks)
        if more <= 0:
            enough = there >= ENOUGH_REPLIES
            return Settled(base, tuned, [_not_shown(check) if enough else check for check in checks])
        near = ", ".join(check.name for check in unsure)
        log(f"{near} too near the limit to tell: {counted(more, 'more reply', 'more replies')}")
        base_model, tuned_model = models()
        missing = there + more - len(base.replies)
        if missing > 0:
            base = suite.extended(base_model, base, missing)
            tick(missing)
        tuned = suite.extended(tuned_model, tuned, more)
        tick(more)


def _not_shown(check: BudgetCheck) -> BudgetCheck:
    """Return a check that counts as kept where its figure is over the limit by less than is known.

    But for one over it by more than the budget is wide: replies that tell so little excuse no such figure.
    """
    allowed = 1 - check.limit if check.name == "eos_rate" else abs(check.limit - (check.base or 0.0))
    if check.kept or check.settled or abs(check.tuned - check.limit) > allowed:
        return check
    return replace(check, kept=True, says=f"{check.says}: not shown to be over it")
