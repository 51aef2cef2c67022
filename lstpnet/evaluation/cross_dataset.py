"""A trained model on a dataset it was not made for: classes are matched by name, what does not match is counted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import torch
from torch import nn

from dfer_data.errors import UsageError
from dfer_data.preparation.manifest import PreparedDataset
from lstpnet.checkpoints.onnx_model import load_exported
from lstpnet.checkpoints.reference import load_reference
from lstpnet.checkpoints.tensor_files import read_tensors
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.device import autocast_dtype
from lstpnet.evaluation.clip_logits import predict_clips
from lstpnet.evaluation.metrics import Scores, confusion_matrix, score
from lstpnet.recipe import Recipe

_DFEW = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
_OTHERS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry")
AUTHORS_CLASSES: Mapping[str, tuple[str, ...]] = {"dfew": _DFEW, "ferv39k": _OTHERS, "afew": _OTHERS}
"""The order of classes in the lists of LLFabiann/LSTPNet, which its checkpoints follow; it differs by dataset."""
CHANGEABLE = ("sampler", "short", "min_frames", "batch_size", "precision")
"""Settings of a recipe that may differ between training and this."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A model and how it is to be tested."""

    model: nn.Module
    """In eval mode, on the CPU."""
    class_names: tuple[str, ...]
    """In the order of its logits."""
    recipe: Recipe
    """Of its training; for the authors' checkpoints the settings that are known."""


@dataclass(frozen=True, eq=False)
class CrossResult:
    """What came out on a dataset."""

    clip_ids: tuple[str, ...]
    """Clips that were counted: of a class that the model knows."""
    labels: tuple[str, ...]
    """Their classes."""
    predictions: tuple[str, ...]
    """The model's; empty for a clip without a face, which counts as wrong."""
    logits: npt.NDArray[np.float32]
    """(N, num_classes) in the order of the model's classes; NaN rows for clips without a face."""
    scores: Scores
    """Over the model's classes."""
    left_out: dict[str, int]
    """Class of the dataset that the model does not know -> number of clips left out."""
    unused: tuple[str, ...]
    """Classes of the model that no counted clip has."""


def open_model(source: Path, *, checkpoint: str = "last", trained_on: str | None = None) -> Opened:
    """Open a finished run (a folder), an exported model (.onnx), or a checkpoint of the authors' code (another file).

    `trained_on`: the dataset of such a checkpoint. Raises UsageError, CheckpointError and CorruptDataError as
    `load_trained`, `load_exported` and `load_reference` do.
    """
    if source.is_dir():
        trained = load_trained(source, checkpoint=checkpoint)
        known = {each.name for each in dataclasses.fields(Recipe)}
        settings = {key: value for key, value in trained.settings.items() if key in known}
        return Opened(trained.model, trained.info.class_names, Recipe(**settings))
    if source.suffix == ".onnx":
        return Opened(*load_exported(source))
    if trained_on is None or trained_on not in AUTHORS_CLASSES:
        raise UsageError(
            f"{source} is a checkpoint of the authors' code: name the dataset it was trained on, by which the order of "
            f"its classes goes (--trained-on {' or '.join(AUTHORS_CLASSES)})"
        )
    model = load_reference(read_tensors(source))
    names = AUTHORS_CLASSES[trained_on]
    if model.num_classes != len(names):
        raise UsageError(f"{source} has {model.num_classes} classes, {trained_on} has {len(names)}")
    return Opened(model, names, Recipe(name="authors"))


def with_changes(opened: Opened, changes: Mapping[str, Any]) -> Opened:
    """Return the model with other test settings; UsageError for a setting that belongs to training."""
    if foreign := sorted(set(changes) - set(CHANGEABLE)):
        raise UsageError(f"{', '.join(foreign)} cannot be changed after training; can be: {', '.join(CHANGEABLE)}")
    return dataclasses.replace(opened, recipe=dataclasses.replace(opened.recipe, **changes))


def tested_clips(data: PreparedDataset, *, folds: Sequence[str]) -> tuple[str, ...]:
    """Return the test clips of folds, or every clip with a label where none is named."""
    if not folds:
        rows = data.index(data.clips["clip_id"].tolist())
        return tuple(rows.filter(pc.is_valid(rows["label"]))["clip_id"].to_pylist())
    ids = (data.fold_index(fold, "test")["clip_id"].to_pylist() for fold in folds)
    return tuple(sorted({clip_id for part in ids for clip_id in part}))


def evaluate_on(
    opened: Opened, data: PreparedDataset, clip_ids: Sequence[str], *, is_masked: bool, device: torch.device
) -> CrossResult:
    """Predict clips of a dataset. `is_masked`: only classes that the dataset has can be predicted.

    Raises UsageError where no clip is of a class that the model knows.
    """
    recipe, names = opened.recipe, opened.class_names
    rows = data.index(clip_ids)
    rows = rows.filter(pc.greater_equal(rows["num_frames"], recipe.least_frames))
    of_clip = dict(zip(rows["clip_id"].to_pylist(), rows["label"].to_pylist(), strict=True))
    left_out = Counter(label for label in of_clip.values() if label not in names)
    counted = [clip_id for clip_id, label in of_clip.items() if label in names]
    if not counted:
        raise UsageError(
            f"no clip of {data.root} is of a class that the model knows ({', '.join(names)}); "
            f"its classes: {', '.join(data.class_names)}"
        )
    status = dict(zip(rows["clip_id"].to_pylist(), rows["status"].to_pylist(), strict=True))
    seen = [clip_id for clip_id in counted if status[clip_id] != "failed"]
    model = opened.model.to(device)
    dtype = autocast_dtype(recipe, device)
    found = predict_clips(model, data.root, seen, recipe=recipe, device=device, dtype=dtype)
    logits = np.full((len(counted), len(names)), np.nan, np.float32)
    place = {clip_id: number for number, clip_id in enumerate(counted)}
    logits[[place[clip_id] for clip_id in seen]] = found.reshape(len(seen), len(names))
    has_class = np.array([name in data.class_names for name in names])
    allowed = np.where(has_class | (not is_masked), 0.0, -np.inf)
    labels = np.array([names.index(of_clip[clip_id]) for clip_id in counted])
    has_face = np.array([status[clip_id] != "failed" for clip_id in counted])
    guesses = np.argmax(np.nan_to_num(logits) + allowed, axis=1)
    guesses[~has_face] = (labels[~has_face] + 1) % len(names)  # any wrong one
    scores = score(confusion_matrix(labels, guesses, num_classes=len(names)))
    predictions = (names[guess] if face else "" for guess, face in zip(guesses, has_face, strict=True))
    unused = tuple(name for number, name in enumerate(names) if number not in set(labels.tolist()))
    return CrossResult(
        tuple(counted),
        tuple(of_clip[clip_id] for clip_id in counted),
        tuple(predictions),
        logits,
        scores,
        {str(label): number for label, number in sorted(left_out.items())},
        unused,
    )
