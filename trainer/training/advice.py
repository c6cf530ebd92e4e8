"""Advice before a fine-tune: what a small model can learn from these samples, and what to do where that is little.

Samples --_figures--> Figures --each check--> Finding (how much it adds to the risk, what to do) --> lines of text
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curator.contract.errors import counted
from trainer.data.dialogues import REPLY_SHINGLE, Dialogue, Samples
from trainer.data.documents import WINDOW, clusters
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import Tokenizer
from trainer.settings import FinetuneSettings, SamplingSettings

LOW, MODERATE, HIGH = range(3)
RISKS = ("low", "moderate", "high")
MAX_LINES = 7  # nobody reads more before a training

# Below these a model of 7M parameters learns only a tone and where to end. 40 samples fill about eleven rows of 256
# tokens, three steps an epoch; 1,500 tokens are not a three-thousandth of what the built-in base was trained on.
TOO_FEW_SAMPLES, FEW_SAMPLES = 40, 100
TOO_FEW_TOKENS, FEW_TOKENS = 1_500, 4_000
# Repeated text is nearly as good as new text up to 4 epochs, and worth nothing from 16 on (arXiv 2305.16264). The first
# limit lies between the two, the second beyond both.
MANY_EPOCHS, TOO_MANY_EPOCHS = 10, 20
USUAL_EPOCHS = (
    FinetuneSettings().epochs
)  # half of them for a set that repeats itself: a sample that is there twice is trained twice
# A copy of a reply is one more epoch on it. Up to a fifth of the replies from curated memories are copies, a quarter of
# those from an old diary, mostly set phrases. Where half repeat another, the set is half as large as it seems.
MANY_ALIKE, TOO_MANY_ALIKE = 0.25, 0.5
MOST_REPLIES = 4  # distinct replies to a prompt, on average; small talk has up to two, a diary asked by rote dozens
FEW_HELD = 16  # with fewer, one sample is over 6% of every figure, while a budget of the gate is 10%
SHARE_TO_HOLD = 0.2  # the share we advise to hold out; where that is fewer than FEW_HELD, more data is needed
SHORT_REPLY = 4  # words, at the median: from shorter replies the model learns to write short ones
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
    "held": f"--holdout-share {SHARE_TO_HOLD}",
    "shorten": "split them in the --data file",
    "lengthen": "add longer ones to the --data file",
}


@dataclass(frozen=True)
class Figures:
    """The figures behind the advice. `copies` are word for word; `alike`, others that share twelve tokens in a row."""

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
    """A problem and its remedy, and the risk that the model memorises its samples because of it."""

    risk: int
    says: str


def advise(samples: Samples, template: Template, tokenizer: Tokenizer, epochs: float) -> list[str]:
    """Return lines to print before a fine-tune: the figures and the risk, then what to do, most important first."""
    figures = _figures(samples, template, tokenizer, epochs)
    findings = [finding for finding in (check(figures) for check in _CHECKS) if finding]
    findings.sort(key=lambda finding: -finding.risk)
    risk = max((finding.risk for finding in findings), default=LOW)
    lines = [f"{_summary(figures)}; risk of memorising: {RISKS[risk]}", *(finding.says for finding in findings)]
    return [f"advice: {line}" for line in lines[:MAX_LINES]]


def _summary(figures: Figures) -> str:
    middle, high = figures.words
    replies = counted(figures.replies, "distinct reply", "distinct replies")
    return (
        f"{counted(figures.samples, 'sample')}, {counted(figures.tokens, 'trained token')}, {replies} of "
        f"{counted(middle, 'word')} (median; {high:,} at p90), {figures.epochs:,.1f} epochs"
    )


# --- figures -------------------------------------------------------------------------------------------------------


def _figures(samples: Samples, template: Template, tokenizer: Tokenizer, epochs: float) -> Figures:
    dialogues = samples.train_dialogues
    words = [len(dialogue.reply.split()) for dialogue in dialogues]
    tokens = [sum(weight > 0 for weight in sample.weights) for sample in samples.train]
    replies = list(
        dict.fromkeys(_plain(template.after_prompt(dialogue.reply, dialogue.mode)) for dialogue in dialogues)
    )
    curated = any(dialogue.split for dialogue in (*dialogues, *samples.holdout_dialogues))
    return Figures(
        samples=len(dialogues), tokens=sum(tokens), held=len(samples.holdout), shortened=samples.shortened,
        left_out=len(samples.left_out), prompts=len({_asked(dialogue, template) for dialogue in dialogues}),
        copies=len(dialogues) - len(replies), alike=len(replies) - _unlike(replies, tokenizer),
        words=(_at(words, 0.5), _at(words, 0.9)), longest=_at(tokens, 0.9), epochs=epochs,
        remedies=_OF_RUN if curated else _OF_FILE,
    )  # fmt: skip


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _asked(dialogue: Dialogue, template: Template) -> str:
    """Return the text by which a model can tell prompts apart: with earlier exchanges and the mode's tag."""
    return _plain(template.wrap(dialogue.prompt, dialogue.history, dialogue.mode))


