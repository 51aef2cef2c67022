"""Resize pictures by a named rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from dfer_data.types import Image

if TYPE_CHECKING:
    from dfer_data.video.resize_rules import ResizeRule

LEAST_SHRINK = 2
"""Decoding at a larger share than 1 / LEAST_SHRINK takes longer than decoding every pixel and resizing."""


def resized(image: Image, *, size_px: int, rule: ResizeRule = "area", out: Image | None = None) -> Image:
    """Resize an (H, W, 3) picture to (size, size, 3), ignoring its aspect ratio, as the field's loaders do.

    `out`: array for the result, (size, size, 3) uint8 and contiguous; without it, a picture of this size is returned as
    it is.
    """
    height, width = image.shape[:2]
    if (height, width) == (size_px, size_px):
        if out is None:
            return image
        out[:] = image
        return out
    method = cv2.INTER_AREA if averages((height, width), size_px=size_px, rule=rule) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size_px, size_px), dst=out, interpolation=method), np.uint8)


def averages(size: tuple[int, int], *, size_px: int, rule: ResizeRule) -> bool:
    """Whether a picture of `size` (height, width) is averaged over areas, not interpolated."""
    least_shrink = {"auto": 2 * size_px, "area": size_px + 1, "linear": max(size) + 1}[rule]
    return min(size) >= least_shrink
