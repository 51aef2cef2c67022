"""The Detector protocol, and the scaling of pictures for detectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from dfer_data.types import Detection, Floats, Image, LandmarkScheme


class Detector(Protocol):
    """Finds faces in pictures. The result for a picture never depends on its batch."""

    @property
    def scheme(self) -> LandmarkScheme:
        """Meaning of the five landmarks."""
        ...

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        """Return the faces of each (H, W, 3) uint8 RGB picture, best score first, in pixels of that picture."""
        ...


@dataclass(frozen=True)
class Scaling:
    """How a picture was resized for a detector: x' = (x + 0.5) k - 0.5 on each axis."""

    width_px: int
    """Width of the resized picture."""
    height_px: int
    """Height of the resized picture."""
    scale_x: float
    """Resized width over source width."""
    scale_y: float
    """Resized height over source height."""

    def to_source(self, points: Floats) -> Floats:
        """Map (..., 2) points of the resized picture to the source picture."""
        scale = np.array([self.scale_x, self.scale_y], np.float64)
        return ((points + 0.5) / scale - 0.5).astype(np.float32)


def scaling_to_long_side(image: Image, *, long_side_px: int) -> Scaling:
    """Return the scaling that makes the longer side `long_side_px`, up or down."""
    height, width = image.shape[:2]
    scale = long_side_px / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    return Scaling(new_width, new_height, new_width / width, new_height / height)


def resize(image: Image, scaling: Scaling) -> Image:
    """Resize a picture: area averaging downwards, bilinear upwards."""
    height, width = image.shape[:2]
    if (width, height) == (scaling.width_px, scaling.height_px):
        return image
    method = cv2.INTER_AREA if scaling.scale_x < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (scaling.width_px, scaling.height_px), interpolation=method), np.uint8)


def box_iou(box: Floats, others: Floats) -> Floats:
    """Return the intersection over union of one (4,) box with each of (N, 4)."""
    overlap = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    intersection = np.clip(overlap, 0, None).prod(axis=1)
    area, areas = (box[2:] - box[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(axis=1)
    union = area + areas - intersection
    return np.asarray(np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0), np.float32)


@dataclass(frozen=True)
class InputFormat:
    """What a network expects of a picture."""

    mean_rgb: tuple[float, float, float]
    """Subtracted from each channel, 0..255."""
    scale_rgb: tuple[float, float, float] | None
    """Factor for each channel after the mean is subtracted; None: no scaling."""
    is_bgr: bool
    """Whether the channels are in BGR order."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """The anchors of one picture that reach a score, with a network's outputs for them."""

    anchors: npt.NDArray[np.int64]
    """(K,) rows of the anchors, rising."""
    boxes: Floats
    """(K, 4) float32 regressions."""
    scores: Floats
    """(K,) float32, 0..1."""
    landmarks: Floats
    """(K, 10) float32 regressions."""


Network = Callable[[Floats], tuple[Floats, Floats, Floats]]
"""(B, 3, H, W) float32 -> boxes (B, A, 4), scores (B, A, 2), landmarks (B, A, 10), float32."""


class PictureNetwork(ABC):
    """A network that takes pictures as they are and returns what reaches a score: little goes to and from a GPU."""

    @abstractmethod
    def __call__(
        self, pictures: Image, shape: tuple[int, int, int, int], wanted: InputFormat, *, least_score: float
    ) -> list[Candidates]:
        """Return the candidates of each picture.

        `pictures`: (N, h, w, 3) RGB uint8; `shape`: (B, 3, H, W) of the network's input, padded with 0 at the right,
        below and behind.
        """
