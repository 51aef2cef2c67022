"""Predictions of test clips, and their scores: computed once, read by every table and page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from dfer_data.wording import counted
from lstpnet.metrics import Confusion, Scores, confusion_matrix, predicted_classes, score

TEST_BEST = "test-best"
CHECKPOINTS = ("last", "best", "refit", TEST_BEST)
"""`last` is the headline; `best` was chosen on clips held out of train; `refit` was trained on all of train for as many
epochs as `best`; `test-best` was chosen on the test clips, so its figures are too high."""
CONTROL_NAMES = ("", "repeated-frame", "shuffled-frames")
"""How the test frames were changed; empty: unchanged."""
SCORES_NOTE = "scores are expressions as annotators label them, not felt emotion; see docs/explanation/intended-use.md"
"""Goes with predictions for videos."""
_SHARES_ATOL = 1e-2


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of one checkpoint for every test clip, under one control. Raises UsageError for invalid values."""

    clip_ids: tuple[str, ...]
    """(N,) unique clip ids."""
    labels: tuple[str, ...]
    """(N,) class names."""
    logits: npt.NDArray[np.float32]
    """(N, C); -inf is allowed (the log prior of a class without training clips), NaN and +inf are not."""
    has_face: npt.NDArray[np.bool_]
    """(N,) False for a clip without a usable track; its logits are the log of the train prior."""
    checkpoint: str
    """One of CHECKPOINTS."""
    control: str = ""
    """One of CONTROL_NAMES."""
    attention: npt.NDArray[np.float32] | None = None
    """(N, T) share of the attention for each frame of a clip (frame_attention.py); each row sums to 1. A row is NaN
    for a clip without a face. None for a model without attention over time."""

    def __post_init__(self) -> None:
        """Raise UsageError for predictions that cannot be scored."""
        num_clips, faults = len(self.clip_ids), []
        if self.checkpoint not in CHECKPOINTS:
            faults.append(f"checkpoint {self.checkpoint!r}; known: {' '.join(CHECKPOINTS)}")
        if self.control not in CONTROL_NAMES:
            faults.append(f"control {self.control!r}; known: {' '.join(CONTROL_NAMES[1:])}, or empty")
        if not (len(self.labels) == len(self.logits) == len(self.has_face) == num_clips) or self.logits.ndim != 2:
            shapes = f"{counted(len(self.labels), 'label')}, logits {self.logits.shape}, has_face {self.has_face.shape}"
            faults.append(f"{counted(num_clips, 'clip id')}, {shapes}: expected one of each per clip")
        elif num_clips == 0:
            faults.append("no clips")
        elif np.isnan(self.logits).any() or np.isposinf(self.logits).any() or np.isneginf(self.logits).all(1).any():
            faults.append("a logit is NaN or +inf, or all logits of a clip are -inf")
        if self.attention is not None and (fault := _attention_fault(self.attention, num_clips=num_clips)):
            faults.append(fault)
        if repeated := [clip_id for clip_id, count in Counter(self.clip_ids).items() if count > 1]:
            faults.append(f"clip {repeated[0]} is listed twice")
        if faults:
            raise UsageError(f"predictions of {self.checkpoint} {self.control}".rstrip() + ": " + "; ".join(faults))


def _attention_fault(attention: npt.NDArray[np.float32], *, num_clips: int) -> str:
    """Return the fault of the attention shares; empty if they are valid."""
    if attention.ndim != 2 or len(attention) != num_clips:
        return f"attention {attention.shape}: expected one row for each of {counted(num_clips, 'clip')}"
    shares = attention[~np.isnan(attention).all(axis=1)]
    is_valid = (shares >= 0).all() and (np.abs(shares.sum(axis=1) - 1) < _SHARES_ATOL).all()
    return "" if is_valid else "attention is negative or does not sum to 1"


@dataclass(frozen=True, eq=False)
class ScoredPredictions:
    """True and predicted classes of test clips; every figure on them is computed here, once."""

    class_names: tuple[str, ...]
    """(C,) class names, in the order of class numbers."""
    clip_ids: tuple[str, ...]
    """(N,) clip ids."""
    labels: npt.NDArray[np.int64]
    """(N,) true class numbers."""
    predicted: npt.NDArray[np.int64]
    """(N,) predicted class numbers."""
    has_face: npt.NDArray[np.bool_]
    """(N,) False for a clip without a usable track."""
    checkpoint: str | None = None
    """One of CHECKPOINTS; None for external predictions."""
    control: str = ""
    """One of CONTROL_NAMES."""
    logits: npt.NDArray[np.float32] | None = None
    """(N, C); None for external predictions."""
    attention: npt.NDArray[np.float32] | None = None
    """As in Predictions."""

    @cached_property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """(N,) whether each clip is predicted correctly."""
        return np.equal(self.labels, self.predicted)

    @cached_property
    def id_order(self) -> npt.NDArray[np.int64]:
        """(N,) indices that sort the clips by id."""
        return np.argsort(np.array(self.clip_ids, dtype=object), kind="stable")

    @cached_property
    def confusion(self) -> Confusion:
        """(C, C) clips by label and prediction."""
        return self.confusion_of(np.ones_like(self.has_face))

    @cached_property
    def scores(self) -> Scores:
        """The figures on all clips."""
        return score(self.confusion)

    @cached_property
    def scores_with_face(self) -> Scores | None:
        """The figures on the clips with a face; None if these are all clips, or none."""
        return self.scores_of(self.has_face) if 0 < self.has_face.sum() < len(self.has_face) else None

    def confusion_of(self, mask: npt.NDArray[np.bool_]) -> Confusion:
        """Return the confusion matrix (C, C) of the clips of a mask (N,)."""
        return confusion_matrix(self.labels[mask], self.predicted[mask], num_classes=len(self.class_names))

    def scores_of(self, mask: npt.NDArray[np.bool_]) -> Scores:
        """Return the figures on the clips of a mask (N,). Raises UsageError if it is empty."""
        return score(self.confusion_of(mask))


def score_predictions(predictions: Predictions, class_names: Sequence[str]) -> ScoredPredictions:
    """Score the predictions of one checkpoint under one control. Raises UsageError for a label without a class."""
    numbers = {name: number for number, name in enumerate(class_names)}
    if unknown := sorted(set(predictions.labels) - numbers.keys()):
        raise UsageError(f"label {unknown[0]!r} is not one of the classes {', '.join(class_names)}")
    return ScoredPredictions(
        class_names=tuple(class_names),
        clip_ids=predictions.clip_ids,
        labels=np.array([numbers[label] for label in predictions.labels], np.int64),
        predicted=predicted_classes(predictions.logits),
        has_face=predictions.has_face,
        checkpoint=predictions.checkpoint,
        control=predictions.control,
        logits=predictions.logits,
        attention=predictions.attention,
    )


def pooled_predictions(parts: Sequence[ScoredPredictions]) -> ScoredPredictions:
    """Return the clips of several folds together, without logits and attention; all with the same classes."""
    return ScoredPredictions(
        class_names=parts[0].class_names,
        clip_ids=tuple(clip_id for part in parts for clip_id in part.clip_ids),
        labels=np.concatenate([part.labels for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        has_face=np.concatenate([part.has_face for part in parts]),
        checkpoint=parts[0].checkpoint,
        control=parts[0].control,
    )
