"""From one source video to aligned faces: decode, detect, track, choose the subject, align.

Which face a clip is about is known when its last frame is in. The faces of all tracks are therefore made on the way,
while the frames are at hand; where they or the frames would take too much memory, the clip is decoded once more instead
and only the faces wanted are made. Either way the bytes that come out are the same. One clip is worked on at a time:
memory stays flat over a video of hours that is cut into clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.draw.contact_sheet import THUMBNAIL_PX
from dfer_data.errors import VideoError
from dfer_data.faces.align import landmark_template, similarity, warp
from dfer_data.faces.aligned_faces import Face, FaceMaker, FacesOnTheWay
from dfer_data.faces.appearance import described
from dfer_data.faces.keyframes import DetectionRequest, Keyframes
from dfer_data.faces.subject import Subject, choose_subject
from dfer_data.faces.tracker import Tracker
from dfer_data.sources.base import SourceVideo
from dfer_data.types import Detection, Frame, FrameFlag, Image, Track
from dfer_data.video.reader import VideoReader, open_video
from dfer_data.video.shot_cuts import CutDetector

_RUN_FRAMES = 16
_RUN_BYTES = 32 * 2**20
AMBIGUOUS = 0.5
"""A clip whose second track weighs this much of the first is one to look at."""
_MOST_RIVALS = 7


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
    """Frames with a detection of the subject over frames looked at; None for shipped crops."""
    mean_score: float | None
    """Mean detector score of the subject; None for shipped crops."""
    num_interpolated: int
    """Frames filled in gaps of the track."""
    num_tracks: int
    """Tracks seen in the clip."""
    track: int
    """Number of the track it shows, in order of appearance."""
    ambiguity: float
    """Weight of the best other track over this one's: up to 1, over 1 where a person chose another."""
    is_partial: bool
    """The source ended early or was damaged."""
    reason: str
    """Why it is partial; empty otherwise."""


@dataclass(frozen=True, eq=False)
class Rival:
    """Another face that an ambiguous clip could be about."""

    track: int
    """Number of its track."""
    portrait: Image
    """(96, 96, 3) uint8 RGB: the face where its detector was surest."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip: its facts, its faces, which may be made as they are read, and who else it could be about."""

    facts: ClipFacts
    """What is known about it."""
    faces: Iterator[Face]
    """In frame order."""
    rivals: tuple[Rival, ...] = ()
    """Of an ambiguous clip."""


@dataclass(frozen=True)
class Failure:
    """A clip that could not be made."""

    clip_id: str
    """Id that the clip would have had."""
    error: VideoError
    """Why."""


class _Part:
    """The frames of one clip while they are decoded and detected; what is known when the last one is in."""

    def __init__(self, number: int, first: Frame, config: PrepareConfig, maker: FaceMaker) -> None:
        self.number, self.first_frame = number, first.index
        self.height, self.width = first.image.shape[:2]
        self.tracker = Tracker(iou=config.track_iou, max_gap_frames=config.max_gap_frames)
        self.faces = FacesOnTheWay(maker, self.tracker)
        self.portraits: dict[int, tuple[float, Image]] = {}
        self.pts_seconds: list[float] = []
        self.num_looked_at = self.num_damaged = 0
        self.is_whole = False  # the video is not cut
        self.end_reason = ""
        self._portrait = landmark_template(maker.scheme, size_px=THUMBNAIL_PX, scale=config.template_scale)

    def __len__(self) -> int:
        return len(self.pts_seconds)

    @property
    def last_frame(self) -> int:
        return self.first_frame + len(self) - 1

    @property
    def partial_reason(self) -> str:
        return self.end_reason or (f"{self.num_damaged} frames are damaged" if self.num_damaged else "")

    def add(self, look: DetectionRequest) -> None:
        """Take a frame with what was found in it."""
        frame = look.frame
        self.pts_seconds.append(frame.pts_seconds)
        self.num_damaged += frame.is_damaged
        self.num_looked_at += look.found is not None
        self.tracker.add(frame.index, look.found, is_cut=look.is_cut)
        if look.found:
            self._take_portraits(frame)
        self.faces.add(frame)

    def _take_portraits(self, frame: Frame) -> None:
        """Keep the face of each track from where its score was best, by steps, so that few are made."""
        for track in self.tracker.open:
            score = track.scores[-1]
            known = self.portraits.get(track.number)
            if track.last_frame == frame.index and (known is None or score > known[0] + 0.05):
                matrix = similarity(track.landmarks[-1], self._portrait)
                self.portraits[track.number] = (score, warp(frame.image, matrix, size_px=THUMBNAIL_PX))

    def finish(self) -> list[Track]:
        """End the tracks; return them."""
        self.tracker.close()
        self.faces.make()
        return [track.as_track() for track in self.tracker.tracks]


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
    maker = FaceMaker(config, scheme=detector.scheme)
    with open_video(path) as reader, _SecondLook(path, on_progress=on_progress) as again:
        for part in _parts(reader, config=config, maker=maker, detector=detector, on_progress=on_progress):
            clip_id = video.clip_id if part.is_whole else f"{video.clip_id}#{part.number:04d}"
            yield from _clips(clip_id, part, reader.info.fps, again, video=video, config=config, maker=maker)
        if not reader.num_frames:
            reason = reader.decode_error or "it holds no picture"
            raise VideoError("NO_FRAMES", f"{path.name}: no frame could be decoded: {reason}", hint="convert it again")


