"""From one source video to aligned faces: decode, detect, track, choose the subject, align.

Detection needs the whole video before the subject is known, so frames are looked at twice. They are kept in memory in
between while they fit; a longer video is decoded a second time. Either way the bytes that come out are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from dfer_data.align import reaches_outside, similarity, smooth, template, warp
from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.errors import VideoError
from dfer_data.shard import FrameRecord
from dfer_data.sources.base import SourceVideo
from dfer_data.track import Subject, choose_subject, link
from dfer_data.types import Detection, Frame, FrameFlag, Image, LandmarkScheme, Track
from dfer_data.video import open_video

_BATCH_FRAMES = 16
_CACHE_BYTES = 256 * 2**20
_NAN_BOX = np.full(4, np.nan, np.float32)
_NAN_LANDMARKS = np.full((5, 2), np.nan, np.float32)


@dataclass(frozen=True, eq=False)
class Face:
    """One aligned face, ready to be stored."""

    jpeg: bytes | None
    """The source's own JPEG bytes, for shipped crops."""
    image: Image
    """(H, W, 3) uint8 RGB."""
    record: FrameRecord
    """Where it came from."""


@dataclass(frozen=True, eq=False)
class ClipFacts:
    """What is known about a clip before its faces are made; its columns in the manifest."""

    clip_id: str
    """Id of the clip; `ID#0000` and so on where a long video was cut."""
    num_frames: int
    """Aligned frames."""
    fps: float
    """Of the source; 0 when unknown."""
    duration_seconds: float
    """Of this clip, first to last frame of the source and one frame more; 0 when unknown."""
    width_px: int
    """Of the upright source frame."""
    height_px: int
    """Of the upright source frame."""
    num_source_frames: int
    """Frames decoded for this clip."""
    detection_rate: float | None
    """Frames with a detection of the subject over frames decoded; None for shipped crops."""
    mean_score: float | None
    """Mean detector score of the subject; None for shipped crops."""
    num_interpolated: int
    """Frames filled in gaps of the track."""
    num_tracks: int
    """Tracks seen in the clip."""
    ambiguity: float
    """Weight of the second track over the subject's, 0 to 1."""
    is_partial: bool
    """The source ended early or was damaged."""
    reason: str
    """Why it is partial; empty otherwise."""


@dataclass(frozen=True, eq=False)
class _Scan:
    """Everything pass one learns about a video."""

    detections: list[list[Detection]]
    pts_seconds: list[float]
    is_damaged: list[bool]
    frames: list[Frame] | None
    width_px: int
    height_px: int
    fps: float
    partial_reason: str

    @property
    def step_seconds(self) -> float:
        return 1 / self.fps if self.fps else 0.0


@dataclass(frozen=True)
class Failure:
    """A clip that could not be made."""

    clip_id: str
    """Id that the clip would have had."""
    error: VideoError
    """Why."""


Clip = tuple[ClipFacts, Iterator[Face]]
"""A clip's facts and its faces, which are made as they are read."""


def clips_of_video(
    path: Path, video: SourceVideo, *, config: PrepareConfig, detector: Detector
) -> Iterator[Clip | Failure]:
    """Yield each clip of a video, or the reason why there is none; the faces of a clip are consumed before the next.

    Raises VideoError when nothing of the video can be used.
    """
    scan = _scan(path, config=config, detector=detector)
    parts = _cut(scan, clip_seconds=config.clip_seconds)
    with _second_look(path, scan) as frames:
        for number, part in enumerate(parts):
            clip_id = video.clip_id if len(parts) == 1 else f"{video.clip_id}#{number:04d}"
            found = scan.detections[part.start : part.stop]
            tracks = link(found, iou=config.track_iou, max_gap_frames=config.max_gap_frames)
            subject = choose_subject(tracks, width_px=scan.width_px, height_px=scan.height_px)
            if subject is None:
                message = f"no face in {len(part)} frames (frames {part.start} to {part.stop - 1})"
                hint = "look at the video; a larger --det-size finds smaller faces"
                yield Failure(clip_id, VideoError("NO_FACE", message, frame=part.stop - 1, hint=hint))
                continue
            track = replace(subject.track, first_frame=subject.track.first_frame + part.start)
            facts = _facts(clip_id, scan, part, replace(subject, track=track), num_tracks=len(tracks))
            yield facts, _faces(_frames_of(track, frames), track, config=config, scheme=detector.scheme)


def _scan(path: Path, *, config: PrepareConfig, detector: Detector) -> _Scan:
    """Decode and detect a whole video; keep the frames if they fit."""
    detections: list[list[Detection]] = []
    pts: list[float] = []
    damaged: list[bool] = []
    kept: list[Frame] = []
    num_kept_bytes = 0
    shape: tuple[int, ...] = ()
    with open_video(path) as reader:
        for batch in _batches(reader.frames()):
            detections += detector.detect([frame.image for frame in batch])
            pts += [frame.pts_seconds for frame in batch]
            damaged += [frame.is_damaged for frame in batch]
            shape = shape or batch[0].image.shape
            num_kept_bytes += sum(frame.image.nbytes for frame in batch)
            kept = kept + batch if num_kept_bytes <= _CACHE_BYTES else []
        if not pts:
            reason = reader.decode_error or "it holds no picture"
            raise VideoError("NO_FRAMES", f"{path.name}: no frame could be decoded: {reason}", hint="convert it again")
        reason = _partial_reason(reader.decode_error, reader.is_partial, len(pts), sum(damaged))
        return _Scan(
            detections,
            pts,
            damaged,
            kept if len(kept) == len(pts) else None,
            shape[1],
            shape[0],
            reader.info.fps,
            reason,
        )


