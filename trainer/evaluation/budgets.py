"""The budgets that a fine-tune must keep, and its figures in words.

No single figure is enough: a ruined model that recites invents few words. So every budget must be kept, each compared
with the base on the same prompts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from curator.contract.errors import counted
from trainer.evaluation.evidence import Margins
from trainer.evaluation.probes import EvalResult, perplexity
from trainer.settings import BudgetSettings

AT_LEAST = ("eos_rate", "voice")  # whose limit is the least that is allowed


@dataclass(frozen=True)
class BudgetCheck:
    """One budget: its figure for base and fine-tune, the limit, whether it is kept, and what it says in words.

    `margin` is half the width of the figure's interval, where replies tell it.
    """

    name: str
    base: float | None
    tuned: float
    limit: float
    kept: bool
    says: str
    margin: float | None = None

    @property
    def doubtful(self) -> bool:
        """Say whether it counts as kept although its figure is past the limit: by less than is known."""
        over = self.tuned < self.limit if self.name in AT_LEAST else self.tuned > self.limit
        return self.kept and over

    @property
    def settled(self) -> bool:
        """Say whether the figure's interval lies on one side of the limit."""
        return self.margin is None or abs(self.tuned - self.limit) > self.margin


def check_budgets(
    base: EvalResult, tuned: EvalResult, budgets: BudgetSettings, margins: Margins | None = None
) -> list[BudgetCheck]:
    """Return a check of each budget that could be measured, broken ones first, the worst at the top.

    With `margins`, what replies tell says how well it is known.
    """
    checks = _perplexities(base, tuned, budgets)
    if tuned.replies:  # without prompts there are no replies to check
        checks += [*_recital(tuned, budgets), *_writing(base, tuned, budgets), *_voice(base, tuned, budgets)]
    if margins is not None:
        checks = [_with_margin(check, margins.of(check.name), len(tuned.replies)) for check in checks]
    return sorted(checks, key=lambda check: (check.kept, -_excess(check)))


def broken(checks: Sequence[BudgetCheck]) -> list[BudgetCheck]:
    """Return the checks whose budget is broken."""
    return [check for check in checks if not check.kept]


def _with_margin(check: BudgetCheck, width: float | None, replies: int) -> BudgetCheck:
    if width is None:
        return check
    known = replace(check, margin=width)
    doubt = "" if known.settled else ", too near the limit to be sure"
    points = f"{width:.0f}" if check.name == "voice" else f"{100 * width:.2g}"
    return replace(
        known, says=f"{check.says}; known to ±{points} points from {counted(replies, 'reply', 'replies')}{doubt}"
    )


def _excess(check: BudgetCheck) -> float:
    """Return how far a figure is past its limit, as the logarithm of their ratio: 0 at the limit."""
    return abs(math.log(max(check.tuned, 1e-6) / max(check.limit, 1e-6)))


def _perplexities(base: EvalResult, tuned: EvalResult, budgets: BudgetSettings) -> list[BudgetCheck]:
    out = []
    before, after = perplexity(base.text_loss), perplexity(tuned.text_loss)
    if before and after:
        limit = before * (1 + budgets.base_perplexity)
        change = after / before - 1
        says = f"perplexity of the base's own text {change:+.1%} ({before:.1f} -> {after:.1f}; budget "
        says += f"+{budgets.base_perplexity:.0%}): it {'keeps' if after <= limit else 'has lost some of'} the language"
        out.append(BudgetCheck("base_perplexity", before, after, limit, after <= limit, says))
    before, after = perplexity(base.reply_loss), perplexity(tuned.reply_loss)
    if before and after:
        limit = before * (1 - budgets.reply_perplexity)
        change = after / before - 1
        better = "it answers better than the base" if after <= limit else "it learnt next to nothing that carries over"
        says = f"perplexity of held-out replies {change:+.0%} ({before:.1f} -> {after:.1f}; budget "
        says += f"-{budgets.reply_perplexity:.0%}): {better}"
        out.append(BudgetCheck("reply_perplexity", before, after, limit, after <= limit, says))
    return out


def _recital(tuned: EvalResult, budgets: BudgetSettings) -> list[BudgetCheck]:
    if tuned.unseen is None:
        return []
    share, limit = tuned.unseen.share, budgets.memorisation
    says = f"{share:.1%} of the 8-grams of replies to unseen prompts stand in the training replies (budget {limit:.0%})"
    if share > limit:
        says += f": it recites; {tuned.unseen.longest} words in a row: {_short(tuned.unseen.example)!r}"
    return [BudgetCheck("memorisation_unseen", None, share, limit, share <= limit, says)]


def _writing(base: EvalResult, tuned: EvalResult, budgets: BudgetSettings) -> list[BudgetCheck]:
    rate, limit = tuned.oov.rate, base.oov.rate + budgets.oov_rate
    says = f"invented words {rate:.2%}, base {base.oov.rate:.2%} (budget +{100 * budgets.oov_rate:.1f} points)"
    if rate > limit:
        says += f": such as {', '.join(word for word, _ in tuned.oov.oov.most_common(5))}"
    out = [BudgetCheck("oov_rate", base.oov.rate, rate, limit, rate <= limit, says)]
    enough = tuned.eos_rate >= budgets.eos_rate
    says = f"{tuned.eos_rate:.0%} of replies stop by themselves (budget {budgets.eos_rate:.0%})"
    says += "" if enough else ": the end mark is not learnt"
    return [*out, BudgetCheck("eos_rate", base.eos_rate, tuned.eos_rate, budgets.eos_rate, enough, says)]


def _voice(base: EvalResult, tuned: EvalResult, budgets: BudgetSettings) -> list[BudgetCheck]:
    if budgets.voice is None or tuned.voice is None:
        return []
    score, before, limit = tuned.voice.score, base.voice.score if base.voice else None, budgets.voice
    if score is None:  # what was asked for and cannot be told is not kept
        says = f"whether its replies sound like the person cannot be told: {tuned.voice.topic_free.why}"
        return [BudgetCheck("voice", before, 0.0, limit, kept=False, says=says)]
    was = "" if before is None else f", base {before:.0f}"
    says = f"its replies stand at {score:.0f} of the way from others (0) to the person (100){was} (budget {limit:.0f})"
    says += "" if score >= limit else ": it does not sound like them"
    return [BudgetCheck("voice", before, score, limit, score >= limit, says)]


def calibration(health: EvalResult) -> str:
    """Return in words how the losses on training and on held-out replies compare."""
    train, held = health.train_loss, health.reply_loss
    if train is None or held is None:
        return ""
    figures = f"training {train:.2f}, held-out {held:.2f} nats a token"
    gap = held - train
    if gap > 3.0 or train < 0.3:
        return f"memorised: {figures}"
    if gap > 1.5:
        return f"overfitted: {figures}"
    return f"{'learnt' if gap > 0.1 else 'no gap'}: {figures}"


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
