"""Open a trained model: a run, an exported .onnx, or a checkpoint of the authors' code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dfer_data.errors import UsageError
from dfer_data.wording import counted
from lstpnet.checkpoints.custom_model import check_own
from lstpnet.checkpoints.onnx_model import load_exported
from lstpnet.checkpoints.reference import load_reference
from lstpnet.checkpoints.tensor_files import read_tensors
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.models.catalogue import is_custom
from lstpnet.recipe import Recipe
from lstpnet.recipe_files import stored_recipe

_DFEW_CLASSES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
_FERV39K_CLASSES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry")


AUTHORS_CLASSES: Mapping[str, tuple[str, ...]] = {
    "dfew": _DFEW_CLASSES,
    "ferv39k": _FERV39K_CLASSES,
    "afew": _FERV39K_CLASSES,
}
"""Class order of the checkpoints of LLFabiann/LSTPNet, from its lists; it differs between datasets."""


CHANGEABLE = (
    *("num_frames", "sampler", "sample_by", "reference_fps", "short", "min_frames"),
    *("test_size_px", "test_crops", "resize", "decode", "batch_size", "precision"),
)
"""Settings of a recipe that may differ between training and testing."""


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model and its test settings."""

    model: nn.Module
    """In eval mode, on the CPU."""
    class_names: tuple[str, ...]
    """In the order of the logits."""
    recipe: Recipe
    """Recipe of its training; for the authors' checkpoints, the known settings."""
    is_synthetic: bool = False
    """Whether it was trained on rendered heads; its predictions then say nothing about real faces."""


def open_model(
    source: Path,
    *,
    checkpoint: str = "last",
    trained_on: str | None = None,
    trust_model: bool = False,
    custom_model: str | None = None,
) -> OpenedModel:
    """Open a finished run (a folder), an exported model (.onnx), or a checkpoint of the authors' code (another file).

    `trained_on`: the dataset of the authors' checkpoint. `trust_model`, `custom_model`: as for `load_trained`.
    Raises UsageError, CheckpointError and CorruptDataError as `load_trained`, `load_exported` and `load_reference` do.
    """
    if source.is_dir():
        trained = load_trained(source, checkpoint=checkpoint, trust_model=trust_model, custom_model=custom_model)
        info = trained.info
        return OpenedModel(trained.model, info.class_names, stored_recipe(trained.settings), info.synthetic)
    if custom_model:
        raise UsageError(f"--custom-model {custom_model}: for the folder of a run, and {source} is none")
    if source.suffix == ".onnx":
        return OpenedModel(*load_exported(source))
    if trained_on is None or trained_on not in AUTHORS_CLASSES:
        raise UsageError(
            f"{source} is a checkpoint of the authors' code: name the dataset it was trained on, which sets the "
            f"order of its classes (--trained-on {' or '.join(AUTHORS_CLASSES)})"
        )
    model = load_reference("lstpnet", read_tensors(source))
    class_names = AUTHORS_CLASSES[trained_on]
    if model.num_classes != len(class_names):
        raise UsageError(f"{source} has {counted(model.num_classes, 'class')}, {trained_on} has {len(class_names)}")
    return OpenedModel(model, class_names, Recipe(name="authors"))


def with_changes(opened: OpenedModel, changes: Mapping[str, Any]) -> OpenedModel:
    """Return the model with changed test settings.

    Raises UsageError for a setting that only training uses, and for a custom model that does not accept as many frames.
    """
    if fixed_settings := sorted(set(changes) - set(CHANGEABLE)):
        raise UsageError(
            f"{', '.join(fixed_settings)} cannot be changed after training; these can: {', '.join(CHANGEABLE)}"
        )
    changed = dataclasses.replace(opened, recipe=dataclasses.replace(opened.recipe, **changes))
    recipe = changed.recipe
    if recipe.num_frames != opened.recipe.num_frames and is_custom(recipe.model):
        clips = torch.zeros(1, recipe.num_frames, 3, recipe.size_px, recipe.size_px)
        check_own(recipe.model, opened.model, clips, num_classes=len(opened.class_names))
    return changed
