"""A Llama, small enough to read in an evening.

    tokens (B,T) --embedding--> (B,T,D) --n_layers x [attention, gated MLP]--> RMSNorm --output--> logits (B,T,V)

Shapes: B rows, T tokens of a row, D dim, H heads, K key/value heads, h = D/H head size, V vocabulary.
Weights have the layout of Hugging Face's Llama (rotary halves, not llama2.c's interleaved pairs); q, k and v lie in one
matrix, and so do gate and up, because one large product is faster on a CPU than three small ones.
Source of the architecture: Touvron et al. 2023 (arXiv 2307.09288); of the sizes: llama2.c.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from curator.contract.errors import UsageError

# Read from a file before anything is allocated: a config that asks for more than this is a mistake or an attack.
LIMITS = {"vocab_size": 65_536, "dim": 16_384, "n_layers": 256, "n_heads": 256, "n_kv_heads": 256,
          "hidden_dim": 65_536, "max_seq_len": 1 << 20}  # fmt: skip
MAX_PARAMETERS = 4_000_000_000


def default_hidden(dim: int) -> int:
    """Return llama2.c's size of the feed-forward part: two thirds of 4 dim, up to a multiple of 32."""
    return 32 * -(-int(2 * 4 * dim / 3) // 32)


@dataclass(frozen=True)
class ModelConfig:
    """The size of a model. The defaults are LLiSA-7M: 7,155,360 parameters."""

    vocab_size: int = 4096
    dim: int = 288
    n_layers: int = 6
    n_heads: int = 6
    n_kv_heads: int = 6
    hidden_dim: int = 768
    max_seq_len: int = 256
    norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    tied: bool = True

    def __post_init__(self) -> None:
        for name, most in LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise UsageError(f"model configuration: {name} is {value!r}; expected 1 to {most:,}")
        for name in ("norm_eps", "rope_theta"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1e12:
                raise UsageError(f"model configuration: {name} is {value!r}; expected a number above 0")
        if not isinstance(self.tied, bool):
            raise UsageError(f"model configuration: tied is {self.tied!r}; expected true or false")
        if self.dim % self.n_heads or self.dim // self.n_heads % 2:
            raise UsageError(f"model configuration: dim {self.dim} by {self.n_heads} heads gives no even head size")
        if self.n_heads % self.n_kv_heads:
            raise UsageError(
                f"model configuration: {self.n_heads} heads cannot share {self.n_kv_heads} key/value heads"
            )
        if self.parameters() > MAX_PARAMETERS:
            raise UsageError(
                f"model configuration: {self.parameters():,} parameters; expected {MAX_PARAMETERS:,} at most"
            )

    @property
    def head_dim(self) -> int:
        """Return the size of one head."""
        return self.dim // self.n_heads

    def parameters(self) -> int:
        """Return the number of parameters, without building the model."""
        kv = self.n_kv_heads * self.head_dim
        layer = 2 * self.dim * self.dim + 2 * self.dim * kv + 3 * self.dim * self.hidden_dim + 2 * self.dim
        return self.vocab_size * self.dim * (1 if self.tied else 2) + self.n_layers * layer + self.dim

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Build from JSON. Raises UsageError for an unknown key or a value out of range."""
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise UsageError(f"model configuration: unknown key {name!r}; expected {', '.join(sorted(known))}")
        return cls(**values)


def rope_tables(config: ModelConfig, length: int) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of every position and rotary pair, (length, h/2) each, fp32."""
    half = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angles = torch.outer(torch.arange(length, dtype=torch.float32), 1.0 / config.rope_theta**half)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + h/2) of x (..., T, h) by their position; cos and sin are (T, h/2)."""
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).to(x.dtype)


class Attention(nn.Module):
    """Causal attention with grouped key/value heads, written out as two batched products and a masked softmax.

    On a CPU this beats PyTorch's fused kernel at these sizes, compiled or not; benchmarks/train.py measures it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.n_heads, config.n_kv_heads, config.head_dim
        self.wqkv = nn.Linear(config.dim, (config.n_heads + 2 * config.n_kv_heads) * config.head_dim, bias=False)
        self.wo = nn.Linear(config.dim, config.dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Attend within x (B,T,D); mask (B or 1,1,T,T) is 0 where a token may look and -inf where not."""
        b, t, d = x.shape
        group, h = self.heads // self.kv_heads, self.head_dim
        qkv = self.wqkv(x).view(b, t, -1, h).transpose(1, 2)  # (B, H+2K, T, h)
        q, k, v = qkv.split_with_sizes((self.heads, self.kv_heads, self.kv_heads), dim=1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if group > 1:
            k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        scores = (q @ k.transpose(-1, -2)) * h**-0.5 + mask  # (B,H,T,T)
        y = scores.softmax(dim=-1).to(v.dtype) @ v  # (B,H,T,h)
        out: Tensor = self.wo(y.transpose(1, 2).reshape(b, t, d))
        return out


class MLP(nn.Module):
    """The gated feed-forward part: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.dim, 2 * config.hidden_dim, bias=False)
        self.down = nn.Linear(config.hidden_dim, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform every position of x (B,T,D) by itself."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.down(F.silu(gate) * up)
        return out


class Layer(nn.Module):
    """Attention and MLP, each behind its own norm and added to its input."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.attention = Attention(config)
        self.mlp_norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Return x (B,T,D) after this layer."""
        x = x + self.attention(self.attention_norm(x), cos, sin, mask)
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class Llama(nn.Module):
    """The model: `logits` for inference, `forward` and `sparse_loss` for training."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.n_layers)])
        self.norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.output = None if config.tied else nn.Linear(config.dim, config.vocab_size, bias=False)
        cos, sin = rope_tables(config, config.max_seq_len)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def reset(self, seed: int) -> None:
        """Draw fresh weights: normal with deviation 0.02, smaller where a layer adds to the residual stream (GPT-2)."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                nn.init.ones_(parameter)
                continue
            narrow = name.endswith(("wo.weight", "down.weight"))
            deviation = 0.02 / math.sqrt(2 * self.config.n_layers) if narrow else 0.02
            nn.init.normal_(parameter, std=deviation, generator=generator)

    def hidden(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the normed last hidden states (B,T,D) of tokens (B,T); mask as in `attention_mask`."""
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]  # type: ignore[index]
        x = self.dropout(self.embedding(tokens))
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        out: Tensor = self.norm(x)
        return out

    def head(self, hidden: Tensor) -> Tensor:
        """Return logits (...,V) of hidden states (...,D)."""
        return F.linear(hidden, self.embedding.weight if self.output is None else self.output.weight)

    def logits(self, tokens: Tensor, documents: Tensor | None = None) -> Tensor:
        """Return logits (B,T,V), fp32, of tokens (B,T); no position looks into another of `documents` (B,T)."""
        mask = attention_mask(tokens.shape[1], documents, self.embedding.weight.dtype, tokens.device)
        return self.head(self.hidden(tokens, mask)).float()

    def forward(self, tokens: Tensor, targets: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted sum of the cross entropies (nats, fp32 scalar) of targets (B,T) under weights (B,T)."""
        return weighted_loss(self.head(self.hidden(tokens, mask)), targets, weights)

    def sparse_loss(self, tokens: Tensor, targets: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
        """Return what `forward` returns, computing logits only where a weight is not zero.

        `tokens`, `targets`, `weights` (B,T), `mask` (B or 1,1,T,T); a scalar.
        """
        kept = weights.flatten().nonzero().squeeze(1)
        hidden = self.hidden(tokens, mask).flatten(0, 1).index_select(0, kept)
        return weighted_loss(self.head(hidden), targets.flatten()[kept], weights.flatten()[kept])

    def stacked(self) -> Iterator[tuple[Tensor, int]]:
        """Yield (matrix, how many matrices lie in it, one below the other); those of a LoRA are not among them."""
        for layer in self.layers:
            assert isinstance(layer, Layer)
            attention, mlp = layer.attention, layer.mlp
            assert isinstance(attention, Attention) and isinstance(mlp, MLP)
            if attention.heads == attention.kv_heads:
                yield attention.wqkv.weight, 3
            yield mlp.gate_up.weight, 2

    def decayed(self) -> Iterator[tuple[bool, nn.Parameter]]:
        """Yield (is it decayed, parameter) of all that is trained: matrices are, norms are not."""
        for parameter in self.parameters():
            if parameter.requires_grad:
                yield parameter.dim() >= 2, parameter


def weighted_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return sum(weight * cross entropy), fp32: logits (...,V), targets and weights (...)."""
    losses = F.cross_entropy(logits.float().flatten(0, -2), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum()


def attention_mask(length: int, documents: Tensor | None, dtype: torch.dtype, device: Any = None) -> Tensor:
    """Return what is added to attention scores: 0 where a token may look, -inf where not.

    Shape (1,1,T,T), or (B,1,T,T) with `documents` (B,T), the number of each token's document in its row: a token looks
    at itself and at earlier tokens of its own document.
    """
    allowed = torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]
    if documents is not None:
        allowed = allowed & (documents[:, None, :, None] == documents[:, None, None, :])
    return torch.zeros(allowed.shape, dtype=dtype, device=device).masked_fill_(~allowed, float("-inf"))
