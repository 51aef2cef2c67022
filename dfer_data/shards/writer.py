"""Write one shard: a safetensors file of aligned faces and their measurements. reader.py reads it.

The JPEG (or pixel) payload is the last tensor, so everything before it, the index, is read and checked at once. The
file is streamed together from finished videos on disk (staging.py). docs/reference/formats.md describes every field.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dfer_data.config import Store
from dfer_data.frame_sampling import CLIP_FRAMES, baked_frames
from dfer_data.shards.clip_hash import clip_hashes
from dfer_data.shards.layout import FORMAT_VERSION
from dfer_data.shards.staging import RECORD, StagedVideo

_COPY_BYTES = 1 << 20
_DTYPE_NAMES = {"<i8": "I64", "<i4": "I32", "<u4": "U32", "<f8": "F64", "<f4": "F32", "|u1": "U8"}


@dataclass(frozen=True)
class ShardFile:
    """Size and hashes of a finished shard; its sidecar and dataset.json repeat them."""

    num_bytes: int
    """Size of the whole file."""
    sha256: str
    """Hash of the whole file."""
    index_bytes: int
    """Length of the index: the header and all tensors before the payload."""
    index_crc32: int
    """CRC-32 of the index."""
    clip_sha256: tuple[str, ...]
    """Hash of each clip, by row; see clip_hash.py."""


def write_shard(
    target: Path,
    videos: Sequence[StagedVideo],
    *,
    store: Store,
    size_px: int,
    on_progress: Callable[[], None] = lambda: None,
) -> ShardFile:
    """Write finished videos as one shard to `target` and sync it to disk; return its sizes and hashes."""
    tensors = _index_tensors(videos, store=store)
    num_bytes = sum(video.stem.with_suffix(".frames").stat().st_size for video in videos)
    num_clips = len(tensors["clip_offsets"]) - 1
    shape = [num_bytes] if store == "frames" else [num_clips, CLIP_FRAMES, size_px, size_px, 3]
    header = safetensors_header(
        {"format": "dfer-shard", "format_version": str(FORMAT_VERSION), "store": store},
        tensors,
        ("jpeg" if store == "frames" else "clips", "U8", shape, num_bytes),
    )
    index = header + b"".join(array.tobytes() for array in tensors.values())
    digest = hashlib.sha256(index)
    with target.open("wb") as file:
        file.write(index)
        for video in videos:
            with video.stem.with_suffix(".frames").open("rb") as payload:
                while chunk := payload.read(_COPY_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
                    on_progress()
        file.flush()
        os.fsync(file.fileno())
    hashes = clip_hashes(tensors.__getitem__, tensors["clip_offsets"].tolist())
    return ShardFile(len(index) + num_bytes, digest.hexdigest(), len(index), zlib.crc32(index), tuple(hashes))


def _index_tensors(videos: Sequence[StagedVideo], *, store: Store) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors before the payload, widest items first, so that each is aligned in the file."""
    records = np.concatenate([np.empty(0, RECORD), *(video.records() for video in videos)])
    frames_per_clip = np.array([number for video in videos for number in video.frames_per_clip], "<i8")
    clip16_index = [baked_frames(int(number)) for number in frames_per_clip]
    tensors: dict[str, npt.NDArray[Any]] = {}
    if store == "frames":
        tensors["frame_offsets"] = _offsets(records["num_bytes"])
    tensors["clip_offsets"] = _offsets(frames_per_clip)
    for name in ("pts_seconds", "box", "landmarks", "score", "crc32", "frame_index"):
        tensors[name] = np.ascontiguousarray(records[name])
    tensors["pts_seconds"] = tensors["pts_seconds"].astype("<f4")
    tensors["clip16_index"] = np.array(clip16_index, "<i4").reshape(len(frames_per_clip), CLIP_FRAMES)
    return tensors | {"flags": np.ascontiguousarray(records["flags"])}


def _offsets(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype("<i8")


def safetensors_header(
    metadata: Mapping[str, str],
    tensors: Mapping[str, npt.NDArray[Any]],
    payload: tuple[str, str, list[int], int],
) -> bytes:
    """Return the safetensors header: u64 length, JSON padded with spaces to a multiple of 8.

    `payload`: name, type, shape and bytes of the tensor after the others.
    """
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    start = 0
    for name, array in tensors.items():
        stop = start + array.nbytes
        entries[name] = {
            "dtype": _DTYPE_NAMES[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    payload_name, dtype, payload_shape, payload_bytes = payload
    entries[payload_name] = {"dtype": dtype, "shape": payload_shape, "data_offsets": [start, start + payload_bytes]}
    text = json.dumps(entries, separators=(",", ":"), allow_nan=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
