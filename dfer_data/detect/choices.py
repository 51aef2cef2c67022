"""List every detector with every backbone under one name, and check whether it can run on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.detect.registry import DETECTORS, build_detector, detector_spec
from dfer_data.errors import UsageError, WeightsError, entry_of
from dfer_data.storage.files import sha256_file
from dfer_data.weights.fetch import weights_file
from dfer_data.weights.manual import release


@dataclass(frozen=True)
class Choice:
    """A detector with a backbone."""

    name: str
    """`retinaface` or `dlib` with the default backbone; else with the backbone, such as `retinaface-resnet50`."""
    detector: str
    """Value of `--detector`."""
    backbone: str
    """Value of `--backbone`."""

    @property
    def weights_name(self) -> str:
        """Name of its model file in `dfer_data.weights.fetch`."""
        return detector_spec(self.detector).weights_of(self.backbone)

    @property
    def is_optional(self) -> bool:
        """Whether users download its model file by hand, so that most machines lack it."""
        return release(self.weights_name) is not None

    def config(self, *, det_size_px: int = 640, weights_sha256: str = "") -> PrepareConfig:
        """Return the settings with which `prepare` would detect."""
        return PrepareConfig(
            dataset="folder",
            detector=self.detector,
            backbone=self.backbone,
            weights_sha256=weights_sha256,
            det_size_px=det_size_px,
            score_threshold=detector_spec(self.detector).score_threshold,
        )

    def check(self) -> None:
        """Raise UsageError where packages are missing."""
        detector_spec(self.detector).check(self.config())


@dataclass(frozen=True, eq=False)
class DetectorUnderTest:
    """A detector that is ready to run."""

    choice: Choice
    config: PrepareConfig
    """The settings, with the hash of its model file."""
    detector: Detector

    @property
    def name(self) -> str:
        """Name of the choice."""
        return self.choice.name


def _choices() -> dict[str, Choice]:
    choices = {}
    for spec in DETECTORS.values():
        for number, backbone in enumerate(spec.backbones if spec.weights else ()):
            name = f"{spec.name}-{backbone}" if number else spec.name
            choices[name] = Choice(name, spec.name, backbone)
    return choices


CHOICES: Mapping[str, Choice] = MappingProxyType(_choices())
"""Name -> choice."""


def choice(name: str) -> Choice:
    """Return the detector named `name`; raise UsageError with the known names otherwise."""
    return entry_of(name, CHOICES, what="unknown detector")


def ready(one: Choice, *, det_size_px: int = 640, path: Path | None = None) -> DetectorUnderTest:
    """Build a detector; `path`: the user's model file. Raise UsageError or WeightsError where it cannot run here."""
    one.check()
    file = weights_file(one.weights_name, path=path)
    config = one.config(det_size_px=det_size_px, weights_sha256=sha256_file(file))
    detector = build_detector(config, weights=file)
    assert detector is not None
    return DetectorUnderTest(one, config, detector)


def problem(one: Choice) -> str:
    """Return why a detector cannot run on this machine, empty where it can; fetch nothing."""
    try:
        one.check()
        if one.is_optional:
            weights_file(one.weights_name)
    except (UsageError, WeightsError) as error:
        return str(error)
    return ""
