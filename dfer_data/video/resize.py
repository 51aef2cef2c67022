"""Resize pictures."""

from __future__ import annotations

import cv2
import numpy as np

from dfer_data.types import Image


def resized(image: Image, *, size_px: int) -> Image:
    """Resize an (H, W, 3) picture to (size, size, 3), ignoring its aspect ratio, as the field's loaders do."""
    height, width = image.shape[:2]
    if (height, width) == (size_px, size_px):
        return image
    method = cv2.INTER_AREA if min(height, width) > size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size_px, size_px), interpolation=method), np.uint8)
