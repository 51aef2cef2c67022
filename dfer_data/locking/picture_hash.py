"""The difference hash of a face: 64 bits that tell whether two JPEGs show the same picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import simplejpeg

from dfer_data.config import PrepareConfig

SAME_BITS = 3
"""Two pictures are the same if at most so many bits of their hashes differ."""
_ROWS, _COLUMNS = 8, 9
_LEAST_PX = 16


def picture_hash(payload: bytes, config: PrepareConfig) -> int:
    """Return the hash of stored bytes, a JPEG or with `store` clips16 pixels. Raises ValueError for another JPEG.

    The luma is averaged over 8 rows of 9 cells. Bit 8 * row + column, from the least one, is set where a cell is
    darker than the one on its right by more than half a level: plain walls have no difference, and rounding must not
    decide their bits.
    """
    if config.store == "clips16":
        pixels = np.frombuffer(payload, np.uint8).reshape(config.size_px, config.size_px, 3).astype(np.int64)
        luma = (pixels @ np.array([299, 587, 114])) // 1000
    else:
        luma = np.asarray(simplejpeg.decode_jpeg(payload, colorspace="GRAY"), np.int64)[:, :, 0]
    for axis in (0, 1):
        if luma.shape[axis] < _LEAST_PX:
            luma = np.repeat(luma, _LEAST_PX, axis)
    sums, counts = _cells(luma)
    left, right, area = sums[:, :-1] * counts[:, 1:], sums[:, 1:] * counts[:, :-1], counts[:, 1:] * counts[:, :-1]
    is_darker = 2 * (right - left) > area
    return int.from_bytes(np.packbits(is_darker.ravel(), bitorder="little").tobytes(), "little")


def _cells(luma: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the sums and the numbers of pixels (8, 9) of the cells of a picture (H, W)."""
    height, width = luma.shape
    rows = np.arange(_ROWS + 1) * height // _ROWS
    columns = np.arange(_COLUMNS + 1) * width // _COLUMNS
    sums = np.add.reduceat(np.add.reduceat(luma, rows[:-1], axis=0), columns[:-1], axis=1)
    return sums, np.outer(np.diff(rows), np.diff(columns))


def num_different_bits(one: int, other: int) -> int:
    """Return the number of bits in which two hashes differ, 0 to 64."""
    return (one ^ other).bit_count()
