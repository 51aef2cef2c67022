from __future__ import annotations

import numpy as np
import pytest

from dfer_data.faces.align import landmark_template
from dfer_data.faces.turned import turn_to_upright
from dfer_data.types import Floats, FrameFlag, LandmarkScheme, Track

SCHEMES: tuple[LandmarkScheme, ...] = ("eyes-nose-mouth", "eye-corners-nose-base")


def track(landmarks: Floats) -> Track:
    frames = len(landmarks)
    boxes = np.tile(np.array([0, 0, 100, 100], np.float32), (frames, 1))
    flags = np.full(frames, int(FrameFlag.DETECTED), np.uint8)
    return Track(0, 0, boxes, landmarks.astype(np.float32), np.ones(frames, np.float32), flags)


def turned_face(scheme: LandmarkScheme, degrees: float) -> Track:
    """A face that is turned counter-clockwise, around which it rolls by up to 20 degrees."""
    template = landmark_template(scheme, size_px=100, scale=1) - 50
    angles = np.radians(-degrees + 20 * np.sin(np.arange(9)))
    turns = np.array([[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angles])
    return track(template @ turns.transpose(0, 2, 1) + 50)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("degrees", "turn"), [(0, 0), (40, 0), (-40, 0), (90, 90), (180, 180), (-170, 180), (270, 270), (-90, 270)]
)
def test_the_turn_makes_a_face_upright(scheme: LandmarkScheme, degrees: float, turn: int) -> None:
    assert turn_to_upright(turned_face(scheme, degrees), scheme=scheme) == turn


def test_landmarks_in_one_point_have_no_turn() -> None:
    assert turn_to_upright(track(np.full((3, 5, 2), 7.0)), scheme="eyes-nose-mouth") == 0