def _batches(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == _BATCH_FRAMES:
            yield batch
            batch = []
    if batch:
        yield batch


def _partial_reason(decode_error: str | None, is_short: bool, num_frames: int, num_damaged: int) -> str:
    if decode_error is not None:
        return f"decoding stopped after frame {num_frames - 1}: {decode_error}"
    if is_short:
        return f"the file ends early: {num_frames} frames could be decoded"
    return f"{num_damaged} frames are damaged" if num_damaged else ""


def _cut(scan: _Scan, *, clip_seconds: float) -> list[range]:
    """Cut the frames of a video longer than `clip_seconds` into clips of that length by presentation time."""
    num_frames, start = len(scan.pts_seconds), scan.pts_seconds[0]
    if not clip_seconds or scan.pts_seconds[-1] - start + scan.step_seconds <= clip_seconds:
        return [range(num_frames)]
    slots = np.maximum.accumulate([int((seconds - start) / clip_seconds) for seconds in scan.pts_seconds])
    edges = [0, *(np.flatnonzero(np.diff(slots)) + 1).tolist(), num_frames]
    return [range(a, b) for a, b in pairwise(edges)]


def _facts(clip_id: str, scan: _Scan, part: range, subject: Subject, *, num_tracks: int) -> ClipFacts:
    track = subject.track
    return ClipFacts(
        clip_id=clip_id,
        num_frames=len(track),
        fps=scan.fps,
        duration_seconds=scan.pts_seconds[part.stop - 1] - scan.pts_seconds[part.start] + scan.step_seconds,
        width_px=scan.width_px,
        height_px=scan.height_px,
        num_source_frames=len(part),
        detection_rate=track.num_detected / len(part),
        mean_score=float(np.nanmean(track.scores, dtype=np.float64)),
        num_interpolated=len(track) - track.num_detected,
        num_tracks=num_tracks,
        ambiguity=subject.ambiguity,
        is_partial=bool(scan.partial_reason),
        reason=scan.partial_reason,
    )


def _faces(frames: Iterator[Frame], track: Track, *, config: PrepareConfig, scheme: LandmarkScheme) -> Iterator[Face]:
    """Yield the aligned faces of a track, whose frames these are, in frame order."""
    landmarks = smooth(track.landmarks, window_frames=config.smoothing_window_frames, order=config.smoothing_order)
    target = template(scheme, size_px=config.size_px, scale=config.template_scale)
    for frame in frames:
        row = frame.index - track.first_frame
        matrix = similarity(landmarks[row], target)
        height, width = frame.image.shape[:2]
        flags = FrameFlag.DETECTED if track.is_detected[row] else FrameFlag.GAP_FILLED
        if reaches_outside(matrix, size_px=config.size_px, width_px=width, height_px=height):
            flags |= FrameFlag.OUTSIDE_BORDER
        if frame.is_damaged:
            flags |= FrameFlag.DAMAGED_SOURCE
        record = FrameRecord(
            frame.index, frame.pts_seconds, track.boxes[row], landmarks[row], float(track.scores[row]), int(flags)
        )
        yield Face(None, warp(frame.image, matrix, size_px=config.size_px), record)


@contextmanager
def _second_look(path: Path, scan: _Scan) -> Iterator[Iterator[Frame]]:
    """Give the frames of a scanned video once more, from memory or by decoding again; all clips of it share them."""
    if scan.frames is not None:
        yield iter(scan.frames)
        return
    with open_video(path) as reader:
        yield reader.frames()


def _frames_of(track: Track, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Take a track's frames out of an iterator that has not reached them yet, and nothing after them."""
    last = track.first_frame + len(track) - 1
    for frame in frames:
        if frame.index >= track.first_frame:
            yield frame
        if frame.index >= last:
            return


def clip_of_crops(folder: Path, video: SourceVideo) -> Clip:
    """Return the clip of a folder of face crops that the dataset ships, their JPEG bytes untouched.

    Raises VideoError: MISSING_VIDEO, NO_FRAMES or BAD_PICTURE.
    """
    paths = crop_files(folder)
    if not paths:
        raise VideoError("NO_FRAMES", f"{folder.name} holds no JPEG", hint="unzip it again")
    faces = [_shipped(path, index) for index, path in enumerate(paths)]
    height, width = faces[0].image.shape[:2]
    facts = ClipFacts(video.clip_id, len(faces), 0.0, 0.0, width, height, len(faces), None, None, 0, 1, 0.0, False, "")
    return facts, iter(faces)


def crop_files(folder: Path) -> list[Path]:
    """Return the JPEG files of a folder of crops in the order of their frames."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg")), key=_last_number)


def _last_number(path: Path) -> tuple[int, str]:
    """Sort key of a frame file: its last number, since names like 1.jpg, 10.jpg, 2.jpg sort wrongly as text."""
    numbers = re.findall(r"\d+", path.stem)
    return (int(numbers[-1]) if numbers else -1, path.name)


def _shipped(path: Path, index: int) -> Face:
    try:
        jpeg = path.read_bytes()
        image = simplejpeg.decode_jpeg(jpeg)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is not a JPEG: {error}"
        raise VideoError("BAD_PICTURE", f"{path.name} {reason}", frame=index, hint="unzip it again") from error
    return Face(jpeg, np.asarray(image, np.uint8), FrameRecord(index, np.nan, _NAN_BOX, _NAN_LANDMARKS, np.nan, 0))


def resized(image: Image, *, size_px: int) -> Image:
    """Return an (H, W, 3) picture as (size, size, 3), squashed where it is not square, as the field's loaders do."""
    height, width = image.shape[:2]
    if (height, width) == (size_px, size_px):
        return image
    method = cv2.INTER_AREA if min(height, width) > size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size_px, size_px), interpolation=method), np.uint8)
