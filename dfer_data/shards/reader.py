"""Read the clips of one shard, local or remote; the CRC-32 of every frame is checked before decoding."""

from __future__ import annotations

import json
import math
import operator
import re
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dfer_data.errors import CorruptShardError, FormatVersionError
from dfer_data.frame_sampling import BLACK, CLIP_FRAMES
from dfer_data.shards.layout import FORMAT_VERSION
from dfer_data.storage.shard_bytes import ShardBytes
from dfer_data.types import Image
from dfer_data.wording import counted

if TYPE_CHECKING:
    from dfer_data.video.resize_rules import JpegScale, ResizeRule

MALFORMED = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError)
"""What an index that no dfer writes raises while it is parsed; struct.error too."""
_DTYPES = {"I64": "<i8", "I32": "<i4", "U32": "<u4", "F64": "<f8", "F32": "<f4", "U8": "|u1"}


_ROWS = {"pts_seconds": ("<f4", ()), "box": ("<f4", (4,)), "landmarks": ("<f4", (5, 2)), "score": ("<f4", ())} | {
    "crc32": ("<u4", ()),
    "frame_index": ("<i4", ()),
    "flags": ("|u1", ()),
}
"""Tensor with a row per frame -> type, and shape of a row."""


def open_shard(document: Mapping[str, Any], number: int, source: ShardBytes) -> ShardReader:
    """Open shard `number` of a dataset.json, and check that it is the one described there. Raises as ShardReader."""
    facts, config = document["shards"][number], document["config"]
    reader = ShardReader(
        source,
        index_bytes=facts["index_bytes"],
        index_crc32=facts["index_crc32"],
        size_px=None if config["align"] == "given" and config["store"] == "frames" else config["size_px"],
    )
    if (reader.num_clips, reader.store) != (facts["num_clips"], config["store"]):
        raise CorruptShardError(
            f"{source.name} has {counted(reader.num_clips, 'clip')} as {reader.store}, dataset.json describes "
            f"{facts['num_clips']} as {config['store']}; get the dataset again"
        )
    return reader


@dataclass(frozen=True, slots=True)
class _StoredClip:
    """The bytes of a clip; a frame is checked when it is taken."""

    content: Image
    offsets: list[int]
    """Of its frames in the payload, and the end of the last one."""
    crc32: list[int]
    shard: str
    row: int
    name: str

    def where(self, index: int) -> str:
        """Return a frame's description for error messages."""
        return f"{self.shard}: frame {index} of clip {self.name}"

    def frame(self, index: int) -> Image:
        """Return the bytes of a frame. Raises CorruptShardError if they changed, IndexError for an unknown frame."""
        if not 0 <= index < len(self.crc32):
            raise IndexError(f"{self.shard} has no frame {index} in row {self.row}")
        begin = self.offsets[0]
        payload = self.content[self.offsets[index] - begin : self.offsets[index + 1] - begin]
        if zlib.crc32(payload.data) != self.crc32[index]:
            raise CorruptShardError(
                f"{self.where(index)} does not match its CRC-32; run `dfer verify --deep`, then remake the shard"
            )
        return payload


