"""Cross-validation of a fine-tune: each conversation is held out once, where the holdout itself is too small to tell.

The samples are parted into folds, conversations and near-duplicates whole; for each fold the training is done anew on
all others, with the steps, the schedule and the mix that the fine-tune ended with, and measured on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch

from curator.contract.errors import UsageError
from trainer.data.batches import PackedDataset, TokenisedExample, TrainingData
from trainer.data.dialogues import REPLY_SHINGLE, Dialogue
from trainer.data.documents import clusters
from trainer.evaluation.evidence import Folds
from trainer.evaluation.interpolate import mixed
from trainer.evaluation.perplexity import mean_loss
from trainer.model.llama import Llama
from trainer.model.lora import merged_state
from trainer.model.tokenizer import Tokenizer
from trainer.settings import FinetuneSettings
from trainer.training.kl import KLRegulariser
from trainer.training.loop import gradients, memory_watched
from trainer.training.optimizer import learning_rate, make_optimizer

_MICRO = 4  # rows in memory at a time


class Parts(Protocol):
    """What a fold is trained on and with."""

    def data(self, train: list[TokenisedExample]) -> TrainingData:
        """Return the batches of these samples, which weigh as they are trained."""

    def model(self) -> Llama:
        """Return the model before its first step, ready to train."""


@dataclass(frozen=True)
class Schedule:
    """How a fold is trained: `steps` of `planned`, as the schedule has them, then `alpha` of the tuned weights."""

    steps: int
    planned: int
    alpha: float
    precision: str


def clusters_of(dialogues: Sequence[Dialogue], names: Sequence[str], tokenizer: Tokenizer) -> list[int]:
    """Return the cluster of each dialogue: those of one name, of a conversation say, and near-duplicates together."""
    tokens: dict[str, list[int]] = {name: [] for name in names}
    for one, name in zip(dialogues, names, strict=True):
        tokens[name] += tokenizer.encode(one.prompt) + tokenizer.encode(one.reply)
    found = clusters([np.array(each, np.uint16) for each in tokens.values()], REPLY_SHINGLE).tolist()
    cluster = dict(zip(tokens, found, strict=True))
    return [cluster[name] for name in names]


def fold_of(dialogues: Sequence[Dialogue], tokenizer: Tokenizer, folds: int, seed: int) -> list[int]:
    """Return the fold of each dialogue, conversations and near-duplicates together, the folds about alike in size.

    Raises UsageError where there are fewer clusters than folds.
    """
    names = [one.conversation for one in dialogues]
    sizes: dict[str, int] = Counter(names)
    members: dict[int, list[str]] = {}
    for cluster, name in dict.fromkeys(zip(clusters_of(dialogues, names, tokenizer), names, strict=True)):
        members.setdefault(cluster, []).append(name)
    if len(members) < folds:
        raise UsageError(
            f"--folds {folds}: there are {len(members)} conversations that are not alike", "ask for fewer folds"
        )
    order = np.random.default_rng([seed, 11]).permutation(len(members)).tolist()
    groups = sorted((list(members.values())[number] for number in order), key=lambda group: -sum(map(sizes.get, group)))  # type: ignore[arg-type]
    filled, place = [0] * folds, dict[str, int]()
    for group in groups:  # the largest first, each to where least is
        least = filled.index(min(filled))
        filled[least] += sum(sizes[name] for name in group)
        place |= dict.fromkeys(group, least)
    return [place[one.conversation] for one in dialogues]


def cross_validate(
    base: Llama, parts: Parts, samples: Sequence[TokenisedExample], weighted: Sequence[TokenisedExample],
    places: Sequence[int], schedule: Schedule, *, settings: FinetuneSettings, context: int, kl: KLRegulariser | None,
    device: str, tick: Callable[[int, int], None],
) -> Folds:  # fmt: skip
    """Return the losses of all samples, each measured by a training that had not seen its fold.

    `samples` weigh what is measured, `weighted` the same what is trained. `tick` is told of steps done, of how many.
    """
    count, sums, each = max(places) + 1, [0.0, 0.0, 0.0], list[tuple[float, float]]()
    for fold in range(count):
        train = [one for one, place in zip(weighted, places, strict=True) if place != fold]
        held = [one for one, place in zip(samples, places, strict=True) if place == fold]
        batch = PackedDataset([], held, 1, context, settings.seed).validation()
        assert batch is not None
        tuned = Llama(base.config)
        with memory_watched():
            state = trained(parts, train, schedule, settings, kl=kl, device=device, tick=partial(
                lambda done, at: tick(at * schedule.steps + done, count * schedule.steps), at=fold))  # fmt: skip
        tuned.load_state_dict(mixed(base.state_dict(), state, schedule.alpha))
        tokens = float((batch.weights > 0).sum())
        losses = [mean_loss(model, batch, _MICRO, schedule.precision) for model in (base, tuned.eval())]
        each.append((losses[0], losses[1]))
        sums = [old + new for old, new in zip(sums, (losses[0] * tokens, losses[1] * tokens, tokens), strict=True)]
    return Folds(len(samples), sums[0] / sums[2], sums[1] / sums[2], each)


def trained(
    parts: Parts, train: list[TokenisedExample], schedule: Schedule, settings: FinetuneSettings, *,
    kl: KLRegulariser | None, device: str, tick: Callable[[int], None],
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Train as the loop of a fine-tune does, without its evaluations; return the weights, (out,in) and (dim,)."""
    model, data = parts.model().to(device).train(), parts.data(train)
    optimizer = make_optimizer(model, settings)
    for step in range(schedule.steps):
        rate = learning_rate(step, schedule.planned, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        torch.manual_seed((settings.seed * 1_000_003 + step) % 2**63)
        gradients(model, model.sparse_loss, data.batch(step), _MICRO, schedule.precision, device=device, kl=kl)
        moving = [weight for weight in model.parameters() if weight.requires_grad]
        torch.nn.utils.clip_grad_norm_(moving, settings.max_grad_norm, foreach=True)
        optimizer.step()
        tick(step + 1)
    return {name: weight.cpu() for name, weight in merged_state(model).items()}
