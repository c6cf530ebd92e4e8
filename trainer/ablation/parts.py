"""The parts of a set, what is held out for all of them, and the sets that are trained on.

Dialogues of a run --hold_out--> Bench --filtered, remade--> Arms: the whole set, without each part, each part alone
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from curator.contract.errors import UsageError, counted
from trainer.data.batches import TokenisedExample
from trainer.data.dialogues import Dialogue, encode
from trainer.training.finetune import FinetuneContext
from trainer.training.folds import clusters_of

FILTERED = ("source", "type", "year")  # parts that the samples of a run name themselves
BY = (*FILTERED, "cleaner", "questions")
WHOLE, BASE = "all", "base"
ENOUGH = 60  # held-out replies that tell small differences apart
MOST = 0.25  # of the samples, that are held out at most
_GIANT = 0.1  # of the replies that are wanted: a cluster of more would decide by itself


@dataclass(frozen=True)
class Held:
    """A held-out reply: its tokens, and which cluster of memories and near-duplicates it is in."""

    dialogue: Dialogue
    sample: TokenisedExample
    cluster: int

    @property
    def tokens(self) -> int:
        """How many tokens of it are measured."""
        return sum(weight > 0 for weight in self.sample.weights)


@dataclass(frozen=True)
class Bench:
    """What all sets have in common: the context of a fine-tune of the whole set, and the replies held out of each."""

    ready: FinetuneContext
    train: list[Dialogue]
    held: list[Held]

    def examples(self, dialogues: Iterable[Dialogue]) -> tuple[list[Dialogue], list[TokenisedExample]]:
        """Return the dialogues that fit the context, and their tokens, weighed as they are trained."""
        ready, kept, samples = self.ready, list[Dialogue](), list[TokenisedExample]()
        for dialogue in dialogues:
            sample, _ = encode(dialogue, ready.template, ready.base.tokenizer, ready.context)
            if sample is not None:
                kept.append(dialogue)
                samples.append(sample)
        return kept, ready.weighted_of(samples, kept)

    def apart(self, dialogues: Sequence[Dialogue]) -> list[Dialogue]:
        """Return those of another run that are trained on here too, or are not near to a held-out reply."""
        held, trained = [one.dialogue for one in self.held], {(one.prompt, one.reply) for one in self.train}
        everything = [*held, *dialogues]
        places = clusters_of(everything, [memory_of(one) for one in everything], self.ready.base.tokenizer)
        taken = set(places[: len(held)])
        rows = zip(dialogues, places[len(held) :], strict=True)
        return [one for one, place in rows if place not in taken or (one.prompt, one.reply) in trained]


@dataclass(frozen=True)
class Arm:
    """One set to train on: the whole one, the whole without a `part`, or that part `alone`.

    `instead` says in words what stands in the part's place, where something does; `words` leave the part out of
    another `curate run`.
    """

    part: str
    dialogues: list[Dialogue] = field(repr=False)
    samples: list[TokenisedExample] = field(repr=False)
    alone: bool = False
    instead: str = ""
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in the table and in trials.jsonl."""
        if self.part in (WHOLE, BASE):
            return self.part
        return f"{self.part} alone" if self.alone else self.instead or f"without {self.part}"


@dataclass(frozen=True)
class Untried:
    """A part that is not left out in any training, and why."""

    part: str
    samples: int
    why: str


def memory_of(dialogue: Dialogue) -> str:
    """Return the memory that a dialogue of a run comes from: its sample is called after it, and a number."""
    return dialogue.conversation.rpartition("-")[0] or dialogue.conversation


