"""The temperature of a checkpoint, fitted on the clips that its training held out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lstpnet.device import autocast_dtype
from lstpnet.evaluation.calibration import fit_temperature
from lstpnet.evaluation.clip_logits import clips_per_batch, predict_clips
from lstpnet.training.distributed import ALONE, Group
from lstpnet.training.events import ClipsPredicted, OnStep
from lstpnet.training.experiment import Experiment
from lstpnet.training.shared_prediction import predict_together


def held_out_temperature(
    experiment: Experiment,
    model: torch.nn.Module,
    device: torch.device,
    *,
    checkpoint: str,
    on_step: OnStep = lambda step: None,
    group: Group = ALONE,
) -> float | None:
    """Return the temperature that fits the model's logits of the held-out clips; None without such clips.

    The checkpoint `refit` has none, because it is trained on these clips, nor has a model of several labels per clip.
    All processes of `group` call it and predict a share each. `on_step` receives ClipsPredicted.
    """
    clip_ids, recipe, data = experiment.val_ids, experiment.recipe, experiment.data
    if not clip_ids or checkpoint == "refit" or recipe.targets == "labels":
        return None
    options: dict[str, Any] = {"recipe": recipe, "device": device, "dtype": autocast_dtype(recipe, device)}
    options["on_progress"] = lambda num_done, num_clips: on_step(ClipsPredicted(num_done, num_clips))
    (logits,) = predict_together(
        lambda ids: (predict_clips(model, data.root, ids, **options),),
        clip_ids,
        batch_size=clips_per_batch(recipe),
        group=group,
    )
    names = data.index(clip_ids)["label"].to_pylist()
    return fit_temperature(logits, np.array([data.class_names.index(name) for name in names]))
