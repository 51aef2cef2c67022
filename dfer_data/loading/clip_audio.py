"""The sound of the frames that an item of a dataset has."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.types import AUDIO_RATE, Floats


class AudioOptions(TypedDict, total=False):
    """The options of FaceClipDataset for sound."""

    audio: bool
    """Items have the sound of the time span of their frames."""
    audio_samples: int | None
    """Fixed number of samples of an item; None: as many as its frames last."""


class SpanAudio:
    """Reads the sound between the first and the last frame of an item, the last one included."""

    def __init__(self, prepared: PreparedDataset, *, num_samples: int | None = None) -> None:
        """Take a dataset with sound. Raises UsageError for one without, and for a number below 1."""
        if num_samples is not None and num_samples < 1:
            raise UsageError(f"audio_samples {num_samples}: 1 or more samples are needed; 16,000 are one second")
        prepared.require_audio()
        self._prepared, self._num_samples = prepared, num_samples

    def read(self, shard: int, row: int, times: npt.NDArray[np.float32], *, clip_id: str) -> tuple[Floats, int]:
        """Return the samples of the span of frames with these times, and how many of them are of the span.

        There are none of a clip without sound. With a fixed number, the samples are cut at their end, or zeros follow.
        Raises CorruptShardError for damaged bytes.
        """
        reader = self._prepared.audio_shard(shard)
        samples = reader.samples(row, clip_id=clip_id).astype(np.float32) / np.float32(32768)
        span = np.empty(0, np.float32)
        if len(samples) and len(times) and np.isfinite(times).all():
            start = np.float64(np.float32(reader.tensor("start_seconds")[row]))  # frame times are stored as float32
            frame_seconds = float(reader.tensor("frame_seconds")[row])
            first, last = float(times.min()), float(times.max())
            begin = max(0, round((first - start) * AUDIO_RATE))
            span = samples[begin : begin + round((last - first + frame_seconds) * AUDIO_RATE)]
        if self._num_samples is None:
            return span, len(span)
        length = min(len(span), self._num_samples)
        return np.pad(span[:length], (0, self._num_samples - length)), length
