"""The loss of a step with dialogues and replay: learn the replies, and stay near the base on its own text.

    loss = sum(weight x cross entropy) / sum(weight)  +  strength x mean over the replay of KL(base || model)

Sums and mean are over the whole step, however it is cut into parts that fit the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

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
            loss, divergence = self._losses(model, part, part.mask(precision))
        (loss / total + self.strength * divergence / kl_total).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()) / total

    def _losses(self, model: Llama, part: Batch, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of the weighted cross entropy and of the weighted divergence, nats."""
        hidden = model.hidden(part.tokens, mask).flatten(0, 1)  # (B*T,D)
        weights = part.weights.flatten()
        kept = weights.nonzero().squeeze(1)
        loss = weighted_loss(model.head(hidden[kept]), part.targets.flatten()[kept], weights[kept])
        kl_mask = torch.zeros_like(part.weights) if part.kl_mask is None else part.kl_mask
        rows = kl_mask.any(dim=1).nonzero().squeeze(1)
        if not len(rows):
            return loss, loss.new_zeros(())
        with torch.no_grad():
            wide = mask[rows] if len(mask) > 1 else mask
            expected = self._base.head(self._base.hidden(part.tokens[rows], wide)).float().log_softmax(-1)
        predicted = model.head(hidden.view(*part.tokens.shape, -1)[rows]).float().log_softmax(-1)
        divergence = F.kl_div(predicted, expected, log_target=True, reduction="none").sum(-1)  # (rows,T)
        return loss, (divergence * kl_mask[rows]).sum()
