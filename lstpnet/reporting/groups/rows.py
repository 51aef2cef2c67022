"""Score groups of clips, such as sexes, ages or scenes, and count where the detector misses faces.

    tested_by_runs, tested_by_predictions -> score_groups(tested, settings, datasets) -> GroupReport -> group_sections

Figures of a group are counted over all folds of a system together. With several seeds, a clip counts as the share of
them that predict it correctly. Intervals are those of the rows (significance.py): the units of each fold, of which only
the group's clips count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from lstpnet.dataset_identity import ClipsKey
from lstpnet.reporting.groups.columns import GroupColumn, column_of_dataset, columns_of_file
from lstpnet.reporting.groups.settings import GroupSettings
from lstpnet.reporting.groups.tested_clips import TestedClips
from lstpnet.reporting.rows import Row, interval_fields, json_values
from lstpnet.reporting.uncertainty.dependence import Unit
from lstpnet.reporting.uncertainty.significance import Interval, ScoredFold

if TYPE_CHECKING:
    import pandas as pd

    from dfer_data.loading.prepared import PreparedDataset

FEW_CLIPS = 50
"""A group with fewer clips is marked and gets no intervals, which would be too narrow (docs/benchmarks.md)."""
ALL = "(all)"
"""Row of all clips, for comparison."""
_NO_FACE = "NO_FACE"
_OF_DATASET = ("dataset", "prepared", "dataset_sha256", "labels_sha256")


@dataclass(frozen=True, kw_only=True)
class GroupRow:
    """Figures of one system on the test clips of one group: fractions 0..1, None without test clips."""

    by: str
    """Name of the column."""
    group: str
    """Value of the column; ALL, or NO_GROUP for clips without a value."""
    dataset: str
    prepared: str
    """Name of the prepared folder."""
    dataset_sha256: str
    """Hash of the clips of the prepared dataset, as in RunInfo."""
    labels_sha256: str
    system: str
    """Name of the system; name of the file for external predictions."""
    recipe: str | None
    checkpoint: str | None
    fold_set: str
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    n: int
    """Number of test clips of one seed, including those without a face."""
    n_without_face: int
    """Number of them without a usable track."""
    war: float | None
    """Share of the clips that are predicted correctly."""
    uar: float | None
    """Mean recall over the classes that the group has test clips of."""
    num_classes_present: int
    missing_classes: tuple[str, ...]
    """Classes without test clips in the group."""
    few_clips: bool
    """Whether the group has fewer than FEW_CLIPS test clips."""
    war_interval: Mapping[str, Interval] | None
    """As in Row; None under FEW_CLIPS clips."""
    uar_interval: Mapping[str, Interval] | None
    """The same for UAR; None also if a class has under `significance.FEW_OF_CLASS` clips."""
    unit: Unit
    """What the headline interval resamples, as in Row."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return json_values(self)


