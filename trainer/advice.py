"""Advice before a fine-tune: what a small model can learn from these samples, and the better choice where it is little.

Samples --_figures--> Figures --each check--> Finding (how much it adds to the risk, what to do) --> lines of text
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.datasets import REPLY_SHINGLE, Dialogue, Samples
from trainer.documents import WINDOW, clusters
from trainer.settings import FinetuneSettings, SamplingSettings
from trainer.templates import Template
from trainer.tokenizer import Tokenizer

LOW, MODERATE, HIGH = range(3)
RISKS = ("low", "moderate", "high")
MAX_LINES = 7  # more than that nobody reads before a training

# Below these a model of 7M parameters learns a tone and where to end. 40 samples fill about eleven rows of 256 tokens,
# three steps an epoch; 1,500 tokens are not a three-thousandth of what the built-in base was trained on.
TOO_FEW_SAMPLES, FEW_SAMPLES = 40, 100
TOO_FEW_TOKENS, FEW_TOKENS = 1_500, 4_000
# Up to 4 epochs repeated text is nearly as good as new text, and by 16 nothing is gained any more (arXiv 2305.16264):
# the first limit lies between the two, the second beyond both.
MANY_EPOCHS, TOO_MANY_EPOCHS = 10, 20
USUAL_EPOCHS = FinetuneSettings().epochs  # half of them for a set that repeats itself: what is told twice counts twice
# A copy of a reply is an epoch more on it. Curated memories have up to a fifth of such replies, an old diary a quarter,
# mostly set phrases; where half repeat another, the set holds half of what it seems to.
MANY_ALIKE, TOO_MANY_ALIKE = 0.25, 0.5
MOST_REPLIES = 4  # distinct replies to a prompt, on average; small talk has up to two, a diary asked by rote dozens
FEW_HELD = 16  # with fewer, one sample is more than 6% of every figure, and the gate decides by a tenth
SHARE_TO_HOLD = 0.2  # what we advise to hold out; a set where this gives no FEW_HELD needs more data instead
SHORT_REPLY = 4  # words, at the median: fewer are a "yes, I did", and so will its own replies be
LONG_REPLY = SamplingSettings().max_tokens  # tokens, at p90: where `trainer sample` and `trainer chat` cut a reply
MANY_CUT = 0.1  # of all samples do not fit the context: prompts without their front, replies that are missing

_OF_RUN = {
    "more": "add memories (curate run without --max and --mode)",
    "prompts": "add questions to etc/prompts.json",
    "alike": "lower near_duplicates.threshold in etc/curate.json",
    "held": f"curate run --holdout {SHARE_TO_HOLD}",
    "shorten": "lower reply.long_words or pairing.tool_outcome_characters in etc/curate.json",
    "lengthen": "raise reply.min_words in etc/curate.json",
}
_OF_FILE = {
    "more": "add dialogues to the --data file",
    "prompts": "give each reply a prompt of its own in the --data file",
    "alike": "take them out of the --data file",
    "held": f"--validation-share {SHARE_TO_HOLD}",
    "shorten": "split them in the --data file",
    "lengthen": "add longer ones to the --data file",
}


@dataclass(frozen=True)
class Figures:
    """What advice is given by. `copies` are word for word, `alike` share twelve tokens in a row, copies apart."""

    samples: int
    tokens: int
    held: int
    shortened: int
    left_out: int
    prompts: int
    copies: int
    alike: int
    words: tuple[int, int]  # of a reply, median and p90
    longest: int  # tokens of a reply, end mark included, at p90
    epochs: float
    remedies: dict[str, str]

    @property
    def replies(self) -> int:
        """Return the number of distinct replies."""
        return self.samples - self.copies


@dataclass(frozen=True)
class Finding:
    """What is wrong and what to do, and how great a risk it is that the model learns its samples by heart."""

    risk: int
    says: str


def advise(samples: Samples, template: Template, tokenizer: Tokenizer, epochs: float) -> list[str]:
    """Return lines to print before a fine-tune: the figures and the risk, then what to do, most important first."""
    figures = _figures(samples, template, tokenizer, epochs)
    found = [one for one in (check(figures) for check in _CHECKS) if one]
    found.sort(key=lambda one: -one.risk)
    risk = max((one.risk for one in found), default=LOW)
    lines = [f"{_summary(figures)}; risk of memorising: {RISKS[risk]}", *(one.says for one in found)]
    return [f"advice: {line}" for line in lines[:MAX_LINES]]


def _summary(seen: Figures) -> str:
    middle, high = seen.words
    replies = _count(seen.replies, "distinct reply", "distinct replies")
    return (
        f"{_count(seen.samples, 'sample')}, {_count(seen.tokens, 'trained token')}, {replies} of "
        f"{_count(middle, 'word')} (median; {high:,} at p90), {seen.epochs:,.1f} epochs"
    )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


# --- figures -------------------------------------------------------------------------------------------------------


def _figures(samples: Samples, template: Template, tokenizer: Tokenizer, epochs: float) -> Figures:
    told = samples.train_dialogues
    words = [len(one.reply.split()) for one in told]
    tokens = [sum(weight > 0 for weight in one.weights) for one in samples.train]
    replies = list(dict.fromkeys(_plain(template.after_prompt(one.reply, one.mode)) for one in told))
    curated = any(one.split for one in (*told, *samples.held_dialogues))
    return Figures(
        samples=len(told), tokens=sum(tokens), held=len(samples.held), shortened=samples.shortened,
        left_out=len(samples.left_out), prompts=len({_asked(one, template) for one in told}),
        copies=len(told) - len(replies), alike=len(replies) - _unlike(replies, tokenizer),
        words=(_at(words, 0.5), _at(words, 0.9)), longest=_at(tokens, 0.9), epochs=epochs,
        remedies=_OF_RUN if curated else _OF_FILE,
    )  # fmt: skip


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _asked(dialogue: Dialogue, template: Template) -> str:
    """Return all that a model has to tell one prompt from another: the earlier exchanges and the mode's tag too."""
    return _plain(template.wrap(dialogue.prompt, dialogue.history, dialogue.mode))


