"""Describe a face's appearance in a few numbers, enough to tell faces apart when they cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from dfer_data.faces.align import landmark_template, similarity
from dfer_data.types import Detection, Floats, Image, LandmarkScheme

_SIZE_PX, _SCALE = 16, 0.8  # the face and little of its surroundings
_MAX_SIDE_PX = 4096.0  # disordered landmarks could ask for a huge square


def described(image: Image, found: Sequence[Detection], *, scheme: LandmarkScheme) -> list[Detection]:
    """Return the detections of a picture with their appearance added."""
    return [replace(detection, appearance=appearance(image, detection.landmarks, scheme=scheme)) for detection in found]


def appearance(image: Image, landmarks: Floats, *, scheme: LandmarkScheme) -> Floats:
    """Return the square around a face's landmarks (5, 2) as a tiny (16, 16, 3) float32 picture, 0 to 1."""
    matrix = similarity(landmarks, landmark_template(scheme, size_px=_SIZE_PX, scale=_SCALE))
    side = min(_SIZE_PX / max(float(np.hypot(*matrix[:, 0])), 1e-6), _MAX_SIDE_PX)
    centre = np.linalg.solve(matrix[:, :2], _SIZE_PX / 2 - matrix[:, 2])
    left, top, right, bottom = np.concatenate([centre - side / 2, centre + side / 2]).round().astype(int).tolist()
    height, width = image.shape[:2]
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    if not inside.size:
        return np.zeros((_SIZE_PX, _SIZE_PX, 3), np.float32)
    edges = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    padded = cv2.copyMakeBorder(inside, *edges, cv2.BORDER_REPLICATE) if any(edges) else inside
    return np.divide(cv2.resize(padded, (_SIZE_PX, _SIZE_PX), interpolation=cv2.INTER_AREA), 255, dtype=np.float32)


def distance(one: Floats | None, other: Floats | None) -> float:
    """Return the mean absolute difference of two appearances, 0 to 1; 0 where one is unknown.

    On the real videos tried, one face changed by at most 0.13 over 12 frames, and two people differed by at least 0.22.
    Rendered heads changed by at most 0.12; 95% of their pairs differed by more than 0.10, 75% by more than 0.15.
    """
    return 0.0 if one is None or other is None else float(np.abs(one - other).mean())
