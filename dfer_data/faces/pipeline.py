"""Turn one source video into aligned faces: decode, detect, track, choose the subject, align.

The subject of a clip is known only after its last frame. The faces of all tracks are therefore made while the frames
are in memory. Where the faces or frames would take too much memory, the clip is decoded a second time and only the
chosen faces are made. Both ways give the same bytes. Clips are processed one at a time, so memory stays flat for a
video of hours that is cut into clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from math import inf
from pathlib import Path

import numpy as np

from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.draw.contact_sheet import THUMBNAIL_PX
from dfer_data.errors import VideoError
from dfer_data.faces.align import landmark_template, similarity, warp
from dfer_data.faces.aligned_faces import FaceMaker, FacesOnTheWay
from dfer_data.faces.appearance import described
from dfer_data.faces.clip import AMBIGUOUS, Clip, ClipFacts, Failure, Rival, TracksLeftOut
from dfer_data.faces.keyframes import DetectionRequest, Keyframes
from dfer_data.faces.second_pass import SecondPass, frames_of_track
from dfer_data.faces.subject import Subject, choose_subject
from dfer_data.faces.track_filter import MeanBrightness, filter_tracks, why_none_is_kept
from dfer_data.faces.tracker import Tracker
from dfer_data.faces.turned import turn_to_upright
from dfer_data.sources.base import SourceVideo
from dfer_data.types import Detection, Floats, Frame, FrameFlag, LandmarkScheme, Track
from dfer_data.video.reader import VideoReader, open_video
from dfer_data.video.shot_cuts import ShotCuts

_RUN_FRAMES = 16
_RUN_BYTES = 32 * 2**20
_MAX_RIVALS = 7
_SHORTEST_REST_SECONDS = 1.0


class _ClipState:
    """The tracks, faces and facts of one clip while its frames are decoded and detected."""

    def __init__(self, number: int, first: Frame, config: PrepareConfig, maker: FaceMaker) -> None:
        self.number, self.first_frame = number, first.index
        self.height, self.width = first.size
        self.tracker = Tracker(iou=config.track_iou, max_gap_frames=config.max_gap_frames)
        self.faces = FacesOnTheWay(maker, self.tracker)
        self.portraits: dict[int, tuple[float, Rival]] = {}
        self.brightness = MeanBrightness() if config.min_brightness is not None else None
        self.steady_seconds: list[float] = []
        self.num_detector_frames = self.num_damaged = self.num_missing = self.first_missing = 0
        self.is_whole = False  # the video is not cut
        self.times_fall = False
        self.end_reason = self.hdr = ""
        self._portrait_template = portrait_template(maker.scheme, config)

    def __len__(self) -> int:
        return len(self.steady_seconds)

    @property
    def last_frame(self) -> int:
        return self.first_frame + len(self) - 1

    @property
    def partial_reason(self) -> str:
        missing = f"{self.num_missing} frames are missing at frame {self.first_missing}" if self.num_missing else ""
        damaged = f"{self.num_damaged} frames are damaged" if self.num_damaged and not self.end_reason else ""
        return "; ".join(filter(None, (missing, self.end_reason, damaged)))

    def add(self, request: DetectionRequest) -> None:
        """Take a frame with its detections."""
        frame = request.frame
        self.steady_seconds.append(frame.steady_seconds)
        self.num_damaged += frame.is_damaged
        self.first_missing = self.first_missing if self.num_missing else frame.index
        self.num_missing += frame.num_missing_before
        self.num_detector_frames += request.found is not None
        self.tracker.add(frame.index, request.found, is_cut=request.is_cut)
        if request.found:
            self._look_at_faces(frame)
        self.faces.add(frame)

    def _look_at_faces(self, frame: Frame) -> None:
        """Keep each track's face near its best score, and its brightness if that matters.

        Small gains of the score are ignored so that few faces are warped.
        """
        for track in self.tracker.open:
            if track.last_frame != frame.index:
                continue
            if self.brightness is not None:
                self.brightness.add(track.number, track.recent[-1][1])
            score = track.scores[-1]
            portrait = self.portraits.get(track.number)
            if portrait is None or score > portrait[0] + 0.05:
                rival = rival_in(frame, track.number, track.landmarks[-1], self._portrait_template)
                self.portraits[track.number] = (score, rival)

    def finish(self) -> list[Track]:
        """End the tracks and return them."""
        self.tracker.close()
        self.faces.make()
        return [track.as_track() for track in self.tracker.tracks]


def portrait_template(scheme: LandmarkScheme, config: PrepareConfig) -> Floats:
    """Return the (5, 2) float32 positions of the landmarks of `scheme` in a portrait."""
    return landmark_template(scheme, size_px=THUMBNAIL_PX, scale=config.template_scale)


def rival_in(frame: Frame, track: int, landmarks: Floats, template: Floats) -> Rival:
    """Return the face of a track with these landmarks (5, 2) in a frame as a rival."""
    portrait = warp(frame.picture, similarity(landmarks, template), size_px=THUMBNAIL_PX)
    return Rival(track, portrait, frame.index, landmarks)


def clips_of_video(
    path: Path,
    video: SourceVideo,
    *,
    config: PrepareConfig,
    detector: Detector,
    on_progress: Callable[[int, int], None] = lambda num_frames, num_expected: None,
) -> Iterator[Clip | Failure | TracksLeftOut]:
    """Yield each clip of a video, or a Failure; consume the faces of a clip before you take the next clip.

    With `all_tracks` the tracks that the limits of `config` leave out are yielded before the clips of the others.
    `on_progress` is called repeatedly while frames are decoded, with their number so far and the number that the file
    declares, 0 when unknown. Raises VideoError when nothing of the video can be used, OSError when the file cannot be
    read, MemoryError.
    """
    maker = FaceMaker(config, scheme=detector.scheme)

    def advance() -> None:
        on_progress(reader.num_frames, round(reader.info.duration_seconds * reader.info.fps))

    with (
        open_video(
            path, deinterlace=config.deinterlace, tone_map=config.tone_map, is_lazy=config.detect_every > 1
        ) as reader,
        SecondPass(path, config, on_progress=advance) as second_pass,
    ):
        for state in _clip_states(reader, config=config, maker=maker, detector=detector, on_progress=advance):
            state.hdr, state.times_fall = reader.hdr, reader.times_fall
            clip_id = video.clip_id if state.is_whole else f"{video.clip_id}#{state.number:04d}"
            yield from _clips(clip_id, state, reader.fps, second_pass, video=video, config=config, maker=maker)
        advance()
        if not reader.num_frames:
            reason = reader.decode_error or "it holds no frames"
            raise VideoError("NO_FRAMES", f"{path.name}: no frame could be decoded: {reason}", hint="convert it again")


def _clips(
    clip_id: str,
    state: _ClipState,
    fps: float,
    second_pass: SecondPass,
    *,
    video: SourceVideo,
    config: PrepareConfig,
    maker: FaceMaker,
) -> Iterator[Clip | Failure | TracksLeftOut]:
    """Choose the subject of a clip, or with `all_tracks` take every track; a Failure where there is none."""
    if state.partial_reason and config.partial == "drop":
        hint = "get the whole video, or keep its decoded frames with `--partial keep`"
        yield Failure(clip_id, VideoError("PARTIAL", state.partial_reason, frame=state.last_frame, hint=hint))
        return
    tracks = state.finish()
    chosen_track = dict(video.subjects or ()).get(clip_id)
    try:
        subject = choose_subject(
            tracks,
            width_px=state.width,
            height_px=state.height,
            rule=config.subject,
            chosen=chosen_track,
            scheme=maker.scheme,
        )
    except ValueError as error:
        hint = "check the clip's contact sheet and correct the --subjects file"
        yield Failure(clip_id, VideoError("NO_TRACK", str(error), frame=state.last_frame, hint=hint))
        return
    if subject is None:
        message = f"no face in {len(state)} frames (frames {state.first_frame} to {state.last_frame})"
        hint = "check the video; a larger --det-size finds smaller faces, a smaller one faces that fill the picture"
        yield Failure(clip_id, VideoError("NO_FACE", message, frame=state.last_frame, hint=hint))
        return
    if not config.all_tracks:
        yield _clip(clip_id, state, subject, fps, second_pass, num_tracks=len(tracks), maker=maker)
        return
    kept, left_out = filter_tracks(tracks, state.brightness.by_track if state.brightness else {}, config)
    if left_out:
        yield TracksLeftOut(clip_id, tuple(left_out))
    if not kept:
        message, hint = why_none_is_kept(left_out, config)
        yield Failure(clip_id, VideoError("LEFT_OUT", message, frame=state.last_frame, hint=hint))
    for track in kept:
        subject = Subject(track, 0.0)
        yield _clip(f"{clip_id}@{track.number}", state, subject, fps, second_pass, num_tracks=len(tracks), maker=maker)


def _clip(
    clip_id: str,
    state: _ClipState,
    subject: Subject,
    fps: float,
    second_pass: SecondPass,
    *,
    num_tracks: int,
    maker: FaceMaker,
) -> Clip:
    """Return the clip of a track; its faces are already made, or are made lazily in a second pass over the video."""
    track = subject.track
    finished_faces = state.faces.of(track.number)
    faces = (
        iter(finished_faces)
        if finished_faces is not None
        else maker.faces(track, frames_of_track(track, second_pass.frames(track.first_frame)))
    )
    is_ambiguous = AMBIGUOUS <= subject.ambiguity <= 1
    rivals = subject.runners_up[:_MAX_RIVALS] if is_ambiguous else ()
    portraits = tuple(state.portraits[rival.number][1] for rival in rivals)
    facts = _facts(clip_id, state, subject, fps=fps, num_tracks=num_tracks, maker=maker)
    turn_degrees = turn_to_upright(track, scheme=maker.scheme)
    return Clip(facts, faces, portraits, track.drift, state.hdr, turn_degrees, state.times_fall, maker.scale_of(track))


def _clip_states(
    reader: VideoReader,
    *,
    config: PrepareConfig,
    maker: FaceMaker,
    detector: Detector,
    on_progress: Callable[[], None],
) -> Iterator[_ClipState]:
    """Detect faces run by run; yield the state of each clip after its last frame."""

    def detect(frames: Sequence[Frame]) -> list[list[Detection]]:
        detections = detector.detect([frame.image for frame in frames])
        on_progress()
        return [
            described(frame.image, faces, scheme=detector.scheme)
            for frame, faces in zip(frames, detections, strict=True)
        ]

    state: _ClipState | None = None
    keyframes, cuts = Keyframes(detect, every=config.detect_every), ShotCuts()
    slot = 0
    for number, run in runs(reader.frames(), clip_seconds=config.clip_seconds):
        if state is not None and number != slot:
            _add_all(state, keyframes.add(cuts.finish()), keyframes.finish())
            yield state
        if state is None or number != slot:
            state = _ClipState(0 if state is None else state.number + 1, run[0], config, maker)
            keyframes, cuts = Keyframes(detect, every=config.detect_every), ShotCuts()
            slot = number
        _add_all(state, keyframes.add(cuts.add(run)))
    if state is not None:
        _add_all(state, keyframes.add(cuts.finish()), keyframes.finish())
        state.is_whole, state.end_reason = state.number == 0, reader.end_reason
        yield state


def _add_all(state: _ClipState, *requests: Iterator[DetectionRequest]) -> None:
    for request in chain(*requests):
        state.add(request)


def runs(frames: Iterator[Frame], *, clip_seconds: float) -> Iterator[tuple[int, list[Frame]]]:
    """Yield runs of frames with the number of their clip: a video longer than `clip_seconds` is cut by time.

    A jump of the time stamps does not cut, and a rest shorter than a second stays with the clip before it. A run holds
    at most sixteen frames of one clip and a limited number of bytes. Runs depend only on the video.
    """
    run: list[Frame] = []
    number = 0
    for frame in frames:
        slot = int(frame.steady_seconds / clip_seconds) if clip_seconds else 0
        if slot > number and _rest_seconds(frame) < min(_SHORTEST_REST_SECONDS, clip_seconds / 2):
            slot = number
        is_full = len(run) == _RUN_FRAMES or len(run) * frame.num_bytes >= _RUN_BYTES
        if run and (is_full or slot > number):
            yield number, run
            run = []
        number = max(number, slot)
        run.append(frame)
    if run:
        yield number, run


def _rest_seconds(frame: Frame) -> float:
    """Return the time from a frame to the end of the video; infinity where the end is not in sight."""
    if frame.num_following is None or not frame.index:
        return inf
    return (1 + frame.num_following) * frame.steady_seconds / frame.index


def _facts(
    clip_id: str, state: _ClipState, subject: Subject, *, fps: float, num_tracks: int, maker: FaceMaker
) -> ClipFacts:
    track = subject.track
    step_seconds = 1 / fps if fps else 0.0
    num_gap = int((track.flags == FrameFlag.GAP_FILLED).sum())
    num_dropped = sum(not maker.keeps(flag) for flag in track.flags.tolist())
    return ClipFacts(
        clip_id=clip_id,
        num_frames=len(track) - num_dropped,
        fps=fps,
        duration_seconds=state.steady_seconds[-1] - state.steady_seconds[0] + step_seconds,
        width_px=state.width,
        height_px=state.height,
        num_source_frames=len(state),
        detection_rate=track.num_detected / state.num_detector_frames,
        mean_score=float(np.nanmean(track.scores, dtype=np.float64)),
        num_interpolated=num_gap - num_dropped,
        num_tracks=num_tracks,
        track=track.number,
        ambiguity=subject.ambiguity,
        is_partial=bool(state.partial_reason),
        reason=state.partial_reason,
    )
