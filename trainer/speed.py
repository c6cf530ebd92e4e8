"""Making a step fast on the machine at hand: threads, bf16 where a trial says so, torch.compile where it repays."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from trainer.batches import Batch
from trainer.errors import HostError, UsageError
from trainer.model import Llama, ModelConfig, attention_mask

LossSum = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
# Measured at 7M parameters on two cores: compiling takes 12 to 32 s and takes about a third off a step.
COMPILE_SECONDS, COMPILE_SAVES = 40.0, 0.3
TRIAL_STEPS = 3


def use_device(device: str) -> str:
    """Return 'cpu', 'cuda' or 'mps' as asked. Raises UsageError where PyTorch does not find it."""
    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not found.get(device, False):
        there = ", ".join(name for name, yes in found.items() if yes)
        raise UsageError(f"--device {device}: PyTorch finds no such device here; there is: {there}")
    return device


@contextmanager
def threads(number: int) -> Iterator[int]:
    """Work with so many threads (0: one a core that this process may use), and put back what was."""
    before = torch.get_num_threads()
    wanted = number or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    torch.set_num_threads(wanted)
    try:
        yield wanted
    finally:
        torch.set_num_threads(before)


def has_bf16(device: str) -> bool:
    """Say whether a device multiplies bf16 in hardware; emulated, it is many times slower than fp32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device == "mps":
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(device: str, precision: str) -> AbstractContextManager[Any]:
    """Return the context in which a forward pass runs at a precision."""
    return torch.autocast(device, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def mask_of(batch: Batch, precision: str) -> Tensor:
    """Return the attention mask of a batch in the precision's type."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return attention_mask(batch.tokens.shape[1], batch.documents, dtype, batch.tokens.device)


def backward(loss_sum: LossSum, batch: Batch, total: float, precision: str) -> float:
    """Add to the gradients those of the loss sum of a batch divided by `total`; return that part of the mean loss."""
    with autocast(batch.tokens.device.type, precision):
        loss = loss_sum(batch.tokens, batch.targets, batch.weights, mask_of(batch, precision))
    (loss / total).backward()  # type: ignore[no-untyped-call]
    return float(loss.detach()) / total


def seconds_per_pass(model: Llama, batch: Batch, precision: str) -> float:
    """Return the time of one forward and backward pass, seconds: the best of a few. Gradients are cleared."""
    best = float("inf")
    for _ in range(TRIAL_STEPS):
        begun = time.perf_counter()
        backward(model.sparse_loss, batch, max(1.0, float(batch.weights.sum())), precision)
        best = min(best, time.perf_counter() - begun)
    model.zero_grad(set_to_none=True)
    return best


def choose_precision(model: Llama, batch: Batch, asked: str, device: str) -> tuple[str, str]:
    """Return ('fp32' or 'bf16', why): as asked, or by a trial of three passes each."""
    if asked == "bf16" and device == "mps":
        raise UsageError("--precision bf16 is not known to work on mps", "use --precision fp32")
    if asked != "auto":
        return asked, "asked for"
    if not has_bf16(device):
        return "fp32", "this device has no bf16"
    single, half = (seconds_per_pass(model, batch, one) for one in ("fp32", "bf16"))
    return ("bf16" if half < single else "fp32"), f"a pass takes {single:.3f} s in fp32, {half:.3f} s in bf16"


def choose_compile(asked: str, steps: int, seconds_per_step: float) -> tuple[bool, str]:
    """Return (compile or not, why): it takes about half a minute, which short trainings never get back."""
    if asked != "auto":
        return asked == "always", "asked for"
    saved = steps * seconds_per_step * COMPILE_SAVES
    if saved < 2 * COMPILE_SECONDS:
        return (
            False,
            f"would save {saved:.0f} s of {steps * seconds_per_step:.0f} s, and costs about {COMPILE_SECONDS:.0f} s",
        )
    if not (shutil.which("g++") or shutil.which("clang++") or os.environ.get("CXX")):
        return False, "there is no C++ compiler"
    return True, f"saves about {saved:.0f} s"


def compiled(model: Llama) -> LossSum:
    """Return the model's loss sum, compiled for one shape of batch."""
    return torch.compile(model, dynamic=False)


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error is PyTorch's or Python's way to say that memory is short."""
    signs = ("can't allocate memory", "not enough memory", "bad_alloc", "alloc failed")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
    )


def memory_mb() -> float:
    """Return the most memory that this process has had, MB."""
    try:
        import resource
    except ImportError:  # Windows has no such call
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def training_bytes(c: ModelConfig, rows: int, length: int) -> int:
    """Return a rough estimate of what a step needs, bytes: weights, gradients, two moments, and activations."""
    activations = (
        rows * length * (c.n_layers * (14 * c.dim + 5 * c.hidden_dim + 2 * c.n_heads * length) + 3 * c.vocab_size)
    )
    return 16 * c.parameters() + 4 * activations


def check_memory(config: ModelConfig, length: int) -> None:
    """Raise HostError before the start where a step clearly cannot fit into the memory that is free."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return
    need = training_bytes(config, 1, length)
    if need > 4 * free:  # an estimate, and caches give way: refuse only what is out of the question
        raise HostError(
            f"a step on one row of {length} tokens needs about {need >> 20:,} MB; {free >> 20:,} MB are free",
            "use a smaller model or a shorter --context",
        )
