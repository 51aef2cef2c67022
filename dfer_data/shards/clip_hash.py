"""Hashes of clips: of their stored measurements and of the CRC-32 of each of their frames."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

CLIP_TENSORS = ("crc32", "frame_index", "pts_seconds", "box", "landmarks", "score", "flags")
"""Tensors with a row per frame, in the order in which they are hashed."""


def clip_hashes(tensor: Callable[[str], npt.NDArray[Any]], clip_offsets: Sequence[int]) -> list[str]:
    """Return the sha256 of each clip of a shard; it does not depend on the shard that holds the clip.

    `tensor`: returns an index tensor by its name.
    """
    columns = [np.ascontiguousarray(tensor(name)) for name in CLIP_TENSORS]
    hashes = []
    for begin, end in pairwise(clip_offsets):
        digest = hashlib.sha256()
        for column in columns:
            digest.update(column[begin:end].tobytes())
        hashes.append(digest.hexdigest())
    return hashes


def joined_hashes(clips: Iterable[str], audio: Iterable[str]) -> list[str]:
    """Return the sha256 of each clip with sound: of the hashes of its frames and of its sound, as text."""
    pairs = zip(clips, audio, strict=True)
    return [hashlib.sha256(f"{clip}{sound}".encode("ascii")).hexdigest() for clip, sound in pairs]
