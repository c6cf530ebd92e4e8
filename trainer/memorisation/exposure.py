"""Exposure: by how many bits a canary is easier to guess for a model than any other secret of its form.

log2 |R| - log2 rank, of its loss among all R secrets that it might have had (Carlini et al. 2019). A secret that was
never learnt has log2 e = 1.44 bits in the mean, one that is known by heart log2 |R|.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.inference.decoder import Decoder
from trainer.memorisation.canaries import Canary, secrets_bits
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import BOS, Tokenizer

NOT_LEARNT = math.log2(math.e)  # bits
_ROWS = 128  # secrets read side by side
Losses = NDArray[np.float64]


def exposure_of(
    decoder: Decoder, tokenizer: Tokenizer, template: Template, mode: str | None, canary: Canary, *, others: int,
    seed: int,
) -> tuple[float, bool]:  # fmt: skip
    """Return the exposure of a canary, bits, among so many drawn secrets, and whether it was extrapolated."""
    before = tokenizer.encode(template.wrap(canary.prompt, (), mode))
    texts = [canary.reply(secret) for secret in (canary.secret, *canary.others(others, seed))]
    behind = [[*tokenizer.encode_after(template.after_prompt(text, mode)), BOS] for text in texts]
    losses = losses_behind(decoder, before, behind)
    return exposure(float(losses[0]), losses[1:], secrets_bits())


def losses_behind(decoder: Decoder, before: list[int], behind: Sequence[list[int]]) -> Losses:
    """Return the loss of each text of tokens behind the same tokens, nats in all, (texts,).

    What all texts begin with is read once and counts for none of them: it is the same for each.
    """
    shared = _shared(behind)
    before, rest = [*before, *behind[0][:shared]], [one[shared:] for one in behind]
    length = len(before) + max(map(len, rest))
    cache = decoder.cache(1, length)
    decoder.states(torch.tensor([before]), torch.arange(len(before))[None], cache)
    parts = [rest[at : at + _ROWS] for at in range(0, len(rest), _ROWS)]
    return np.concatenate([_losses(decoder, before, part, cache) for part in parts])


def _shared(texts: Sequence[list[int]]) -> int:
    """Return how many tokens all texts begin with; one at least is left of each."""
    most = min(map(len, texts)) - 1
    return next((place for place in range(most) if len({one[place] for one in texts}) > 1), most)


@torch.inference_mode()
def _losses(decoder: Decoder, before: list[int], rest: Sequence[list[int]], cache: Tensor) -> Losses:
    """Return the losses of texts behind tokens that the cache (L,2,1,K,T,h) holds, nats, (texts,)."""
    longest = max(map(len, rest))
    padded = torch.tensor([[*one, *[BOS] * (longest - len(one))] for one in rest])
    told = torch.arange(longest)[None] < torch.tensor([len(one) for one in rest])[:, None]
    read = torch.cat([torch.full((len(rest), 1), before[-1]), padded[:, :-1]], dim=1)
    first = len(before) - 1  # the last token before is read again, since what follows it is foretold there
    places = torch.arange(first, first + longest).expand(len(rest), -1)
    states = decoder.states(read, places, cache.repeat(1, 1, len(rest), 1, 1, 1))
    logits = torch.from_numpy(decoder.logits(states)).double()
    nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), padded.flatten(), reduction="none").view(told.shape)
    found: Losses = (nats * told).sum(1).numpy()
    return found


def exposure(own: float, others: Losses, bits: float) -> tuple[float, bool]:
    """Return the exposure of a secret, and whether it was extrapolated, from its loss and those of `others`, (n,).

    Where none of the drawn ones is likelier, its rank is read off a skew-normal distribution that has their mean,
    deviation and skewness, as the paper does: not below what the draw itself shows, and not above `bits`, those of all
    secrets.
    """
    drawn, likelier = len(others), int((others < own).sum())
    if likelier:
        return math.log2((drawn + 1) / (likelier + 1)), False
    return min(bits, max(math.log2(drawn + 1), -log2_share_below(own, others))), True


def log2_share_below(value: float, sample: Losses) -> float:
    """Return log2 of the share of a skew-normal distribution that lies below a value, fitted to a sample, (n,).

    By moments (Azzalini 1985): the skewness gives the shape, which can be no more skewed than 0.995.
    """
    mean, deviation = float(sample.mean()), max(float(sample.std()), 1e-9)
    skew = float(np.clip((((sample - mean) / deviation) ** 3).mean(), -0.99, 0.99))
    size = abs(skew) ** (2 / 3)
    delta = math.copysign(math.sqrt(math.pi / 2 * size / (size + ((4 - math.pi) / 2) ** (2 / 3))), skew)
    shape = delta / math.sqrt(1 - delta * delta)
    scale = deviation / math.sqrt(1 - 2 * delta * delta / math.pi)
    place = (value - mean + scale * delta * math.sqrt(2 / math.pi)) / scale
    # Far out the share is too small for a float: its logarithm is summed up from the density's.
    points = torch.linspace(place - 12, place, 4097, dtype=torch.float64)
    density = -points.square() / 2 + torch.special.log_ndtr(shape * points)
    step = 12 / 4096 * 2 / math.sqrt(2 * math.pi)
    return (float(torch.logsumexp(density, 0)) + math.log(step)) / math.log(2)
