"""Notice faces that lie on their side or are upside down, as in a video that is the wrong way round."""

from __future__ import annotations

import numpy as np

from dfer_data.faces.align import landmark_template, similarity
from dfer_data.types import LandmarkScheme, Track

_LYING_DEGREES, _UPSIDE_DOWN_DEGREES = 60, 135  # heads that someone tilts stay below


def turn_to_upright(track: Track, *, scheme: LandmarkScheme) -> int:
    """Return by how many degrees clockwise a video has to be turned for this face to be upright: 0, 90, 180 or 270.

    The mean roll of the landmarks decides. No picture is detected again: RetinaFace finds many faces that are turned.
    """
    template = landmark_template(scheme, size_px=112, scale=1)
    matrices = np.stack([similarity(landmarks, template) for landmarks in track.landmarks[track.is_detected]])
    directions = matrices[:, :, 0] / np.maximum(np.linalg.norm(matrices[:, :, 0], axis=1, keepdims=True), 1e-9)
    x, y = directions.mean(axis=0)
    degrees = float(np.degrees(np.arctan2(y, x)))
    if abs(degrees) < _LYING_DEGREES:
        return 0
    if abs(degrees) > _UPSIDE_DOWN_DEGREES:
        return 180
    return 90 if degrees > 0 else 270
