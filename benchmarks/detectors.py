"""Detectors with the settings and weights that `dfer prepare` gives them."""

from __future__ import annotations

from typing import Any

from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.detect.registry import build_detector, detector_spec
from dfer_data.weights.fetch import weights_file


def detector_config(name: str, **settings: Any) -> PrepareConfig:
    """Return the settings of a preparation with a detector's first backbone and its own threshold."""
    spec = detector_spec(name)
    own = {"backbone": spec.backbones[0], "weights_sha256": "", "score_threshold": spec.score_threshold}
    return PrepareConfig(**{"dataset": "folder", "detector": name, **own, **settings})


def detector_of(config: PrepareConfig) -> Detector:
    """Build the detector of such settings."""
    detector = build_detector(config, weights=weights_file(detector_spec(config.detector).weights))
    assert detector is not None
    return detector
