"""The bytes of one shard: a safetensors file of aligned faces and their measurements, and its reader.

The JPEG (or pixel) payload is the last tensor, so everything before it, the index, is read and checked in one go. The
file is assembled by streaming from a spool on disk: memory stays flat however long the videos are. docs/formats.md
describes every field.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from safetensors import SafetensorError, safe_open

from dfer_data.config import Store
from dfer_data.errors import CorruptShardError, FormatVersionError
from dfer_data.sample import CLIP_FRAMES, segments_test
from dfer_data.types import Floats, Image
from dfer_data.weights import sha256_file

FORMAT_VERSION = 1
_COPY_BYTES = 1 << 20
_DTYPE_NAMES = {"<i8": "I64", "<i4": "I32", "<u4": "U32", "<f4": "F32", "|u1": "U8"}


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """What a shard keeps of one aligned frame besides its picture."""

    frame_index: int
    """Position in the source video's decoding order."""
    pts_seconds: float
    """Presentation time; NaN where the source has none."""
    box: Floats
    """(4,) float32 source pixels; NaN for shipped crops."""
    landmarks: Floats
    """(5, 2) float32 source pixels after smoothing; NaN for shipped crops."""
    score: float
    """Detector's score; NaN for interpolated frames and shipped crops."""
    flags: int
    """FrameFlag bits."""


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


class ShardWriter:
    """Collects clips into a spool file, then writes the shard. One clip at a time, inside `with writer.clip():`."""

    def __init__(self, spool: Path, *, store: Store, size_px: int) -> None:
        """Start an empty shard with its payload in the new file `spool`."""
        self._spool_path = spool
        self._spool: IO[bytes] = spool.open("w+b")
        self._store = store
        self._size_px = size_px
        self._records: list[FrameRecord] = []
        self._crc32: list[int] = []
        self._frame_ends: list[int] = []
        self._clip_ends: list[int] = []
        self._clip16: list[npt.NDArray[np.int32]] = []

    @property
    def num_clips(self) -> int:
        """Number of finished clips; the next clip's row."""
        return len(self._clip_ends)

    @contextlib.contextmanager
    def clip(self) -> Iterator[None]:
        """Make what is added inside one clip; an exception takes it back whole."""
        num_frames, num_bytes = len(self._records), self._spool.tell()
        try:
            yield
            clip16 = segments_test(len(self._records) - num_frames)
        except BaseException:
            del self._records[num_frames:], self._crc32[num_frames:], self._frame_ends[num_frames:]
            self._spool.seek(num_bytes)
            self._spool.truncate()
            raise
        self._clip_ends.append(len(self._records))
        self._clip16.append(clip16)

    def add(self, payload: bytes, record: FrameRecord) -> None:
        """Append one frame: JPEG bytes, or raw (size, size, 3) RGB bytes with `--store clips16`."""
        self._spool.write(payload)
        self._records.append(record)
        self._crc32.append(zlib.crc32(payload))
        self._frame_ends.append(self._spool.tell())

    def finish(self, target: Path) -> ShardFile:
        """Write the shard to `target`, synced to disk, remove the spool, return its sizes and hashes."""
        tensors = self._index_tensors()
        payload_name, payload_shape = self._payload()
        header = _header(tensors, payload_name, payload_shape, self._spool.tell(), store=self._store)
        index = header + b"".join(array.tobytes() for array in tensors.values())
        with target.open("wb") as file:
            file.write(index)
            self._spool.seek(0)
            shutil.copyfileobj(self._spool, file, _COPY_BYTES)
            file.flush()
            os.fsync(file.fileno())
        self.close()
        return ShardFile(target.stat().st_size, sha256_file(target), len(index), zlib.crc32(index))

    def close(self) -> None:
        """Drop the spool; harmless when done already."""
        self._spool.close()
        self._spool_path.unlink(missing_ok=True)

    def _index_tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors before the payload, widest items first, so that each lies aligned in the file."""
        records, num_frames = self._records, len(self._records)
        offsets = {"frame_offsets": np.array([0, *self._frame_ends], "<i8")} if self._store == "frames" else {}
        return offsets | {
            "clip_offsets": np.array([0, *self._clip_ends], "<i8"),
            "pts_seconds": np.array([record.pts_seconds for record in records], "<f4"),
            "box": np.array([record.box for record in records], "<f4").reshape(num_frames, 4),
            "landmarks": np.array([record.landmarks for record in records], "<f4").reshape(num_frames, 5, 2),
            "score": np.array([record.score for record in records], "<f4"),
            "crc32": np.array(self._crc32, "<u4"),
            "frame_index": np.array([record.frame_index for record in records], "<i4"),
            "clip16_index": np.array(self._clip16, "<i4").reshape(self.num_clips, CLIP_FRAMES),
            "flags": np.array([record.flags for record in records], "|u1"),
        }

    def _payload(self) -> tuple[str, list[int]]:
        if self._store == "frames":
            return "jpeg", [self._spool.tell()]
        return "clips", [self.num_clips, CLIP_FRAMES, self._size_px, self._size_px, 3]


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
        if not (0 <= row < self.num_clips and 0 <= index < self.num_frames(row)):
            raise IndexError(f"{self._path} has no frame {index} in row {row}")
        position = int(self.clip_offsets[row]) + index
        where = f"{self._path}: frame {index} of clip {clip_id or f'in row {row}'}"
        payload = self._frame_bytes(row, index, position)
        if zlib.crc32(payload.data) != int(self.crc32[position]):
            raise CorruptShardError(
                f"{where} does not match its CRC-32; run `dfer verify --deep`, then remake the shard"
            )
        if self.store == "clips16":
            return payload
        try:
            return np.asarray(simplejpeg.decode_jpeg(payload), np.uint8)
        except ValueError as error:
            raise CorruptShardError(f"{where} is not a readable JPEG: {error}") from error

    def _frame_bytes(self, row: int, index: int, position: int) -> Image:
        if self._offsets is None:
            picture: Image = np.ascontiguousarray(self._payload[row, index])
            return picture
        jpeg: Image = self._payload[int(self._offsets[position]) : int(self._offsets[position + 1])]
        return jpeg
