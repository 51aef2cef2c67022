"""The faces of a prepared clip, found once more in its source: all tracks, the chosen one among them, to be drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.detect.registry import build_detector, detector_spec
from dfer_data.draw.faces import Mark, colour_of
from dfer_data.errors import UsageError
from dfer_data.faces.pipeline import Clip, clips_of_video
from dfer_data.inspection.dataset_sheets import how_found
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.files import sha256_file
from dfer_data.types import FrameFlag, FrameRecord
from dfer_data.weights.fetch import weights_file


@dataclass(frozen=True, eq=False)
class Redetected:
    """What was found again."""

    marks: Mapping[int, list[Mark]]
    """Number of a frame of the source -> the faces in it."""
    frames: range | None
    """Numbers of the frames from the first face to the last, where the clip is a part of a video; None: all of it."""
    num_tracks: int
    """Faces followed."""


def config_of(document: Mapping[str, Any]) -> PrepareConfig:
    """Return the settings that a dataset was prepared with, from its dataset.json; on this machine's CPU."""
    return replace(PrepareConfig.from_dict(document["config"]), device="cpu")


def detector_of(config: PrepareConfig, *, path: Path | None = None) -> Detector:
    """Build the detector that a dataset was prepared with.

    Args:
        config: of the dataset.
        path: its model file where it is not the pinned one.

    Raises UsageError for shipped crops, in which nothing was detected, and for another model file; WeightsError.
    """
    spec = detector_spec(config.detector)
    if not spec.weights:
        raise UsageError("its crops were taken as they are: no face was detected, so none can be drawn")
    found = weights_file(spec.weights_of(config.backbone), path=path)
    if (sha256 := sha256_file(found)) != config.weights_sha256:
        raise UsageError(
            f"{found} has sha256 {sha256[:12]}, the dataset was made with {config.weights_sha256[:12]}: name that file "
            "with --weights"
        )
    detector = build_detector(config, weights=found)
    assert detector is not None
    return detector


def redetect_clip(
    clip: Mapping[str, Any],
    path: Path,
    *,
    config: PrepareConfig,
    detector: Detector,
    on_progress: Callable[[], None] = lambda: None,
) -> Redetected:
    """Find the faces of a clip in its source again.

    Args:
        clip: its row in the manifest.
        path: the video.
        config: settings of the dataset.
        detector: as `detector_of` builds it.
        on_progress: called while frames are decoded.

    Raises UsageError when the video is another one than it was, VideoError when it cannot be decoded.
    """
    if path.is_file() and clip["source_sha256"] and sha256_file(path) != clip["source_sha256"]:
        raise UsageError(f"{path} is not the file that clip {clip['clip_id']} was made of: its sha256 is another")
    wanted = replace(config, all_tracks=True, undetected="interpolate", partial="keep", store="frames")
    video = SourceVideo(clip["source_clip_id"], path.name, 0, None)
    base = clip["clip_id"].rpartition("@")[0] if config.all_tracks else clip["clip_id"]
    marks: dict[int, list[Mark]] = defaultdict(list)
    num_tracks = 0
    for made in clips_of_video(path, video, config=wanted, detector=detector, on_progress=on_progress):
        name = made.facts.clip_id.rpartition("@")[0] if isinstance(made, Clip) else made.clip_id
        if name != base:
            if num_tracks:
                break  # beyond the clip in a long video
            continue
        if not isinstance(made, Clip):
            continue
        num_tracks += 1
        for face in made.faces:
            marks[face.record.frame_index].append(
                _mark(face.record, made.facts.track, is_subject=made.facts.track == clip["track"])
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
