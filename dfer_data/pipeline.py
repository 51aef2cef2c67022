"""From one source video to aligned faces: decode, detect, track, choose the subject, align.

Detection needs the whole clip before its subject is known, so frames are looked at twice. They are kept in memory in
between while they fit; a longer clip is decoded a second time. Either way the bytes that come out are the same. One
clip is worked on at a time: memory stays flat over a video of hours that is cut into clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dfer_data.align import reaches_outside, similarity, smooth, template, warp
from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.errors import VideoError
from dfer_data.sources.base import SourceVideo
from dfer_data.spool import FrameRecord
from dfer_data.track import Subject, choose_subject, link
from dfer_data.types import Detection, Frame, FrameFlag, Image, LandmarkScheme, Track
from dfer_data.video import VideoReader, open_video

_BATCH_FRAMES = 16
_BATCH_BYTES = 64 * 2**20
_CACHE_BYTES = 128 * 2**20


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


@dataclass(eq=False)
class _Part:
    """The frames of one clip while they are decoded and detected; what is known when the last one is in."""

    number: int
    first_frame: int
    detections: list[list[Detection]] = field(default_factory=list)
    pts_seconds: list[float] = field(default_factory=list)
    num_damaged: int = 0
    frames: list[Frame] | None = field(default_factory=list)  # None: too many to keep
    num_kept_bytes: int = 0
    shape: tuple[int, ...] = ()
    is_whole: bool = False  # the video is not cut
    end_reason: str = ""

    def __len__(self) -> int:
        return len(self.pts_seconds)

    @property
    def last_frame(self) -> int:
        return self.first_frame + len(self) - 1

    @property
    def partial_reason(self) -> str:
        return self.end_reason or (f"{self.num_damaged} frames are damaged" if self.num_damaged else "")

    def add(self, batch: list[Frame], found: list[list[Detection]]) -> None:
        """Take frames with what was detected in them; keep their pictures while they fit."""
        self.detections += found
        self.pts_seconds += [frame.pts_seconds for frame in batch]
        self.num_damaged += sum(frame.is_damaged for frame in batch)
        self.shape = self.shape or batch[0].image.shape
        self.num_kept_bytes += sum(frame.image.nbytes for frame in batch)
        if self.num_kept_bytes > _CACHE_BYTES:
            self.frames = None
        elif self.frames is not None:
            self.frames += batch


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
    path: Path,
    video: SourceVideo,
    *,
    config: PrepareConfig,
    detector: Detector,
    on_progress: Callable[[], None] = lambda: None,
) -> Iterator[Clip | Failure]:
    """Yield each clip of a video, or the reason why there is none; the faces of a clip are consumed before the next.

    `on_progress` is called again and again while frames are decoded. Raises VideoError when nothing of the video can be
    used, OSError when the file cannot be read, MemoryError.
    """
    with open_video(path) as reader, _SecondLook(path, on_progress=on_progress) as again:
        batches = _batches(reader.frames(), clip_seconds=config.clip_seconds)
        for part in _parts(batches, reader, detector=detector, on_progress=on_progress):
            clip_id = video.clip_id if part.is_whole else f"{video.clip_id}#{part.number:04d}"
            yield _clip(clip_id, part, reader.info.fps, again, config=config, scheme=detector.scheme)
        if not reader.num_frames:
            reason = reader.decode_error or "it holds no picture"
            raise VideoError("NO_FRAMES", f"{path.name}: no frame could be decoded: {reason}", hint="convert it again")


def _clip(
    clip_id: str, part: _Part, fps: float, again: _SecondLook, *, config: PrepareConfig, scheme: LandmarkScheme
) -> Clip | Failure:
    """Choose the subject of a clip and make its faces; a Failure where there is no face, or too little of a clip."""
    if part.partial_reason and config.partial == "drop":
        hint = "get the whole video; `--partial keep` keeps what there is"
        return Failure(clip_id, VideoError("PARTIAL", part.partial_reason, frame=part.last_frame, hint=hint))
    height, width = part.shape[:2]
    tracks = link(part.detections, iou=config.track_iou, max_gap_frames=config.max_gap_frames)
    subject = choose_subject(tracks, width_px=width, height_px=height)
    if subject is None:
        message = f"no face in {len(part)} frames (frames {part.first_frame} to {part.last_frame})"
        hint = "look at the video; a larger --det-size finds smaller faces"
        return Failure(clip_id, VideoError("NO_FACE", message, frame=part.last_frame, hint=hint))
    track = replace(subject.track, first_frame=subject.track.first_frame + part.first_frame)
    facts = _facts(clip_id, part, replace(subject, track=track), fps=fps, num_tracks=len(tracks))
    frames = iter(part.frames) if part.frames is not None else again.frames(track.first_frame)
    return facts, _faces(_frames_of(track, frames), track, config=config, scheme=scheme)


def _batches(frames: Iterator[Frame], *, clip_seconds: float) -> Iterator[tuple[int, list[Frame]]]:
    """Yield runs of frames with the number of their clip: a video longer than `clip_seconds` is cut by time.

    A run depends on its video alone: at most sixteen frames, of one clip, and not too many bytes.
    """
    batch: list[Frame] = []
    number, start_seconds = 0, 0.0
    for frame in frames:
        start_seconds = start_seconds if frame.index else frame.pts_seconds
        slot = int((frame.pts_seconds - start_seconds) / clip_seconds) if clip_seconds else 0
        is_full = len(batch) == _BATCH_FRAMES or len(batch) * frame.image.nbytes >= _BATCH_BYTES
        if batch and (is_full or slot > number):
            yield number, batch
            batch = []
        number = max(number, slot)
        batch.append(frame)
    if batch:
        yield number, batch


def _parts(
    batches: Iterator[tuple[int, list[Frame]]],
    reader: VideoReader,
    *,
    detector: Detector,
    on_progress: Callable[[], None],
) -> Iterator[_Part]:
    """Detect run after run; yield the frames of each clip as soon as its last one is in."""
    part: _Part | None = None
    slot = 0
    for number, batch in batches:
        if part is not None and number != slot:
            yield part
        if part is None or number != slot:
            part = _Part(0 if part is None else part.number + 1, batch[0].index)
            slot = number
        part.add(batch, detector.detect([frame.image for frame in batch]))
        on_progress()
    if part is not None:
        part.is_whole, part.end_reason = part.number == 0, _end_reason(reader)
        yield part


def _end_reason(reader: VideoReader) -> str:
    """Say why a video ended before its end; empty if it did not."""
    if reader.decode_error is not None:
        return f"decoding stopped after frame {reader.num_frames - 1}: {reader.decode_error}"
    return f"the file ends early: {reader.num_frames} frames could be decoded" if reader.is_partial else ""


def _facts(clip_id: str, part: _Part, subject: Subject, *, fps: float, num_tracks: int) -> ClipFacts:
    track = subject.track
    step_seconds = 1 / fps if fps else 0.0
    return ClipFacts(
        clip_id=clip_id,
        num_frames=len(track),
        fps=fps,
        duration_seconds=part.pts_seconds[-1] - part.pts_seconds[0] + step_seconds,
        width_px=part.shape[1],
        height_px=part.shape[0],
        num_source_frames=len(part),
        detection_rate=track.num_detected / len(part),
        mean_score=float(np.nanmean(track.scores, dtype=np.float64)),
        num_interpolated=len(track) - track.num_detected,
        num_tracks=num_tracks,
        ambiguity=subject.ambiguity,
        is_partial=bool(part.partial_reason),
        reason=part.partial_reason,
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


class _SecondLook:
    """Decodes a video once more, for clips whose frames were too many to keep; all clips of it share one pass."""

    def __init__(self, path: Path, *, on_progress: Callable[[], None]) -> None:
        self._path, self._on_progress = path, on_progress
        self._files = ExitStack()
        self._reader: VideoReader | None = None
        self._frames: Iterator[Frame] = iter(())

    def __enter__(self) -> _SecondLook:
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def frames(self, first: int) -> Iterator[Frame]:
        """Yield the frames from number `first` on, which the pass has not reached yet; only these are converted."""
        if self._reader is None:
            self._reader = self._files.enter_context(open_video(self._path))
            self._frames = self._reader.frames()  # one iterator: a second one would miss what the decoder holds back
        self._reader.first_wanted = first
        for frame in self._frames:
            if frame.index % _BATCH_FRAMES == 0:
                self._on_progress()
            yield frame


def _frames_of(track: Track, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Take a track's frames out of an iterator that has not reached them yet, and nothing after them.

    Raises VideoError when they are not all there: the file has changed since it was detected.
    """
    last = track.first_frame + len(track) - 1
    for frame in frames:
        if frame.index >= track.first_frame:
            yield frame
        if frame.index >= last:
            return
    raise VideoError(
        "CHANGED_SOURCE", f"frame {last} is not there at the second look", hint="leave the videos alone during a run"
    )
