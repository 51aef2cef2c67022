"""Figures on clips with several labels: average precision and F1 of each class; pure functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from lstpnet.metrics import mean

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MultiLabelScores:
    """Figures of one set of clips; all except the counts are fractions 0..1."""

    num_clips: int
    num_labels: int
    """Number of labels of all clips together."""
    average_precisions: tuple[float | None, ...]
    """Of each class in the order of the class names; None for a class that no clip has."""
    f1s: tuple[float | None, ...]
    """F1 of each class; None for a class that no clip has."""

    @property
    def mean_average_precision(self) -> float:
        """Mean over the classes that some clip has (mAP)."""
        return mean([value for value in self.average_precisions if value is not None])

    @property
    def macro_f1(self) -> float:
        """Mean of `f1s` over the classes that some clip has."""
        return mean([value for value in self.f1s if value is not None])


def score_labels(truth: Bools, scores: npt.NDArray[np.floating], named: Bools) -> MultiLabelScores:
    """Return the figures of clips.

    Args:
        truth: (N, C) whether a clip has a label.
        scores: (N, C) the greater, the more likely; -inf is allowed.
        named: (N, C) whether a label is predicted.

    Raises UsageError for arrays of different shapes, for NaN, and where no clip has a label.
    """
    if not truth.shape == scores.shape == named.shape or truth.ndim != 2:
        raise UsageError(f"labels {truth.shape}, scores {scores.shape}, named {named.shape}: expected the same (N, C)")
    if np.isnan(scores).any():
        raise UsageError("a score is NaN")
    if not truth.any():
        raise UsageError("no clip has a label")
    right, present = (truth & named).sum(axis=0), truth.sum(axis=0)
    f1s = [float(2 * r / (p + n)) if p else None for r, p, n in zip(right, present, named.sum(axis=0), strict=True)]
    precisions = [average_precision(truth[:, k], scores[:, k]) for k in range(truth.shape[1])]
    return MultiLabelScores(len(truth), int(present.sum()), tuple(precisions), tuple(f1s))


def average_precision(truth: Bools, scores: npt.NDArray[np.floating]) -> float | None:
    """Return the area under the steps of precision over recall of one class, (N,) each; None without positives.

    The sum over thresholds of (recall - recall before) * precision; clips with equal scores share a threshold.
    """
    if not truth.any():
        return None
    order = np.argsort(-scores, kind="stable")
    found, sorted_scores = np.cumsum(truth[order]), scores[order]
    ends = np.flatnonzero(np.append(sorted_scores[1:] != sorted_scores[:-1], True))  # the last clip of each threshold
    return float((np.diff(found[ends], prepend=0) * found[ends] / (ends + 1)).sum() / found[-1])
