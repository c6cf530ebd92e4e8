"""One optimizer step, ours beside llama2.c's plain fp32 step: tokens a second in turn, and both losses in the end.

    python benchmarks/train.py [--steps 200] [--shards DIR --tokenizer FILE] [--threads N] [--json]

Both models begin with the same weights and see the same batches: 8 rows of 256 tokens, 4 times.
The plain step is llama2.c's architecture and training step in plain PyTorch, written for this comparison: separate q, k
and v, interleaved rotary pairs, PyTorch's own attention, AdamW, fp32. Also printed: the time that the step's matrix
products alone take, each measured by itself in bf16, as a share of our step's time.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from trainer.data.batches import SequenceDataset
from trainer.data.token_shards import list_shards
from trainer.model.convert import to_llama2c
from trainer.model.llama import Llama, ModelConfig
from trainer.model.precision import has_bf16
from trainer.model.tokenizer import BOS, Tokenizer
from trainer.names import builtin_base
from trainer.settings import PretrainSettings
from trainer.training.loop import gradients
from trainer.training.optimizer import learning_rate, make_optimizer
from trainer.training.speed import compiled, threads

ROWS, ACCUMULATE, LENGTH = 8, 4, 256
ROOT = Path(__file__).resolve().parent.parent
SETTINGS = PretrainSettings(learning_rate=5e-4, warmup_steps=50, min_lr_ratio=0.1)


class PlainNorm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(dim))

    def forward(self, x):
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).type_as(x) * self.weight


class PlainLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.size = c.n_heads, c.head_dim
        self.attention = nn.ModuleDict({n: nn.Linear(c.dim, c.dim, bias=False) for n in ("wq", "wk", "wv", "wo")})
        self.feed_forward = nn.ModuleDict({
            "w1": nn.Linear(c.dim, c.hidden_dim, bias=False), "w2": nn.Linear(c.hidden_dim, c.dim, bias=False),
            "w3": nn.Linear(c.dim, c.hidden_dim, bias=False),
        })  # fmt: skip
        self.attention_norm, self.ffn_norm = PlainNorm(c.dim, c.norm_eps), PlainNorm(c.dim, c.norm_eps)

    def turn(self, x, cos, sin):
        even, odd = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
        cos, sin = cos[None, :, None, :], sin[None, :, None, :]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(3).type_as(x)

    def forward(self, x, cos, sin):
        b, t, d = x.shape
        h = self.attention_norm(x)
        q, k, v = (self.attention[n](h).view(b, t, self.heads, self.size) for n in ("wq", "wk", "wv"))
        q, k = self.turn(q, cos, sin).transpose(1, 2), self.turn(k, cos, sin).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v.transpose(1, 2), is_causal=True)
        x = x + self.attention["wo"](y.transpose(1, 2).contiguous().view(b, t, d))
        h = self.ffn_norm(x)
        f = self.feed_forward
        return x + f["w2"](F.silu(f["w1"](h)) * f["w3"](h))


class Plain(nn.Module):
    """llama2.c's Transformer."""

    def __init__(self, c):
        super().__init__()
        self.tok_embeddings = nn.Embedding(c.vocab_size, c.dim)
        self.layers = nn.ModuleList([PlainLayer(c) for _ in range(c.n_layers)])
        self.norm = PlainNorm(c.dim, c.norm_eps)
        self.output = nn.Linear(c.dim, c.vocab_size, bias=False)
        self.output.weight = self.tok_embeddings.weight
        inverse = 1.0 / c.rope_theta ** (torch.arange(0, c.head_dim, 2).float() / c.head_dim)
        angles = torch.outer(torch.arange(c.max_seq_len).float(), inverse)
        self.cos, self.sin = angles.cos(), angles.sin()

    def forward(self, tokens, targets):
        x = self.tok_embeddings(tokens)
        for layer in self.layers:
            x = layer(x, self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]])
        logits = self.output(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


def plain_step(model, optimizer, batch, rate):
    """llama2.c's training step: the mean loss of each part, divided by their number."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    total = 0.0
    for part in batch.micro_batches(ROWS):
        loss = model(part.tokens, part.targets) / ACCUMULATE
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def our_step(model, loss_sum, optimizer, batch, rate, precision):
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = gradients(model, loss_sum, batch, ROWS, precision)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss


def stream(options):
    """One document of real text: shards that are named, else the texts of this repository. No `<s>` inside, since
    llama2.c looks across documents and we do not; so both compute the same thing."""
    if options.shards:
        tokenizer = Tokenizer.load(options.tokenizer)
        parts = [one.read(tokenizer.vocab_size, tokenizer.sha256) for one in list_shards(options.shards)]
        tokens = np.concatenate(parts)
        tokens = tokens[tokens != BOS]
    else:
        tokenizer = Tokenizer.load(builtin_base() / "tokenizer.model")
        texts = [path.read_text("utf-8") for path in sorted([*ROOT.rglob("*.md"), *ROOT.glob("trainer/**/*.py")])
                 if not {".venv", ".git"} & set(path.parts)]  # fmt: skip
        tokens = np.array([one for ids in tokenizer.encode_all(texts) for one in ids], np.uint16)
    nothing, rows = np.zeros(0, np.uint16), ROWS * ACCUMULATE
    data = SequenceDataset({"text": tokens}, nothing, {"text": 1.0}, rows=rows, length=LENGTH, seed=1)
    return data, tokenizer.vocab_size


def product_seconds(c):
    """Seconds that the matrix products of one step take, each measured by itself in bf16."""
    rows = ROWS * LENGTH
    shapes = [(c.dim, 3 * c.dim), (c.dim, c.dim), (c.dim, 2 * c.hidden_dim), (c.hidden_dim, c.dim)] * c.n_layers
    shapes.append((c.dim, c.vocab_size))
    heads = ROWS * c.n_heads
    total = 0.0
    for a, b in shapes:
        total += timed(1, rows, a, b) + timed(1, rows, b, a) + timed(1, a, rows, b)
    attention = [(LENGTH, c.head_dim, LENGTH), (LENGTH, LENGTH, c.head_dim)]
    total += c.n_layers * 3 * sum(timed(heads, *one) for one in attention)
    return total * ACCUMULATE


def timed(batch, m, k, n):
    shape_a, shape_b = ((m, k), (k, n)) if batch == 1 else ((batch, m, k), (batch, k, n))
    a, b = torch.randn(shape_a).bfloat16(), torch.randn(shape_b).bfloat16()
    for _ in range(3):
        a @ b
    best = float("inf")
    for _ in range(20):
        begun = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begun)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--shards", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--eager", action="store_true", help="ours without torch.compile")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data, vocabulary = stream(options)
    config = ModelConfig(vocab_size=vocabulary)
    precision = "bf16" if has_bf16("cpu") else "fp32"
    with threads(options.threads) as number:
        result = compare(data, config, precision, options)
        result["threads"] = number
        result["precision"] = precision
        if precision == "bf16":
            result["products_seconds_per_step"] = product_seconds(config)
            ours = ROWS * ACCUMULATE * LENGTH / result["ours_tokens_per_second"]
            result["share_of_product_limit"] = result["products_seconds_per_step"] / ours
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        print(f"{name:30} {value:,.4f}" if isinstance(value, float) else f"{name:30} {value}")


def compare(data, config, precision, options):
    ours = Llama(config)
    ours.reset(1)
    plain = Plain(config)
    missing = plain.load_state_dict(to_llama2c(ours.state_dict(), config), strict=False)
    assert missing.missing_keys == ["output.weight"], missing  # the embedding's own weight
    loss_sum = ours.sparse_loss if options.eager else compiled(ours)
    our_optimizer = make_optimizer(ours.train(), SETTINGS)
    matrices = [one for one in plain.parameters() if one.dim() >= 2]
    norms = [one for one in plain.parameters() if one.dim() < 2]
    plain_optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}], lr=5e-4, betas=(0.9, 0.95)
    )
    seconds = {"ours": [], "plain": []}
    losses = {"ours": [], "plain": []}
    begun = time.perf_counter()
    for step in range(options.steps):
        batch, rate = data.batch(step), learning_rate(step, options.steps, SETTINGS)
        for name in ("ours", "plain") if step % 2 else ("plain", "ours"):
            start = time.perf_counter()
            if name == "ours":
                losses[name].append(our_step(ours, loss_sum, our_optimizer, batch, rate, precision))
            else:
                losses[name].append(plain_step(plain, plain_optimizer, batch, rate))
            seconds[name].append(time.perf_counter() - start)
        if step % 20 == 0:
            print(f"step {step}: {losses['ours'][-1]:.4f} {losses['plain'][-1]:.4f}", file=sys.stderr, flush=True)
    rates = {
        name: ROWS * ACCUMULATE * LENGTH / statistics.median(times[2:] or times) for name, times in seconds.items()
    }
    pairs = sorted(b / a for a, b in zip(seconds["ours"][2:], seconds["plain"][2:], strict=True))
    ends = {name: float(np.mean(one[-10:])) for name, one in losses.items()}
    return {
        "steps": options.steps, "ours_tokens_per_second": rates["ours"], "plain_tokens_per_second": rates["plain"],
        "ratio_median": statistics.median(pairs), "ratio_p10": pairs[len(pairs) // 10],
        "ratio_p90": pairs[len(pairs) * 9 // 10], "compile_and_first_step_seconds": seconds["ours"][0],
        "loss_ours": ends["ours"], "loss_plain": ends["plain"],
        "loss_difference": abs(ends["ours"] / ends["plain"] - 1), "seconds": time.perf_counter() - begun,
    }  # fmt: skip


if __name__ == "__main__":
    main()
