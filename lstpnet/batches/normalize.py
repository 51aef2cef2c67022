"""Scale and normalise stored uint8 clips to network input, per batch and on the device."""

from __future__ import annotations

import math

import torch

from lstpnet.batches.device_prefetch import sent
from lstpnet.models.catalogue import CHANNEL_NORMS
from lstpnet.recipe import InputNorm

_LEAST_DEVIATION = 1e-3  # added to the standard deviation: a frame of one grey stays finite


def normalised(frames: torch.Tensor, *, norm: InputNorm) -> torch.Tensor:
    """Convert clips (B, T, 3, H, W) to float32 in 0..1, then by the mean and deviation of channels or of each frame.

    `frames`: uint8, or float32 already in 0..1. The order of the frames' memory is kept: of stored clips that is
    (B, T, H, W, 3), which the convolutions want, so nothing is copied into another order.
    """
    # in place where the pixels are our own: allocation is expensive
    pixels = frames.float().div_(255) if frames.dtype == torch.uint8 else frames
    if norm == "none":
        return pixels
    if norm in CHANNEL_NORMS:
        means, deviations = (sent(torch.tensor(v), pixels.device)[:, None, None] for v in CHANNEL_NORMS[norm])
        centred = pixels.sub_(means) if frames.dtype == torch.uint8 else pixels - means
        return centred.div_(deviations)
    mean = pixels.mean(dim=(2, 3, 4), keepdim=True)
    centred = pixels.sub_(mean) if frames.dtype == torch.uint8 else pixels - mean
    # torch.std is several times slower; a sum by rows first keeps the rounding small
    rows = torch.linalg.vector_norm(centred, dim=(2, 4), keepdim=True)  # (B, T, 1, H, 1)
    deviation = torch.linalg.vector_norm(rows, dim=3, keepdim=True) / math.sqrt(centred[0, 0].numel() - 1)
    return centred.mul_(1 / (deviation + _LEAST_DEVIATION))
