"""Align faces to a landmark template: similarity transforms, smoothing over time, warping. Pure functions.

The template is ArcFace's (Deng et al., CVPR 2019; 112 px), scaled about its centre so that brow and chin stay inside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from dfer_data.config import AlignPoints
from dfer_data.types import Floats, Image, LandmarkScheme, LazyPicture

AffineMatrix = npt.NDArray[np.float64]
"""(2, 3) float64: maps source pixels (x, y, 1) to aligned pixels."""
AffineMatrices = npt.NDArray[np.float64]
"""(N, 2, 3) float64: one AffineMatrix per row of a track."""

_ARCFACE_112 = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
# dlib's five points at the same 112 px: mean over 52 near-frontal frames of three people, aligned by RetinaFace.
_DLIB_112 = ((30.4, 53.6), (44.9, 53.6), (66.9, 53.6), (81.4, 53.6), (55.9, 79.3))
_TEMPLATES_112: Mapping[LandmarkScheme, tuple[tuple[float, float], ...]] = MappingProxyType(
    {"eyes-nose-mouth": _ARCFACE_112, "eye-corners-nose-base": _DLIB_112}
)
_MARGIN_PX = 3  # around the corners of what a warp shows: interpolation and rounding
_NUM_RIGID: Mapping[LandmarkScheme, int] = MappingProxyType({"eyes-nose-mouth": 3, "eye-corners-nose-base": 5})


def landmark_template(scheme: LandmarkScheme, *, size_px: int, scale: float) -> Floats:
    """Return the (5, 2) float32 target positions of the landmarks of `scheme` in an aligned picture of `size_px`."""
    points = np.array(_TEMPLATES_112[scheme], np.float64)
    return ((points - 56) * (size_px / 112) * scale + size_px / 2).astype(np.float32)


def num_alignment_points(scheme: LandmarkScheme, points: AlignPoints) -> int:
    """Return how many leading landmarks of `scheme` the alignment uses.

    All five, or those that no expression moves by much: eyes and nose tip without the corners of the mouth; all of the
    corners of the eyes and the base of the nose.
    """
    return 5 if points == "all" else _NUM_RIGID[scheme]


def eye_centres(landmarks: Floats, scheme: LandmarkScheme) -> Floats:
    """Return the two eye points (..., 2, 2) of landmarks (..., 5, 2), the eye on the picture's left first."""
    if scheme == "eye-corners-nose-base":
        corners = landmarks[..., :4, :]
        return ((corners[..., 0::2, :] + corners[..., 1::2, :]) / 2).astype(np.float32)
    return landmarks[..., :2, :]


