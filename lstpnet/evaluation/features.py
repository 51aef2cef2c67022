"""Extract feature vectors of clips and frames from a trained LSTPNet, for other uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dfer_data.errors import UsageError
from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw
from dfer_data.loading.loader import ClipLoader
from dfer_data.loading.prepared import PreparedDataset
from lstpnet.batches.normalize import normalised
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Features:
    """Vectors of N clips of T frames, float32; D is 512 at full width."""

    clip_ids: tuple[str, ...]
    """Clip ids in the manifest."""
    labels: tuple[str, ...]
    """Class names."""
    clips: npt.NDArray[np.float32]
    """(N, D): input of the classifier."""
    frames: npt.NDArray[np.float32]
    """(N, T, D): the backbone's vector of each test frame."""


def features_of(
    model: LSTPNet, data: PreparedDataset, clip_ids: Sequence[str], *, recipe: Recipe, device: torch.device
) -> Features:
    """Return the features of clips that have faces and labels, from the test frames of the recipe's sampler.

    Raises UsageError for no clips, a sampler with several views, and the errors of FaceClipDataset.
    """
    if not clip_ids:
        raise UsageError(f"{data.root}: none of the requested clips has a label and a face")
    dataset = FaceClipDataset(
        data.root,
        clip_ids=clip_ids,
        size_px=recipe.size_px,
        draw=FrameDraw(sampler=recipe.sampler, short=recipe.short),
    )
    if dataset.item_shape[0] > 1:
        raise UsageError(
            f"the sampler {recipe.sampler} has several views per clip, features need one: choose another with "
            "--set sampler=..."
        )
    model.to(device).eval()
    clips, frames = [], []
    with torch.inference_mode():
        for batch in ClipLoader(dataset, batch_size=2 * recipe.batch_size, shuffles=False).epoch(0):
            pixels = normalised(batch.frames.contiguous().to(device), norm=recipe.input_norm)
            vectors = model.frame_features(pixels)
            clips.append(model.head(vectors).mean(dim=1).float().cpu().numpy())
            frames.append(vectors.float().cpu().numpy())
    labels = tuple(data.class_names[number] for number in dataset.labels)
    return Features(dataset.clip_ids, labels, np.concatenate(clips), np.concatenate(frames))
