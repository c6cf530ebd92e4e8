"""How well a reply answers its prompt, as a base sees it: how much likelier it is after that prompt than after others.

This is pointwise mutual information, log p(reply | prompt) - log p(reply), as Li et al. 2016 (arXiv 1510.03055) rank
replies. "I have two dogs." gains much from "Do you have any pets?", "I like it a lot." nothing from anything: a model
of a few million parameters that learns from such replies learns to say them to everything.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from trainer.model.checkpoint import Checkpoint
from trainer.model.llama import attention_mask
from trainer.model.precision import autocast, dtype_of, has_bf16
from trainer.model.prompt_template import Exchange
from trainer.model.tokenizer import BOS

Progress = Callable[[str, int, int], None]

OTHERS = 2  # prompts drawn for each reply, over which log p(reply) is taken
_ROWS = 64


def relevance(base: Checkpoint, pairs: Sequence[Exchange], seed: int, progress: Progress) -> list[float]:
    """Return how much likelier `base` finds each reply after its own prompt than after others of `pairs`, nats."""
    prompts = [prompt for prompt, _ in pairs]
    asked = [prompts]
    rng = random.Random(seed)
    for _ in range(OTHERS):
        asked.append(rng.sample(prompts, len(prompts)))
    template, scores = base.record.template, list[list[float]]()
    for number, others in enumerate(asked):
        texts = [
            (template.wrap(other), template.answer(reply)) for other, (_, reply) in zip(others, pairs, strict=True)
        ]
        part = len(asked), number
        scores.append(_log_likelihoods(base, texts, progress, part))
    return [
        own - (math.log(sum(math.exp(one - max(rest)) for one in rest) / len(rest)) + max(rest))
        for own, *rest in zip(*scores, strict=True)
    ]


@torch.no_grad()
def _log_likelihoods(
    base: Checkpoint, texts: list[tuple[str, str]], progress: Progress, part: tuple[int, int]
) -> list[float]:
    """Return log p(answer | question) of each (question, answer), nats, without what the context has no room for."""
    model, longest = base.model(), base.config.max_seq_len
    rows = []
    for question, answer in texts:
        first = base.tokenizer.encode(question)
        rows.append((len(first), (first + base.tokenizer.encode_after(answer))[: longest + 1]))
    found = [0.0] * len(rows)
    order = sorted(range(len(rows)), key=lambda place: len(rows[place][1]))  # so that little of a batch is padding
    parts, number = part
    precision = "bf16" if has_bf16("cpu") else "fp32"
    for at in range(0, len(order), _ROWS):
        progress("asking whether answers fit", number * len(order) + at, parts * len(order))
        places = order[at : at + _ROWS]
        length = len(rows[places[-1]][1])
        tokens = torch.full((len(places), length), BOS)
        answered = torch.zeros(len(places), length - 1, dtype=torch.bool)
        for row, place in enumerate(places):
            begin, ids = rows[place]
            tokens[row, : len(ids)] = torch.tensor(ids)
            answered[row, begin - 1 : len(ids) - 1] = True
        with autocast("cpu", precision):
            mask = attention_mask(length - 1, None, dtype_of(precision))
            logits = model.head(model.hidden(tokens[:, :-1], mask)[answered])
        losses = F.cross_entropy(logits.float(), tokens[:, 1:][answered], reduction="none")
        sums = torch.zeros(len(places)).index_add_(0, answered.nonzero()[:, 0], losses)
        for place, nats in zip(places, sums.tolist(), strict=True):
            found[place] = -nats
    return found
