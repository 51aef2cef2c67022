"""Confident learning: which labels out-of-fold predictions contradict (Northcutt, Jiang and Chuang, JAIR 2021).

A prediction is confident of a class if its probability reaches the mean of that class over the clips with that label.
A label is contradicted if the prediction is confident of another class, and does not favour the label itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError

_TOLERANCE = 1e-6
"""As in cleanlab 2.9, whose `find_label_issues(filter_by="confident_learning")` gives the same clips."""


def contradicted(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return whether the prediction contradicts each label, (N,).

    `labels`: (N,) class numbers; `probabilities`: (N, C), of models that were not trained on the clip. Raises
    UsageError for other shapes.
    """
    if probabilities.shape[:1] != labels.shape or probabilities.ndim != 2:
        raise UsageError(f"probabilities {probabilities.shape} do not fit the labels {labels.shape}")
    number = np.arange(len(labels))
    is_of_class = labels[:, None] == np.arange(probabilities.shape[1])
    sums, counts = (probabilities * is_of_class).sum(axis=0), is_of_class.sum(axis=0)
    limits = np.where(counts > 0, np.maximum(sums / np.maximum(counts, 1), 2 * _TOLERANCE), 2.0)
    is_confident = probabilities >= limits - _TOLERANCE
    likely = np.where(is_confident.sum(axis=1) > 1, probabilities.argmax(axis=1), is_confident.argmax(axis=1))
    favoured = probabilities.copy()
    favoured[number, labels] += _TOLERANCE
    is_contradicted = is_confident.any(axis=1) & (likely != labels) & (favoured.argmax(axis=1) != labels)
    return np.asarray(is_contradicted, np.bool_)
