"""Calibration of predictions: how far the confidence of a model is its chance of being right.

ECE: Naeini, Cooper, Hauskrecht, AAAI 2015; Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks",
ICML 2017, whose 15 bins and temperature these are. Brier score: Brier, Monthly Weather Review 1950, over all classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError

NUM_BINS = 15
LEAST_TEMPERATURE, GREATEST_TEMPERATURE = 0.05, 20.0
"""Bounds of a fitted temperature; held-out clips that are all right would have none."""
_HALVINGS = 60
_Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ConfidenceBin:
    """Clips whose confidence, the probability of the predicted class, is in one interval."""

    least: float
    """The bin's clips have more confidence than this; 0 belongs to the first bin."""
    greatest: float
    """Greatest confidence in it."""
    num_clips: int
    confidence: float
    """Mean confidence of its clips; 0 without clips."""
    accuracy: float
    """Share of its clips that are right; 0 without clips."""


@dataclass(frozen=True)
class Calibration:
    """How well probabilities fit what happens."""

    ece: float
    """Expected calibration error: mean of |accuracy - confidence| over the bins, by their clips; 0..1."""
    brier: float
    """Mean squared distance of the probabilities to the label's indicator, summed over the classes; 0..2."""
    bins: tuple[ConfidenceBin, ...]
    """NUM_BINS intervals of equal width, from 0 to 1."""


def probabilities(logits: npt.NDArray[np.floating], *, temperature: float = 1.0) -> _Doubles:
    """Return the softmax of logits (N, C) over a temperature; a logit of -inf gives 0."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: _Doubles = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


def calibration(chances: _Doubles, labels: npt.NDArray[np.int64]) -> Calibration:
    """Measure the calibration of probabilities.

    Args:
        chances: (N, C) probabilities; rows sum to 1.
        labels: (N,) class numbers.

    Raises UsageError for no clips.
    """
    if len(labels) == 0:
        raise UsageError("the calibration of no clips is not defined")
    confidence, is_right = chances.max(axis=1), chances.argmax(axis=1) == labels
    indicator = np.eye(chances.shape[1])[labels]
    numbers = np.clip(np.ceil(confidence * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)
    bins = []
    for number in range(NUM_BINS):
        mask = numbers == number
        means = (float(confidence[mask].mean()), float(is_right[mask].mean())) if mask.any() else (0.0, 0.0)
        bins.append(ConfidenceBin(number / NUM_BINS, (number + 1) / NUM_BINS, int(mask.sum()), *means))
    ece = sum(part.num_clips * abs(part.accuracy - part.confidence) for part in bins) / len(labels)
    brier = float(((chances - indicator) ** 2).sum(axis=1).mean())
    return Calibration(ece, brier, tuple(bins))


def fit_temperature(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> float:
    """Return the temperature with the greatest likelihood of the labels, by bisection of its derivative.

    The negative log-likelihood is convex in 1 / temperature, so that there is one minimum. The clips must be held out
    of the training, and must not be test clips.

    Args:
        logits: (N, C) finite.
        labels: (N,) class numbers.

    Raises UsageError for no clips.
    """
    if len(labels) == 0:
        raise UsageError("no temperature without held-out clips: train with --val blocks, groups, random or official")
    values = logits.astype(np.float64)
    of_labels = values[np.arange(len(labels)), labels]
    low, high = np.log(1 / GREATEST_TEMPERATURE), np.log(1 / LEAST_TEMPERATURE)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = (probabilities(values, temperature=float(np.exp(-middle))) * values).sum(axis=1)
        if (expected - of_labels).mean() <= 0:  # the derivative by 1 / temperature; 0 where all are right
            low = middle
        else:
            high = middle
    return float(np.exp(-(low + high) / 2))