class ShardReader:
    """Reads clips of one shard."""

    def __init__(self, source: ShardBytes, *, index_bytes: int, index_crc32: int, size_px: int | None = None) -> None:
        """Open a shard and check its index; raises CorruptShardError for changed bytes, FormatVersionError.

        `size_px`: side of every frame, which is checked before a frame is decoded; None: any of a crop.
        """
        self._source, self._name, self._index_bytes = source, source.name, index_bytes
        from dfer_data.shards.jpeg_decoder import JpegDecoder  # a dataset opens without it

        self._decoder = JpegDecoder(size_px=size_px)
        metadata, self._tensors, payload_shape, payload_bytes = read_index(source, index_bytes, index_crc32)
        self.store: str = metadata.get("store", "")
        if fault := next(_index_faults(self.store, self._tensors, payload_shape, payload_bytes, size_px=size_px), ""):
            raise CorruptShardError(f"{self._name}: the index {fault}; get this shard again, or remake it")
        check_size(source, index_bytes + payload_bytes)
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
        """Return an entire index tensor; docs/reference/formats.md lists the names."""
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
        return self._stored_clip(row, clip_id).frame(index)

    def jpegs(self, row: int, indices: Sequence[int], *, clip_id: str = "") -> list[bytes]:
        """Return the stored bytes of several frames of a clip, read together. Raises what `frame` does."""
        clip = self._stored_clip(row, clip_id)
        return [clip.frame(index).tobytes() for index in indices]

    def frame_bytes(self, row: int) -> list[int]:
        """Return the number of stored bytes of each frame of the clip in `row`."""
        first, last = int(self.clip_offsets[row]), int(self.clip_offsets[row + 1])
        lengths: list[int] = np.diff(self._offsets[first : last + 1]).tolist()
        return lengths

    def frame(self, row: int, index: int, *, clip_id: str = "") -> Image:
        """Return stored frame `index` of the clip in `row` as (H, W, 3) uint8 RGB.

        Raises CorruptShardError with the shard and `clip_id` when the bytes fail their CRC-32 or do not decode,
        IndexError for a frame that the clip does not have.
        """
        clip = self._stored_clip(row, clip_id)
        payload = clip.frame(index)
        if self.store == "clips16":
            return payload.reshape(self._frame_shape).copy()
        return self._decoder.decoded(payload, clip.where(index))

    def read_frames(
        self,
        row: int,
        indices: Sequence[int],
        out: Image,
        *,
        clip_id: str = "",
        resize: ResizeRule = "area",
        decode: JpegScale = "full",
    ) -> None:
        """Read frames of the clip in `row` into `out`, (len(indices), size, size, 3) uint8 and contiguous.

        Frames of another size are resized; `decode` scaled decodes JPEGs at a smaller scale before that. A frame that
        is requested several times is decoded once; the index BLACK gives a black one. Raises what `frame` raises.
        """
        clip = self._stored_clip(row, clip_id)
        slots: dict[int, int] = {}
        for slot, index in enumerate(indices):
            if index in slots:
                out[slot] = out[slots[index]]
                continue
            slots[index] = slot
            if index == BLACK:
                out[slot] = 0
                continue
            payload = clip.frame(index)
            if self.store == "frames":
                self._decoder.decode_into(payload, out[slot], clip.where(index), resize=resize, decode=decode)
            else:
                from dfer_data.video.resize import resized  # a dataset opens without it

                image = payload.reshape(self._frame_shape)
                resized(image, size_px=out.shape[1], rule=resize, out=out[slot])

    def _stored_clip(self, row: int, clip_id: str) -> _StoredClip:
        """Return the bytes of a clip, not yet checked; of an unknown row, no frames. Raises CorruptShardError."""
        name = clip_id or f"in row {row}"
        if not 0 <= row < self.num_clips:
            return _StoredClip(np.empty(0, np.uint8), [0], [], self._name, row, name)
        first, last = int(self.clip_offsets[row]), int(self.clip_offsets[row + 1])
        offsets: list[int] = self._offsets[first : last + 1].tolist()
        begin, end = offsets[0] + self._index_bytes, offsets[-1] + self._index_bytes
        try:
            content = self._source.clip(begin, end, partial(self._is_intact, first, last))
        except OSError as error:
            raise CorruptShardError(f"{self._name}: clip {name} cannot be read: {error}") from error
        return _StoredClip(content, offsets, self.crc32[first:last].tolist(), self._name, row, name)

    def _is_intact(self, first: int, last: int, clip: Image) -> bool:
        """Whether these bytes match the CRC-32 of frames `first` to `last` (exclusive)."""
        offsets = self._offsets[first : last + 1] - self._offsets[first]
        return len(clip) == offsets[-1] and all(
            zlib.crc32(clip[a:b].data) == int(crc32)
            for (a, b), crc32 in zip(pairwise(offsets.tolist()), self.crc32[first:last], strict=True)
        )


def read_index(
    source: ShardBytes, index_bytes: int, index_crc32: int, *, what: str = "shard", **options: Any
) -> tuple[dict[str, str], dict[str, npt.NDArray[Any]], list[int], int]:
    """Return what `parse_index` returns of a file, whose bytes and version are checked; `options` are its own.

    `what`: kind of file, for messages. Raises CorruptShardError for changed bytes, FormatVersionError.
    """
    try:
        index = source.index(index_bytes, index_crc32)
    except OSError as error:
        raise _unopened(source, error) from error
    if len(index) != index_bytes or zlib.crc32(index) != index_crc32:
        raise CorruptShardError(f"{source.name}: the index does not match its CRC-32; restore or remake this shard")
    try:
        parsed = parse_index(index, **options)
    except (*MALFORMED, struct.error) as error:
        raise CorruptShardError(f"{source.name}: the index is not one of dfer ({error!r:.200})") from error
    version = str(parsed[0].get("format_version"))
    if version != str(FORMAT_VERSION):
        kind = FormatVersionError if re.fullmatch("[1-9][0-9]{0,3}", version) else CorruptShardError
        raise kind(f"{source.name} has {what} format {version[:20]}, this dfer reads {FORMAT_VERSION}")
    return parsed