def _clips(
    clip_id: str,
    part: _Part,
    fps: float,
    again: _SecondLook,
    *,
    video: SourceVideo,
    config: PrepareConfig,
    maker: FaceMaker,
) -> Iterator[Clip | Failure]:
    """Choose the subject of a clip, or with `all_tracks` take every track; a Failure where there is none."""
    if part.partial_reason and config.partial == "drop":
        hint = "get the whole video; `--partial keep` keeps what there is"
        yield Failure(clip_id, VideoError("PARTIAL", part.partial_reason, frame=part.last_frame, hint=hint))
        return
    tracks = part.finish()
    chosen = dict(video.subjects or ()).get(clip_id)
    try:
        subject = choose_subject(tracks, width_px=part.width, height_px=part.height, rule=config.subject, chosen=chosen)
    except ValueError as error:
        hint = "look at its contact sheet; correct the file of --subjects"
        yield Failure(clip_id, VideoError("NO_TRACK", str(error), frame=part.last_frame, hint=hint))
        return
    if subject is None:
        message = f"no face in {len(part)} frames (frames {part.first_frame} to {part.last_frame})"
        hint = "look at the video; a larger --det-size finds smaller faces"
        yield Failure(clip_id, VideoError("NO_FACE", message, frame=part.last_frame, hint=hint))
        return
    if not config.all_tracks:
        yield _clip(clip_id, part, subject, fps, again, num_tracks=len(tracks), maker=maker)
        return
    for track in tracks:
        alone = Subject(track, 0.0)
        yield _clip(f"{clip_id}@{track.number}", part, alone, fps, again, num_tracks=len(tracks), maker=maker)


def _clip(
    clip_id: str,
    part: _Part,
    subject: Subject,
    fps: float,
    again: _SecondLook,
    *,
    num_tracks: int,
    maker: FaceMaker,
) -> Clip:
    """Return the clip of a track: its faces are at hand, or made in another pass over the video."""
    track = subject.track
    made = part.faces.of(track.number)
    faces = iter(made) if made is not None else maker.faces(track, _frames_of(track, again.frames(track.first_frame)))
    is_ambiguous = AMBIGUOUS <= subject.ambiguity <= 1
    rivals = subject.runners_up[:_MOST_RIVALS] if is_ambiguous else ()
    portraits = tuple(Rival(rival.number, part.portraits[rival.number][1]) for rival in rivals)
    return Clip(_facts(clip_id, part, subject, fps=fps, num_tracks=num_tracks, maker=maker), faces, portraits)


