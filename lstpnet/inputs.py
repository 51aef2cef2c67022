"""From stored uint8 clips to what the network sees: scale, normalisation, mirroring, on the device and on the batch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch

from lstpnet.config import InputNorm


def normalised(frames: torch.Tensor, *, norm: InputNorm) -> torch.Tensor:
    """(B, T, 3, H, W) uint8 -> float32 of the same shape: pixels / 255, or each frame to mean 0 and deviation 1."""
    pixels = frames.float().div_(255)  # in place: fresh memory costs more than the division
    if norm == "none":
        return pixels
    mean = pixels.mean(dim=(2, 3, 4), keepdim=True)
    return (pixels - mean) / (pixels.std(dim=(2, 3, 4), keepdim=True) + 1e-3)


def mirrored(
    frames: torch.Tensor, clip_ids: Sequence[str], *, probability: float, seed: int, epoch: int
) -> torch.Tensor:
    """Mirror whole clips (B, T, 3, H, W) left to right; which ones is a function of (seed, epoch, clip id)."""
    draws = [np.random.default_rng((seed, epoch, zlib.crc32(i.encode("utf-8")), 1)).random() for i in clip_ids]
    chosen = torch.tensor([draw < probability for draw in draws], device=frames.device)
    return torch.where(chosen[:, None, None, None, None], frames.flip(-1), frames)
