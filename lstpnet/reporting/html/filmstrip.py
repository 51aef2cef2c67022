"""Draw the aligned test frames of a clip as one small JPEG, at most eight per line."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from dfer_data.frame_sampling import CLIP_FRAMES
from dfer_data.types import Image

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

FRAME_PX, FRAMES_PER_LINE, QUALITY = 56, 8, 50
_EMPTY = 127


def filmstrip(frames: Image) -> bytes:
    """Return a JPEG of frames (T, 3, S, S) in lines of eight, left to right; the rest of the last line is grey."""
    num_columns = min(FRAMES_PER_LINE, len(frames))
    num_empty = -len(frames) % num_columns
    cells = np.concatenate([frames, np.full((num_empty, *frames.shape[1:]), _EMPTY, np.uint8)])
    lines = cells.reshape(-1, num_columns, *frames.shape[1:])  # (lines, columns, 3, S, S)
    sheet = lines.transpose(0, 3, 1, 4, 2).reshape(len(lines) * frames.shape[2], -1, 3)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(sheet), quality=QUALITY, colorsubsampling="420"))


def clip_filmstrip(dataset: PreparedDataset, clip_id: str, *, num_frames: int = CLIP_FRAMES) -> str:
    """Return a clip's filmstrip in base 64. Raises UsageError without faces, CorruptShardError for damaged bytes."""
    frames = dataset.read_clip(clip_id, num_frames=num_frames, size_px=FRAME_PX)
    return base64.b64encode(filmstrip(frames)).decode("ascii")
