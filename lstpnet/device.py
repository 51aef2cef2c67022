"""Choose the device, its number type and the number of reading threads for training and testing."""

from __future__ import annotations

import torch

from dfer_data.errors import DferError
from lstpnet.recipe import Recipe


def pick_device(name: str | None = None) -> torch.device:
    """Return the named device, or the first available of CUDA, MPS, CPU. Raises DferError if it is not available."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        remedy = f"leave --device out to use {pick_device()}, or see `dfer doctor`"
        raise DferError(f"device {name} cannot be used here: {reason}; {remedy}") from error
    return device


def num_threads(device: torch.device) -> int:
    """Return how many threads prefetch training clips; none unless the device is a CUDA GPU."""
    return 4 if device.type == "cuda" else 0


def autocast_dtype(recipe: Recipe, device: torch.device) -> torch.dtype | None:
    """Return the recipe's autocast type; `auto`: bfloat16 where the device supports it. None means float32."""
    if recipe.precision == "f32":
        return None
    if recipe.precision in ("bf16", "f16"):
        return torch.bfloat16 if recipe.precision == "bf16" else torch.float16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if device.type == "cpu" and native() else None
