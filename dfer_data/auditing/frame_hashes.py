"""Perceptual hashes of the stored faces of a clip: low frequencies of each frame, without brightness and contrast.

A stored face is aligned, so letterboxes, sizes and positions in the picture are gone. What is left of a different
alignment (a shifted, turned or larger face) is small and much the same in all frames: `Film.shifts` holds the four
directions in which it changes a hash, and the comparison over time leaves them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from dfer_data.types import Image

Vectors = npt.NDArray[np.float64]
HASH_VERSION = 1
"""Of the hashes in the work folder of an audit; it counts up with every change of `hashed`."""
NUM_VALUES = 63
_SIDE_PX, _MARGIN_PX, _NUM_WAVES = 56, 6, 8
_SCALE = 8192  # hashes are kept as int16
_SHIFT_BLUR_PX = 1.5


@dataclass(frozen=True, eq=False)
class Film:
    """The hashes of a clip."""

    hashes: Vectors
    """(T, 63), each of length 1: what frames look like."""
    directions: Vectors
    """(63, 4): how hashes change with the alignment of the face."""
    rate: float
    """Stored frames per second; 0 when it is unknown."""

    @cached_property
    def shifts(self) -> Vectors:
        """(63, 4), orthonormal: the space of `directions`."""
        return np.asarray(np.linalg.qr(self.directions)[0])

    @property
    def mirrored(self) -> Film:
        """The same clip with left and right exchanged."""
        return Film(self.hashes * _MIRROR, self.directions * _MIRROR[:, None], self.rate)


@dataclass(frozen=True, eq=False)
class StoredFilm:
    """What `hashed` returned of a clip: a quarter of the memory of its Film."""

    stored: npt.NDArray[np.int16]
    rate: float
    """Stored frames per second; 0 when it is unknown."""

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.stored) - 4

    def film(self) -> Film:
        """Return the hashes."""
        return film_of(self.stored, rate=self.rate)


def _waves(num_px: int) -> Vectors:
    """Return the first cosines of the DCT-II of a line of pixels, (waves, pixels)."""
    place, wave = np.arange(num_px), np.arange(_NUM_WAVES)
    cosines = np.cos(np.pi * (2 * place[None] + 1) * wave[:, None] / (2 * num_px)) * np.sqrt(2 / num_px)
    cosines[0] /= np.sqrt(2)
    return np.asarray(cosines, np.float64)


_COSINES = _waves(_SIDE_PX - 2 * _MARGIN_PX)
_MIRROR: Vectors = np.tile((-1.0) ** np.arange(_NUM_WAVES), _NUM_WAVES)[1:]


def small_face(jpeg: bytes) -> Image:
    """Return a stored face as (56, 56) uint8, grey. ValueError for bytes that are no JPEG."""
    grey = simplejpeg.decode_jpeg(jpeg, colorspace="GRAY", min_height=_SIDE_PX, min_width=_SIDE_PX, min_factor=1)
    return _small(grey[..., 0])


def small_picture(picture: Image) -> Image:
    """Return (H, W, 3) uint8 RGB as `small_face` does."""
    return _small(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8))


def _small(grey: Image) -> Image:
    return np.asarray(cv2.resize(grey, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def hashed(faces: Sequence[Image]) -> npt.NDArray[np.int16]:
    """Return the hashes of the small faces of a clip, and its four shifts, as (T + 4, 63) int16."""
    film = np.asarray(faces, np.float64)
    mean = cv2.GaussianBlur(film.mean(axis=0), (0, 0), _SHIFT_BLUR_PX)
    down, right = np.gradient(mean)
    y, x = np.mgrid[:_SIDE_PX, :_SIDE_PX] - (_SIDE_PX - 1) / 2
    shifts = np.stack([right, down, right * x + down * y, right * y - down * x])
    values = np.concatenate([_low_frequencies(film), _low_frequencies(shifts)])
    return np.rint(_SCALE * _unit(values)).astype(np.int16)


def film_of(stored: npt.NDArray[np.int16], *, rate: float) -> Film:
    """Return the film of what `hashed` returned."""
    values = stored.astype(np.float64) / _SCALE
    return Film(_unit(values[:-4]), values[-4:].T, rate)


def _low_frequencies(pictures: Vectors) -> Vectors:
    inner = pictures[:, _MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]
    return np.asarray((_COSINES @ inner @ _COSINES.T).reshape(len(pictures), -1)[:, 1:])


def _unit(values: Vectors) -> Vectors:
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9))
