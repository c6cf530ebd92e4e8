"""The optimizers and their schedules: AdamW, or Muon for the matrices and AdamW for the rest.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) makes the update of a matrix orthogonal, so that every
direction of it is learnt at the same rate. torch.optim.Muon does so in bf16, which takes seconds a step on a CPU
without it, and takes q, k and v, which lie in one matrix here, for one; so ours works in fp32, on each by itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from trainer.model.llama import Llama
from trainer.settings import TrainSettings

# The quintic of Newton and Schulz with Jordan's coefficients: five rounds bring singular values near to 1.
_A, _B, _C, _ROUNDS = 3.4445, -4.7750, 2.0315, 5
_ADAM_RMS = 0.2  # root mean square of an update of AdamW, which ours is brought to, so that one rate fits both


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Return the learning rate of a step (from 0): linear warmup, then the schedule down to min_lr_ratio.

    "cosine" falls from the warmup's end on; "wsd" (warmup, stable, decay) stays until the last `decay_share` of all
    steps and falls linearly in them, so that a training can go on from before the fall.
    """
    warmup = min(settings.warmup_steps, steps // 2)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    low = settings.min_lr_ratio
    if settings.lr_scheduler_type == "wsd":
        left = (steps - step) / max(1.0, settings.decay_share * steps)
        return settings.learning_rate * (low + (1 - low) * min(1.0, left))
    done = (step - warmup) / max(1, steps - warmup)
    return settings.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def make_optimizer(model: Llama, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return the optimizer of the trained parameters: matrices decayed, norms not, the embedding with its own rate."""
    embedding = [parameter for parameter in (model.embedding.weight,) if parameter.requires_grad]
    matrices = [
        parameter for is_decayed, parameter in model.decayed() if is_decayed and parameter is not model.embedding.weight
    ]
    norms = [parameter for is_decayed, parameter in model.decayed() if not is_decayed]
    decay = settings.weight_decay
    groups: list[dict[str, Any]] = [
        {"params": embedding, "weight_decay": decay, "scale": settings.embedding_lr_scale, "matrices": False},
        {"params": matrices, "weight_decay": decay, "scale": 1.0, "matrices": True},
        {"params": norms, "weight_decay": 0.0, "scale": 1.0, "matrices": False},
    ]
    groups = [group for group in groups if group["params"]]
    betas = (settings.beta1, settings.beta2)
    if settings.optimizer == "muon":
        stacked = {id(parameter): parts for parameter, parts in model.stacked()}
        parts = [stacked.get(id(parameter), 1) for parameter in matrices]
        return Muon(groups, parts, betas=betas, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, eps=1e-8, fused=True)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return matrices (n,r,c), r <= c, with singular values near to 1 and the same singular vectors."""
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.transpose(1, 2)
        x = _A * x + torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C) @ x
    result: Tensor = x
    return result


class Muon(torch.optim.Optimizer):
    """Muon for the groups with `matrices`, AdamW for the others.

    `parts` says of each matrix how many lie in it, one below the other. An update is as large as one of AdamW.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], parts: list[int], *, betas: tuple[float, float], momentum: float,
    ) -> None:  # fmt: skip
        super().__init__(list(groups), {"lr": 0.0, "weight_decay": 0.0, "scale": 1.0, "matrices": False})
        self._parts, self._betas, self._momentum = parts, betas, momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            if group["matrices"]:
                self._matrices(group)
            else:
                self._adamw(group)

    def _matrices(self, group: dict[str, Any]) -> None:
        shapes: dict[tuple[int, int], list[tuple[Tensor, int, bool, Tensor]]] = defaultdict(list)
        for parameter, parts in zip(group["params"], self._parts, strict=True):
            if parameter.grad is None:
                continue
            kept = self.state[parameter]
            if "momentum" not in kept:
                kept["momentum"] = torch.zeros_like(parameter)
            kept["momentum"].lerp_(parameter.grad, 1 - self._momentum)
            ahead = parameter.grad.lerp(kept["momentum"], self._momentum)  # Nesterov's
            for number, part in enumerate(ahead.chunk(parts)):
                tall = part.shape[0] > part.shape[1]
                wide = part.T if tall else part
                shapes[wide.shape[0], wide.shape[1]].append((parameter, number * part.shape[0], tall, wide))
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
        for (_, columns), found in shapes.items():
            updates = orthogonal(torch.stack([wide for *_, wide in found]))
            size = group["lr"] * _ADAM_RMS * math.sqrt(columns)
            for (parameter, at, tall, _), update in zip(found, updates, strict=True):
                change = update.T if tall else update
                parameter[at : at + change.shape[0]].sub_(change, alpha=size)

    def _adamw(self, group: dict[str, Any]) -> None:
        first, second = self._betas
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            kept = self.state[parameter]
            if "step" not in kept:
                kept["step"] = torch.zeros(())
                kept["exp_avg"], kept["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            kept["step"] += 1
            count = float(kept["step"])
            kept["exp_avg"].lerp_(parameter.grad, 1 - first)
            kept["exp_avg_sq"].mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
            spread = (kept["exp_avg_sq"] / (1 - second**count)).sqrt_().add_(1e-8)
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.addcdiv_(kept["exp_avg"], spread, value=-group["lr"] / (1 - first**count))
