"""A run of two test clips, written without a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lstpnet.predictions import Predictions
from lstpnet.predictions_table import write_predictions
from lstpnet.runs import RunInfo, write_run


def run_info(**changes: Any) -> RunInfo:
    """A finished run, with changes."""
    facts: dict[str, Any] = {
        "dataset": "dfew",
        "prepared": "dfew-retinaface",
        "dataset_sha256": "ab" * 32,
        "recipe": "dfew",
        "fold": 1,
        "seed": 0,
        "class_names": ("happy", "sad", "fear"),
        "n_train": 9,
        "n_val": 0,
        "synthetic": False,
        "protocol": "sampler segments-8x2",
        "checkpoints": ("last",),
        "finished": True,
    }
    return RunInfo(**facts | changes)


INFO = run_info(
    labels_sha256="cd" * 32,
    folds_sha256="ef" * 32,
    fold=3,
    n_train=9357,
    protocol="selection: last epoch; sampler segments-8x2",
)
LOGITS = np.array([[0.5, -1.0, 2.0], [np.log(0.5), np.log(0.5), -np.inf]], np.float32)


def part(*, checkpoint: str = "last", control: str = "") -> Predictions:
    has_face = np.array([True, False])
    return Predictions(("00001", "00002"), ("sad", "fear"), LOGITS, has_face, checkpoint, control)


def write_one(folder: Path, *, info: RunInfo = INFO) -> Path:
    write_predictions(folder, [part(), part(control="repeated-frame")])
    write_run(folder, info)
    return folder
