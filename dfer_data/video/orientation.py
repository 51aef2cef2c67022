"""Make decoded pictures upright, with square pixels and of one size, whatever changes in the middle of a video."""

from __future__ import annotations

import struct
from collections import deque
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np

from dfer_data.types import Image

Matrix = tuple[int, int, int, int]
"""a, b, c, d of a display matrix: a player shows pixel (x, y) at (a x + c y, b x + d y), moved back into view."""
_AS_STORED: Matrix = (1, 0, 0, 1)
_QUARTER_TURNS: tuple[Matrix, ...] = (_AS_STORED, (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))  # to the left

_FLIPS = {(False, False): None, (True, False): 1, (False, True): 0, (True, True): -1}  # OpenCV's codes


class Uprighter:
    """Follows the pixel shape and the display matrix of a video from picture to picture."""

    def __init__(self, sar: Fraction | None) -> None:
        """Take the sample aspect ratio that the container declares."""
        self.sar = float(sar or 1)
        self._is_followed = False
        self._decoder_sar: float | None = None
        self._changes: deque[tuple[int | None, float]] = deque()
        self._matrix: Matrix | None = None
        self._degrees = 0
        self._size_px: tuple[int, int] | None = None

    def note_decoder_sar(self, sar: Fraction | None, *, pts: int | None) -> None:
        """Take the decoder's aspect ratio after a packet. Pictures before `pts` may still be in the decoder."""
        now = float(sar or 1)
        if self._decoder_sar is None:
            self._is_followed = now == self.sar  # else the container knows better
        elif self._is_followed and now != self._decoder_sar:
            self._changes.append((pts, now))
        self._decoder_sar = now

    def follow(self, picture: av.VideoFrame) -> None:
        """Take the next picture of the video, whether it will be shown or not."""
        while self._changes and not _is_before(picture.pts, self._changes[0][0]):
            self.sar = self._changes.popleft()[1]
        rotation = picture.rotation
        # H.264 may state the matrix on the first picture alone: it holds until another comes.
        if self._matrix is None or rotation not in (0, self._degrees):
            self._matrix, self._degrees = _display_matrix(picture), rotation
        if self._size_px is None:
            width, height = max(1, round(picture.width * self.sar)), picture.height
            self._size_px = (height, width) if _is_transposed(self._matrix) else (width, height)

    def changes(self, width: int, height: int) -> bool:
        """Whether `apply` would change the picture followed last, which has this size."""
        return (self._matrix, self._size_px, max(1, round(width * self.sar))) != (_AS_STORED, (width, height), width)

    def apply(self, pixels: Image) -> Image:
        """Return the picture followed last, upright, with square pixels, in the size of the video's first picture."""
        assert self._matrix is not None
        assert self._size_px is not None
        height, width = pixels.shape[:2]
        square_width = max(1, round(width * self.sar))
        if square_width != width:
            pixels = _resized(pixels, square_width, height, cv2.INTER_LINEAR)
        return _fitted(_turned(pixels, self._matrix), *self._size_px)


def _is_before(pts: int | None, other: int | None) -> bool:
    return pts is not None and other is not None and pts < other


def _display_matrix(picture: av.VideoFrame) -> Matrix:
    """Return the display matrix; PyAV then keeps the picture until the next garbage collection: not for each one."""
    try:
        data: Any = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:  # side data of a kind that this PyAV has no name for
        return _QUARTER_TURNS[round(picture.rotation / 90) % 4]
    if data is None:
        return _AS_STORED
    a, b, _, c, d = struct.unpack_from("=5i", bytes(data))
    return a, b, c, d


def _is_transposed(matrix: Matrix) -> bool:
    """Return whether the nearest turn in steps of 90 degrees swaps width and height."""
    a, b, c, d = matrix
    return abs(b) + abs(c) > abs(a) + abs(d)


def _turned(image: Image, matrix: Matrix) -> Image:
    """Turn and mirror a picture in steps of 90 degrees, as a player does."""
    a, b, c, d = matrix
    is_transposed = _is_transposed(matrix)
    x_sign, y_sign = (c, b) if is_transposed else (a, d)
    if is_transposed:
        image = np.asarray(cv2.transpose(image), np.uint8)
    flip = _FLIPS[x_sign < 0, y_sign < 0]
    return image if flip is None else np.asarray(cv2.flip(image, flip), np.uint8)


def _fitted(image: Image, width_px: int, height_px: int) -> Image:
    """Scale a picture into a size without distortion; black bars fill the rest."""
    height, width = image.shape[:2]
    if (width, height) == (width_px, height_px):
        return image
    scale = min(width_px / width, height_px / height)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    image = _resized(image, inner_width, inner_height, cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    right, below = width_px - inner_width, height_px - inner_height
    if not (right or below):
        return image
    left, above = right // 2, below // 2
    bars = cv2.copyMakeBorder(image, above, below - above, left, right - left, cv2.BORDER_CONSTANT)
    return np.asarray(bars, np.uint8)


def _resized(image: Image, width_px: int, height_px: int, interpolation: int) -> Image:
    return np.asarray(cv2.resize(image, (width_px, height_px), interpolation=interpolation), np.uint8)
