"""The settings with which faces are found in videos that belong to no dataset."""

from __future__ import annotations

from pathlib import Path

from dfer_data.config import FAST_DETECT_EVERY, PrepareConfig
from dfer_data.detect.registry import detector_spec
from dfer_data.errors import UsageError
from dfer_data.storage.files import sha256_file
from dfer_data.weights.fetch import weights_file


def face_settings_of(detector: str, *, detect_every: int = FAST_DETECT_EVERY) -> tuple[PrepareConfig, Path | None]:
    """Return the `prepare` settings that find faces in videos, and the detector's model file.

    Raises UsageError for a detector that detects nothing, WeightsError if its model file is not available.
    """
    spec = detector_spec(detector)
    if not spec.weights:
        raise UsageError(f"--detector {detector}: a video needs a detector, retinaface or dlib")
    weights_path = weights_file(spec.weights_of(spec.backbones[0]))
    config = PrepareConfig(
        dataset="folder",
        detector=spec.name,
        backbone=spec.backbones[0],
        weights_sha256=sha256_file(weights_path),
        score_threshold=spec.score_threshold,
        detect_every=detect_every,
    )
    return config, weights_path
