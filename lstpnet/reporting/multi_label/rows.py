"""Score runs whose clips have several labels: those of the prepared dataset, or the parts of compound classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dfer_data.errors import DferError
from dfer_data.render.tables import Section, per_cent
from dfer_data.types import Floats
from lstpnet.dataset_identity import DataKey, clips_key, fold_words
from lstpnet.finished_runs import ScoredRun
from lstpnet.metrics import predicted_classes
from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.data_changes import PREPARED
from lstpnet.reporting.multi_label.scores import Bools, score_labels
from lstpnet.runs import read_config

_NOTE = (
    "mAP: mean over classes of the average precision; F1 of the classes that are named: those of probability 0.5 or "
    "more where targets = 'labels', else the one of the greatest logit, or its parts"
)


@dataclass(frozen=True)
class MultiLabelRow:
    """Figures of one run and checkpoint: fractions 0..1."""

    prepared: str
    recipe: str
    checkpoint: str
    seed: int
    fold: str
    """`3`, or `3 of NAME` for an own set of folds."""
    n: int
    """Number of test clips."""
    labels_per_clip: float
    mean_average_precision: float
    macro_f1: float
    average_precision: Mapping[str, float | None]
    """Class name -> average precision; None for a class that no clip has."""
    f1: Mapping[str, float | None]
    """Class name -> F1; None for a class that no clip has."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return asdict(self)


def multi_label_rows(runs: Iterable[ScoredRun]) -> tuple[MultiLabelRow, ...]:
    """Return the rows of runs on compound classes, and of runs whose dataset, under `prepared`, has several labels.

    Raises CorruptDataError for a damaged config.json.
    """
    rows: list[MultiLabelRow] = []
    truths: dict[DataKey, Mapping[str, Sequence[str]] | None] = {}
    for run in runs:
        parts = [part for part in run.parts if not part.control and part.logits is not None]
        if names := _parts_of_classes(run.info.class_names):
            rows += [_compound_row(run, part, names) for part in parts]
            continue
        key = run.info.data_key
        if key not in truths:
            truths[key] = _labels_of(key)
        if (labels := truths[key]) is not None and all(clip_id in labels for clip_id in parts[0].clip_ids):
            by_threshold = read_config(run.folder, run.info).get("settings", {}).get("targets") == "labels"
            rows += [_row_of_labels(run, part, labels, by_threshold=by_threshold) for part in parts]
    return tuple(rows)


def multi_label_sections(rows: Sequence[MultiLabelRow]) -> list[Section]:
    """Return one table per prepared dataset."""
    sections = []
    for prepared in dict.fromkeys(row.prepared for row in rows):
        own = [row for row in rows if row.prepared == prepared]
        names = list(own[0].f1)
        header = ("recipe", "checkpoint", "seed", "fold", "n", "labels/clip", "mAP", "macro F1")
        cells = tuple(_cells(row) for row in own)
        sections.append(
            Section(
                f"{prepared}: several labels per clip, per cent",
                (*header, *(f"AP {name}" for name in names), *(f"F1 {name}" for name in names)),
                cells,
                (_NOTE,),
            )
        )
    return sections


def _cells(row: MultiLabelRow) -> tuple[str, ...]:
    figures = (row.mean_average_precision, row.macro_f1, *row.average_precision.values(), *row.f1.values())
    names = (row.recipe, row.checkpoint, str(row.seed), row.fold, str(row.n), f"{row.labels_per_clip:.2f}")
    return (*names, *map(per_cent, figures))


def _parts_of_classes(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the single classes of a dataset of compound ones, such as `angry_disgust`; empty for other datasets."""
    single = tuple(name for name in class_names if "_" not in name)
    are_parts = all(set(name.split("_")) <= set(single) for name in class_names)
    return single if are_parts and len(single) < len(class_names) else ()


def _labels_of(key: DataKey) -> Mapping[str, Sequence[str]] | None:
    """Return clip id -> labels; None without the dataset of these runs, or if its clips have one label each."""
    from dfer_data.loading.prepared import open_dataset  # imports OpenCV

    try:
        dataset = open_dataset(PREPARED / key.prepared)
        if not dataset.has_labels or clips_key(dataset) != key.clips:
            return None
        clip_ids = dataset.clips["clip_id"].tolist()
        rows = dataset.labels(clip_ids)
    except DferError:
        return None
    names = np.array(dataset.class_names)
    return {clip_id: tuple(names[row]) for clip_id, row in zip(clip_ids, rows, strict=True)}


def _compound_row(run: ScoredRun, part: ScoredPredictions, names: tuple[str, ...]) -> MultiLabelRow:
    """A class's probability counts for each of its parts, and the predicted class names all of its parts."""
    is_part = np.array([[name in compound.split("_") for name in names] for compound in part.class_names])
    return _row(run, part, names, is_part[part.labels], _softmax(part) @ is_part, is_part[part.predicted])


def _row_of_labels(
    run: ScoredRun, part: ScoredPredictions, labels: Mapping[str, Sequence[str]], *, by_threshold: bool
) -> MultiLabelRow:
    names, logits = part.class_names, np.asarray(part.logits)
    if by_threshold:  # the prior of a clip without a face is a share, whose logit is that of its probability
        logits = np.where(part.has_face[:, None], logits, _logits_of_log_shares(logits))
    truth = np.array([[name in labels[clip_id] for name in names] for clip_id in part.clip_ids])
    named = logits >= 0 if by_threshold else np.eye(len(names), dtype=bool)[predicted_classes(logits)]
    return _row(run, part, names, truth, logits if by_threshold else _softmax(part), named)


def _logits_of_log_shares(log_shares: Floats) -> Floats:
    """Return log(p / (1 - p)) of log(p); infinite for 0 and 1. A value above 0 counts as 1."""
    logarithms = np.minimum(log_shares.astype(np.float64), 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(logarithms - np.log(-np.expm1(logarithms)), np.float32)


def _softmax(part: ScoredPredictions) -> Floats:
    logits = np.asarray(part.logits, np.float64)
    shares: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _row(
    run: ScoredRun, part: ScoredPredictions, names: tuple[str, ...], truth: Bools, scores: Floats, named: Bools
) -> MultiLabelRow:
    found = score_labels(truth, scores, named)
    return MultiLabelRow(
        prepared=run.info.prepared,
        recipe=run.info.recipe,
        checkpoint=part.checkpoint or "",
        seed=run.info.seed,
        fold=fold_words(run.info.fold, run.info.fold_set).removeprefix("fold "),
        n=found.num_clips,
        labels_per_clip=found.num_labels / found.num_clips,
        mean_average_precision=found.mean_average_precision,
        macro_f1=found.macro_f1,
        average_precision=dict(zip(names, found.average_precisions, strict=True)),
        f1=dict(zip(names, found.f1s, strict=True)),
    )
