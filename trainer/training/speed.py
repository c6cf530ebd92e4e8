"""Makes a step fast on this machine: threads, bf16 if a trial finds it faster, torch.compile if it saves time."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from curator.contract.errors import HostError, UsageError, counted
from trainer.data.batches import Batch
from trainer.model.llama import Llama, ModelConfig
from trainer.model.precision import autocast, has_bf16

LossSum = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
# Measured at 7M parameters on two cores: compiling takes 12 to 32 s and takes about a third off a step.
COMPILE_SECONDS, COMPILE_SAVES = 40.0, 0.3
TRIAL_STEPS = 3
TAKEN = 0.7  # of a core, that others must take of what we need before we speak of it


def use_device(device: str) -> str:
    """Return 'cpu', 'cuda' or 'mps' as asked. Raises UsageError where PyTorch does not find it."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device, False):
        names = ", ".join(name for name, yes in available.items() if yes)
        raise UsageError(f"--device {device}: PyTorch finds no such device here; there is: {names}")
    return device


@contextmanager
def threads(number: int) -> Iterator[int]:
    """Set PyTorch's threads (0: one a core that this process may use), and restore them at the end."""
    before = torch.get_num_threads()
    count = number or cores()
    torch.set_num_threads(count)
    try:
        yield count
    finally:
        torch.set_num_threads(before)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_cores(seconds: float = 0.1) -> float | None:
    """Return how many cores are at work while this process sleeps for so long; None where the system does not tell.

    The load average would not do: it still counts the command that ran before this one.
    """

    def ticks() -> tuple[int, int]:
        fields = [int(field) for field in Path("/proc/stat").read_text("ascii").split("\n")[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]  # all, and idle or waiting for the disk

    try:
        before = ticks()
        time.sleep(seconds)
        after = ticks()
    except (OSError, ValueError, IndexError):  # no Linux
        return None
    passed = after[0] - before[0]
    return (os.cpu_count() or 1) * (1 - (after[1] - before[1]) / passed) if passed else None


def taken_note(number: int) -> str | None:
    """Return a line where other programs take the cores that `number` threads (0: one a core) would have; else None."""
    busy, wanted, there = busy_cores(), number or cores(), cores()
    if busy is None or busy < TAKEN or busy + wanted < there + TAKEN:
        return None
    return (
        f"other programs take about {busy:.1f} of {counted(there, 'core')}: a step takes as much "
        "longer; what is trained is the same"
    )


def backward(loss_sum: LossSum, batch: Batch, total: float, precision: str) -> float:
    """Add the gradients of a batch's loss sum divided by `total`; return that part of the mean loss.

    The batch has the shape (rows,T).
    """
    with autocast(batch.tokens.device.type, precision):
        loss = loss_sum(batch.tokens, batch.targets, batch.weights, batch.mask(precision))
    (loss / total).backward()  # type: ignore[no-untyped-call]
    return float(loss.detach()) / total


def seconds_per_pass(model: Llama, batch: Batch, precision: str, hopeless: float = float("inf")) -> float:
    """Return the time of one forward and backward pass, seconds: the best of a few. Gradients are cleared.

    A first pass that takes more than `hopeless` is the only one. The batch has the shape (rows,T).
    """
    best = float("inf")
    for _ in range(TRIAL_STEPS):
        if hopeless < best < float("inf"):
            break
        begun = time.perf_counter()
        backward(model.sparse_loss, batch, max(1.0, float(batch.weights.sum())), precision)
        best = min(best, time.perf_counter() - begun)
    model.zero_grad(set_to_none=True)
    return best


def choose_precision(model: Llama, batch: Batch, asked: str, device: str) -> tuple[str, str]:
    """Return ('fp32' or 'bf16', why): as asked, or by a trial of three passes each.

    Raises UsageError for bf16 on a device without it.
    """
    if asked == "bf16" and device == "mps":
        raise UsageError("--precision bf16 is not known to work on mps", "use --precision fp32")
    if asked != "auto":
        return asked, "asked for"
    if not has_bf16(device):
        return "fp32", "this device has no bf16"
    single = seconds_per_pass(model, batch, "fp32")
    half = seconds_per_pass(model, batch, "bf16", 3 * single)  # where bf16 is emulated a pass takes many seconds
    return ("bf16" if half < single else "fp32"), f"a pass takes {single:.3f} s in fp32, {half:.3f} s in bf16"


def choose_compile(asked: str, steps: int, seconds_per_step: float) -> tuple[bool, str]:
    """Return (compile or not, why): compiling takes about half a minute, which short trainings never win back."""
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
    """Say whether an error of PyTorch or Python means that memory is short."""
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
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # macOS tells bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def training_bytes(c: ModelConfig, rows: int, length: int) -> int:
    """Return a rough estimate of what a step needs, bytes: weights, gradients, two moments, and activations."""
    activations = (
        rows * length * (c.n_layers * (14 * c.dim + 5 * c.hidden_dim + 2 * c.n_heads * length) + 3 * c.vocab_size)
    )
    return 16 * c.parameters() + 4 * activations


SHORTEST_CONTEXT = 256  # below this the default never goes


def free_bytes() -> int:
    """Return the memory that is free, bytes; on Linux with the caches that would be given up for it. 0: not known."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) << 10
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0


def fitting_context(config: ModelConfig, rows: int, most: int) -> int:
    """Return the longest context up to `most` tokens at which a step of so many rows takes half of the free memory.

    It is `most`, halved as often as it takes, and never below 256.
    """
    free, length = free_bytes(), most
    while free and length > SHORTEST_CONTEXT and training_bytes(config, rows, length) > free // 2:
        length = max(SHORTEST_CONTEXT, length // 2)
    return length


def check_memory(config: ModelConfig, length: int) -> None:
    """Raise HostError before the start where a step clearly cannot fit into the memory that is free."""
    free = free_bytes()
    if not free:
        return
    need = training_bytes(config, 1, length)
    if need > 4 * free:  # it is an estimate, and caches can be freed: refuse only the clearly impossible
        raise HostError(
            f"a step on one row of {length} tokens needs about {need >> 20:,} MB; {free >> 20:,} MB are free",
            "use a smaller model or a shorter --context",
        )
