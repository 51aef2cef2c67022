"""Every detector with every backbone, each under one name, and whether it can run here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.detect.registry import DETECTORS, build_detector, detector_spec
from dfer_data.errors import UsageError, WeightsError
from dfer_data.storage.files import sha256_file
from dfer_data.weights.fetch import weights_file
from dfer_data.weights.manual import release


@dataclass(frozen=True)
class Choice:
    """A detector with a backbone."""

    name: str
    """`retinaface`, `dlib`: with the default backbone; else `retinaface-resnet50` and so on."""
    detector: str
    """As `--detector` names it."""
    backbone: str
    """As `--backbone` names it."""

    @property
    def weights_name(self) -> str:
        """Name of its file in `dfer_data.weights.fetch`."""
        return detector_spec(self.detector).weights_of(self.backbone)

    @property
    def is_optional(self) -> bool:
        """Whether its model file comes by hand, so that most machines will not have it."""
        return release(self.weights_name) is not None

    def config(self, *, det_size_px: int = 640, weights_sha256: str = "") -> PrepareConfig:
        """Return the settings that `prepare` would detect with."""
        return PrepareConfig(
            dataset="folder",
            detector=self.detector,
            backbone=self.backbone,
            weights_sha256=weights_sha256,
            det_size_px=det_size_px,
            score_threshold=detector_spec(self.detector).score_threshold,
        )

    def check(self) -> None:
        """UsageError where packages are missing."""
        detector_spec(self.detector).check(self.config())


@dataclass(frozen=True, eq=False)
class DetectorUnderTest:
    """A detector that is ready to run."""

    choice: Choice
    """Which one."""
    config: PrepareConfig
    """Its settings, with the hash of its model file."""
    detector: Detector
    """It."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.choice.name


def _choices() -> dict[str, Choice]:
    found = {}
    for spec in DETECTORS.values():
        for number, backbone in enumerate(spec.backbones if spec.weights else ()):
            name = f"{spec.name}-{backbone}" if number else spec.name
            found[name] = Choice(name, spec.name, backbone)
    return found


CHOICES: Mapping[str, Choice] = MappingProxyType(_choices())
"""By name."""


def choice(name: str) -> Choice:
    """Return the detector called `name`; UsageError lists the known ones."""
    try:
        return CHOICES[name]
    except KeyError:
        raise UsageError(f"unknown detector {name!r}; known: {', '.join(CHOICES)}") from None


def ready(one: Choice, *, det_size_px: int = 640, path: Path | None = None) -> DetectorUnderTest:
    """Build a detector; `path`: a model file of the user's own. UsageError, WeightsError where it cannot run here."""
    one.check()
    file = weights_file(one.weights_name, path=path)
    config = one.config(det_size_px=det_size_px, weights_sha256=sha256_file(file))
    detector = build_detector(config, weights=file)
    assert detector is not None
    return DetectorUnderTest(one, config, detector)


def problem(one: Choice) -> str:
    """Return why a detector cannot run here as things are, empty where it can; nothing is fetched."""
    try:
        one.check()
        if one.is_optional:
            weights_file(one.weights_name)
    except (UsageError, WeightsError) as error:
        return str(error)
    return ""
