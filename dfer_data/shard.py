"""The bytes of one shard: a safetensors file of aligned faces and their measurements, and its reader.

The JPEG (or pixel) payload is the last tensor, so everything before it, the index, is read and checked in one go. The
file is put together from finished videos on disk (spool.py) by streaming. docs/formats.md describes every field.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from safetensors import SafetensorError, safe_open

from dfer_data.align import resized
from dfer_data.config import Store
from dfer_data.errors import CorruptShardError, FormatVersionError
from dfer_data.sample import CLIP_FRAMES, baked_frames
from dfer_data.spool import RECORD, Spooled
from dfer_data.types import Image

FORMAT_VERSION = 1
_COPY_BYTES = 1 << 20
_DTYPE_NAMES = {"<i8": "I64", "<i4": "I32", "<u4": "U32", "<f4": "F32", "|u1": "U8"}


@dataclass(frozen=True)
class ShardFile:
    """Size and hashes of a finished shard, as its sidecar and dataset.json repeat them."""

    num_bytes: int
    """Of the whole file."""
    sha256: str
    """Of the whole file."""
    index_bytes: int
    """Length of the header and all tensors before the payload."""
    index_crc32: int
    """CRC-32 of those bytes."""


def write_shard(
    target: Path,
    videos: Sequence[Spooled],
    *,
    store: Store,
    size_px: int,
    on_progress: Callable[[], None] = lambda: None,
) -> ShardFile:
    """Write the shard of these finished videos to `target`, synced to disk; return its sizes and hashes."""
    tensors = _index_tensors(videos, store=store)
    num_bytes = sum(video.stem.with_suffix(".frames").stat().st_size for video in videos)
    num_clips = len(tensors["clip_offsets"]) - 1
    shape = [num_bytes] if store == "frames" else [num_clips, CLIP_FRAMES, size_px, size_px, 3]
    header = _header(tensors, "jpeg" if store == "frames" else "clips", shape, num_bytes, store=store)
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
    return ShardFile(len(index) + num_bytes, digest.hexdigest(), len(index), zlib.crc32(index))


def _index_tensors(videos: Sequence[Spooled], *, store: Store) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors before the payload, widest items first, so that each lies aligned in the file."""
    records = np.concatenate([np.empty(0, RECORD), *(video.records() for video in videos)])
    frames_per_clip = np.array([number for video in videos for number in video.frames_per_clip], "<i8")
    clip16 = [baked_frames(int(number)) for number in frames_per_clip]
    tensors: dict[str, npt.NDArray[Any]] = {}
    if store == "frames":
        tensors["frame_offsets"] = _offsets(records["num_bytes"])
    tensors["clip_offsets"] = _offsets(frames_per_clip)
    for name in ("pts_seconds", "box", "landmarks", "score", "crc32", "frame_index"):
        tensors[name] = np.ascontiguousarray(records[name])
    tensors["clip16_index"] = np.array(clip16, "<i4").reshape(len(frames_per_clip), CLIP_FRAMES)
    return tensors | {"flags": np.ascontiguousarray(records["flags"])}


