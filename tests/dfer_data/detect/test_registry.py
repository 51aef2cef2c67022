from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dfer_data.config import Request
from dfer_data.detect.registry import DETECTORS, build_detector, detector_spec
from dfer_data.errors import UsageError
from dfer_data.preparation.request import resolve_request
from dfer_data.weights.assets import asset
from dfer_data.weights.manual import release
from tests.dfer_data.tiny import CONFIG


def test_an_unknown_detector_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown detector 'mtcnn'; known: retinaface, dlib, none"):
        detector_spec("mtcnn")


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_names_an_asset_that_exists(name: str) -> None:
    spec = detector_spec(name)
    assert spec.name == name
    for file in {spec.weights_of(backbone) for backbone in spec.backbones} - {""}:
        assert release(file) is not None or asset(file).name == file


def test_a_detector_is_built_from_a_config(retinaface_weights: Path) -> None:
    detector = build_detector(CONFIG, weights=retinaface_weights)
    assert detector is not None
    assert detector.scheme == "eyes-nose-mouth"
    given = replace(CONFIG, detector="none", align="given")
    assert build_detector(given, weights=None) is None
    with pytest.raises(UsageError, match="retinaface needs a model file"):
        build_detector(CONFIG, weights=None)


def test_an_unknown_backbone_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"--backbone vgg: unknown to detector retinaface; known: mobilenet0\.25, resnet50"
    ):
        resolve_request(Request(dataset="folder", source=tmp_path, backbone="vgg"))
    with pytest.raises(UsageError, match="--backbone vgg: unknown to detector none; known: none"):
        resolve_request(Request(dataset="folder", source=tmp_path, detector="none", backbone="vgg"))