def _unlike(replies: list[str], tokenizer: Tokenizer) -> int:
    """Return the number of replies, counting near-duplicates as one."""
    # Ids are cut to 16 bits: if two tokens become the same, that hardly matters among twelve in a row.
    ids = [np.array(tokens, np.int64).astype(np.uint16) for tokens in tokenizer.encode_all(replies)] if replies else []
    return len(np.unique(clusters(ids, REPLY_SHINGLE)))


def _at(values: list[int], share: float) -> int:
    return int(np.quantile(values, share, method="nearest")) if values else 0


# --- checks, most important first ----------------------------------------------------------------------------------


def _size(figures: Figures) -> Finding | None:
    size = f"{counted(figures.samples, 'sample')} with {counted(figures.tokens, 'trained token')}"
    more = figures.remedies["more"]
    if figures.samples < TOO_FEW_SAMPLES or figures.tokens < TOO_FEW_TOKENS:
        says = f"{size} can teach a tone and where to end, little else"
        return Finding(HIGH, f"{says}: {more}, or --method lora, or prompt the base as it is")
    if figures.samples < FEW_SAMPLES or figures.tokens < FEW_TOKENS:
        return Finding(MODERATE, f"only {size}: {more}, or try --method lora, which changes less of the base")
    return None


def _epochs(figures: Figures) -> Finding | None:
    if not figures.epochs > MANY_EPOCHS:
        return None
    risk = HIGH if figures.epochs > TOO_MANY_EPOCHS else MODERATE
    says = f"{figures.epochs:,.1f} epochs: after {MANY_EPOCHS} a model learns replies by heart, not how to reply"
    return Finding(risk, f"{says}; use --epochs {USUAL_EPOCHS:g}, or fewer --steps")


def _alike(figures: Figures) -> Finding | None:
    repeated = figures.copies + figures.alike
    if repeated <= MANY_ALIKE * figures.samples:
        return None
    risk = HIGH if repeated > TOO_MANY_ALIKE * figures.samples else MODERATE
    kinds = f"{figures.copies:,} word for word, {figures.alike:,} in {REPLY_SHINGLE + WINDOW - 1} tokens or more"
    of_all = f"{repeated:,} of {counted(figures.samples, 'reply', 'replies')}"
    says = f"{of_all} repeat another ({kinds}) and will be known by heart first"
    return Finding(risk, f"{says}: {figures.remedies['alike']}, or --epochs {USUAL_EPOCHS / 2:g}")


def _prompts(figures: Figures) -> Finding | None:
    if figures.replies <= MOST_REPLIES * figures.prompts:
        return None
    counts = f"{counted(figures.prompts, 'distinct prompt')} for {counted(figures.replies, 'reply', 'replies')}"
    says = f"{counts}: the model cannot know which reply is asked for; {figures.remedies['prompts']}"
    return Finding(MODERATE, says)


def _held(figures: Figures) -> Finding | None:
    if figures.held >= FEW_HELD:
        return None
    enough = SHARE_TO_HOLD * (figures.samples + figures.held) >= FEW_HELD
    more = f"hold out more ({figures.remedies['held']}), or cross-validate: --folds 5"
    fix = more if enough else figures.remedies["more"]
    if not figures.held:
        return Finding(MODERATE, f"no sample is held out, so that memorising would go unseen: {fix}")
    return Finding(
        LOW, f"{counted(figures.held, 'held-out sample')}, fewer than {FEW_HELD}: the figures are noise; {fix}"
    )


def _long(figures: Figures) -> Finding | None:
    cut, total = figures.shortened + figures.left_out, figures.samples + figures.held + figures.left_out
    if cut > MANY_CUT * total:
        kinds = f"{counted(figures.shortened, 'prompt')} shortened, {figures.left_out:,} left out"
        says = f"{cut:,} of {counted(total, 'sample')} do not fit the context ({kinds}): {figures.remedies['shorten']}"
        return Finding(LOW, f"{says}, or take a --base with a longer one")
    if figures.longest > LONG_REPLY:
        long = counted(figures.longest, "token")
        says = f"replies of {long} at p90, cut at {LONG_REPLY} in use: {figures.remedies['shorten']}"
        return Finding(LOW, f"{says}, or trainer chat --max-tokens {figures.longest}")
    return None


def _short(figures: Figures) -> Finding | None:
    if figures.words[0] >= SHORT_REPLY:
        return None
    middle = counted(figures.words[0], "word")
    return Finding(LOW, f"replies of {middle} at the median: it will learn to be curt; {figures.remedies['lengthen']}")


_CHECKS = (_size, _epochs, _alike, _prompts, _held, _long, _short)
