"""Estimate the work of a plan: frames, output bytes and CPU seconds, by timing a few of its videos."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice

from dfer_data.detect.base import Detector
from dfer_data.detect.registry import build_detector
from dfer_data.errors import VideoError
from dfer_data.preparation.request import ResolvedRequest
from dfer_data.sources.base import SourceVideo
from dfer_data.video.image_folder import picture_files
from dfer_data.video.reader import open_video

_MAX_SAMPLES = 8
_TIMED_FRAMES = 16
_FACE_BYTES = 12_000  # a 224 px face as JPEG of quality 95: 13 kB on the demo; good to a factor of two
_CROP_SECONDS = 0.0005  # a guess: to read, check and store a shipped crop
_REBUILD_SECONDS = 0.0016  # to decode, warp and encode a frame at 640 x 360; larger videos take longer
_CLIP16_BYTES = 16 * 224 * 224 * 3


@dataclass(frozen=True)
class Estimate:
    """Expected work and output; good to a factor of two."""

    num_sampled: int
    """Videos that were timed."""
    num_frames: int
    """Frames of the whole dataset."""
    output_bytes: int
    """Size of the shards."""
    cpu_seconds: float
    """CPU time on one core of this machine."""


def estimate(resolved: ResolvedRequest) -> Estimate:
    """Time the first frames of up to eight videos spread over the dataset and scale by their size in bytes."""
    config, listing = resolved.plan.config, resolved.plan.listing
    present = [video for video in listing.videos if video.path]
    total_bytes = sum(video.num_bytes for video in present)
    if resolved.lock is not None:
        num_frames = resolved.lock.num_frames
        output_bytes = sum(int(facts["num_bytes"]) for facts in resolved.lock.header.document["shards"])
        return Estimate(len(present), num_frames, output_bytes, num_frames * _REBUILD_SECONDS)
    if config.detector == "none":
        num_frames = sum(len(picture_files(resolved.source / video.path)) for video in present)
        return Estimate(len(present), num_frames, total_bytes, num_frames * _CROP_SECONDS)
    detector = build_detector(config, weights=resolved.weights)
    assert detector is not None
    samples = present[:: max(1, -(-len(present) // _MAX_SAMPLES))]
    timings = [timing for video in samples if (timing := _measure(resolved, video, detector)) is not None]
    sampled_bytes = sum(num_bytes for num_bytes, _, _ in timings)
    sampled_frames = sum(num_frames for _, num_frames, _ in timings)
    num_frames = round(total_bytes * sampled_frames / sampled_bytes) if sampled_bytes else 0
    seconds_per_frame = sum(seconds for _, _, seconds in timings) / max(1, len(timings))
    scale = (config.size_px / 224) ** 2
    output = len(present) * _CLIP16_BYTES if config.store == "clips16" else num_frames * _FACE_BYTES
    return Estimate(len(timings), num_frames, round(output * scale), num_frames * seconds_per_frame)


def _measure(resolved: ResolvedRequest, video: SourceVideo, detector: Detector) -> tuple[int, int, float] | None:
    """Return (file bytes, declared frames, seconds per frame) of one video; None if it cannot be read."""
    try:
        with open_video(resolved.source / video.path) as reader:
            start = time.perf_counter()
            frames = list(islice(reader.frames(), _TIMED_FRAMES))
            detector.detect([frame.image for frame in frames[:: resolved.plan.config.detect_every]])
            seconds = time.perf_counter() - start
            declared = round(reader.info.duration_seconds * reader.info.fps)
            return video.num_bytes, max(declared, len(frames)), seconds / max(1, len(frames))
    except VideoError:
        return None
