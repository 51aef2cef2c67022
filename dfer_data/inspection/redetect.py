"""Detect the faces of a prepared clip in its source again, to draw all tracks including the subject's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dfer_data.config import TRACK_LIMITS, PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.detect.registry import build_detector, detector_spec
from dfer_data.draw.faces import Mark, colour_of
from dfer_data.errors import UsageError
from dfer_data.faces.clip import Clip
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.inspection.dataset_sheets import how_found
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.files import sha256_file
from dfer_data.types import FrameFlag, FrameRecord
from dfer_data.weights.fetch import weights_file


@dataclass(frozen=True, eq=False)
class Redetected:
    """The faces of a clip, detected again."""

    marks: Mapping[int, list[Mark]]
    """Frame number in the source -> faces in that frame."""
    frames: range | None
    """Frame numbers from the first face to the last, if the clip is a part of a video; None: the whole video."""
    num_tracks: int
    """Number of tracks."""


def config_of(document: Mapping[str, Any]) -> PrepareConfig:
    """Return the settings of a prepared dataset from its dataset.json, with this machine's CPU as the device."""
    return replace(PrepareConfig.from_dict(document["config"]), device="cpu")


def detector_of(config: PrepareConfig, *, path: Path | None = None) -> Detector:
    """Build the detector with which a dataset was prepared.

    Args:
        config: settings of the dataset.
        path: model file, if it is not the pinned one.

    Raises UsageError for shipped crops, which have no detections, and for a different model file; WeightsError.
    """
    spec = detector_spec(config.detector)
    if not spec.weights:
        raise UsageError("shipped crops are used unchanged: no face was detected, so none can be drawn")
    weights = weights_file(spec.weights_of(config.backbone), path=path)
    if (sha256 := sha256_file(weights)) != config.weights_sha256:
        raise UsageError(
            f"{weights} has sha256 {sha256[:12]}, the dataset was made with {config.weights_sha256[:12]}: name "
            "that file with --weights"
        )
    detector = build_detector(config, weights=weights)
    assert detector is not None
    return detector


def redetect_clip(
    clip: Mapping[str, Any],
    path: Path,
    *,
    config: PrepareConfig,
    detector: Detector,
    on_progress: Callable[[int, int], None] = lambda num_frames, num_expected: None,
) -> Redetected:
    """Detect the faces of a clip in its source again.

    Args:
        clip: row of the clip in the manifest.
        path: the video.
        config: settings of the dataset.
        detector: the detector from `detector_of`.
        on_progress: called with the number of decoded frames and that of the whole video, 0 when unknown.

    Raises UsageError when the video has changed, VideoError when it cannot be decoded.
    """
    if path.is_file() and clip["source_sha256"] and sha256_file(path) != clip["source_sha256"]:
        raise UsageError(f"{path} is not the file that clip {clip['clip_id']} was made of: its sha256 differs")
    every_track: dict[str, Any] = {"all_tracks": True, **dict.fromkeys(TRACK_LIMITS)}
    track_config = replace(config, **every_track, undetected="interpolate", partial="keep", store="frames")
    video = SourceVideo(clip["source_clip_id"], path.name, 0, None)
    base = clip["clip_id"].rpartition("@")[0] if config.all_tracks else clip["clip_id"]
    marks: dict[int, list[Mark]] = defaultdict(list)
    num_tracks = 0
    for result in clips_of_video(path, video, config=track_config, detector=detector, on_progress=on_progress):
        name = result.facts.clip_id.rpartition("@")[0] if isinstance(result, Clip) else result.clip_id
        if name != base:
            if num_tracks:
                break  # a later clip of a long video
            continue
        if not isinstance(result, Clip):
            continue
        num_tracks += 1
        for face in result.faces:
            marks[face.record.frame_index].append(
                _mark(face.record, result.facts.track, is_subject=result.facts.track == clip["track"])
            )
    is_part = base != clip["source_clip_id"]
    frames = range(min(marks), max(marks) + 1) if marks and is_part else None
    return Redetected(marks, frames, num_tracks)


def _mark(record: FrameRecord, track: int, *, is_subject: bool) -> Mark:
    flags = FrameFlag(record.flags)
    return Mark(
        record.box,
        record.landmarks,
        colour_of(track),
        label=f"{'subject, ' if is_subject else ''}track {track}, {how_found(flags, record.score)}",
        is_strong=is_subject,
        is_seen=bool(flags & FrameFlag.DETECTED),
    )
