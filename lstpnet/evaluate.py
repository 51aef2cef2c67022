"""Logits of a model for clips, as they are or with their time taken away (the controls)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dfer_data.dataset import FaceClipDataset
from dfer_data.loader import ClipLoader
from lstpnet.config import Recipe
from lstpnet.inputs import normalised

Control = Literal["", "repeated-frame", "shuffled-frames"]
CONTROLS: tuple[Control, ...] = ("repeated-frame", "shuffled-frames")
_MIDDLE = 8  # of the sixteen frames


def predict_clips(
    model: nn.Module,
    root: Path,
    clip_ids: Sequence[str],
    *,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype | None,
    control: Control = "",
) -> npt.NDArray[np.float32]:
    """Return logits (N, num_classes) float32 of clips in the given order, from the test frames of the recipe's sampler.

    Where that has several views, the logarithm of the mean of their probabilities.

    `control`: `repeated-frame` shows the middle frame sixteen times, `shuffled-frames` a fixed random order of them.
    `dtype`: of autocast; None computes in float32.
    """
    dataset = FaceClipDataset(
        root, clip_ids=clip_ids, sampling="test", sampler=recipe.sampler, short=recipe.short, size_px=recipe.size_px
    )
    loader = ClipLoader(dataset, batch_size=2 * recipe.batch_size, shuffles=False)
    model.eval()
    logits = []
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        for batch in loader.epoch(0):
            frames, ids = batch.frames.contiguous(), batch.clip_ids
            views = frames if frames.dim() == 6 else frames[:, None]  # (B, V, T, 3, H, W)
            of_views = [_logits_of_view(model, view, ids, recipe, device, control=control) for view in views.unbind(1)]
            logits.append(_averaged(of_views).cpu().numpy())
    return np.concatenate(logits) if logits else np.zeros((0, 0), np.float32)


def _logits_of_view(
    model: nn.Module,
    frames: torch.Tensor,
    clip_ids: Sequence[str],
    recipe: Recipe,
    device: torch.device,
    *,
    control: Control,
) -> torch.Tensor:
    shown = _controlled(frames, clip_ids, control=control).to(device)
    logits: torch.Tensor = model(normalised(shown, norm=recipe.input_norm)).float()
    return logits


def _averaged(of_views: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the logits of the only view, or the logarithm of the mean of the views' probabilities."""
    if len(of_views) == 1:
        return of_views[0]
    return torch.stack([logits.softmax(dim=1) for logits in of_views]).mean(dim=0).log()


def _controlled(frames: torch.Tensor, clip_ids: Sequence[str], *, control: Control) -> torch.Tensor:
    """Apply a control to frames (B, T, 3, H, W)."""
    if control == "repeated-frame":
        return frames[:, _MIDDLE : _MIDDLE + 1].expand_as(frames)
    if control == "shuffled-frames":
        orders = [np.random.default_rng(zlib.crc32(i.encode("utf-8"))).permutation(frames.shape[1]) for i in clip_ids]
        return torch.stack([clip[torch.from_numpy(order)] for clip, order in zip(frames, orders, strict=True)])
    return frames
