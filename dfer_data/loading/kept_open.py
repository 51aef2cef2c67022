"""Read single clips of datasets by their folder or URL; the datasets stay open between calls."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfer_data.frame_sampling import CLIP_FRAMES
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.layout import DATASET_NAME
from dfer_data.storage.files import place_of
from dfer_data.types import Floats


@lru_cache(maxsize=4)
def _opened(root: Path | str, mtime_ns: int) -> PreparedDataset:
    return PreparedDataset(root)


def read_clip(
    root: Path | str, clip_id: str, *, num_frames: int = CLIP_FRAMES, size_px: int = 224
) -> npt.NDArray[np.uint8]:
    """Return the test frames of a clip as (num_frames, 3, size, size) uint8 RGB.

    The dataset stays open between calls.
    """
    return _kept_open(root).read_clip(clip_id, num_frames=num_frames, size_px=size_px)


def read_audio(root: Path | str, clip_id: str) -> Floats:
    """Return the sound of a clip as (N,) float32 from -1 to 1, 16 kHz mono; see PreparedDataset.read_audio.

    The dataset stays open between calls.
    """
    return _kept_open(root).read_audio(clip_id)


def _kept_open(root: Path | str) -> PreparedDataset:
    """Return a dataset that stays open between calls, until its files change."""
    place = place_of(root)
    if isinstance(place, str):
        return _opened(place, 0)
    path = place.resolve() / DATASET_NAME
    return _opened(path.parent, path.stat().st_mtime_ns if path.is_file() else 0)
