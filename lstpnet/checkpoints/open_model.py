"""Open a trained model: a run, an exported .onnx, or a checkpoint of the authors' code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dfer_data.errors import UsageError
from lstpnet.checkpoints.onnx_model import load_exported
from lstpnet.checkpoints.reference import load_reference
from lstpnet.checkpoints.tensor_files import read_tensors
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.recipe import Recipe, stored_recipe

_DFEW = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")


_OTHERS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry")


AUTHORS_CLASSES: Mapping[str, tuple[str, ...]] = {"dfew": _DFEW, "ferv39k": _OTHERS, "afew": _OTHERS}
"""The order of classes in the lists of LLFabiann/LSTPNet, which its checkpoints follow; it differs by dataset."""


CHANGEABLE = ("sampler", "short", "min_frames", "batch_size", "precision")
"""Settings of a recipe that may differ between training and this."""


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model and how it is to be tested."""

    model: nn.Module
    """In eval mode, on the CPU."""
    class_names: tuple[str, ...]
    """In the order of its logits."""
    recipe: Recipe
    """Of its training; for the authors' checkpoints the settings that are known."""


def open_model(source: Path, *, checkpoint: str = "last", trained_on: str | None = None) -> OpenedModel:
    """Open a finished run (a folder), an exported model (.onnx), or a checkpoint of the authors' code (another file).

    `trained_on`: the dataset of such a checkpoint. Raises UsageError, CheckpointError and CorruptDataError as
    `load_trained`, `load_exported` and `load_reference` do.
    """
    if source.is_dir():
        trained = load_trained(source, checkpoint=checkpoint)
        return OpenedModel(trained.model, trained.info.class_names, stored_recipe(trained.settings))
    if source.suffix == ".onnx":
        return OpenedModel(*load_exported(source))
    if trained_on is None or trained_on not in AUTHORS_CLASSES:
        raise UsageError(
            f"{source} is a checkpoint of the authors' code: name the dataset it was trained on, by which the order of "
            f"its classes goes (--trained-on {' or '.join(AUTHORS_CLASSES)})"
        )
    model = load_reference(read_tensors(source))
    names = AUTHORS_CLASSES[trained_on]
    if model.num_classes != len(names):
        raise UsageError(f"{source} has {model.num_classes} classes, {trained_on} has {len(names)}")
    return OpenedModel(model, names, Recipe(name="authors"))


def with_changes(opened: OpenedModel, changes: Mapping[str, Any]) -> OpenedModel:
    """Return the model with other test settings; UsageError for a setting that belongs to training."""
    if foreign := sorted(set(changes) - set(CHANGEABLE)):
        raise UsageError(f"{', '.join(foreign)} cannot be changed after training; can be: {', '.join(CHANGEABLE)}")
    return dataclasses.replace(opened, recipe=dataclasses.replace(opened.recipe, **changes))