def _unopened(source: ShardBytes, error: OSError) -> CorruptShardError:
    reason = error.strerror or str(error)
    return CorruptShardError(
        f"{source.name}: cannot be opened: {reason}; restore it, or see `dfer verify` of its dataset"
    )


def check_size(source: ShardBytes, num_bytes: int) -> None:
    """Raise CorruptShardError for a file of another size, where asking for it is cheap."""
    try:
        size = source.size()
    except OSError as error:
        raise _unopened(source, error) from error
    if size is not None and size != num_bytes:
        raise CorruptShardError(f"{source.name} has {size} bytes, its index requires {num_bytes}; restore or remake it")


def parse_index(
    index: bytes, *, payloads: Collection[str] = ("jpeg", "clips")
) -> tuple[dict[str, str], dict[str, npt.NDArray[Any]], list[int], int]:
    """Return metadata, the tensors before the payload, and shape and bytes of the payload, of a checked index.

    `payloads`: names that the payload may have. Raises MALFORMED or struct.error for an index that no dfer writes.
    """
    (length,) = struct.unpack("<Q", index[:8])
    entries: dict[str, Any] = json.loads(index[8 : 8 + length])
    metadata = dict(entries.pop("__metadata__", {}))
    tensors, shape, num_bytes = {}, [], 0
    for name, entry in entries.items():
        start, stop = (8 + length + operator.index(offset) for offset in entry["data_offsets"])
        if name in payloads:
            if start != len(index):
                raise ValueError("the payload does not follow the index")
            shape, num_bytes = [operator.index(side) for side in entry["shape"]], stop - start
            continue
        if not 8 + length <= start <= stop <= len(index):
            raise ValueError(f"{name} is outside of the index")
        tensors[name] = np.frombuffer(index[start:stop], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return metadata, tensors, shape, num_bytes


def _index_faults(
    store: str,
    tensors: Mapping[str, npt.NDArray[Any]],
    payload_shape: Sequence[int],
    payload_bytes: int,
    *,
    size_px: int | None,
) -> Iterator[str]:
    """Yield each fault of an index that would put a clip or frame outside the payload."""
    names = {"clip_offsets", "clip16_index", *_ROWS} | ({"frame_offsets"} if store == "frames" else set())
    if store not in ("frames", "clips16"):
        yield f"has the store {store!r:.100}"
    if missing := sorted(names - tensors.keys()):
        yield f"lacks {missing[0]}"
        return
    num_frames, num_clips = len(np.atleast_1d(tensors["crc32"])), tensors["clip_offsets"].size - 1
    shapes = {name: (dtype, (num_frames, *shape)) for name, (dtype, shape) in _ROWS.items()}
    shapes |= {"clip_offsets": ("<i8", (num_clips + 1,)), "clip16_index": ("<i4", (num_clips, CLIP_FRAMES))}
    if store == "frames":
        shapes["frame_offsets"] = ("<i8", (num_frames + 1,))
    for name, (dtype, shape) in shapes.items():
        if (tensors[name].dtype.str, tensors[name].shape) != (dtype, shape):
            yield f"has {name} of another type or shape"
            return
    ends = {"clip_offsets": num_frames} | ({"frame_offsets": payload_bytes} if store == "frames" else {})
    for name, end in ends.items():
        offsets = tensors[name]
        is_within = bool(((offsets >= 0) & (offsets <= end)).all())  # or differences could overflow
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != end or not is_within or (np.diff(offsets) < 1).any():
            yield f"has {name} that are not in order"
            return
    lengths, test_frames = np.diff(tensors["clip_offsets"]), tensors["clip16_index"]
    if ((test_frames < 0) | (test_frames >= lengths[:, None])).any():
        yield "has test frames outside of their clips"
    side = size_px or (payload_shape[2] if len(payload_shape) == 5 else 0)
    sides = [payload_bytes] if store == "frames" else [num_clips, CLIP_FRAMES, side, side, 3]
    is_whole = store == "frames" or (math.prod(sides) == payload_bytes and (lengths == CLIP_FRAMES).all())
    if not is_whole or list(payload_shape) != sides:
        yield "has a payload of another shape"
