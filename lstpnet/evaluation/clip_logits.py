"""Compute the logits of a model for clips, unchanged or under controls that remove the temporal information."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw
from dfer_data.loading.loader import ClipLoader
from lstpnet.batches.normalize import normalised
from lstpnet.device import predicting
from lstpnet.errors import NonFiniteError
from lstpnet.evaluation.frame_attention import logits_and_weights
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.recipe import Recipe

Control = Literal["", "repeated-frame", "shuffled-frames"]
CONTROLS: tuple[Control, ...] = ("repeated-frame", "shuffled-frames")
_MIDDLE = 8  # index of the middle frame of sixteen
_NO_ROWS = np.zeros((0, 0), np.float32)
OnProgress = Callable[[int, int], None]
"""Called with the number of predicted clips and of all clips."""


def _ignore(num_done: int, num_clips: int) -> None:
    """Take no notice of the progress."""


def clips_per_batch(recipe: Recipe) -> int:
    """Return how many clips are predicted at once: no gradients take memory, so twice the batch of training."""
    return 2 * recipe.batch_size


def predict_clips(
    model: nn.Module,
    root: Path,
    clip_ids: Sequence[str],
    *,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype | None,
    control: Control = "",
    on_progress: OnProgress = _ignore,
) -> npt.NDArray[np.float32]:
    """Return logits (N, num_classes) float32 of clips in the given order, from the test frames of the recipe's sampler.

    If the sampler has several views, these are the logarithm of the mean of the views' probabilities.

    `control`: `repeated-frame` shows the middle frame sixteen times, `shuffled-frames` the frames in a fixed random
    order. `dtype`: of autocast; None computes in float32. `on_progress` receives the numbers of predicted and of all
    clips.
    """

    def run_views(views: torch.Tensor, ids: Sequence[str]) -> tuple[torch.Tensor]:
        controlled_views = (_apply_control(view, ids, control=control).to(device) for view in views.unbind(1))
        return (_average_views([model(normalised(view, norm=recipe.input_norm)).float() for view in controlled_views]),)

    options: dict[str, Any] = {"recipe": recipe, "device": device, "dtype": dtype, "on_progress": on_progress}
    (logits,) = _run_batches(run_views, model, root, clip_ids, **options) or (_NO_ROWS,)
    return logits


def predict_attending(
    model: LSTPNet,
    root: Path,
    clip_ids: Sequence[str],
    *,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype | None,
    on_progress: OnProgress = _ignore,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the logits of `predict_clips`, and the LSTformer's attention to each frame, (N, T) float32.

    The sampler must have one view per clip.
    """

    def run_only_view(views: torch.Tensor, ids: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        logits, weights = logits_and_weights(model, normalised(views[:, 0].to(device), norm=recipe.input_norm))
        return logits.float(), weights

    options: dict[str, Any] = {"recipe": recipe, "device": device, "dtype": dtype, "on_progress": on_progress}
    results = _run_batches(run_only_view, model, root, clip_ids, **options)
    logits, weights = results or (_NO_ROWS, _NO_ROWS)
    return logits, weights


def _run_batches(
    run_views: Callable[[torch.Tensor, Sequence[str]], tuple[torch.Tensor, ...]],
    model: nn.Module,
    root: Path,
    clip_ids: Sequence[str],
    *,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype | None,
    on_progress: OnProgress,
) -> list[npt.NDArray[np.float32]]:
    """Run `run_views`: views (B, V, T, 3, H, W), ids -> tensors (B, ...) on all clips; join each; [] for no clips."""
    dataset = FaceClipDataset(
        root,
        clip_ids=clip_ids,
        size_px=recipe.size_px,
        draw=FrameDraw(sampling="test", sampler=recipe.sampler, short=recipe.short),
    )
    loader = ClipLoader(dataset, batch_size=clips_per_batch(recipe), shuffles=False)
    model.eval()
    batch_outputs, num_done = [], 0
    with predicting(recipe, device, dtype=dtype):
        for batch in loader.epoch(0):
            frames = batch.frames.contiguous()
            views = frames if frames.dim() == 6 else frames[:, None]  # (B, V, T, 3, H, W)
            outputs = [output.cpu().numpy() for output in run_views(views, batch.clip_ids)]
            require_finite(*outputs, names=[f"clip {clip_id}" for clip_id in batch.clip_ids])
            batch_outputs.append(outputs)
            num_done += len(batch.clip_ids)
            on_progress(num_done, len(clip_ids))
    return [np.concatenate(outputs) for outputs in zip(*batch_outputs, strict=True)]


def require_finite(*outputs: npt.NDArray[np.floating], names: Sequence[str], what: str = "logits") -> None:
    """Raise NonFiniteError that names the rows in which one of the outputs (N, ...) holds NaN or infinity."""
    is_finite = np.all([np.isfinite(rows).reshape(len(names), -1).all(axis=1) for rows in outputs], axis=0)
    if not is_finite.all():
        raise NonFiniteError([name for name, finite in zip(names, is_finite, strict=True) if not finite], what=what)


def _average_views(view_logits: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the logits of the only view, or the logarithm of the mean of the views' probabilities.

    Computed from logarithms, so that a class without a chance in every view keeps a finite logit.
    """
    if len(view_logits) == 1:
        return view_logits[0]
    log_shares = torch.stack([logits.log_softmax(dim=1) for logits in view_logits])
    return log_shares.logsumexp(dim=0) - math.log(len(view_logits))


def _apply_control(frames: torch.Tensor, clip_ids: Sequence[str], *, control: Control) -> torch.Tensor:
    """Apply a control to frames (B, T, 3, H, W)."""
    if control == "repeated-frame":
        return frames[:, _MIDDLE : _MIDDLE + 1].expand_as(frames)
    if control == "shuffled-frames":
        orders = [np.random.default_rng(zlib.crc32(i.encode("utf-8"))).permutation(frames.shape[1]) for i in clip_ids]
        return torch.stack([clip[torch.from_numpy(order)] for clip, order in zip(frames, orders, strict=True)])
    return frames
