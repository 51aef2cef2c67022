"""Evaluate a trained model on another dataset: classes are matched by name, clips that do not match are counted.

A test clip of a fold without a face gets the prior of the fold's train part, as in `dfer train` and `dfer report`.
Without a fold there is no train part: such a clip counts as wrong, and no class is charged with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import torch

from dfer_data.errors import UsageError
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.identity import OFFICIAL_SET
from dfer_data.sources.registry import is_users_own
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.device import autocast_dtype, predicting
from lstpnet.evaluation.clip_logits import OnProgress, predict_clips
from lstpnet.metrics import Scores, confusion_matrix, predicted_classes, prior_logits, score
from lstpnet.runs import RunInfo


@dataclass(frozen=True, eq=False)
class CrossResult:
    """Result of a model on another dataset."""

    clip_ids: tuple[str, ...]
    """Counted clips: those of a class that the model knows."""
    labels: tuple[str, ...]
    """Class names of the counted clips."""
    predictions: tuple[str, ...]
    """Class names predicted by the model; empty for a clip without a face, see `faceless`."""
    logits: npt.NDArray[np.float32]
    """(N, num_classes) in the order of the model's classes; NaN rows for clips without a face."""
    scores: Scores
    """Over the model's classes."""
    left_out: dict[str, int]
    """Class of the dataset that the model does not know -> number of clips left out."""
    unused: tuple[str, ...]
    """Classes of the model without a counted clip."""
    faceless: Mapping[str, str] = field(default_factory=dict)
    """Clip without a face -> class that counts as its prediction, by the train prior; empty: counts as wrong."""


def tested_clips(data: PreparedDataset, *, folds: Sequence[str], fold_set: str) -> tuple[str, ...]:
    """Return the test clips of folds of a set, or every labelled clip if no fold is given."""
    if not folds:
        rows = data.index(data.clips["clip_id"].tolist())
        return tuple(rows.filter(pc.is_valid(rows["label"]))["clip_id"].to_pylist())
    ids = (data.fold_index(fold, "test", fold_set=fold_set)["clip_id"].to_pylist() for fold in folds)
    return tuple(sorted({clip_id for fold_ids in ids for clip_id in fold_ids}))


def num_in_train(info: RunInfo, data: PreparedDataset, clip_ids: Sequence[str]) -> int:
    """Return how many of these clips are in the train part that a run was trained on.

    Ids of a published dataset name the same videos however they were prepared, those of a user's own only in one
    prepared folder; another dataset, or one without the run's fold, has none.
    """
    name = data.document["dataset"]
    if name != info.dataset or (is_users_own(name) and data.root.resolve().name != info.prepared):
        return 0
    if info.fold_set not in data.fold_sets:
        return 0
    if str(info.fold) not in data.fold_names(info.fold_set):
        return 0
    splits = data.fold(str(info.fold), fold_set=info.fold_set)
    return sum(splits.get(clip_id) == "train" for clip_id in clip_ids)


def evaluate_on(
    opened: OpenedModel,
    data: PreparedDataset,
    clip_ids: Sequence[str],
    *,
    is_masked: bool,
    device: torch.device,
    folds: Sequence[str] = (),
    fold_set: str = OFFICIAL_SET,
    on_progress: OnProgress = lambda num_done, num_clips: None,
) -> CrossResult:
    """Predict and score clips of a dataset. `is_masked`: only classes of the dataset can be predicted.

    `folds`: the folds of `fold_set` whose test clips these are; their train parts give the prior of clips without a
    face.
    `on_progress` receives the numbers of predicted and of all clips.

    Raises UsageError if no clip has a class that the model knows, NonFiniteError for logits that are not finite.
    """
    recipe, names = opened.recipe, opened.class_names
    rows = data.index(clip_ids)
    rows = rows.filter(pc.greater_equal(rows["num_frames"], recipe.least_frames))
    label_of = dict(zip(rows["clip_id"].to_pylist(), rows["label"].to_pylist(), strict=True))
    left_out = Counter(label for label in label_of.values() if label not in names)
    counted = [clip_id for clip_id, label in label_of.items() if label in names]
    if not counted:
        raise UsageError(
            f"no clip of {data.root} has a class that the model knows ({', '.join(names)}); "
            f"classes of the dataset: {', '.join(data.class_names)}"
        )
    status = dict(zip(rows["clip_id"].to_pylist(), rows["status"].to_pylist(), strict=True))
    seen = [clip_id for clip_id in counted if status[clip_id] != "failed"]
    priors = _train_priors(data, folds, fold_set=fold_set, names=names, least_frames=recipe.least_frames)
    faceless = {clip_id: priors.get(clip_id, "") for clip_id in counted if status[clip_id] == "failed"}
    dtype = autocast_dtype(recipe, device)
    with predicting(recipe, device, dtype=dtype):
        model = opened.model.to(device)
    seen_logits = predict_clips(
        model, data.root, seen, recipe=recipe, device=device, dtype=dtype, on_progress=on_progress
    )
    logits = np.full((len(counted), len(names)), np.nan, np.float32)
    row_of = {clip_id: number for number, clip_id in enumerate(counted)}
    logits[[row_of[clip_id] for clip_id in seen]] = seen_logits.reshape(len(seen), len(names))
    has_class = np.array([name in data.class_names for name in names])
    allowed = np.where(has_class | (not is_masked), 0.0, -np.inf)
    labels = np.array([names.index(label_of[clip_id]) for clip_id in counted])
    has_face = np.array([status[clip_id] != "failed" for clip_id in counted])
    guesses = np.argmax(np.where(has_face[:, None], logits, 0) + allowed, axis=1)
    guesses[~has_face] = [names.index(name) if name else len(names) for name in faceless.values()]
    predictions = (names[guess] if face else "" for guess, face in zip(guesses, has_face, strict=True))
    unused = tuple(name for number, name in enumerate(names) if number not in set(labels.tolist()))
    return CrossResult(
        tuple(counted),
        tuple(label_of[clip_id] for clip_id in counted),
        tuple(predictions),
        logits,
        _scores(labels, guesses, num_classes=len(names)),
        {str(label): number for label, number in sorted(left_out.items())},
        unused,
        faceless,
    )


def _train_priors(
    data: PreparedDataset, folds: Sequence[str], *, fold_set: str, names: Sequence[str], least_frames: int
) -> dict[str, str]:
    """Return test clip -> most frequent class, of those in `names`, among its fold's train clips with a face."""
    priors: dict[str, str] = {}
    for fold in folds:
        rows = data.index(data.fold_index(fold, "train", fold_set=fold_set)["clip_id"].to_pylist())
        is_trainable = pc.and_(
            pc.greater_equal(rows["num_frames"], least_frames), pc.not_equal(rows["status"], "failed")
        )
        counts = Counter(rows.filter(is_trainable)["label"].to_pylist())
        if any(counts[name] for name in names):
            prior = names[int(predicted_classes(prior_logits([counts[name] for name in names])[None])[0])]
            for clip_id in data.fold_index(fold, "test", fold_set=fold_set)["clip_id"].to_pylist():
                priors.setdefault(clip_id, prior)
    return priors


def _scores(labels: npt.NDArray[np.int64], guesses: npt.NDArray[np.int64], *, num_classes: int) -> Scores:
    """Score guesses of class numbers, in which `num_classes` is no class: wrong, and in no class's precision."""
    scores = score(confusion_matrix(labels, guesses, num_classes=num_classes + 1))
    return replace(scores, recalls=scores.recalls[:-1], precisions=scores.precisions[:-1])