@dataclass(frozen=True, kw_only=True)
class DetectionRow:
    """Faces that were not found in one group of a prepared dataset, over its train and test clips."""

    by: str
    """Name of the column."""
    group: str
    """As in GroupRow."""
    dataset: str
    prepared: str
    """Name of the prepared folder."""
    dataset_sha256: str
    """Hash of the clips of the prepared dataset, as in RunInfo."""
    labels_sha256: str
    n: int
    """Number of clips."""
    n_without_face: int
    """Number of clips in which no face was found."""
    n_failed_otherwise: int
    """Number of clips that failed for another reason."""
    without_face_share: float
    """Share of the clips in which no face was found."""
    detection_rate: float | None
    """Mean over the clips that did not fail: share of the frames in which the subject was detected; None for crops."""
    few_clips: bool
    """Whether the group has fewer than FEW_CLIPS clips."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return json_values(self)


@dataclass(frozen=True)
class GroupReport:
    """Figures by the groups of one column."""

    by: str
    """Name of the column."""
    rows: tuple[GroupRow, ...]
    """Per system: all clips, then each group."""
    detection: tuple[DetectionRow, ...]
    """Per prepared dataset on this machine: all clips, then each group."""
    protocols: Mapping[str, str]
    """Name of a system -> protocol line and caveats of its headline row."""
    notes: tuple[str, ...]
    """Remarks on the column."""

    def as_dict(self) -> dict[str, Any]:
        """Return the tables as JSON values."""
        rows, detection = [row.as_dict() for row in self.rows], [row.as_dict() for row in self.detection]
        return {"by": self.by, "groups": rows, "detection": detection, "group_notes": list(self.notes)}


def score_groups(
    tested: Sequence[TestedClips],
    settings: GroupSettings,
    datasets: Mapping[ClipsKey, PreparedDataset],
    *,
    notes: Sequence[str] = (),
) -> GroupReport:
    """Score every group of the column `settings.by`.

    `datasets`: prepared datasets on this machine by `clips_key`; those that are missing get no figures of detection.
    Raises AnnotationError and UsageError for a faulty file, an unknown column, and a column that holds no groups.
    """
    by = str(settings.by)
    if not tested:
        raise UsageError(f"--by {by}: there are no finished runs to report on; make one with `dfer train`")
    columns = _columns(tested, settings, datasets, notes)
    rows = [row for item in tested for row in _rows(item, by, columns[item.row.data_key.clips])]
    detection, remarks = list[DetectionRow](), list(notes)
    for key, column in columns.items():
        row = next(item.row for item in tested if item.row.data_key.clips == key)
        remarks += [f"{row.prepared}: {note}" if len(columns) > 1 else note for note in column.notes]
        if key in datasets:
            detection += _detection_rows(datasets[key].clips, row, by, column)
        else:
            remarks.append(f"{row.prepared} is not on this machine: --data FOLDER adds its detections per group")
    protocols = {item.name: "; ".join(filter(None, [item.row.protocol, item.row.note])) for item in tested}
    return GroupReport(by, tuple(rows), tuple(detection), protocols, tuple(dict.fromkeys(remarks)))


def _columns(
    tested: Sequence[TestedClips],
    settings: GroupSettings,
    datasets: Mapping[ClipsKey, PreparedDataset],
    notes: Sequence[str],
) -> dict[ClipsKey, GroupColumn]:
    """Return the groups of each prepared dataset, by its `clips_key`; `notes` say why some are not there."""
    prepared = {item.row.data_key.clips: item.row.prepared for item in tested}
    if settings.groups is None:
        if absent := [name for key, name in prepared.items() if key not in datasets]:
            why = f" ({'; '.join(notes)})" if notes else ""
            words = f"--by {settings.by} reads the prepared dataset {absent[0]}, which is not here{why}"
            raise UsageError(f"{words}: add --data FOLDER, or --groups FILE.csv")
        return {key: column_of_dataset(datasets[key], settings) for key in prepared}
    if len(names := sorted({item.row.dataset for item in tested})) > 1:
        raise UsageError(
            f"--groups {settings.groups} names clips of one dataset, and the runs are of several ({', '.join(names)}): "
            "name the folder of the runs of one, such as runs/dfew-retinaface"
        )
    clip_ids: dict[ClipsKey, list[str]] = {key: [] for key in prepared}
    for item in tested:
        clip_ids[item.row.data_key.clips] += item.clip_ids
    clip_ids |= {key: datasets[key].clips["clip_id"].tolist() for key in prepared if key in datasets}
    unique_ids = {key: dict.fromkeys(ids) for key, ids in clip_ids.items()}
    return columns_of_file(settings, unique_ids, all_known=prepared.keys() <= datasets.keys())


def _rows(tested: TestedClips, by: str, column: GroupColumn) -> list[GroupRow]:
    groups = np.array([column.groups[clip_id] for clip_id in tested.clip_ids], dtype=object)
    masks = {ALL: np.ones(len(groups), np.bool_), **{name: groups == name for name in column.order}}
    row, names = tested.row, list(tested.row.recall)
    shared = _of_row(row, *_OF_DATASET, "recipe", "checkpoint", "fold_set", "folds", "seeds")
    shared |= {"by": by, "system": tested.name}
    scored = []
    for group, mask in masks.items():
        present = set(tested.labels[mask].tolist())
        scored.append(
            GroupRow(
                group=group,
                n=int(mask.sum()),
                n_without_face=int((mask & ~tested.has_face).sum()),
                num_classes_present=len(present),
                missing_classes=tuple(name for number, name in enumerate(names) if number not in present),
                few_clips=bool(mask.sum() < FEW_CLIPS),
                **shared,
                **_figures(tested, mask),
            )
        )
    return scored


def _of_row(row: Row, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _figures(tested: TestedClips, mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return the fields `war`, `uar`, their intervals and `unit`; None where there are too few clips."""
    figures: dict[str, Any] = dict.fromkeys(("war", "uar", "war_interval", "uar_interval")) | {"unit": tested.row.unit}
    labels, correct = tested.labels[mask], tested.correct[mask]
    if not len(labels):
        return figures
    recalls = [correct[labels == number].mean() for number in np.unique(labels)]
    figures |= {"war": float(correct.mean()), "uar": float(np.mean(recalls))}
    if len(labels) >= FEW_CLIPS:
        clips = ScoredFold(tested.labels, tested.correct, tested.units)
        folds = [clips.chosen(mask & (tested.folds == fold)) for fold in np.unique(tested.folds[mask])]
        figures |= interval_fields(folds, tested.row.unit)
    return figures


def _detection_rows(clips: pd.DataFrame, row: Row, by: str, column: GroupColumn) -> list[DetectionRow]:
    groups = np.array([column.groups[clip_id] for clip_id in clips["clip_id"]], dtype=object)
    parts = {ALL: clips, **{name: clips[groups == name] for name in column.order}}
    counted = []
    for group, part in parts.items():
        has_failed = (part["status"] == "failed").to_numpy(np.bool_)
        num_faceless = int((part["code"][has_failed] == _NO_FACE).sum())
        rates = part["detection_rate"][~has_failed].dropna().astype(float)
        counted.append(
            DetectionRow(
                by=by,
                group=group,
                **_of_row(row, *_OF_DATASET),
                n=len(part),
                n_without_face=num_faceless,
                n_failed_otherwise=int(has_failed.sum()) - num_faceless,
                without_face_share=num_faceless / len(part),
                detection_rate=float(rates.mean()) if len(rates) else None,
                few_clips=len(part) < FEW_CLIPS,
            )
        )
    return counted
