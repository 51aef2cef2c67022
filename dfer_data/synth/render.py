"""Draw a posed person with a painter's algorithm: polygons from back to front, anti-aliased by OpenCV, shaded smoothly.

About 5,000 polygons per picture. Pixel convention: the centre of the top-left pixel is (0, 0), as in OpenCV.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from dfer_data.synth.heads import Points
from dfer_data.synth.people import SyntheticPerson, vertex_normals
from dfer_data.types import Image

_SUBPIXEL_BITS = 4
_CAMERA_DISTANCE = 16.0  # decimetres before the face: a little perspective
_MOUTH_OPENERS = ("jawOpen", "mouthUpperUpLeft", "mouthLowerDownLeft", "mouthSmileLeft")
_QUARTERS = np.full(4, 0.25, np.float32)
_NECK = np.array([0.0, 6.1, 0.3], np.float32)  # the head turns about this point


@dataclass(frozen=True, eq=False)
class Scene:
    """Settings that are constant over a clip."""

    background: Image
    """(H, W, 3) uint8 RGB."""
    eyes_px: tuple[float, float]
    """Midpoint between the eyes in a neutral pose, x and y."""
    scale_px: float
    """Pixels per decimetre at the face."""
    light: Points
    """(3,) unit vector towards the light."""
    ambient: float
    """Share of undirected light, 0..1."""
    tint: Points
    """(3,) RGB factors of the light."""


@dataclass(frozen=True)
class Pose:
    """State of the person in one frame."""

    units: Mapping[str, float]
    """Face unit -> strength."""
    yaw: float
    """Radians; positive turns the face to the picture's right."""
    pitch: float
    """Radians; positive nods down."""
    roll: float
    """Radians; positive tilts the head to the picture's left."""
    shift_px: tuple[float, float]
    """Shift of the whole person, x and y."""


def render(person: SyntheticPerson, scene: Scene, pose: Pose) -> tuple[Image, Points]:
    """Return the picture (H, W, 3) uint8 RGB and the five landmarks (5, 2) float32 pixels."""
    vertices = _posed(person, pose)
    points = _project(vertices, scene, pose)  # (V, 3): x, y in pixels, depth
    landmarks = np.stack([points[rows, :2].mean(axis=0) for rows in person.landmarks])
    normals = vertex_normals(vertices, person.quads)
    mouth_is_open = any(pose.units.get(unit, 0) > 0.02 for unit in _MOUTH_OPENERS)
    visible = _visible(person, points, normals, scene, mouth_is_open=mouth_is_open)
    polygons, depth, colours = (np.concatenate(parts) for parts in zip(*visible, strict=True))
    order = np.argsort(depth, kind="stable")
    image = scene.background.copy()
    corners = np.round(polygons[order] * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    fill = partial(cv2.fillConvexPoly, image, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)
    deque(map(fill, corners, colours[order].tolist()), maxlen=0)  # this loop over 5,000 polygons takes most of the time
    return image, landmarks.astype(np.float32)


def _visible(
    person: SyntheticPerson, points: Points, normals: Points, scene: Scene, *, mouth_is_open: bool
) -> Iterator[tuple[Points, Points, Points]]:
    """Yield the corners (P, 4, 2), sorting depth (P,) and colours (P, 3) of the visible cells, per grid."""
    size = np.array([scene.background.shape[1], scene.background.shape[0]])
    is_inside = np.asarray(((points[:, :2] > -1) & (points[:, :2] < size)).all(axis=1))
    for grid in person.grids:
        if grid.needs_open_mouth and not mouth_is_open:
            continue
        corners = points[grid.quads]  # (Q, 4, 3)
        visible = np.flatnonzero((grid.is_two_sided | _is_front(corners)) & is_inside[grid.quads].any(axis=1))
        cells = (grid.corners @ corners[visible])[:, grid.cells]  # (Q, C, 4, 3)
        cell_normals = grid.centres @ normals[grid.quads[visible]]  # (Q, C, 3)
        colours = _shaded(cell_normals, grid.albedo[visible], scene, gloss=grid.gloss, two_sided=grid.is_two_sided)
        depth = np.asarray(cells[..., 2] @ _QUARTERS + grid.depth_bias, np.float32)
        yield np.asarray(cells[..., :2].reshape(-1, 4, 2)), depth.reshape(-1), colours.reshape(-1, 3)


def _posed(person: SyntheticPerson, pose: Pose) -> Points:
    """Return vertices (V, 3) with the face units and then the rotation of the head, which fades out down the neck."""
    vertices = person.vertices.copy()
    for unit, strength in pose.units.items():
        if strength:
            vertices += np.float32(strength) * person.units[unit]
    turned = (vertices - _NECK) @ _rotation(pose).T + _NECK
    return np.asarray(vertices + (turned - vertices) * person.head_share[:, None], np.float32)


def _rotation(pose: Pose) -> Points:
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (pose.yaw, pose.pitch, pose.roll))
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(roll @ pitch @ yaw, np.float32)


def _project(vertices: Points, scene: Scene, pose: Pose) -> Points:
    eyes = np.array([0.0, 7.27, 1.4], np.float32)
    offset = vertices - eyes
    scale = scene.scale_px * _CAMERA_DISTANCE / (_CAMERA_DISTANCE - offset[:, 2])
    x = scene.eyes_px[0] + pose.shift_px[0] + offset[:, 0] * scale
    y = scene.eyes_px[1] + pose.shift_px[1] - offset[:, 1] * scale
    return np.stack([x, y, vertices[:, 2]], axis=1).astype(np.float32)


def _is_front(corners: Points) -> npt.NDArray[np.bool_]:
    """Whether quads (Q, 4, 3) face the viewer: in pictures, with y downwards, their corners then run clockwise."""
    a, b = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0)


def _shaded(normals: Points, albedo: Points, scene: Scene, *, gloss: float, two_sided: bool) -> Points:
    """Return the colours (Q, C, 3) of cells with normals (Q, C, 3): soft directed light, ambient light, a highlight."""
    normals = normals / (np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-6)
    if two_sided:
        normals = normals * np.where(normals[..., 2:] < 0, -1, 1)
    wrapped = np.clip(normals @ scene.light * 0.75 + 0.25, 0, None)  # light wraps a little around the edge
    half = scene.light + np.array([0, 0, 1], np.float32)
    shine = np.clip(normals @ (half / np.linalg.norm(half)).astype(np.float32), 0, 1) ** 8
    shine = shine * shine * shine
    edge = 0.75 + 0.25 * np.clip(normals[..., 2] * 2, 0, 1)  # contours are a little darker
    strength = (scene.ambient + (1 - scene.ambient) * wrapped) * edge
    return np.asarray(albedo * scene.tint * strength[..., None] + (140 * gloss * shine)[..., None], np.float32)
