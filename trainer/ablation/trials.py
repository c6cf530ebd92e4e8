"""One training of one set with one seed: what it does to the held-out replies, and what the model writes.

Each ends as a line of trials.jsonl, so that an ablation that was stopped goes on. A line is taken again where the very
same would be trained: its key holds the samples, what is held out, the base and the settings.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from curator.contract.errors import UsageError, disk_error
from curator.contract.files import read_bytes, write_whole
from trainer.ablation.parts import Arm, Bench
from trainer.data.batches import PackedDataset
from trainer.data.pretraining_replay import BaseText
from trainer.evaluation.metrics import TrainingNgrams
from trainer.evaluation.probes import EvalSuite, lexicon_of, whole_words
from trainer.inference.decoder import Decoder
from trainer.model.lexicon import Lexicon
from trainer.model.llama import Llama
from trainer.training.finetune import RecipeParts
from trainer.training.folds import Schedule, trained
from trainer.training.kl import KLRegulariser
from trainer.training.loop import memory_watched
from trainer.training.speed import choose_precision

TRIALS = "trials.jsonl"
_MICRO = 4  # rows in memory at a time
Count = tuple[int, int]  # hits, of how many


class Trial(BaseModel):
    """A line of trials.jsonl. `losses` are summed nats of each held-out reply; the rest is of each reply written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: str
    arm: str
    seed: int
    samples: int
    steps: int
    seconds: float
    losses: list[float]
    replies: list[str]
    invented: list[Count]
    recited: list[Count]


@dataclass(frozen=True)
class Laboratory:
    """What trains and measures: the bench, the base's text, the words that are known, how many replies are written."""

    bench: Bench
    text: BaseText
    lexicon: Lexicon
    precision: str
    replies: int
    kl: KLRegulariser | None

    @classmethod
    def of(cls, bench: Bench, text: BaseText, replies: int) -> Laboratory:
        """Return it for a bench; the precision is found by a trial where it is left open."""
        ready = bench.ready
        settings, base = ready.settings, ready.base
        everything = [*bench.train, *(one.dialogue for one in bench.held)]
        model = base.model()
        first = RecipeParts(ready, text, settings).data(bench.examples(bench.train)[1]).batch(0)
        precision, _ = choose_precision(model, next(first.micro_batches(_MICRO)), settings.precision, "cpu")
        kl = KLRegulariser(model, settings.kl_weight) if settings.replay_ratio and settings.kl_weight else None
        return cls(bench, text, lexicon_of(base, everything), precision, replies, kl)

    def recipe(self, seed: int) -> RecipeParts:
        """Return the recipe with a seed."""
        ready = self.bench.ready
        settings = ready.settings.model_copy(update={"seed": seed})
        if settings.method == "lora":
            settings = settings.model_copy(update={"learning_rate": settings.lora_learning_rate})
        return RecipeParts(ready, self.text, settings)

    def steps(self, arm: Arm, seed: int) -> int:
        """Return the steps of a training: the recipe's epochs of its own samples; the base has none."""
        return self.recipe(seed).steps(arm.samples) if arm.samples else 0

    def key(self, arm: Arm, seed: int) -> str:
        """Return what tells a trial from any other."""
        ready, held = self.bench.ready, [one.sample for one in self.bench.held]
        settings = ready.settings.model_dump(exclude={"threads", "seed"})
        data = PackedDataset(arm.samples, held, 1, ready.context, seed).fingerprint()
        told = [arm.name, data, ready.base.sha256, settings, self.text.origin, self.replies, self.precision]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def run(self, arm: Arm, seed: int, tick: Callable[[int], None]) -> Trial:
        """Train on a set and measure; `tick` is told of steps done. Raises HostError where memory is short."""
        begun, recipe, steps = time.monotonic(), self.recipe(seed), self.steps(arm, seed)
        model = self.bench.ready.base.model()
        if arm.samples:
            schedule = Schedule(steps, steps, 1.0, self.precision)
            with memory_watched():
                state = trained(recipe, arm.samples, schedule, recipe.settings, kl=self.kl, device="cpu", tick=tick)
            model.load_state_dict(state)
        losses = self._losses(model.eval())
        replies, invented = self._replies(model, seed)
        grams = TrainingNgrams(one.reply for one in arm.dialogues)
        return Trial(
            key=self.key(arm, seed), arm=arm.name, seed=seed, samples=len(arm.samples), steps=steps,
            seconds=round(time.monotonic() - begun, 1), losses=losses, replies=replies, invented=invented,
            recited=grams.counts(replies),
        )  # fmt: skip

    @torch.no_grad()
    def _losses(self, model: Llama) -> list[float]:
        """Return the summed loss of each held-out reply and its end mark, nats."""
        found = []
        for one in self.bench.held:
            batch = PackedDataset([], [one.sample], 1, len(one.sample.ids) - 1, 0).validation()
            assert batch is not None
            found.append(float(model.sparse_loss(batch.tokens, batch.targets, batch.weights, batch.mask("fp32"))))
        return found

    def _replies(self, model: Llama, seed: int) -> tuple[list[str], list[Count]]:
        """Return replies to unseen prompts, and of each how many of its words are invented."""
        bench, ready = self.bench, self.bench.ready
        samples = ready.samples
        samples = type(samples)(
            samples.train, [one.sample for one in bench.held], samples.train_dialogues,
            [one.dialogue for one in bench.held], 0, [],
        )  # fmt: skip
        health = ready.trainer.health.model_copy(update={"replies": self.replies})
        suite = EvalSuite(
            template=ready.template, tokenizer=ready.base.tokenizer, samples=samples, text=np.zeros(0, np.uint16),
            lexicon=self.lexicon, context=ready.context, settings=health, seed=seed,
        )  # fmt: skip
        written = suite.replies(Decoder(model), suite.unseen, self.replies, 0)
        texts = [whole_words(reply) for reply in written]
        words = [self.lexicon.check([text]) for text in texts]
        return texts, [(one.oov.total(), one.total) for one in words]


class TrialLog:
    """trials.jsonl of an ablation: lines that are whole are taken again, one that was being written is not."""

    def __init__(self, folder: Path) -> None:
        """Read what is there. Raises UsageError where a line is no trial."""
        self.path = folder / TRIALS
        text = read_bytes(self.path).decode("utf-8") if self.path.is_file() else ""
        whole, _, cut = text.rpartition("\n")
        if cut:
            write_whole(self.path, whole + "\n" if whole else "")
        self._known: dict[str, Trial] = {}
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                trial = Trial.model_validate_json(line)
            except ValidationError:
                raise UsageError(
                    f"{self.path}:{number} is no trial of an ablation", "take that line out, or name another --out"
                ) from None
            self._known[trial.key] = trial

    def get(self, key: str) -> Trial | None:
        """Return a trial that has ended."""
        return self._known.get(key)

    def add(self, trial: Trial) -> None:
        """Write a trial down, so that it stays whatever happens next. Raises HostError where the disk refuses."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(trial.model_dump_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise disk_error(error, "cannot write", self.path, option="--out") from None
        self._known[trial.key] = trial