def _unlike(replies: list[str], tokenizer: Tokenizer) -> int:
    """Return how many replies are left where those that are nearly the same count as one."""
    # Ids beyond 16 bits are folded: two tokens taken for one do no harm among twelve in a row.
    ids = [np.array(one, np.int64).astype(np.uint16) for one in tokenizer.encode_all(replies)] if replies else []
    return len(np.unique(clusters(ids, REPLY_SHINGLE)))


def _at(values: list[int], share: float) -> int:
    return int(np.quantile(values, share, method="nearest")) if values else 0


# --- checks, most important first ----------------------------------------------------------------------------------


def _size(seen: Figures) -> Finding | None:
    both = f"{_count(seen.samples, 'sample')} with {_count(seen.tokens, 'trained token')}"
    more = seen.remedies["more"]
    if seen.samples < TOO_FEW_SAMPLES or seen.tokens < TOO_FEW_TOKENS:
        says = f"{both} can teach a tone and where to end, little else"
        return Finding(HIGH, f"{says}: {more}, or --method lora, or prompt the base as it is")
    if seen.samples < FEW_SAMPLES or seen.tokens < FEW_TOKENS:
        return Finding(MODERATE, f"only {both}: {more}, or try --method lora, which changes less of the base")
    return None


def _epochs(seen: Figures) -> Finding | None:
    if not seen.epochs > MANY_EPOCHS:
        return None
    risk = HIGH if seen.epochs > TOO_MANY_EPOCHS else MODERATE
    says = f"{seen.epochs:,.1f} epochs: after {MANY_EPOCHS} a model learns replies by heart, not how to reply"
    return Finding(risk, f"{says}; use --epochs {USUAL_EPOCHS:g}, or fewer --steps")


def _alike(seen: Figures) -> Finding | None:
    repeated = seen.copies + seen.alike
    if repeated <= MANY_ALIKE * seen.samples:
        return None
    risk = HIGH if repeated > TOO_MANY_ALIKE * seen.samples else MODERATE
    how = f"{seen.copies:,} word for word, {seen.alike:,} in {REPLY_SHINGLE + WINDOW - 1} tokens or more"
    says = f"{repeated:,} of {seen.samples:,} replies repeat another ({how}) and will be known by heart first"
    return Finding(risk, f"{says}: {seen.remedies['alike']}, or --epochs {USUAL_EPOCHS / 2:g}")


def _prompts(seen: Figures) -> Finding | None:
    if seen.replies <= MOST_REPLIES * seen.prompts:
        return None
    asked = f"{_count(seen.prompts, 'distinct prompt')} for {seen.replies:,} replies"
    says = f"{asked}: the model cannot know which reply is asked for; {seen.remedies['prompts']}"
    return Finding(MODERATE, says)


def _held(seen: Figures) -> Finding | None:
    if seen.held >= FEW_HELD:
        return None
    enough = SHARE_TO_HOLD * (seen.samples + seen.held) >= FEW_HELD
    fix = f"hold out more ({seen.remedies['held']})" if enough else seen.remedies["more"]
    if not seen.held:
        return Finding(MODERATE, f"no sample is held out, so that memorising would go unseen: {fix}")
    return Finding(LOW, f"{_count(seen.held, 'held-out sample')}, fewer than {FEW_HELD}: the figures are noise; {fix}")


def _long(seen: Figures) -> Finding | None:
    cut, whole = seen.shortened + seen.left_out, seen.samples + seen.held + seen.left_out
    if cut > MANY_CUT * whole:
        how = f"{_count(seen.shortened, 'prompt')} shortened, {seen.left_out:,} left out"
        says = f"{cut:,} of {whole:,} samples do not fit the context ({how}): {seen.remedies['shorten']}"
        return Finding(LOW, f"{says}, or take a --base with a longer one")
    if seen.longest > LONG_REPLY:
        says = f"replies of {seen.longest:,} tokens at p90, cut at {LONG_REPLY} in use: {seen.remedies['shorten']}"
        return Finding(LOW, f"{says}, or trainer chat --max-tokens {seen.longest}")
    return None


def _short(seen: Figures) -> Finding | None:
    if seen.words[0] >= SHORT_REPLY:
        return None
    middle = _count(seen.words[0], "word")
    return Finding(LOW, f"replies of {middle} at the median: it will learn to be curt; {seen.remedies['lengthen']}")


_CHECKS = (_size, _epochs, _alike, _prompts, _held, _long, _short)
