"""Read the clips of one shard, local or remote; the CRC-32 of every frame is checked before decoding."""

from __future__ import annotations

import json
import struct
import zlib
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg

from dfer_data.errors import CorruptShardError, FormatVersionError
from dfer_data.shards.layout import FORMAT_VERSION
from dfer_data.storage.shard_bytes import ShardBytes
from dfer_data.types import Image
from dfer_data.video.resize import resized

_DTYPES = {"I64": "<i8", "I32": "<i4", "U32": "<u4", "F32": "<f4", "U8": "|u1"}


class ShardReader:
    """Reads clips of one shard."""

    def __init__(self, source: ShardBytes, *, index_bytes: int, index_crc32: int) -> None:
        """Open a shard and check its index; raises CorruptShardError for changed bytes, FormatVersionError."""
        self._source, self._name, self._index_bytes = source, source.name, index_bytes
        try:
            index, size = source.index(index_bytes, index_crc32), source.size()
        except OSError as error:
            raise CorruptShardError(f"{self._name}: cannot be opened as a shard: {error}") from error
        if len(index) != index_bytes or zlib.crc32(index) != index_crc32:
            raise CorruptShardError(f"{self._name}: the index does not match its CRC-32; restore or remake this shard")
        metadata, self._tensors, payload_shape, payload_bytes = _parse_index(index)
        if int(metadata.get("format_version", 0)) != FORMAT_VERSION:
            raise FormatVersionError(
                f"{self._name} has shard format {metadata.get('format_version')}, this dfer reads {FORMAT_VERSION}"
            )
        self.store: str = metadata["store"]
        if size is not None and size != index_bytes + payload_bytes:
            raise CorruptShardError(
                f"{self._name} has {size} bytes, its index requires {index_bytes + payload_bytes}; restore or remake it"
            )
        self.clip_offsets: npt.NDArray[np.int64] = self._tensors["clip_offsets"]
        self.crc32: npt.NDArray[np.uint32] = self._tensors["crc32"]
        self._frame_shape = tuple(payload_shape[2:])
        self._offsets: npt.NDArray[np.int64] = (
            self._tensors["frame_offsets"]
            if self.store == "frames"
            else np.arange(len(self.crc32) + 1) * int(np.prod(self._frame_shape))
        )

    @property
    def num_clips(self) -> int:
        """Number of clips in the shard."""
        return len(self.clip_offsets) - 1

    def tensor(self, name: str) -> npt.NDArray[Any]:
        """Return an entire index tensor; docs/formats.md lists the names."""
        return self._tensors[name]

    def num_frames(self, row: int) -> int:
        """Return the number of stored frames of the clip in `row`."""
        return int(self.clip_offsets[row + 1] - self.clip_offsets[row])

    def clip16_index(self, row: int) -> npt.NDArray[np.int32]:
        """Return the indices of the 16 deterministic test frames within the clip in `row`, (16,) int32."""
        index: npt.NDArray[np.int32] = self._tensors["clip16_index"][row]
        return index

    def jpeg(self, row: int, index: int, *, clip_id: str = "") -> Image:
        """Return the stored bytes of a frame, uint8 (n,): JPEG, or pixels with `clips16`. Raises what `frame` does."""
        return self._checked_bytes(row, index, clip_id)[0]

    def frame(self, row: int, index: int, *, clip_id: str = "") -> Image:
        """Return stored frame `index` of the clip in `row` as (H, W, 3) uint8 RGB.

        Raises CorruptShardError with the shard and `clip_id` when the bytes fail their CRC-32 or do not decode,
        IndexError for a frame that the clip does not have.
        """
        payload, where = self._checked_bytes(row, index, clip_id)
        if self.store == "clips16":
            return payload.reshape(self._frame_shape).copy()
        return _decoded(payload, where)

    def read_into(self, row: int, index: int, out: Image, *, clip_id: str = "") -> None:
        """Read a frame into `out`, (size, size, 3) uint8 and contiguous, and resize it where its size differs.

        Raises what `frame` raises.
        """
        payload, where = self._checked_bytes(row, index, clip_id)
        if self.store == "clips16":
            out[:] = resized(payload.reshape(self._frame_shape), size_px=len(out))
        elif _jpeg_size(payload, where) == out.shape[:2]:
            _decoded(payload, where, buffer=out)
        else:
            out[:] = resized(_decoded(payload, where), size_px=len(out))

    def _checked_bytes(self, row: int, index: int, clip_id: str) -> tuple[Image, str]:
        """Return the bytes of a frame, and its description for error messages."""
        if not (0 <= row < self.num_clips and 0 <= index < self.num_frames(row)):
            raise IndexError(f"{self._name} has no frame {index} in row {row}")
        first, last = int(self.clip_offsets[row]), int(self.clip_offsets[row + 1])
        begin, end = int(self._offsets[first]), int(self._offsets[last])
        where = f"{self._name}: frame {index} of clip {clip_id or f'in row {row}'}"
        try:
            clip = self._source.clip(
                self._index_bytes + begin, self._index_bytes + end, partial(self._is_intact, first, last)
            )
        except OSError as error:
            raise CorruptShardError(f"{where} cannot be read: {error}") from error
        payload = clip[int(self._offsets[first + index]) - begin : int(self._offsets[first + index + 1]) - begin]
        if zlib.crc32(payload.data) != int(self.crc32[first + index]):
            raise CorruptShardError(
                f"{where} does not match its CRC-32; run `dfer verify --deep`, then remake the shard"
            )
        return payload, where

    def _is_intact(self, first: int, last: int, clip: Image) -> bool:
        """Whether these bytes match the CRC-32 of frames `first` to `last` (exclusive)."""
        offsets = self._offsets[first : last + 1] - self._offsets[first]
        return len(clip) == offsets[-1] and all(
            zlib.crc32(clip[a:b].data) == int(crc32)
            for (a, b), crc32 in zip(pairwise(offsets.tolist()), self.crc32[first:last], strict=True)
        )


def _parse_index(index: bytes) -> tuple[dict[str, str], dict[str, npt.NDArray[Any]], list[int], int]:
    """Return metadata, the tensors before the payload, and shape and bytes of the payload, of a checked index."""
    (length,) = struct.unpack("<Q", index[:8])
    entries: dict[str, Any] = json.loads(index[8 : 8 + length])
    metadata = entries.pop("__metadata__", {})
    tensors, shape, num_bytes = {}, [], 0
    for name, entry in entries.items():
        if name in ("jpeg", "clips"):
            shape, num_bytes = entry["shape"], entry["data_offsets"][1] - entry["data_offsets"][0]
            continue
        start, stop = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(index[start:stop], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return metadata, tensors, shape, num_bytes


def _decoded(jpeg: Image, where: str, *, buffer: Image | None = None) -> Image:
    """Decode a JPEG, into `buffer` if given; CorruptShardError if it cannot be read."""
    try:
        return np.asarray(simplejpeg.decode_jpeg(jpeg, buffer=buffer), np.uint8)
    except ValueError as error:
        raise CorruptShardError(f"{where} is not a readable JPEG: {error}") from error


def _jpeg_size(jpeg: Image, where: str) -> tuple[int, int]:
    """Return height and width of a JPEG; CorruptShardError if its header cannot be read."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise CorruptShardError(f"{where} is not a readable JPEG: {error}") from error
    return int(height), int(width)
