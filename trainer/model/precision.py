"""bf16: which devices have it in hardware, and the autocast context of a pass."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def has_bf16(device: str) -> bool:
    """Say whether a device multiplies bf16 in hardware; emulated bf16 is many times slower than fp32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device == "mps":
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(device: str, precision: str) -> AbstractContextManager[Any]:
    """Return the context in which a forward pass runs at a precision."""
    return torch.autocast(device, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def dtype_of(precision: str) -> torch.dtype:
    """Return the type of the numbers of a precision, 'fp32' or 'bf16'."""
    return torch.bfloat16 if precision == "bf16" else torch.float32
