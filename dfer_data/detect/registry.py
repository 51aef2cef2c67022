"""The registry of detectors: what each needs, and how to build it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.errors import UsageError, entry_of
from dfer_data.types import LandmarkScheme


@dataclass(frozen=True)
class DetectorSpec:
    """A detector that `--detector` accepts."""

    name: str
    """Value of `--detector`."""
    backbones: tuple[str, ...]
    """Networks or methods it can run, the default first."""
    weights: str
    """Name of the default backbone's model file in `dfer_data.weights.fetch`; empty where it has none."""
    score_threshold: float
    """Default minimum score, in the detector's own unit."""
    versions: tuple[str, ...]
    """Distributions whose version changes the detections of the default backbone on a CPU in float32."""
    scheme: LandmarkScheme
    """Meaning of its five landmarks."""
    is_network: bool = False
    """Whether it can compute in bf16, and on a GPU."""

    def weights_of(self, backbone: str) -> str:
        """Return the name of a backbone's model file; raise UsageError with the known backbones for another one."""
        if backbone not in self.backbones:
            known = ", ".join(filter(None, self.backbones)) or "none"
            raise UsageError(f"--backbone {backbone}: unknown to detector {self.name}; known: {known}")
        return self.weights if backbone == self.backbones[0] else f"{self.name}-{backbone}"

    def check(self, config: PrepareConfig, *, has_hardware: bool = True) -> None:
        """Raise UsageError for a device or precision that the detector does not support or this machine lacks.

        Without `has_hardware` only the packages are checked, because the plan records their versions.
        """
        is_default = config.backbone == self.backbones[0]
        if is_default and (config.device, config.precision) == ("cpu", "f32"):
            return
        if not self.is_network:
            raise UsageError(f"--detector {self.name} supports only --device cpu with --precision f32")
        from dfer_data.detect.backends import check_hardware, check_packages

        check_packages(config.device, config.precision, backbone=config.backbone)
        if has_hardware:
            check_hardware(config.device, config.precision, backbone=config.backbone)

    def packages(self, config: PrepareConfig) -> tuple[str, ...]:
        """Return the distributions whose version changes the detections with these settings."""
        if config.backbone == "resnet50":
            from dfer_data.detect.backends import RESNET50_PACKAGES

            return tuple(RESNET50_PACKAGES)
        if config.device == "cuda":
            return ("torch",)
        return ("openvino",) if config.precision == "bf16" else self.versions


DETECTORS: Mapping[str, DetectorSpec] = MappingProxyType(
    {
        "retinaface": DetectorSpec(
            "retinaface",
            ("mobilenet0.25", "resnet50"),
            "retinaface-mobilenet0.25",
            0.7,
            ("onnxruntime",),
            "eyes-nose-mouth",
            is_network=True,
        ),
        "dlib": DetectorSpec("dlib", ("hog-5pt",), "dlib-5-landmarks", 0.0, ("dlib-bin",), "eye-corners-nose-base"),
        "none": DetectorSpec("none", ("",), "", 0.0, (), "none"),
    }
)
"""`none`: a dataset's own crops, stored as they are."""


def detector_spec(name: str) -> DetectorSpec:
    """Return the detector named `name`; raise UsageError with the known names otherwise."""
    return entry_of(name, DETECTORS, what="unknown detector")


def landmark_scheme(detector: str) -> LandmarkScheme:
    """Return what the five landmarks of a detector are."""
    return "eye-corners-nose-base" if detector == "dlib" else "eyes-nose-mouth"


def build_detector(config: PrepareConfig, *, weights: Path | None) -> Detector | None:
    """Build the detector of a config from its local model file, which is read once; return None for `none`.

    Raises UsageError for other weights, and WeightsError for a file without the hash that the config has.
    """
    if config.detector == "none":
        return None
    if weights is None:
        raise UsageError(f"detector {config.detector} needs a model file")
    if config.detector == "retinaface":
        from dfer_data.detect.retinaface import RetinaFace

        return RetinaFace(
            weights,
            long_side_px=config.det_size_px,
            score_threshold=config.score_threshold,
            backbone="resnet50" if config.backbone == "resnet50" else "mobilenet0.25",
            device=config.device,
            precision=config.precision,
            sha256=config.weights_sha256,
        )
    from dfer_data.detect.dlib import Dlib

    return Dlib(
        weights,
        long_side_px=config.det_size_px,
        score_threshold=config.score_threshold,
        sha256=config.weights_sha256,
    )
