"""Write the sound of one shard: a safetensors file next to it with the samples of each clip. audio_reader.py reads it.

As in a shard, the payload is the last tensor; docs/reference/formats.md describes every field.
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dfer_data.shards.layout import AUDIO_FORMAT, AUDIO_TENSORS, FORMAT_VERSION
from dfer_data.shards.staging import StagedVideo
from dfer_data.shards.writer import safetensors_header
from dfer_data.types import AUDIO_RATE

_COPY_BYTES = 1 << 20
_SAMPLE_BYTES = 2


@dataclass(frozen=True)
class AudioFile:
    """Size and hashes of the sound of a shard; its sidecar and dataset.json repeat them."""

    num_bytes: int
    """Size of the whole file."""
    sha256: str
    """Hash of the whole file."""
    index_bytes: int
    """Length of the index: the header and all tensors before the samples."""
    index_crc32: int
    """CRC-32 of the index."""
    clip_sha256: tuple[str, ...]
    """Hash of each clip's sound, by row."""


def audio_facts(
    samples: npt.NDArray[np.int16],
    *,
    num_covered: int = 0,
    start_seconds: float = math.nan,
    frame_seconds: float = math.nan,
    stream_start_seconds: float = math.nan,
    source_rate: int = 0,
    source_channels: int = 0,
) -> dict[str, Any]:
    """Return what an audio file holds of a clip, as JSON values: its place in time and its level."""
    squares = int(np.square(samples.astype(np.int64)).sum())
    times = {
        "start_seconds": start_seconds,
        "frame_seconds": frame_seconds,
        "stream_start_seconds": stream_start_seconds,
    }
    return {
        **{name: None if math.isnan(value) else value for name, value in times.items()},
        "num_samples": len(samples),
        "num_covered": num_covered,
        "rms": math.sqrt(squares / len(samples)) / 32768 if len(samples) else 0.0,
        "peak": int(np.abs(samples.astype(np.int32)).max(initial=0)),
        "crc32": zlib.crc32(samples.astype("<i2").tobytes()),
        "source_rate": source_rate,
        "source_channels": source_channels,
    }


def write_audio(
    target: Path, videos: Sequence[StagedVideo], *, on_progress: Callable[[], None] = lambda: None
) -> AudioFile:
    """Write the sound of finished videos to `target` and sync it to disk; return its sizes and hashes."""
    clips = [facts for video in videos for facts in video.audio]
    tensors = {name: _tensor(name, dtype, clips) for name, dtype in AUDIO_TENSORS.items()}
    num_samples = int(tensors["clip_offsets"][-1])
    header = safetensors_header(
        {"format": AUDIO_FORMAT, "format_version": str(FORMAT_VERSION), "sample_rate": str(AUDIO_RATE)},
        tensors,
        ("samples", "I16", [num_samples], num_samples * _SAMPLE_BYTES),
    )
    index = header + b"".join(array.tobytes() for array in tensors.values())
    digest = hashlib.sha256(index)
    with target.open("wb") as file:
        file.write(index)
        for chunk in _payload(videos):
            digest.update(chunk)
            file.write(chunk)
            on_progress()
        file.flush()
        os.fsync(file.fileno())
    num_bytes = len(index) + num_samples * _SAMPLE_BYTES
    hashes = tuple(_clip_sha256(tensors, row) for row in range(len(clips)))
    return AudioFile(num_bytes, digest.hexdigest(), len(index), zlib.crc32(index), hashes)


def _tensor(name: str, dtype: str, clips: Sequence[Mapping[str, Any]]) -> npt.NDArray[Any]:
    if name == "clip_offsets":
        return np.concatenate([[0], np.cumsum([facts["num_samples"] for facts in clips])]).astype(dtype)
    return np.array([math.nan if facts[name] is None else facts[name] for facts in clips], dtype)


def _payload(videos: Sequence[StagedVideo]) -> Iterator[bytes]:
    for video in videos:
        with video.stem.with_suffix(".samples").open("rb") as samples:
            while chunk := samples.read(_COPY_BYTES):
                yield chunk


def _clip_sha256(tensors: Mapping[str, npt.NDArray[Any]], row: int) -> str:
    """Hash the numbers of a clip; its samples are in it by their CRC-32."""
    digest = hashlib.sha256(np.diff(tensors["clip_offsets"][row : row + 2]).astype("<i8").tobytes())
    for name, array in tensors.items():
        if name != "clip_offsets":
            digest.update(array[row : row + 1].tobytes())
    return digest.hexdigest()
