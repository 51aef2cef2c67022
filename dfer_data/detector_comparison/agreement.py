"""Measure how far two detectors agree and how steady one is: pure functions of detections and tracks.

Lengths are shares of the IOD, the distance between the two eye points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dfer_data.config import AlignPoints, PrepareConfig
from dfer_data.detect.base import box_iou
from dfer_data.faces.align import eye_centres, scale_range
from dfer_data.faces.aligned_faces import FaceMaker
from dfer_data.types import Detection, Floats, LandmarkScheme, Track

SAME_FACE_IOU = 0.3
"""Minimum overlap of two boxes of one face in one frame, as in the tracker. Detectors draw boxes differently."""


def same_face(one: Sequence[Detection], other: Sequence[Detection]) -> tuple[Detection, Detection] | None:
    """Return the two detections of a frame, one per detector, that overlap most; None below SAME_FACE_IOU."""
    if not one or not other:
        return None
    overlap = np.stack([box_iou(face.box, np.stack([each.box for each in other])) for face in one])
    row, column = divmod(int(overlap.argmax()), len(other))
    return (one[row], other[column]) if overlap[row, column] >= SAME_FACE_IOU else None


def landmark_distance(one: Detection, other: Detection, *, schemes: tuple[LandmarkScheme, LandmarkScheme]) -> float:
    """Return the mean distance between the landmarks that two schemes share, over the mean of the two IODs.

    Detectors with the same scheme share all five points; otherwise only the two eyes are compared.
    """
    points = [one.landmarks, other.landmarks]
    eyes = [eye_centres(landmarks, scheme) for landmarks, scheme in zip(points, schemes, strict=True)]
    iod = np.mean([_iod(eye_points) for eye_points in eyes])
    a, b = points if schemes[0] == schemes[1] else eyes
    return float(np.linalg.norm(a - b, axis=1).mean() / iod)


def second_differences(track: Track, *, scheme: LandmarkScheme) -> dict[int, float]:
    """Return frame -> mean square over the landmarks of |p(t - 1) - 2 p(t) + p(t + 1)| / IOD(t).

    Only frames detected at all three times are included. The square root of the mean over frames is the jitter.
    """
    rows = np.flatnonzero(track.is_detected)
    rows = rows[np.isin(rows - 1, rows) & np.isin(rows + 1, rows)]
    points = track.landmarks.astype(np.float64)
    change = points[rows - 1] - 2 * points[rows] + points[rows + 1]  # (N, 5, 2)
    iod = _iod(eye_centres(track.landmarks[rows], scheme))
    squares = (change**2).sum(axis=2).mean(axis=1) / iod**2
    return dict(zip((rows + track.first_frame).tolist(), squares.tolist(), strict=True))


def alignment_scale_range(
    track: Track, *, points: AlignPoints, config: PrepareConfig, scheme: LandmarkScheme
) -> float | None:
    """Return the range of the scale with which `prepare` would align a track, frame by frame; see `scale_range`.

    None for a track that is shorter than the smoothing window.
    """
    if len(track) < config.smoothing_window_frames:
        return None
    maker = FaceMaker(replace(config, align_points=points, align_scale="frame"), scheme=scheme)
    return scale_range(maker.matrices(maker.smoothed(track.boxes, track.landmarks)))


def overlaps(one: Track, other: Track) -> Floats:
    """Return the intersection over union (N,) of two tracks for each frame in which both were detected."""
    boxes = [_detected_boxes(track) for track in (one, other)]
    shared_frames = sorted(boxes[0].keys() & boxes[1].keys())
    return np.array([box_iou(boxes[0][i], boxes[1][i][None])[0] for i in shared_frames], np.float32)


def _detected_boxes(track: Track) -> dict[int, Floats]:
    return {track.first_frame + row: track.boxes[row] for row in np.flatnonzero(track.is_detected).tolist()}


def _iod(eyes: Floats) -> Floats:
    """Return the distance (...) between eye points (..., 2, 2), at least a thousandth of a pixel."""
    return np.asarray(np.maximum(np.linalg.norm(eyes[..., 1, :] - eyes[..., 0, :], axis=-1), 1e-3), np.float32)
