"""Arrange the scored predictions of systems by fold, clip and seed, for `comparison.estimate_figures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dfer_data.sources.official_counts import IdOrder
from lstpnet.predictions import ScoredPredictions, pooled_predictions
from lstpnet.reporting.uncertainty.comparison import ClipDesign
from lstpnet.reporting.uncertainty.dependence import resampling_units
from lstpnet.reporting.uncertainty.significance import Float64s

POOLED = 0
"""Number of the fold that holds the test clips of all folds."""
FoldParts = Mapping[int, ScoredPredictions]
"""fold -> scored predictions of its test clips"""
SeedParts = Mapping[int | None, FoldParts]
"""seed -> fold -> scored predictions; the seed of external predictions may be None"""


@dataclass(frozen=True, kw_only=True, eq=False)
class SystemParts:
    """All trainings of one system."""

    name: str
    """Name of the system."""
    dataset: str
    """Name of the dataset."""
    trainings: tuple[str, ...]
    """Names its trainings: two systems with the same are two checkpoints of the same trainings."""
    order: IdOrder | None
    """Order of the dataset's ids; None for external predictions, which take that of the other system."""
    parts: SeedParts
    """Scored predictions of each seed on the same folds."""
    is_test_best: bool = False
    """Whether its epoch was chosen on the test clips."""


def clips_in_order(part: ScoredPredictions) -> tuple[tuple[str, str], ...]:
    """Return the pairs of id and label of a fold's clips, in the order of ids."""
    return tuple((part.clip_ids[index], part.class_names[part.labels[index]]) for index in part.id_order)


def pooled(parts: SeedParts) -> SeedParts:
    """Return the clips of all folds of each seed as one fold, `POOLED`."""
    return {seed: {POOLED: pooled_predictions(list(folds.values()))} for seed, folds in parts.items()}


def shared_folds(systems: Sequence[SeedParts]) -> tuple[int, ...]:
    """Return the folds that every seed of every system tested on the same clips."""
    trainings = [folds for system in systems for folds in system.values()]
    common = set.intersection(*(set(folds) for folds in trainings)) if trainings else set()
    return tuple(fold for fold in sorted(common) if len({clips_in_order(folds[fold]) for folds in trainings}) == 1)


def clip_design(parts: FoldParts, folds: Sequence[int], order: IdOrder) -> ClipDesign:
    """Return the clips of the folds, one fold after the other and each in the order of ids."""
    fold_clips = [clips_in_order(parts[fold]) for fold in folds]
    names = sorted({label for clips in fold_clips for _, label in clips})
    labels = np.array([names.index(label) for clips in fold_clips for _, label in clips], np.int64)
    fold_numbers = np.repeat(np.array(folds, np.int64), [len(clips) for clips in fold_clips])
    units = [resampling_units(order, [clip_id for clip_id, _ in clips]) for clips in fold_clips]
    return ClipDesign(fold_numbers, labels, np.concatenate(units))


def correct_clips(parts: SeedParts, folds: Sequence[int], seeds: Sequence[int | None]) -> Float64s:
    """Return 1 for a clip that is right, else 0, in the order of `clip_design`: (S, N) for S seeds and N clips."""
    rows = [
        np.concatenate([parts[seed][fold].is_right[parts[seed][fold].id_order] for fold in folds]) for seed in seeds
    ]
    return np.array(rows, np.float64)
