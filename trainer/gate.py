"""The budgets that a fine-tune must keep, and what its figures say in words.

One figure alone always lies: a ruined model invents few words, since it recites. So every budget counts, each against
the base on the same prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.health import Health, perplexity
from trainer.settings import GateSettings


@dataclass(frozen=True)
class Finding:
    """One budget: its figure for base and fine-tune, the limit, whether it is kept, and what it says in words."""

    name: str
    base: float | None
    tuned: float
    limit: float
    kept: bool
    says: str


def judge(base: Health, tuned: Health, budgets: GateSettings) -> list[Finding]:
    """Return a finding for each budget that could be measured, the broken ones first, the worst of them at the top."""
    found = _perplexities(base, tuned, budgets)
    if tuned.replies:  # without prompts nothing was asked, and nothing can be said of replies
        found += [*_recital(tuned, budgets), *_writing(base, tuned, budgets)]
    return sorted(found, key=lambda one: (one.kept, -_excess(one)))


def refused(findings: list[Finding]) -> list[Finding]:
    """Return the findings whose budget is broken."""
    return [one for one in findings if not one.kept]


def _excess(one: Finding) -> float:
    """Return how far a figure is past its limit, as the logarithm of their ratio: 0 at the limit."""
    return abs(math.log(max(one.tuned, 1e-6) / max(one.limit, 1e-6)))


def _perplexities(base: Health, tuned: Health, budgets: GateSettings) -> list[Finding]:
    out = []
    before, after = perplexity(base.text_loss), perplexity(tuned.text_loss)
    if before and after:
        limit = before * (1 + budgets.base_perplexity)
        change = after / before - 1
        says = f"perplexity of the base's own text {change:+.1%} ({before:.1f} -> {after:.1f}; budget "
        says += f"+{budgets.base_perplexity:.0%}): it {'keeps' if after <= limit else 'has lost some of'} the language"
        out.append(Finding("base_perplexity", before, after, limit, after <= limit, says))
    before, after = perplexity(base.reply_loss), perplexity(tuned.reply_loss)
    if before and after:
        limit = before * (1 - budgets.reply_perplexity)
        change = after / before - 1
        better = "it answers better than the base" if after <= limit else "it learnt next to nothing that carries over"
        says = f"perplexity of held-out replies {change:+.0%} ({before:.1f} -> {after:.1f}; budget "
        says += f"-{budgets.reply_perplexity:.0%}): {better}"
        out.append(Finding("reply_perplexity", before, after, limit, after <= limit, says))
    return out


def _recital(tuned: Health, budgets: GateSettings) -> list[Finding]:
    if tuned.unseen is None:
        return []
    share, limit = tuned.unseen.share, budgets.verbatim
    says = f"{share:.1%} of the 8-grams of replies to unseen prompts stand in the training replies (budget {limit:.0%})"
    if share > limit:
        says += f": it recites; {tuned.unseen.longest} words in a row: {_short(tuned.unseen.example)!r}"
    return [Finding("verbatim_unseen", None, share, limit, share <= limit, says)]


def _writing(base: Health, tuned: Health, budgets: GateSettings) -> list[Finding]:
    rate, limit = tuned.invented.rate, base.invented.rate + budgets.invented
    says = f"invented words {rate:.2%}, base {base.invented.rate:.2%} (budget +{100 * budgets.invented:.1f} points)"
    if rate > limit:
        says += f": such as {', '.join(word for word, _ in tuned.invented.invented.most_common(5))}"
    out = [Finding("invented", base.invented.rate, rate, limit, rate <= limit, says)]
    enough = tuned.stopped >= budgets.stopped
    says = f"{tuned.stopped:.0%} of replies stop by themselves (budget {budgets.stopped:.0%})"
    says += "" if enough else ": the end mark is not learnt"
    return [*out, Finding("stopped", base.stopped, tuned.stopped, budgets.stopped, enough, says)]


def calibration(health: Health) -> str:
    """Return what the losses on training and on held-out replies say together, in words."""
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
