"""The loss of a step that has both dialogues and replay: learn the replies, and stay near the base on its own text.

    loss = sum(weight x cross entropy) / sum(weight)  +  strength x mean over the replay of KL(base || model)

Both sums are over the whole step, however it is cut into parts that fit the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from trainer.batches import Batch
from trainer.model import Llama, weighted_loss
from trainer.speed import autocast, mask_of


class Anchor:
    """A base to stay near to; never trained, and its weights are its own."""

    def __init__(self, base: Llama, strength: float) -> None:
        self._base, self.strength = base.eval().requires_grad_(False), strength

    def backward(self, model: Llama, part: Batch, total: float, anchored: float, precision: str) -> float:
        """Add a part's gradients to the model's; return its part of the mean cross entropy, nats."""
        with autocast(part.tokens.device.type, precision):
            loss, divergence = self._losses(model, part, mask_of(part, precision))
        (loss / total + self.strength * divergence / anchored).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()) / total

    def _losses(self, model: Llama, part: Batch, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of the weighted cross entropy and of the weighted divergence, nats."""
        hidden = model.hidden(part.tokens, mask).flatten(0, 1)  # (B*T,D)
        weights = part.weights.flatten()
        kept = weights.nonzero().squeeze(1)
        loss = weighted_loss(model.head(hidden[kept]), part.targets.flatten()[kept], weights[kept])
        anchors = torch.zeros_like(part.weights) if part.anchors is None else part.anchors
        rows = anchors.any(dim=1).nonzero().squeeze(1)
        if not len(rows):
            return loss, loss.new_zeros(())
        with torch.no_grad():
            wide = mask[rows] if len(mask) > 1 else mask
            expected = self._base.head(self._base.hidden(part.tokens[rows], wide)).float().log_softmax(-1)
        found = model.head(hidden.view(*part.tokens.shape, -1)[rows]).float().log_softmax(-1)
        divergence = F.kl_div(found, expected, log_target=True, reduction="none").sum(-1)  # (rows,T)
        return loss, (divergence * anchors[rows]).sum()
