"""95 % intervals of means over folds and seeds; those over several seeds hold training noise (comparison.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.uncertainty.comparison import FIGURES, ClipDesign, estimate_figures
from lstpnet.reporting.uncertainty.dependence import Unit
from lstpnet.reporting.uncertainty.significance import Interval, ScoredFold

FoldOfRow = tuple[int, ScoredPredictions, ScoredFold]
"""Number of the fold, its predictions, and their clips with units."""


def mean_intervals(seeds: Sequence[Sequence[FoldOfRow]], unit: Unit) -> dict[str, Any]:
    """Return a mean row's fields `war_interval` and `uar_interval`: by `unit`, and by single clips.

    `seeds`: per seed, its folds in the same order. There is no interval if the seeds have other clips, or too few.
    """
    intervals: dict[str, dict[str, Interval]] = {figure: {} for figure in FIGURES}
    ids = {tuple((fold, part.clip_ids[i]) for fold, part, _ in folds for i in part.id_order) for folds in seeds}
    if len(ids) == 1:
        numbers, labels, units = (np.concatenate(columns) for columns in zip(*map(_columns, seeds[0]), strict=True))
        correct = np.array(
            [np.concatenate([part.is_right[part.id_order] for _, part, _ in folds]) for folds in seeds], np.float64
        )
        for name, numbered in {unit: units, "clips": np.arange(len(labels))}.items():
            for figure, found in estimate_figures(ClipDesign(numbers, labels, numbered), [correct]).items():
                if interval := found.interval:
                    intervals[figure][name] = Interval(max(0.0, interval.low), min(1.0, interval.high))
    return {f"{figure}_interval": intervals[figure] or None for figure in FIGURES}


def _columns(fold: FoldOfRow) -> tuple[Any, Any, Any]:
    """Return the fold's number, label and unit of each clip, in the order of ids."""
    number, part, clips = fold
    order = part.id_order
    return np.full(len(order), number), clips.labels[order], clips.units[order]
