"""Draw the sixteen aligned frames of a clip as one small JPEG, eight per line."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from dfer_data.types import Image

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

FRAME_PX, FRAMES_PER_LINE, QUALITY = 56, 8, 50
FILMSTRIP_WIDTH_PX, FILMSTRIP_HEIGHT_PX = FRAME_PX * FRAMES_PER_LINE, FRAME_PX * 2
"""Size of a filmstrip in pixels."""


def filmstrip(frames: Image) -> bytes:
    """Return a JPEG of frames (16, 3, S, S) in two lines of eight, left to right."""
    lines = frames.reshape(-1, FRAMES_PER_LINE, *frames.shape[1:])  # (2, 8, 3, S, S)
    sheet = lines.transpose(0, 3, 1, 4, 2).reshape(len(lines) * frames.shape[2], -1, 3)  # (2 * S, 8 * S, 3)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(sheet), quality=QUALITY, colorsubsampling="420"))


def clip_filmstrip(dataset: PreparedDataset, clip_id: str) -> str:
    """Return a clip's filmstrip in base 64. Raises UsageError without faces, CorruptShardError for damaged bytes."""
    return base64.b64encode(filmstrip(dataset.read_clip(clip_id, size_px=FRAME_PX))).decode("ascii")
