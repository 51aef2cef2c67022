"""From stored uint8 clips to what the network sees: scale and normalisation, on the device and on the batch."""

from __future__ import annotations

import torch

from lstpnet.recipe import InputNorm


def normalised(frames: torch.Tensor, *, norm: InputNorm) -> torch.Tensor:
    """(B, T, 3, H, W) -> float32 of the same shape: in 0..1, or each frame to mean 0 and deviation 1.

    `frames`: uint8, or float32 that is in 0..1 already.
    """
    pixels = frames.float().div_(255) if frames.dtype == torch.uint8 else frames  # in place: fresh memory is dear
    if norm == "none":
        return pixels
    mean = pixels.mean(dim=(2, 3, 4), keepdim=True)
    return (pixels - mean) / (pixels.std(dim=(2, 3, 4), keepdim=True) + 1e-3)
