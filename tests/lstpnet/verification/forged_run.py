"""Runs whose predictions were rewritten by someone who knows the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from lstpnet.predictions import Predictions
from lstpnet.predictions_table import read_predictions, write_predictions
from lstpnet.runs import read_run, write_run


def forge(folder: Path, change: Callable[[Predictions], Predictions]) -> None:
    """Rewrite the predictions and every hash, as someone would who knows the format."""
    info = read_run(folder)
    write_predictions(folder, [change(part) for part in read_predictions(folder, info)])
    write_run(folder, info)


def all_right(part: Predictions) -> Predictions:
    names = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
    logits = part.logits.copy()
    for row in np.flatnonzero(part.has_face):
        logits[row] = np.where(np.array(names) == part.labels[row], 5, 0)
    return replace(part, logits=logits)
