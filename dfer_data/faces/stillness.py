"""Tell a picture of a face, such as a poster, from a face that moves: by the shape of its landmarks over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfer_data.types import Track

MIN_DETECTIONS = 48
"""Detections that it takes to tell: real people keep as still as a poster for a second, not for two."""
_BLOCK = 8  # detections whose mean shape is compared: most of the detector's noise cancels
_STILL, _MOVING = 0.015, 0.018  # of the size of the shape; see docs/decisions/0014-still-faces.md
_MIN_RATIO, _MIN_NOISES = 2.0, 1.2  # of the moving face's motion to the still one's, and to its own noise
_ROUNDS = 3


@dataclass(frozen=True)
class ShapeMotion:
    """How the shape of a face's landmarks changes, in units of its size (root mean square distance from its centre)."""

    motion: float
    """Standard deviation of the shape, averaged over 8 detections: people turn, nod and speak."""
    noise: float
    """Standard deviation of the noise from one detection to the next."""


def shape_motion(track: Track) -> ShapeMotion | None:
    """Return how much the shape of a track's landmarks moves; None if it has too few detections to tell.

    The shape is what is left when every frame is shifted, turned and scaled to the mean of all: how the face moves with
    a camera that shakes, pans or zooms does not count.
    """
    if track.num_detected < MIN_DETECTIONS:
        return None
    shapes = _shapes(track)
    second = shapes[2:] - 2 * shapes[1:-1] + shapes[:-2]
    means = np.stack([block.mean(axis=0) for block in np.array_split(shapes, len(shapes) // _BLOCK)])
    scale = np.sqrt(shapes.shape[1])
    motion = scale * np.sqrt(np.square(np.abs(means - means.mean(axis=0))).mean() * len(means) / (len(means) - 1))
    return ShapeMotion(float(motion), float(scale * np.sqrt(np.square(np.abs(second)).mean() / 6)))


def is_picture_next_to(face: Track, other: Track) -> bool:
    """Return whether a face keeps its shape like a picture while the other clearly changes; False when in doubt."""
    still, moving = shape_motion(face), shape_motion(other)
    if still is None or moving is None or still.motion > _STILL:
        return False
    return moving.motion >= max(_MOVING, _MIN_RATIO * still.motion, _MIN_NOISES * moving.noise)


def _shapes(track: Track) -> npt.NDArray[np.complex128]:
    """Return the landmarks of the detections as complex numbers (N, 5), fitted to their mean of unit norm."""
    points = track.landmarks[track.is_detected].astype(np.float64)
    shapes = points[..., 0] + 1j * points[..., 1]
    shapes -= shapes.mean(axis=1, keepdims=True)
    fitted, mean = shapes, shapes[0]
    for _ in range(_ROUNDS):
        mean = mean / max(float(np.linalg.norm(mean)), 1e-9)
        sizes = np.square(np.abs(shapes)).sum(axis=1, keepdims=True)
        fitted = shapes * ((shapes.conj() @ mean)[:, None] / np.maximum(sizes, 1e-9))
        mean = fitted.mean(axis=0)
    return fitted
