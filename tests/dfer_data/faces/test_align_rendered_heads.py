"""Heads that are turned, in profile, very large or covered are found, and upright after alignment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dfer_data.detect.retinaface import RetinaFace
from dfer_data.faces.align import landmark_template, similarity
from dfer_data.synth.heads import load_heads
from dfer_data.synth.people import SyntheticPerson, sample_person
from dfer_data.synth.render import Pose, Scene, render
from dfer_data.types import Floats, Image

SIZE_PX = 224
Head = Callable[..., tuple[Image, Floats]]


@pytest.fixture(scope="module")
def person(heads_wheel: Path) -> SyntheticPerson:
    return sample_person(load_heads(heads_wheel), identity=1, seed=3)


@pytest.fixture(scope="module")
def detector(retinaface_weights: Path) -> RetinaFace:
    return RetinaFace(retinaface_weights, long_side_px=640)


@pytest.fixture
def head(person: SyntheticPerson) -> Head:
    """A function that renders a head with its true landmarks."""

    def draw(
        *, width_px: int = 640, height_px: int = 360, scale_px: float = 60, yaw: float = 0, roll: float = 0
    ) -> tuple[Image, Floats]:
        wall = np.full((height_px, width_px, 3), (110, 118, 128), np.uint8)
        light = np.array([0.2, 0.3, 0.93], np.float32)
        scene = Scene(wall, (width_px / 2, height_px * 0.42), scale_px, light, 0.5, np.ones(3, np.float32))
        return render(person, scene, Pose({"jawOpen": 0.2}, np.radians(yaw), 0, np.radians(roll), (0, 0)))

    return draw


def tilt_degrees(detector: RetinaFace, image: Image, landmarks: Floats) -> float:
    """Detect the one face, align it, and return how far its true axis from the eyes to the mouth is from downwards."""
    (found,) = detector.detect([image])
    (face,) = found
    target = landmark_template("eyes-nose-mouth", size_px=SIZE_PX, scale=0.7)
    linear = similarity(face.landmarks, target)[:, :2]
    x, y = linear @ (landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0))
    return float(np.degrees(np.arctan2(x, y)))


@pytest.mark.parametrize("num_quarters", [0, 1, 3])
def test_a_face_in_a_turned_picture_is_upright(detector: RetinaFace, head: Head, num_quarters: int) -> None:
    """Nothing in the file says that the picture is turned: metadata was lost. Upside down is more than it can do."""
    image, landmarks = head()
    for _ in range(num_quarters):  # counterclockwise, as numpy turns
        landmarks = np.stack([landmarks[:, 1], image.shape[1] - 1 - landmarks[:, 0]], axis=1)
        image = np.ascontiguousarray(np.rot90(image))
    assert abs(tilt_degrees(detector, image, landmarks)) < 25


@pytest.mark.parametrize("roll", [-40, -20, 20, 40])
def test_a_tilted_head_is_upright(detector: RetinaFace, head: Head, roll: float) -> None:
    assert abs(tilt_degrees(detector, *head(roll=roll))) < 15


@pytest.mark.parametrize("yaw", [-80, -60, 60, 80])
def test_a_profile_is_not_turned(detector: RetinaFace, head: Head, yaw: float) -> None:
    """The far eye is hidden; a guess of it that is too low must not tilt the face."""
    assert abs(tilt_degrees(detector, *head(yaw=yaw))) < 20


@pytest.mark.parametrize(("width_px", "height_px", "scale_px"), [(640, 360, 180), (1200, 1200, 480), (2320, 3088, 900)])
def test_a_face_that_fills_the_picture_is_found(
    detector: RetinaFace, head: Head, width_px: int, height_px: int, scale_px: float
) -> None:
    assert abs(tilt_degrees(detector, *head(width_px=width_px, height_px=height_px, scale_px=scale_px))) < 5


def test_a_covered_mouth_hides_no_face(detector: RetinaFace, head: Head) -> None:
    image, landmarks = head()
    x, y = landmarks[2].astype(int)
    image[y - 5 : y + 75, x - 45 : x + 45] = (60, 110, 160)
    assert abs(tilt_degrees(detector, image, landmarks)) < 10
