"""Scale and normalise stored uint8 clips to network input, per batch and on the device."""

from __future__ import annotations

import torch

from lstpnet.recipe import InputNorm


def normalised(frames: torch.Tensor, *, norm: InputNorm) -> torch.Tensor:
    """Convert clips (B, T, 3, H, W) to float32 in 0..1, or each frame to mean 0 and standard deviation 1.

    `frames`: uint8, or float32 already in 0..1.
    """
    pixels = frames.float().div_(255) if frames.dtype == torch.uint8 else frames  # in place: allocation is expensive
    if norm == "none":
        return pixels
    mean = pixels.mean(dim=(2, 3, 4), keepdim=True)
    return (pixels - mean) / (pixels.std(dim=(2, 3, 4), keepdim=True) + 1e-3)