def hold_out(ready: FinetuneContext) -> Bench:
    """Return the held-out replies, the same for every set: the run's, and more conversations where these are few.

    Of each source, type and year about the same share is held out. Raises UsageError where nothing can be.
    """
    samples = ready.samples
    dialogues = [*samples.train_dialogues, *samples.holdout_dialogues]
    examples = [*samples.train, *samples.holdout]
    places = clusters_of(dialogues, [memory_of(one) for one in dialogues], ready.base.tokenizer)
    held = [number >= len(samples.train) for number in range(len(dialogues))]
    for cluster in _more(dialogues, places, held, ready.settings.seed):
        held = [is_held or place == cluster for is_held, place in zip(held, places, strict=True)]
    if not any(held) or all(held):
        raise UsageError(
            f"{ready.dataset.source}: {counted(len(dialogues), 'sample')} are too few to hold some out",
            "make a larger set",
        )
    rows = zip(dialogues, examples, places, held, strict=True)
    kept = [Held(dialogue, sample, place) for dialogue, sample, place, is_held in rows if is_held]
    return Bench(ready, [one for one, is_held in zip(dialogues, held, strict=True) if not is_held], kept)


def _more(dialogues: list[Dialogue], places: list[int], held: list[bool], seed: int) -> list[int]:
    """Return the clusters to hold out beside the run's own, drawn so that no part is held out more than others."""
    wanted = min(ENOUGH, int(MOST * len(dialogues)))
    blocked = {place for place, is_held in zip(places, held, strict=True) if is_held}
    sizes = Counter(places)
    open_ = [place for place in sorted(sizes) if place not in blocked and sizes[place] <= max(1, _GIANT * wanted)]
    kinds = [[(kind, getattr(one, kind)) for kind in FILTERED] for one in dialogues]
    there = Counter(kind for each in kinds for kind in each)
    of: dict[int, list[tuple[str, str]]] = {}
    for place, each in zip(places, kinds, strict=True):
        of.setdefault(place, []).extend(each)
    now = Counter(kind for each, is_held in zip(kinds, held, strict=True) if is_held for kind in each)
    count, chosen = sum(held), list[int]()
    for number in np.random.default_rng([seed, 12]).permutation(len(open_)).tolist():
        cluster = open_[number]
        full = any(now[kind] >= math.ceil(wanted * there[kind] / len(dialogues)) for kind in of[cluster])
        if count < wanted and not full:
            chosen.append(cluster)
            count += sizes[cluster]
            now.update(of[cluster])
    return chosen


def filtered(bench: Bench, by: str, least: int, alone: bool) -> tuple[list[Arm], list[Untried]]:
    """Return the sets without each source, type or year, and with it alone; and the parts that are too small."""
    counts = Counter(getattr(one, by) for one in bench.train)
    arms, untried = list[Arm](), list[Untried]()
    for part, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        rest = [one for one in bench.train if getattr(one, by) != part]
        words = ("--exclude", f"{by}={part}")
        if count < least:
            untried.append(Untried(part, count, f"fewer than {least} training samples: too few to tell"))
        elif len(rest) < least:
            untried.append(Untried(part, count, "nearly all of the set: without it too little is left to train on"))
        elif not any(getattr(one.dialogue, by) != part for one in bench.held):
            untried.append(Untried(part, count, "no reply of another part is held out, by which it could be told"))
        else:
            arms.append(Arm(part, *bench.examples(rest), words=words))
            if alone:
                own = [one for one in bench.train if getattr(one, by) == part]
                arms.append(Arm(part, *bench.examples(own), alone=True, words=words))
    return arms, untried


def judged_by(bench: Bench, by: str) -> Callable[[str, frozenset[str]], list[int]]:
    """Return what gives the places of the held-out replies that a part is judged by: those of no part in question.

    A part's own replies are always read worse by a model that has not seen the part, whatever it is worth; so they say
    nothing of it, and of parts that are known to harm, none counts. Of another kind of question only replies to what
    the memories themselves asked count, where there are any: each set reads its own kind of question best.
    """
    own = [getattr(one.dialogue, by) if by in FILTERED else "" for one in bench.held]
    asked = [place for place, one in enumerate(bench.held) if not one.dialogue.question]

    def places(part: str, harmful: frozenset[str]) -> list[int]:
        if by == "questions" and asked:
            return asked
        return [place for place, name in enumerate(own) if by not in FILTERED or name not in {part, *harmful}]

    return places