def similarity(source: Floats, target: Floats) -> AffineMatrix:
    """Return the (2, 3) rotation, scale and shift, without reflection, that best maps source (N, 2) onto target.

    Least squares in closed form (Umeyama, PAMI 1991, for two dimensions). Coincident source points give a pure shift.
    """
    source_mean, target_mean = source.mean(axis=0, dtype=np.float64), target.mean(axis=0, dtype=np.float64)
    p, q = source - source_mean, target - target_mean
    spread = float((p * p).sum())
    if spread > 0:
        a = float((p * q).sum()) / spread
        b = float((p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum()) / spread
    else:
        a, b = 1.0, 0.0
    linear = np.array([[a, -b], [b, a]])
    return np.concatenate([linear, (target_mean - linear @ source_mean)[:, None]], axis=1)


def track_scale(source: Floats, target: Floats) -> float:
    """Return the median of the least-squares scales that map each row of a track, source (N, P, 2), onto target."""
    return float(np.median(scales(np.stack([similarity(points, target) for points in source]))))


def track_similarities(source: Floats, target: Floats, *, scale: float) -> AffineMatrices:
    """Return the transforms (N, 2, 3) of one `scale` that map rows of a track, source (N, P, 2), onto target (P, 2).

    Rotation and shift of each row are the least-squares ones for that scale, so they depend on no other row.
    """
    own = np.stack([similarity(points, target) for points in source])
    angles = np.arctan2(own[:, 1, 0], own[:, 0, 0])
    a, b = scale * np.cos(angles), scale * np.sin(angles)
    linear = np.stack([np.stack([a, -b], axis=1), np.stack([b, a], axis=1)], axis=1)
    means = source.mean(axis=1, dtype=np.float64)
    shift = target.mean(axis=0, dtype=np.float64) - (linear @ means[:, :, None])[:, :, 0]
    return np.concatenate([linear, shift[:, :, None]], axis=2)


def scales(matrices: AffineMatrices) -> npt.NDArray[np.float64]:
    """Return the scales (N,) of transforms (N, 2, 3), in aligned pixels per source pixel."""
    return np.asarray(np.hypot(matrices[:, 0, 0], matrices[:, 1, 0]))


def scale_range(matrices: AffineMatrices) -> float:
    """Return by how much the scale of transforms (N, 2, 3) varies: the 95th percentile over the 5th, less 1."""
    low, high = np.percentile(scales(matrices), (5, 95))
    return float(high / low - 1)


def box_corners(boxes: Floats) -> Floats:
    """Return boxes (N, 4) as points (N, 2, 2): left top, right bottom."""
    return boxes.reshape(-1, 2, 2)


def square(corners: Floats, *, size_px: int, padding: float) -> AffineMatrix:
    """Return the (2, 3) transform that maps a box, given by two corners (2, 2), to an upright square picture.

    The square is centred on the box. Its side is the box's longer side, plus `padding` of that on both sides.
    """
    centre, sides = corners.mean(axis=0, dtype=np.float64), np.ptp(corners.astype(np.float64), axis=0)
    scale = size_px / max(float(sides.max()) * (1 + 2 * padding), 1e-6)
    shift = (size_px - 1) / 2 - scale * centre
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def smooth(values: Floats, *, window_frames: int, order: int) -> Floats:
    """Smooth points (N, ...) over time with a Savitzky-Golay filter; the ends use the end windows' polynomials.

    A shorter clip uses the widest odd window that fits; fewer than order + 2 frames are returned unchanged. A row
    between the ends depends, bit for bit, only on the rows of its window.
    """
    num_frames = len(values)
    window = min(window_frames, num_frames if num_frames % 2 else num_frames - 1)
    if window < order + 2:
        return values
    fit = _savitzky_golay(window, order)
    flat = values.reshape(num_frames, -1).astype(np.float64)
    half = window // 2
    inner = sum(fit[half, j] * flat[j : num_frames - window + 1 + j] for j in range(window))
    ends = [
        sum(rows[:, j, None] * end[j] for j in range(window))
        for rows, end in ((fit[:half], flat[:window]), (fit[half + 1 :], flat[-window:]))
    ]
    return np.concatenate([ends[0], inner, ends[1]]).reshape(values.shape).astype(np.float32)


@lru_cache(maxsize=16)
def _savitzky_golay(window: int, order: int) -> npt.NDArray[np.float64]:
    """Return a (window, window) matrix: row i gives the value at position i of the polynomial fitted to a window."""
    basis = np.vander(np.arange(window, dtype=np.float64) - window // 2, order + 1, increasing=True)
    return np.asarray(basis @ np.linalg.pinv(basis), np.float64)


def warp(image: Image | LazyPicture, matrix: AffineMatrix, *, size_px: int) -> Image:
    """Return the (size, size, 3) uint8 aligned picture; source pixels outside the frame are black.

    A picture that shrinks to less than half is first averaged down by a power of two to avoid aliasing. Only the part
    of the picture that the aligned one shows is converted and averaged, which changes no value.
    """
    height, width = image.shape[:2]
    shrink = 2 ** max(0, math.floor(-math.log2(max(math.hypot(matrix[0, 0], matrix[1, 0]), 1e-6))))
    small_height, small_width = max(1, height // shrink), max(1, width // shrink)
    scale_x, scale_y = width / small_width, height / small_height
    if shrink > 1:
        linear = matrix[:, :2] * (scale_x, scale_y)
        matrix = np.concatenate(
            [linear, matrix[:, 2:] + linear @ [[0.5], [0.5]] - matrix[:, :2] @ [[0.5], [0.5]]], axis=1
        )
    if (scale_x, scale_y) == (shrink, shrink):  # else a small pixel depends on where it is
        image = _shown_part(image, matrix, size_px=size_px, shrink=shrink)
    else:
        image = image if isinstance(image, np.ndarray) else image.whole()
        image = np.asarray(cv2.resize(image, (small_width, small_height), interpolation=cv2.INTER_AREA), np.uint8)
    warped = cv2.warpAffine(image, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(warped, np.uint8)


def _shown_part(image: Image | LazyPicture, matrix: AffineMatrix, *, size_px: int, shrink: int) -> Image:
    """Return the picture, averaged down by `shrink`, which divides its sides; only what `matrix` shows has values.

    `matrix` maps pixels of the small picture, which keeps its size: the same numbers go into the interpolation.
    """
    if shrink == 1 and isinstance(image, np.ndarray):
        return image
    height, width = image.shape[0] // shrink, image.shape[1] // shrink
    corners = _source_corners(matrix, size_px=size_px)
    first, last = np.floor(corners.min(axis=0)) - _MARGIN_PX, np.ceil(corners.max(axis=0)) + _MARGIN_PX
    left, top, right, bottom = np.clip([*first, *last], 0, [width, height, width, height]).astype(int).tolist()
    small = np.empty((height, width, 3), np.uint8)
    if left == right or top == bottom:
        return small
    box = (left * shrink, top * shrink, right * shrink, bottom * shrink)
    part = image[box[1] : box[3], box[0] : box[2]] if isinstance(image, np.ndarray) else image.part(*box)
    target = small[top:bottom, left:right]
    if shrink == 1:
        target[:] = part
    else:
        cv2.resize(part, (right - left, bottom - top), dst=target, interpolation=cv2.INTER_AREA)
    return small


def _source_corners(matrix: AffineMatrix, *, size_px: int) -> npt.NDArray[np.float64]:
    """Return where the outer corners (4, 2) of the aligned picture are in the source."""
    edge = size_px - 0.5
    corners = np.array([[-0.5, -0.5], [edge, -0.5], [edge, edge], [-0.5, edge]])
    return np.asarray((corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)


def reaches_outside(matrix: AffineMatrix, *, size_px: int, width_px: int, height_px: int) -> bool:
    """Return whether the aligned picture needs pixels from outside a source frame of the given size."""
    source = _source_corners(matrix, size_px=size_px)
    limit = np.array([width_px - 0.5, height_px - 0.5])
    return bool((source < -0.5).any() or (source > limit).any())
