"""The loss of a step with dialogues and replay: learn the replies, and stay near the base on its own text.

    loss = sum(weight x cross entropy) / sum(weight)  +  strength x mean over the replay of KL(base || model)

Sums and mean are over the whole step, however it is cut into parts that fit the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.data.batches import Batch
from trainer.model.llama import Llama, weighted_loss
from trainer.model.precision import autocast


class KLRegulariser:
    """Keeps a model near a base; the base has its own weights and is never trained."""

    def __init__(self, base: Llama, strength: float) -> None:
        self._base, self.strength = base.eval().requires_grad_(False), strength

    def backward(self, model: Llama, part: Batch, total: float, kl_total: float, precision: str) -> float:
        """Add a part's gradients to the model's; return its part of the mean cross entropy, nats.

        The part has the shape (rows,T); `total` and `kl_total` are the sums of weights and KL mask over the whole
        step.
        """
        with autocast(part.tokens.device.type, precision):
            mask = part.mask(precision)
            hidden = model.hidden(part.tokens, mask)  # (rows,T,D)
            weights = part.weights.flatten()
            kept = weights.nonzero().squeeze(1)
            loss = weighted_loss(model.head(hidden.flatten(0, 1)[kept]), part.targets.flatten()[kept], weights[kept])
            ends, slopes = [loss / total], [torch.ones_like(loss)]
            near = torch.zeros_like(part.weights) if part.kl_mask is None else part.kl_mask
            rows = near.any(dim=1).nonzero().squeeze(1)
            if len(rows):
                logits = model.head(hidden[rows])  # (n,T,V)
                ends.append(logits)
                seen = mask[rows] if len(mask) > 1 else mask
                slopes.append(self._slope(part.tokens[rows], seen, logits, near[rows] * (self.strength / kl_total)))
        torch.autograd.backward(ends, slopes)
        return float(loss.detach()) / total

    @torch.no_grad()
    def _slope(self, tokens: Tensor, mask: Tensor, logits: Tensor, weights: Tensor) -> Tensor:
        """Return the gradient of the sum of weight * KL(base || model) by the model's logits (n,T,V), shaped as they.

        `tokens` and `weights` are (n,T). It is the model's probabilities less the base's: two softmaxes,
        and no divergence, whose value nobody asks for.
        """
        expected = self._base.head(self._base.hidden(tokens, mask)).float().softmax(-1)
        slope = logits.float().softmax(-1).sub_(expected).mul_(weights.unsqueeze(-1))
        return slope.to(logits.dtype)
