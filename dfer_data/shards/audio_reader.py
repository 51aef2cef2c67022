"""Read the sound of the clips of one shard, local or remote; the CRC-32 of each clip is checked at every read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dfer_data.errors import CorruptShardError
from dfer_data.shards.layout import AUDIO_FORMAT, AUDIO_TENSORS
from dfer_data.shards.reader import check_size, read_index
from dfer_data.storage.shard_bytes import ShardBytes
from dfer_data.types import Image
from dfer_data.wording import counted

_SAMPLE_BYTES = 2


def open_audio(document: Mapping[str, Any], number: int, source: ShardBytes) -> AudioReader:
    """Open the sound of shard `number` of a dataset.json, and check that it is the one described there."""
    facts = document["shards"][number]
    audio = facts["audio"]
    reader = AudioReader(source, index_bytes=audio["index_bytes"], index_crc32=audio["index_crc32"])
    if reader.num_clips != facts["num_clips"]:
        raise CorruptShardError(
            f"{source.name} has {counted(reader.num_clips, 'clip')}, dataset.json describes {facts['num_clips']}; "
            "get the dataset again"
        )
    return reader


class AudioReader:
    """Reads the sound of the clips of one shard."""

    def __init__(self, source: ShardBytes, *, index_bytes: int, index_crc32: int) -> None:
        """Open a file and check its index; raises CorruptShardError for changed bytes, FormatVersionError."""
        self._source, self._name, self._index_bytes = source, source.name, index_bytes
        metadata, self._tensors, shape, num_bytes = read_index(
            source, index_bytes, index_crc32, what="sound", payloads=("samples",)
        )
        if metadata.get("format") != AUDIO_FORMAT:
            raise CorruptShardError(f"{self._name} is not a file of sound; get this shard again, or remake it")
        if fault := next(_faults(self._tensors, shape, num_bytes), ""):
            raise CorruptShardError(f"{self._name}: the index {fault}; get this shard again, or remake it")
        check_size(source, index_bytes + num_bytes)

    @property
    def num_clips(self) -> int:
        """Number of clips in the shard."""
        return len(self._tensors["clip_offsets"]) - 1

    def tensor(self, name: str) -> npt.NDArray[Any]:
        """Return an entire index tensor; docs/reference/formats.md lists the names."""
        return self._tensors[name]

    def facts(self, row: int) -> dict[str, Any]:
        """Return the numbers of the clip in `row` by name, without its place in the file."""
        return {name: array[row].item() for name, array in self._tensors.items() if name != "clip_offsets"}

    def samples(self, row: int, *, clip_id: str = "") -> npt.NDArray[np.int16]:
        """Return the samples of the clip in `row`, (N,) int16; empty for a clip without sound.

        Raises CorruptShardError with the file and `clip_id` when the bytes fail their CRC-32, IndexError for a row that
        the shard does not have.
        """
        if not 0 <= row < self.num_clips:
            raise IndexError(f"{self._name} has no row {row}")
        begin, end = (int(offset) * _SAMPLE_BYTES + self._index_bytes for offset in self._offsets(row))
        expected = int(self._tensors["crc32"][row])
        if begin == end:
            return np.empty(0, np.int16)

        def is_intact(content: Image) -> bool:
            return len(content) == end - begin and zlib.crc32(content.data) == expected

        name = clip_id or f"in row {row}"
        try:
            content = self._source.clip(begin, end, is_intact)
        except OSError as error:
            raise CorruptShardError(f"{self._name}: clip {name} cannot be read: {error}") from error
        if not is_intact(content):
            raise CorruptShardError(
                f"{self._name}: the sound of clip {name} does not match its CRC-32; run `dfer verify --deep`, then "
                "remake the shard"
            )
        return np.frombuffer(content.tobytes(), "<i2").astype(np.int16)

    def _offsets(self, row: int) -> npt.NDArray[np.int64]:
        offsets: npt.NDArray[np.int64] = self._tensors["clip_offsets"][row : row + 2]
        return offsets


def _faults(tensors: Mapping[str, npt.NDArray[Any]], shape: list[int], num_bytes: int) -> Iterator[str]:
    """Yield each fault of an index that would put a clip outside the samples."""
    if missing := [name for name in AUDIO_TENSORS if name not in tensors]:
        yield f"lacks {missing[0]}"
        return
    num_clips = tensors["clip_offsets"].size - 1
    for name, dtype in AUDIO_TENSORS.items():
        length = num_clips + (name == "clip_offsets")
        if (tensors[name].dtype.str, tensors[name].shape) != (dtype, (length,)):
            yield f"has {name} of another type or shape"
            return
    offsets = tensors["clip_offsets"]
    seconds = np.stack([tensors["start_seconds"], tensors["frame_seconds"]])
    is_within = bool(((offsets >= 0) & (offsets <= offsets[-1:])).all())  # or differences could overflow
    if not len(offsets) or offsets[0] != 0 or not is_within or (np.diff(offsets) < 0).any():
        yield "has clip_offsets that are not in order"
    elif shape != [int(offsets[-1])] or num_bytes != int(offsets[-1]) * _SAMPLE_BYTES:
        yield "has samples of another number than its clips"
    elif not np.isfinite(seconds[:, np.diff(offsets) > 0]).all():
        yield "has clips with sound and without times"
