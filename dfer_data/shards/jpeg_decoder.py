"""Decode the JPEGs of a shard: each size is checked, and memory is used again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from dfer_data.errors import CorruptShardError
from dfer_data.types import Image
from dfer_data.video.resize import LEAST_SHRINK, resized

if TYPE_CHECKING:
    from dfer_data.video.resize_rules import JpegScale, ResizeRule

_MAX_CROP_PIXELS = 8192 * 4320
"""Pixels of the largest shipped crop that is decoded, as for a frame of a video."""


class JpegDecoder:
    """Decodes pictures, each into its own array or into one of a requested size; threads may share a decoder."""

    def __init__(self, *, size_px: int | None) -> None:
        """`size_px`: side that every picture must have; None: any of up to _MAX_CROP_PIXELS."""
        self._size_px = size_px
        self._local = threading.local()  # of each thread: the shape of its last picture, and memory for larger ones

    def decoded(self, jpeg: Image, where: str) -> Image:
        """Return a picture, (H, W, 3) uint8 RGB.

        Raises CorruptShardError, which names `where`, for bytes that are not a readable JPEG and for a wrong size.
        """
        self._check_size(_original_size(jpeg, where), where)
        try:
            return np.asarray(simplejpeg.decode_jpeg(jpeg), np.uint8)
        except ValueError as error:
            raise CorruptShardError(f"{where} is not a readable JPEG: {error}") from error

    def decode_into(self, jpeg: Image, out: Image, where: str, *, resize: ResizeRule, decode: JpegScale) -> None:
        """Decode a picture into `out`, (size, size, 3) uint8 and contiguous, and resize one of another size.

        Raises what `decoded` raises. Threads wait for each other where a call hands over the lock of the interpreter,
        so this makes few calls: a picture of the size of the one before is decoded straight into its place.
        """
        least_px = 0
        if decode == "scaled":
            self._check_size(_original_size(jpeg, where), where)
            least_px = len(out)
        fits = getattr(self._local, "shape", out.shape) == out.shape
        buffer = out if fits else getattr(self._local, "buffer", out)
        try:
            image = simplejpeg.decode_jpeg(
                jpeg, buffer=buffer, min_height=least_px, min_width=least_px, min_factor=LEAST_SHRINK
            )
        except ValueError:  # damaged, or larger than the buffer
            image = self._decode_larger(jpeg, where, least_px=least_px)
            buffer = self._local.buffer
        if not least_px:
            self._check_size(image.shape[:2], where)
        self._local.shape = image.shape
        if buffer is not out:
            resized(image, size_px=len(out), rule=resize, out=out)
        elif image.shape != out.shape:
            resized(image.copy(), size_px=len(out), rule=resize, out=out)

    def _decode_larger(self, jpeg: Image, where: str, *, least_px: int) -> Image:
        """Decode a picture into memory that it fits in, which is kept for the next ones."""
        self._check_size(_original_size(jpeg, where), where)
        height, width, *_ = simplejpeg.decode_jpeg_header(
            jpeg, min_height=least_px, min_width=least_px, min_factor=LEAST_SHRINK
        )
        buffer = self._local.buffer = np.empty(int(height) * int(width) * 3, np.uint8)
        try:
            image = simplejpeg.decode_jpeg(
                jpeg, buffer=buffer, min_height=least_px, min_width=least_px, min_factor=LEAST_SHRINK
            )
            return np.asarray(image, np.uint8)
        except ValueError as error:
            raise CorruptShardError(f"{where} is not a readable JPEG: {error}") from error

    def _check_size(self, size: tuple[int, ...], where: str) -> None:
        """Raise CorruptShardError for a picture of another size (height, width) than the shard's frames have."""
        height, width = size
        if self._size_px is not None and (height, width) != (self._size_px, self._size_px):
            raise CorruptShardError(f"{where} has {width} x {height} pixels, not {self._size_px} x {self._size_px}")
        if height * width > _MAX_CROP_PIXELS:
            raise CorruptShardError(f"{where} has {width} x {height} pixels, more than {_MAX_CROP_PIXELS}")


def _original_size(jpeg: Image, where: str) -> tuple[int, int]:
    """Return height and width of a JPEG; CorruptShardError if its header cannot be read."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise CorruptShardError(f"{where} is not a readable JPEG: {error}") from error
    return int(height), int(width)
