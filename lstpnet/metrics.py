"""WAR, UAR and recalls from labels and predictions: pure functions on a confusion matrix.

WAR is accuracy, the average of the recalls weighted by class size. UAR is the plain mean of the recalls over the
classes that have at least one clip; the number of these classes is always returned with it. A class without clips has
no recall (None). One clip is enough for all figures; no clips raise UsageError. No figure is ever NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError

Confusion = npt.NDArray[np.int64]
"""(C, C) number of clips; row = label, column = prediction."""


@dataclass(frozen=True)
class Scores:
    """The figures of one confusion matrix; all except the counts are fractions 0..1."""

    num_clips: int
    """Number of clips."""
    war: float
    """Weighted average recall: the share of clips that are predicted correctly."""
    uar: float
    """Unweighted average recall: the mean of `recalls` over the classes present."""
    num_classes_present: int
    """Number of classes with at least one clip."""
    recalls: tuple[float | None, ...]
    """Recall of each class in the order of the class names; None for a class without clips."""
    precisions: tuple[float | None, ...]
    """Precision of each class: the share of its predictions that are correct; None for a class never predicted."""

    @property
    def f1s(self) -> tuple[float | None, ...]:
        """F1 of each class, the harmonic mean of precision and recall; None for a class without clips."""
        return tuple(
            None if recall is None else 2 * recall * (precision or 0) / (recall + (precision or 0) or 1)
            for recall, precision in zip(self.recalls, self.precisions, strict=True)
        )

    @property
    def macro_f1(self) -> float:
        """Mean of `f1s` over the classes present."""
        return mean([f1 for f1 in self.f1s if f1 is not None])


def confusion_matrix(labels: npt.ArrayLike, predictions: npt.ArrayLike, *, num_classes: int) -> Confusion:
    """Count (label, prediction) pairs of 0-based class numbers, (N,) each, into (C, C).

    Raises UsageError for different lengths and for numbers outside 0..C-1.
    """
    truth, predicted = (np.asarray(values) for values in (labels, predictions))
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise UsageError(f"{truth.shape} labels and {predicted.shape} predictions: expected one prediction per label")
    for name, values in (("label", truth), ("prediction", predicted)):
        if values.size and (values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= num_classes):
            raise UsageError(f"a {name} is not a class number 0..{num_classes - 1}")
    cells = truth.astype(np.int64) * num_classes + predicted.astype(np.int64)
    counts: Confusion = np.bincount(cells, minlength=num_classes**2).astype(np.int64)
    return counts.reshape(num_classes, num_classes)


def score(confusion: Confusion) -> Scores:
    """Return WAR, UAR, recalls and precisions of a (C, C) confusion matrix. Raises UsageError if it has no clips."""
    num_clips = int(confusion.sum())
    if num_clips == 0:
        raise UsageError("WAR and UAR of no clips are not defined: the test part is empty")
    recalls = tuple(
        int(row[number]) / int(row.sum()) if row.any() else None for number, row in enumerate(np.asarray(confusion))
    )
    precisions = tuple(
        int(column[number]) / int(column.sum()) if column.any() else None
        for number, column in enumerate(np.asarray(confusion).T)
    )
    present = [recall for recall in recalls if recall is not None]
    war = int(np.trace(confusion)) / num_clips
    return Scores(num_clips, war, mean(present), len(present), recalls, precisions)


def predicted_classes(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Return the class number of the largest logit of each row, (N, C) -> (N,); the first one for ties.

    Raises UsageError for NaN.
    """
    if np.isnan(logits).any():
        raise UsageError("a logit is NaN: the prediction has no class")
    numbers: npt.NDArray[np.int64] = logits.argmax(axis=1).astype(np.int64)
    return numbers


def prior_logits(class_counts: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return the log of each class's share of the training clips, (C,): the logits of a clip without a face.

    A class without training clips gets -inf. Raises UsageError if there are no training clips.
    """
    counts = np.asarray(class_counts, np.float64)
    if counts.sum() <= 0:
        raise UsageError("the train part has no clips: there is no prior for clips without a face")
    with np.errstate(divide="ignore"):
        logs: npt.NDArray[np.float32] = np.log(counts / counts.sum()).astype(np.float32)
    return logs


def selection_figure(war: float, uar: float, *, select_by: str) -> float:
    """Return the figure by which an epoch is chosen: `war`, `uar`, or their mean for `war+uar`."""
    return {"war": war, "uar": uar, "war+uar": (war + uar) / 2}[select_by]


def mean(values: Sequence[float]) -> float:
    """Return the mean. Raises UsageError for no values."""
    if not values:
        raise UsageError("the mean of no values is not defined")
    return math.fsum(values) / len(values)


def sample_std(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (divisor n - 1, ddof 1); None for fewer than two values."""
    if len(values) < 2:
        return None
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))