def _offsets(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype("<i8")


def _header(
    tensors: dict[str, npt.NDArray[Any]], payload_name: str, payload_shape: list[int], payload_bytes: int, *, store: str
) -> bytes:
    """Return the safetensors header: u64 length, JSON padded with spaces to a multiple of 8."""
    entries: dict[str, Any] = {
        "__metadata__": {"format": "dfer-shard", "format_version": str(FORMAT_VERSION), "store": store}
    }
    start = 0
    for name, array in tensors.items():
        stop = start + array.nbytes
        entries[name] = {
            "dtype": _DTYPE_NAMES[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    entries[payload_name] = {"dtype": "U8", "shape": payload_shape, "data_offsets": [start, start + payload_bytes]}
    text = json.dumps(entries, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


class ShardReader:
    """Reads clips of one shard; every picture's CRC-32 is checked before it is decoded."""

    def __init__(self, path: Path, *, index_bytes: int, index_crc32: int) -> None:
        """Open a shard and check its index; CorruptShardError if the bytes are not those that were written."""
        self._path = path
        try:
            with path.open("rb") as file:
                index = file.read(index_bytes)
            if len(index) != index_bytes or zlib.crc32(index) != index_crc32:
                raise CorruptShardError(f"{path}: the index does not match its CRC-32; restore or remake this shard")
            self._file = safe_open(path, framework="numpy")
        except (OSError, SafetensorError) as error:
            raise CorruptShardError(f"{path}: cannot be opened as a shard: {error}") from error
        metadata = self._file.metadata() or {}
        if int(metadata.get("format_version", 0)) != FORMAT_VERSION:
            raise FormatVersionError(
                f"{path} has shard format {metadata.get('format_version')}, this dfer reads {FORMAT_VERSION}"
            )
        self.store: str = metadata["store"]
        self._payload = self._file.get_slice("jpeg" if self.store == "frames" else "clips")
        self.clip_offsets: npt.NDArray[np.int64] = self._file.get_tensor("clip_offsets")
        self.crc32: npt.NDArray[np.uint32] = self._file.get_tensor("crc32")
        self._offsets = self._file.get_tensor("frame_offsets") if self.store == "frames" else None

    @property
    def num_clips(self) -> int:
        """Number of clips in the shard."""
        return len(self.clip_offsets) - 1

    def tensor(self, name: str) -> npt.NDArray[Any]:
        """Return an index tensor whole, by the names of docs/formats.md."""
        array: npt.NDArray[Any] = self._file.get_tensor(name)
        return array

    def num_frames(self, row: int) -> int:
        """Return the number of stored frames of the clip in `row`."""
        return int(self.clip_offsets[row + 1] - self.clip_offsets[row])

    def clip16_index(self, row: int) -> npt.NDArray[np.int32]:
        """Return the 16 deterministic test frames (16,) int32 of the clip in `row`, counted inside the clip."""
        index: npt.NDArray[np.int32] = self._file.get_slice("clip16_index")[row]
        return index

    def frame(self, row: int, index: int, *, clip_id: str = "") -> Image:
        """Return stored frame `index` of the clip in `row` as (H, W, 3) uint8 RGB.

        Raises CorruptShardError naming the shard and `clip_id` when the bytes fail their CRC-32 or do not decode,
        IndexError for a frame that the clip does not have.
        """
        payload, where = self._checked_bytes(row, index, clip_id)
        return payload if self.store == "clips16" else _decoded(payload, where)

    def read_into(self, row: int, index: int, out: Image, *, clip_id: str = "") -> None:
        """Put a frame into `out`, (size, size, 3) uint8 and contiguous, resized where it is of another size.

        Raises what `frame` raises.
        """
        payload, where = self._checked_bytes(row, index, clip_id)
        if self.store == "clips16":
            out[:] = resized(payload, size_px=len(out))
        elif _jpeg_size(payload, where) == out.shape[:2]:
            _decoded(payload, where, buffer=out)
        else:
            out[:] = resized(_decoded(payload, where), size_px=len(out))

    def _checked_bytes(self, row: int, index: int, clip_id: str) -> tuple[Image, str]:
        """Return a frame's bytes, or its pixels if they are stored raw, and what to call it in an error."""
        if not (0 <= row < self.num_clips and 0 <= index < self.num_frames(row)):
            raise IndexError(f"{self._path} has no frame {index} in row {row}")
        position = int(self.clip_offsets[row]) + index
        where = f"{self._path}: frame {index} of clip {clip_id or f'in row {row}'}"
        payload = self._frame_bytes(row, index, position)
        if zlib.crc32(payload.data) != int(self.crc32[position]):
            raise CorruptShardError(
                f"{where} does not match its CRC-32; run `dfer verify --deep`, then remake the shard"
            )
        return payload, where

    def _frame_bytes(self, row: int, index: int, position: int) -> Image:
        if self._offsets is None:
            picture: Image = np.ascontiguousarray(self._payload[row, index])
            return picture
        jpeg: Image = self._payload[int(self._offsets[position]) : int(self._offsets[position + 1])]
        return jpeg


def _decoded(jpeg: Image, where: str, *, buffer: Image | None = None) -> Image:
    """Decode a JPEG, into `buffer` if there is one; CorruptShardError if it cannot be read."""
    try:
        return np.asarray(simplejpeg.decode_jpeg(jpeg, buffer=buffer), np.uint8)
    except ValueError as error:
        raise CorruptShardError(f"{where} is not a readable JPEG: {error}") from error


def _jpeg_size(jpeg: Image, where: str) -> tuple[int, int]:
    """Return height and width of a JPEG; CorruptShardError if it has none."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise CorruptShardError(f"{where} is not a readable JPEG: {error}") from error
    return int(height), int(width)
