"""Compute the logits of a model for clips, unchanged or under controls that remove the temporal information."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from dfer_data.loading.clip_dataset import FaceClipDataset
from dfer_data.loading.loader import ClipLoader
from dfer_data.loading.prepared import PreparedDataset
from lstpnet.batches.device_prefetch import fetching, on_device
from lstpnet.batches.freed_memory import freed_memory
from lstpnet.batches.normalize import normalised
from lstpnet.batches.recipe_clips import clips_of_recipe
from lstpnet.batches.view_crops import cropped_views
from lstpnet.device import num_threads, predicting
from lstpnet.errors import NonFiniteError
from lstpnet.evaluation.frame_attention import logits_and_weights
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.recipe import Recipe

Control = Literal["", "repeated-frame", "shuffled-frames"]
CONTROLS: tuple[Control, ...] = ("repeated-frame", "shuffled-frames")
_CPU_CLIPS = 4
_NO_ROWS = np.zeros((0, 0), np.float32)
OnProgress = Callable[[int, int], None]
"""Called with the number of predicted clips and of all clips."""
RunViews = Callable[[torch.Tensor, Sequence[str]], tuple[torch.Tensor, ...]]
"""Maps views (B, V, T, 3, size, size) uint8 on the device and the ids of their clips to outputs (B, ...) float32."""


def _ignore(num_done: int, num_clips: int) -> None:
    """Take no notice of the progress."""


def clips_per_batch(recipe: Recipe) -> int:
    """Return how many clips are predicted at once: no gradients take memory, so twice the batch of training."""
    return 2 * recipe.batch_size


def predict_clips(
    model: nn.Module,
    data: PreparedDataset | Path,
    clip_ids: Sequence[str],
    *,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype | None,
    control: Control = "",
    on_progress: OnProgress = _ignore,
) -> npt.NDArray[np.float32]:
    """Return logits (N, num_classes) float32 of clips in the given order, from the test frames of the recipe's sampler.

    If a clip has several views (`num_test_views`), these are the logarithm of the mean of the views' probabilities, or,
    for several labels per clip, its logit.

    `control`: `repeated-frame` shows the middle frame T times, `shuffled-frames` the frames in a fixed random
    order. `dtype`: of autocast; None computes in float32. `on_progress` receives the numbers of predicted and of all
    clips.
    """

    def run_views(views: torch.Tensor, ids: Sequence[str]) -> tuple[torch.Tensor]:
        controlled_views = (_apply_control(view, ids, control=control) for view in views.unbind(1))
        view_logits = [model(normalised(view, norm=recipe.input_norm)).float() for view in controlled_views]
        return (_average_views(view_logits, is_binary=recipe.targets == "labels"),)

    dataset = clips_of_recipe(data, clip_ids, recipe, sampling="test")
    options: dict[str, Any] = {"recipe": recipe, "device": device, "dtype": dtype, "on_progress": on_progress}
    (logits,) = run_batches(run_views, model, dataset, **options) or (_NO_ROWS,)
    return logits


def predict_attending(
    model: LSTPNet,
    data: PreparedDataset | Path,
    clip_ids: Sequence[str],
    *,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype | None,
    on_progress: OnProgress = _ignore,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the logits of `predict_clips`, and the LSTformer's attention to each frame, (N, T) float32.

    A clip must have one view.
    """

    def run_only_view(views: torch.Tensor, ids: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        logits, weights = logits_and_weights(model, normalised(views[:, 0], norm=recipe.input_norm))
        return logits.float(), weights

    dataset = clips_of_recipe(data, clip_ids, recipe, sampling="test")
    options: dict[str, Any] = {"recipe": recipe, "device": device, "dtype": dtype, "on_progress": on_progress}
    results = run_batches(run_only_view, model, dataset, **options)
    logits, weights = results or (_NO_ROWS, _NO_ROWS)
    return logits, weights


def run_batches(
    run_views: RunViews,
    model: nn.Module,
    dataset: FaceClipDataset,
    *,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype | None,
    what: str = "logits",
    on_progress: OnProgress = _ignore,
) -> list[npt.NDArray[np.float32]]:
    """Run `run_views` on all clips in their order, with `model` on the device; join each output; [] for no clips.

    `dataset`: the recipe's clips with the sampling `test`. They are read as in training: ahead, by threads, into
    page-locked memory for a GPU. `what`: name of the outputs for NonFiniteError, which names the clips.
    """
    rows: list[list[npt.NDArray[np.float32]]] = []
    loader = ClipLoader(
        dataset,
        batch_size=clips_per_batch(recipe),
        shuffles=False,
        num_threads=num_threads(device),
        pins=device.type == "cuda",
    )

    def fetch(arrays: Callable[[], list[npt.NDArray[np.float32]]], ids: Sequence[str]) -> None:
        rows.append(arrays())
        require_finite(*rows[-1], names=[f"clip {clip_id}" for clip_id in ids], what=what)
        on_progress(sum(len(batch_rows[0]) for batch_rows in rows), len(dataset.clip_ids))

    computed: tuple[Callable[[], list[npt.NDArray[np.float32]]], Sequence[str]] | None = None
    with predicting(recipe, device, dtype=dtype), freed_memory(device) as keep_memory:
        model.to(device).eval()
        for frames, _, batch in on_device(loader.epoch(0), device):
            views = cropped_views(frames if frames.dim() == 6 else frames[:, None], recipe)
            parts = _parts(len(batch.clip_ids), device)
            results = [run_views(views[part], batch.clip_ids[part]) for part in parts]
            outputs = [torch.cat(tensors) for tensors in zip(*results, strict=True)] if len(parts) > 1 else results[0]
            previous, computed = computed, (fetching(outputs, device), batch.clip_ids)
            if previous is not None:
                fetch(*previous)  # a GPU computes this batch while this thread waits for the one before
            keep_memory()
        if computed is not None:
            fetch(*computed)
    return [np.concatenate(outputs) for outputs in zip(*rows, strict=True)]


def _parts(num_clips: int, device: torch.device) -> list[slice]:
    """Return the parts of a batch that are computed one after another: on a CPU, small ones stay in its caches.

    No part has a single clip unless the batch has, because a product with one row may be rounded differently.
    """
    num_parts = -(-num_clips // _CPU_CLIPS) if device.type == "cpu" else 1
    bounds = [num_clips * part // num_parts for part in range(num_parts + 1)]
    return [slice(*pair) for pair in pairwise(bounds)]


def class_probabilities(logits: torch.Tensor, recipe: Recipe) -> npt.NDArray[np.float32]:
    """Return probabilities (N, C) from logits (N, C): rows sum to 1, but for a model of several labels per clip."""
    logits = logits.float()
    probabilities = logits.sigmoid() if recipe.targets == "labels" else logits.softmax(dim=1)
    return np.asarray(probabilities.cpu().numpy(), np.float32)


def require_finite(*outputs: npt.NDArray[np.floating], names: Sequence[str], what: str = "logits") -> None:
    """Raise NonFiniteError that names the rows in which one of the outputs (N, ...) holds NaN or infinity."""
    is_finite = np.all([np.isfinite(rows).reshape(len(names), -1).all(axis=1) for rows in outputs], axis=0)
    if not is_finite.all():
        raise NonFiniteError([name for name, finite in zip(names, is_finite, strict=True) if not finite], what=what)


def _average_views(view_logits: Sequence[torch.Tensor], *, is_binary: bool = False) -> torch.Tensor:
    """Return the logits of the only view, or the logarithm of the mean of the views' probabilities.

    `is_binary`: each class has one probability, not a share; the result is the logit of its mean. Computed from
    logarithms, so that a class without a chance in every view keeps a finite logit.
    """
    if len(view_logits) == 1:
        return view_logits[0]
    if is_binary:
        yes, no = (torch.stack([functional.logsigmoid(sign * row) for row in view_logits]) for sign in (1, -1))
        return yes.logsumexp(dim=0) - no.logsumexp(dim=0)
    log_shares = torch.stack([logits.log_softmax(dim=1) for logits in view_logits])
    return log_shares.logsumexp(dim=0) - math.log(len(view_logits))


def _apply_control(frames: torch.Tensor, clip_ids: Sequence[str], *, control: Control) -> torch.Tensor:
    """Apply a control to frames (B, T, 3, H, W)."""
    if control == "repeated-frame":
        middle = frames.shape[1] // 2
        return frames[:, middle : middle + 1].expand_as(frames)
    if control == "shuffled-frames":
        orders = [np.random.default_rng(zlib.crc32(i.encode("utf-8"))).permutation(frames.shape[1]) for i in clip_ids]
        return torch.stack([clip[torch.from_numpy(order)] for clip, order in zip(frames, orders, strict=True)])
    return frames
