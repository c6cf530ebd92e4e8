"""LoRA: train a product of two thin matrices for each weight, and merge it at the end (Hu et al. 2021, 2106.09685).

It works on the weights, W + (alpha/rank) B A, not on activations: at these sizes the sum costs less than a second pass
through every layer, it leaves the model's code as it is, and merging is exact by construction.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainer.model.convert import StateDict
from trainer.model.llama import Llama, ModelConfig


class LowRank(nn.Module):
    """The change to one weight. A fused weight (q, k, v) has one pair of matrices for each of its parts."""

    def __init__(self, parts: list[int], columns: int, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.a = nn.ParameterList(
            [nn.Parameter(torch.randn(rank, columns, generator=generator) / math.sqrt(columns)) for _ in parts]
        )
        self.b = nn.ParameterList([nn.Parameter(torch.zeros(rows, rank)) for rows in parts])

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight (out,in)."""
        change = torch.cat([b @ a for a, b in zip(self.a, self.b, strict=True)])
        return weight + self.scale * change


def add_lora(model: Llama, rank: int, alpha: float, seed: int) -> int:
    """Freeze a model and give every linear weight its low-rank change; return the number of trained parameters."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and name.startswith("layers."):
            parts = _parts(name, module.out_features, model.config)
            parametrize.register_parametrization(
                module, "weight", LowRank(parts, module.in_features, rank, alpha, generator)
            )
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _parts(name: str, rows: int, config: ModelConfig) -> list[int]:
    kv = config.n_kv_heads * config.head_dim
    if name.endswith("wqkv"):
        return [config.dim, kv, kv]
    return [rows // 2, rows // 2] if name.endswith("gate_up") else [rows]


def merged_state(model: Llama) -> StateDict:
    """Return copies of a model's weights on the CPU, LoRA merged in, under a plain model's names."""
    out: StateDict = {}
    for name, module in model.named_modules():
        for key in ("weight",):
            if isinstance(module, nn.Linear | nn.Embedding | nn.RMSNorm) and getattr(module, key, None) is not None:
                out[f"{name}.{key}"] = getattr(module, key).detach().to("cpu", torch.float32, copy=True)
    return out
