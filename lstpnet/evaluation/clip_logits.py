"""Logits of a model for clips, as they are or with their time taken away (the controls)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dfer_data.loading.clip_dataset import FaceClipDataset
from dfer_data.loading.loader import ClipLoader
from lstpnet.batches.normalize import normalised
from lstpnet.evaluation.frame_attention import logits_and_weights
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.recipe import Recipe

Control = Literal["", "repeated-frame", "shuffled-frames"]
CONTROLS: tuple[Control, ...] = ("repeated-frame", "shuffled-frames")
_MIDDLE = 8  # of the sixteen frames
_NOTHING = np.zeros((0, 0), np.float32)


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

    def of_views(views: torch.Tensor, ids: Sequence[str]) -> tuple[torch.Tensor]:
        shown = (_controlled(view, ids, control=control).to(device) for view in views.unbind(1))
        return (_averaged([model(normalised(view, norm=recipe.input_norm)).float() for view in shown]),)

    (logits,) = _of_batches(of_views, model, root, clip_ids, recipe=recipe, device=device, dtype=dtype) or (_NOTHING,)
    return logits


def predict_attending(
    model: LSTPNet,
    root: Path,
    clip_ids: Sequence[str],
    *,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype | None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the logits of `predict_clips`, and the attention to each frame, (N, T) float32, of an LSTformer.

    The sampler must show one view of a clip.
    """

    def of_only_view(views: torch.Tensor, ids: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        logits, weights = logits_and_weights(model, normalised(views[:, 0].to(device), norm=recipe.input_norm))
        return logits.float(), weights

    found = _of_batches(of_only_view, model, root, clip_ids, recipe=recipe, device=device, dtype=dtype)
    logits, weights = found or (_NOTHING, _NOTHING)
    return logits, weights


def _of_batches(
    of_views: Callable[[torch.Tensor, Sequence[str]], tuple[torch.Tensor, ...]],
    model: nn.Module,
    root: Path,
    clip_ids: Sequence[str],
    *,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype | None,
) -> list[npt.NDArray[np.float32]]:
    """Run (views (B, V, T, 3, H, W), ids) -> tensors (B, ...) over clips; return each joined, none for no clips."""
    dataset = FaceClipDataset(
        root, clip_ids=clip_ids, sampling="test", sampler=recipe.sampler, short=recipe.short, size_px=recipe.size_px
    )
    loader = ClipLoader(dataset, batch_size=2 * recipe.batch_size, shuffles=False)
    model.eval()
    found = []
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        for batch in loader.epoch(0):
            frames = batch.frames.contiguous()
            views = frames if frames.dim() == 6 else frames[:, None]  # (B, V, T, 3, H, W)
            found.append([part.cpu().numpy() for part in of_views(views, batch.clip_ids)])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


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
