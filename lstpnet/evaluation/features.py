"""Extract feature vectors of clips and frames from a trained network, for other uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dfer_data.errors import UsageError
from dfer_data.loading.prepared import PreparedDataset
from lstpnet.batches.normalize import normalised
from lstpnet.batches.recipe_clips import clips_of_recipe
from lstpnet.batches.view_crops import num_test_views
from lstpnet.evaluation.clip_logits import run_batches
from lstpnet.models.clip_network import ClipNetwork, FrameNetwork
from lstpnet.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Features:
    """Vectors of N clips of T frames, float32; D is 512 in LSTPNet at full width."""

    clip_ids: tuple[str, ...]
    """Clip ids in the manifest."""
    labels: tuple[str, ...]
    """Class names."""
    clips: npt.NDArray[np.float32]
    """(N, D): input of the classifier."""
    frames: npt.NDArray[np.float32] | None
    """(N, T, D): the backbone's vector of each test frame; None for a network that has none, such as a 3-D one."""
    frame_numbers: npt.NDArray[np.int32]
    """(N, T): number of each test frame among the stored frames of its clip, from 0."""


def features_of(
    model: ClipNetwork,
    data: PreparedDataset,
    clip_ids: Sequence[str],
    *,
    recipe: Recipe,
    device: torch.device,
    on_progress: Callable[[int, int], None] = lambda num_done, num_clips: None,
) -> Features:
    """Return the features of clips that have faces and labels, from the test frames of the recipe's sampler.

    `on_progress` receives the numbers of finished and of all clips.
    Raises UsageError for no clips and several views per clip, NonFiniteError that names the clips whose features
    are not finite, and the errors of FaceClipDataset.
    """
    if not clip_ids:
        raise UsageError(f"{data.root}: none of the requested clips has a label and a face")
    dataset = clips_of_recipe(data.root, clip_ids, recipe, sampling="test")
    if num_test_views(recipe) > 1:
        raise UsageError(
            f"the sampler {recipe.sampler} with test_crops {recipe.test_crops} has several views per clip, features "
            "need one: choose another with --set sampler=... or --set test_crops=1"
        )

    def run_only_view(views: torch.Tensor, ids: Sequence[str]) -> tuple[torch.Tensor, ...]:
        pixels = normalised(views[:, 0], norm=recipe.input_norm)
        if not isinstance(model, FrameNetwork):
            return (model.features(pixels).float(),)
        vectors = model.frame_features(pixels)
        return model.features_of_frames(vectors).float(), vectors.float()

    options: dict[str, Any] = {"recipe": recipe, "device": device, "dtype": None, "on_progress": on_progress}
    clips, *frames = run_batches(run_only_view, model, dataset, what="features", **options)
    labels = tuple(data.class_names[number] for number in dataset.labels)
    numbers = np.stack([dataset.frame_indices(index)[0] for index in range(len(dataset.clip_ids))])
    return Features(dataset.clip_ids, labels, clips, frames[0] if frames else None, numbers.astype(np.int32))
