from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfer_data.detect.dlib import Dlib
from dfer_data.detect.retinaface import RetinaFace
from dfer_data.errors import UsageError
from dfer_data.faces.align import eye_centres
from dfer_data.types import Image
from dfer_data.weights.fetch import weights_file
from tests.dfer_data.tiny import real_pictures

WITHIN_PX = 1e-3


@pytest.fixture(scope="module")
def detector(_plain_environment: None) -> Dlib:
    return Dlib(weights_file("dlib-5-landmarks"), long_side_px=320)


@pytest.fixture(scope="module")
def images(real_videos: dict[str, Path]) -> list[Image]:
    single = real_pictures(real_videos["single_face.mp4"], stop=3, width_px=320)
    passenger = real_pictures(real_videos["carphone_pristine.mp4"], stop=2, width_px=176)
    return [*single, *passenger, *real_pictures(real_videos["no_face.mp4"], stop=1, width_px=320)]


def test_a_batch_finds_what_single_pictures_give(detector: Dlib, images: list[Image]) -> None:
    together = detector.detect(images)
    alone = [detector.detect([image])[0] for image in images]
    assert [len(found) for found in alone] == [1, 1, 1, 1, 1, 0]
    assert [len(found) for found in together] == [len(found) for found in alone]
    for a, b in zip(together[:5], alone[:5], strict=True):
        np.testing.assert_allclose(a[0].box, b[0].box, atol=WITHIN_PX)
        np.testing.assert_allclose(a[0].landmarks, b[0].landmarks, atol=WITHIN_PX)


def test_detections_are_in_pixels_of_the_source(detector: Dlib, images: list[Image]) -> None:
    small = detector.detect(images[:1])[0][0]
    doubled = detector.detect([images[0].repeat(2, axis=0).repeat(2, axis=1)])[0][0]
    np.testing.assert_allclose((doubled.landmarks + 0.5) / 2 - 0.5, small.landmarks, atol=WITHIN_PX)
    np.testing.assert_allclose((doubled.box + 0.5) / 2 - 0.5, small.box, atol=WITHIN_PX)


def test_the_landmarks_are_eye_corners_from_left_to_right_and_the_nose(
    detector: Dlib, images: list[Image], retinaface_weights: Path
) -> None:
    ours = detector.detect(images[:1])[0][0]
    theirs = RetinaFace(retinaface_weights, long_side_px=320).detect(images[:1])[0][0]
    assert (np.diff(ours.landmarks[:4, 0]) > 0).all()
    eyes = eye_centres(ours.landmarks, detector.scheme)
    assert np.linalg.norm(eyes - theirs.landmarks[:2], axis=1).max() < 4
    assert eyes[:, 1].max() < ours.landmarks[4, 1]


def test_no_pictures(detector: Dlib) -> None:
    assert detector.detect([]) == []


@pytest.mark.parametrize("content", [b"", b"not a predictor" * 20])
def test_a_file_that_is_no_predictor_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.dat"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"mine\.dat is not a dlib shape predictor"):
        Dlib(path)