def _parts(
    reader: VideoReader,
    *,
    config: PrepareConfig,
    maker: FaceMaker,
    detector: Detector,
    on_progress: Callable[[], None],
) -> Iterator[_Part]:
    """Detect run after run; yield the frames of each clip as soon as its last one is in."""

    def detect(frames: Sequence[Frame]) -> list[list[Detection]]:
        found = detector.detect([frame.image for frame in frames])
        on_progress()
        return [
            described(frame.image, faces, scheme=detector.scheme) for frame, faces in zip(frames, found, strict=True)
        ]

    cuts = CutDetector()
    part: _Part | None = None
    keyframes = Keyframes(detect, every=config.detect_every)
    slot = 0
    for number, run in runs(reader.frames(), clip_seconds=config.clip_seconds):
        if part is not None and number != slot:
            _take(part, keyframes.finish())
            yield part
        if part is None or number != slot:
            part = _Part(0 if part is None else part.number + 1, run[0], config, maker)
            keyframes, cuts = Keyframes(detect, every=config.detect_every), CutDetector()
            slot = number
        _take(part, keyframes.add(run, [cuts.is_cut(frame.image) for frame in run]))
    if part is not None:
        _take(part, keyframes.finish())
        part.is_whole, part.end_reason = part.number == 0, _end_reason(reader)
        yield part


def _take(part: _Part, looks: Iterator[DetectionRequest]) -> None:
    for look in looks:
        part.add(look)


def runs(frames: Iterator[Frame], *, clip_seconds: float) -> Iterator[tuple[int, list[Frame]]]:
    """Yield runs of frames with the number of their clip: a video longer than `clip_seconds` is cut by time.

    A run depends on its video alone: at most sixteen frames, of one clip, and not too many bytes.
    """
    run: list[Frame] = []
    number, start_seconds = 0, 0.0
    for frame in frames:
        start_seconds = start_seconds if frame.index else frame.pts_seconds
        slot = int((frame.pts_seconds - start_seconds) / clip_seconds) if clip_seconds else 0
        is_full = len(run) == _RUN_FRAMES or len(run) * frame.image.nbytes >= _RUN_BYTES
        if run and (is_full or slot > number):
            yield number, run
            run = []
        number = max(number, slot)
        run.append(frame)
    if run:
        yield number, run


def _end_reason(reader: VideoReader) -> str:
    """Say why a video ended before its end; empty if it did not."""
    if reader.decode_error is not None:
        return f"decoding stopped after frame {reader.num_frames - 1}: {reader.decode_error}"
    return f"the file ends early: {reader.num_frames} frames could be decoded" if reader.is_partial else ""


def _facts(clip_id: str, part: _Part, subject: Subject, *, fps: float, num_tracks: int, maker: FaceMaker) -> ClipFacts:
    track = subject.track
    step_seconds = 1 / fps if fps else 0.0
    num_gap = int((track.flags == FrameFlag.GAP_FILLED).sum())
    num_left_out = sum(not maker.keeps(flag) for flag in track.flags.tolist())
    return ClipFacts(
        clip_id=clip_id,
        num_frames=len(track) - num_left_out,
        fps=fps,
        duration_seconds=part.pts_seconds[-1] - part.pts_seconds[0] + step_seconds,
        width_px=part.width,
        height_px=part.height,
        num_source_frames=len(part),
        detection_rate=track.num_detected / part.num_looked_at,
        mean_score=float(np.nanmean(track.scores, dtype=np.float64)),
        num_interpolated=num_gap - num_left_out,
        num_tracks=num_tracks,
        track=track.number,
        ambiguity=subject.ambiguity,
        is_partial=bool(part.partial_reason),
        reason=part.partial_reason,
    )


class _SecondLook:
    """Decodes a video once more, for clips whose faces could not be made on the way; they share one pass."""

    def __init__(self, path: Path, *, on_progress: Callable[[], None]) -> None:
        self._path, self._on_progress = path, on_progress
        self._files = ExitStack()
        self._reader: VideoReader | None = None
        self._frames: Iterator[Frame] = iter(())
        self._next = 0

    def __enter__(self) -> _SecondLook:
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def frames(self, first: int) -> Iterator[Frame]:
        """Yield the frames from number `first` on; only these are converted. A pass that is beyond begins anew."""
        if self._reader is None or self._next > first:
            self._files.close()
            self._reader = self._files.enter_context(open_video(self._path))
            self._frames = self._reader.frames()  # one iterator: a second one would miss what the decoder holds back
        self._reader.first_wanted = first
        for frame in self._frames:
            self._next = frame.index + 1
            if frame.index % _RUN_FRAMES == 0:
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
