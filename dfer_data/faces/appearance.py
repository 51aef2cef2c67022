"""What a face looks like, in a few numbers: enough to tell who is who when faces cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from dfer_data.faces.align import landmark_template, similarity
from dfer_data.types import Detection, Floats, Image, LandmarkScheme

_SIZE_PX, _SCALE = 16, 0.8  # the face and little of what surrounds it
_MOST_PX = 4096.0  # of landmarks in disorder


def described(image: Image, found: Sequence[Detection], *, scheme: LandmarkScheme) -> list[Detection]:
    """Return the detections of a picture with their appearance."""
    return [replace(one, appearance=appearance(image, one.landmarks, scheme=scheme)) for one in found]


def appearance(image: Image, landmarks: Floats, *, scheme: LandmarkScheme) -> Floats:
    """Return the square about a face, by its landmarks (5, 2), as a tiny picture (16, 16, 3) float32, 0 to 1."""
    matrix = similarity(landmarks, landmark_template(scheme, size_px=_SIZE_PX, scale=_SCALE))
    side = min(_SIZE_PX / max(float(np.hypot(*matrix[:, 0])), 1e-6), _MOST_PX)
    middle = np.linalg.solve(matrix[:, :2], _SIZE_PX / 2 - matrix[:, 2])
    left, top, right, bottom = np.concatenate([middle - side / 2, middle + side / 2]).round().astype(int).tolist()
    height, width = image.shape[:2]
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    if not inside.size:
        return np.zeros((_SIZE_PX, _SIZE_PX, 3), np.float32)
    edges = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    whole = cv2.copyMakeBorder(inside, *edges, cv2.BORDER_REPLICATE) if any(edges) else inside
    return np.divide(cv2.resize(whole, (_SIZE_PX, _SIZE_PX), interpolation=cv2.INTER_AREA), 255, dtype=np.float32)


def distance(one: Floats | None, other: Floats | None) -> float:
    """Return the mean absolute difference of two appearances, 0 to 1; 0 where one is not known.

    Over 12 frames one face changed by at most 0.13 on the real videos tried, and two people differed by 0.22 and more.
    Rendered heads changed by at most 0.12; of pairs of them 95 in 100 differed by more than 0.10, 75 by more than 0.15.
    """
    return 0.0 if one is None or other is None else float(np.abs(one - other).mean())
