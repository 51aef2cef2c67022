"""Describe a face and the picture around it in a few numbers, enough to see that another person has taken its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from dfer_data.faces.align import landmark_template, similarity
from dfer_data.types import Appearance, Detection, Floats, Image, LandmarkScheme
from dfer_data.video.shot_cuts import OVERVIEW_HEIGHT, OVERVIEW_WIDTH, differences, overview

_SIZE_PX, _SCALE = 8, 0.8  # the face and little of its surroundings
_MAX_SIDE_PX = 4096.0  # disordered landmarks could ask for a huge square
_RANK = 0.4  # of the difference that counts: an expression or a hand changes less than half of a face
_HEAD, _NEAR = 1.6, 3.2  # half sides of boxes about the face, in those of its box: the surroundings are between
_OTHER_FACE_AT_ONCE, _OTHER_BUST_AT_ONCE = 0.1, 0.2
_BUST, _MOST = 2.0, 0.6  # half side of the box that changes with the person, and the rank of the change that counts
_MIN_CELLS = 8
_OTHER_FACE, _OTHER_SURROUNDINGS = 0.3, 0.3


def described(image: Image, found: Sequence[Detection], *, scheme: LandmarkScheme) -> list[Detection]:
    """Return the detections of a picture with their appearance added."""
    picture = overview(image) if found else image
    return [
        replace(
            detection,
            appearance=Appearance(
                _face(image, detection.landmarks, scheme=scheme),
                picture,
                _away(detection.box, width_px=image.shape[1], height_px=image.shape[0]),
            ),
        )
        for detection in found
    ]


def distance(one: Appearance | None, other: Appearance | None) -> float:
    """Return by how much most of two faces differs, in units of their contrast; 0 where one is unknown.

    From one frame to the next a face changes by at most 0.4 while it turns or a hand moves over it; over 24 frames
    it changes by at most 0.3 while it keeps facing the camera. Two people differ by 0.2 or more, mostly by 0.4.
    """
    return 0.0 if one is None or other is None else _ranked(differences(one.face, other.face), _RANK)


def change_of_bust(one: Appearance | None, other: Appearance | None) -> float:
    """Return by how much most of a head with hair and neck differs; 0 where one is unknown."""
    if one is None or other is None:
        return 0.0
    changed = differences(one.overview, other.overview)
    bust = changed[other.away < _BUST]
    return _ranked(bust if len(bust) else changed, _MOST)


def could_be_replaced(one: Appearance | None, other: Appearance | None) -> bool:
    """Return whether both a face and its bust have changed as much as they do where someone else takes the place."""
    return distance(one, other) >= _OTHER_FACE_AT_ONCE and change_of_bust(one, other) >= _OTHER_BUST_AT_ONCE


def is_other_scene(one: Appearance | None, other: Appearance | None) -> bool:
    """Return whether both a face and the picture around it have changed, as over a dissolve, a wipe or a fade.

    A head that turns and a hand change the face alone, a moving camera changes the surroundings alone.
    """
    if one is None or other is None or distance(one, other) < _OTHER_FACE:
        return False
    changed = differences(one.overview, other.overview)
    around = changed[(other.away > _HEAD) & (other.away < _NEAR)]
    return _ranked(around if len(around) >= _MIN_CELLS else changed, 0.5) >= _OTHER_SURROUNDINGS


def _ranked(values: Floats, share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    flat, rank = values.ravel(), int(share * values.size)
    return float(np.partition(flat, rank)[rank])


def _face(image: Image, landmarks: Floats, *, scheme: LandmarkScheme) -> Image:
    """Return the square around a face's landmarks (5, 2) as a tiny (8, 8, 3) picture."""
    matrix = similarity(landmarks, landmark_template(scheme, size_px=_SIZE_PX, scale=_SCALE))
    side = min(_SIZE_PX / max(float(np.hypot(*matrix[:, 0])), 1e-6), _MAX_SIDE_PX)
    centre = np.linalg.solve(matrix[:, :2], _SIZE_PX / 2 - matrix[:, 2])
    left, top, right, bottom = np.concatenate([centre - side / 2, centre + side / 2]).round().astype(int).tolist()
    height, width = image.shape[:2]
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    if not inside.size:
        return np.zeros((_SIZE_PX, _SIZE_PX, 3), np.uint8)
    edges = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    padded = cv2.copyMakeBorder(inside, *edges, cv2.BORDER_REPLICATE) if any(edges) else inside
    return np.asarray(cv2.resize(padded, (_SIZE_PX, _SIZE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _away(box: Floats, *, width_px: int, height_px: int) -> Floats:
    """Return how far each cell of the overview is from the middle of a face, in half sides of its box."""
    middle, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 2, 1e-3)
    x = (np.arange(OVERVIEW_WIDTH) + 0.5) * (width_px / OVERVIEW_WIDTH)
    y = (np.arange(OVERVIEW_HEIGHT) + 0.5) * (height_px / OVERVIEW_HEIGHT)
    across, down = np.abs(x - middle[0]) / half[0], np.abs(y - middle[1]) / half[1]
    return np.asarray(np.maximum(across[None, :], down[:, None]), np.float32)
