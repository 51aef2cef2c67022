"""Read the frames of exported clips: stored JPEG bytes, pictures, times and places of faces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import simplejpeg

from dfer_data.exchange.selection import ExportClip
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.reader import ShardReader
from dfer_data.types import Image

_LEAST_RATE = 0.001  # of a video, in frames per second
_TOLERANCE = 0.02  # of the rate: times are rounded
_QUALITY = 95  # of a dataset prepared with --store clips16, which holds pixels


class ClipSource:
    """Reads clips of a dataset; threads may share it."""

    def __init__(self, dataset: PreparedDataset, *, only_16: bool) -> None:
        """`only_16`: the 16 frames that are tested, instead of all."""
        self.dataset = dataset
        self._only_16 = only_16

    def indices(self, clip: ExportClip) -> Sequence[int]:
        """Return the numbers of the exported frames among the stored ones, in order; a short clip repeats some."""
        reader = self._reader(clip)
        if self._only_16:
            return [int(index) for index in reader.clip16_index(clip.row)]
        return range(reader.num_frames(clip.row))

    def jpegs(self, clip: ExportClip) -> list[bytes]:
        """Return the JPEG bytes of each exported frame, as they are stored. Raises CorruptShardError."""
        reader = self._reader(clip)
        if reader.store == "frames":
            return reader.jpegs(clip.row, self.indices(clip), clip_id=clip.clip_id)
        return [
            bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=_QUALITY, colorsubsampling="444"))
            for picture in self.pictures(clip)
        ]

    def num_bytes(self, clip: ExportClip) -> list[int]:
        """Return the number of bytes of each exported frame, without reading it; of pixels, about."""
        reader = self._reader(clip)
        lengths = reader.frame_bytes(clip.row)
        return [lengths[index] // (1 if reader.store == "frames" else 8) for index in self.indices(clip)]

    def pictures(self, clip: ExportClip) -> list[Image]:
        """Return each exported frame, (H, W, 3) uint8 RGB. Raises CorruptShardError."""
        reader = self._reader(clip)
        return [reader.frame(clip.row, index, clip_id=clip.clip_id) for index in self.indices(clip)]

    def seconds(self, clip: ExportClip) -> npt.NDArray[np.float32]:
        """Return the time of each exported frame in its source, in seconds."""
        return self._rows(clip, "pts_seconds").astype(np.float32, copy=False)

    def rate(self, clip: ExportClip) -> float:
        """Return the frames per second at which the exported frames last as long as in their source; 0 if unknown.

        That of the source, unless frames between them are left out: all but 16, or those without a face.
        """
        times = self.seconds(clip)
        length = float(times[-1]) - float(times[0])
        if not (math.isfinite(length) and length > 0):
            return clip.fps
        rate = max((len(times) - 1) / length, _LEAST_RATE)
        return clip.fps if clip.fps > 0 and abs(rate / clip.fps - 1) < _TOLERANCE else rate

    def source_frames(self, clip: ExportClip) -> npt.NDArray[np.int32]:
        """Return the number of each exported frame in its source."""
        return self._rows(clip, "frame_index").astype(np.int32, copy=False)

    def sound(self, clip: ExportClip) -> npt.NDArray[np.int16]:
        """Return the sound of a clip: (N,) int16, 16 kHz, mono. Raises CorruptShardError."""
        return self.dataset.audio_shard(clip.shard).samples(clip.row, clip_id=clip.clip_id)

    def num_samples(self, clip: ExportClip) -> int:
        """Return the number of samples of a clip's sound."""
        offsets = self.dataset.audio_shard(clip.shard).tensor("clip_offsets")
        return int(offsets[clip.row + 1] - offsets[clip.row])

    def table(self, clip: ExportClip) -> pd.DataFrame:
        """Return what is known of each exported frame, as `PreparedDataset.frames` does."""
        return self.dataset.frames(clip.clip_id).iloc[list(self.indices(clip))]

    def _rows(self, clip: ExportClip, name: str) -> npt.NDArray[Any]:
        reader = self._reader(clip)
        begin = int(reader.clip_offsets[clip.row])
        return np.asarray(reader.tensor(name)[[begin + index for index in self.indices(clip)]])

    def _reader(self, clip: ExportClip) -> ShardReader:
        return self.dataset.shard(clip.shard)
