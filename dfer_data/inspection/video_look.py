"""Look at one video as `prepare` would see it: shots, every face over time, the subject, frames without a face.

One pass over the video detects and tracks. A second one makes the pictures that a page shows (video_pictures.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dfer_data.config import FAST_DETECT_EVERY, MOST_DETECT_EVERY, PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.errors import VideoError
from dfer_data.faces.appearance import described
from dfer_data.faces.clip import AMBIGUOUS
from dfer_data.faces.keyframes import DetectionRequest, Keyframes
from dfer_data.faces.pipeline import runs
from dfer_data.faces.subject import Subject, SubjectWeights, choose_subject, subject_weights
from dfer_data.faces.tracker import Tracker
from dfer_data.inspection.look_settings import LookSettings
from dfer_data.types import Detection, Frame, FrameFlag, LandmarkScheme, Track
from dfer_data.video.reader import VideoReader, open_video
from dfer_data.video.shot_cuts import ShotCuts, Transition
from dfer_data.wording import counted

_AIMED_DETECTIONS = 300  # of the whole video, without those between frames that disagree
Span = tuple[int, int]
"""First frame, and the frame after the last."""


@dataclass(frozen=True, eq=False)
class VideoLook:
    """What was found in a video."""

    path: Path
    """The video."""
    width_px: int
    """Width of the upright picture."""
    height_px: int
    """Height of the upright picture."""
    fps: float
    """Frame rate; 0 when unknown."""
    declared_seconds: float
    """Length that the file declares; 0 when unknown."""
    is_whole: bool
    """Whether the video was looked at to its end."""
    times: npt.NDArray[np.float64]
    """(N,) presentation times in seconds of the frames that were looked at."""
    is_detector_frame: npt.NDArray[np.bool_]
    """(N,) whether the detector saw the frame."""
    cuts: tuple[int, ...]
    """First frame of each shot but the first."""
    odd_frames: tuple[int, ...]
    """Flashes, black or broken frames, in which no face is looked for."""
    num_damaged: int
    """Frames that were decoded from damaged data."""
    num_missing: int
    """Frames that the file has lost."""
    end_reason: str
    """Why the video ends early; empty otherwise."""
    hdr: str
    """`PQ` or `HLG` where the video is HDR."""
    tracks: tuple[Track, ...]
    """Every face that was followed, in order of appearance; one through each shot."""
    subject: Subject | None
    """The face that a clip of this video would be about; None without a face."""
    config: PrepareConfig
    """Settings with which faces were found."""
    scheme: LandmarkScheme
    """Meaning of the five landmarks."""

    @property
    def num_frames(self) -> int:
        """Frames that were looked at."""
        return len(self.times)

    @property
    def hit_rate(self) -> float:
        """Frames with a detection of the subject over frames that the detector saw; 0 without a subject."""
        if self.subject is None:
            return 0.0
        return self.subject.track.num_detected / max(int(self.is_detector_frame.sum()), 1)

    @property
    def faceless(self) -> list[Span]:
        """Runs of frames in which no face is followed."""
        is_covered = np.zeros(self.num_frames, np.bool_)
        for track in self.tracks:
            is_covered[track.first_frame : track.first_frame + len(track)] = True
        return spans(~is_covered)

    @property
    def weights(self) -> dict[int, SubjectWeights]:
        """Number of a track -> what the rules for the subject weigh in it."""
        return {
            track.number: subject_weights(track, width_px=self.width_px, height_px=self.height_px)
            for track in self.tracks
        }

    @property
    def reason(self) -> str:
        """Why this face is the subject, as a sentence."""
        if self.subject is None:
            return f"No face was found in {counted(self.num_frames, 'frame')}."
        track, others = self.subject.track, self.subject.runners_up
        if not others:
            return f"Person {track.number} is the only one."
        weights = {number: weight.balanced for number, weight in self.weights.items()}
        rival = others[0]
        if weights[rival.number] > weights[track.number]:
            return (
                f"Person {track.number} moves; person {rival.number} weighs more, but is as still as a picture. "
                "Check this choice."
            )
        share = f"{100 * self.subject.ambiguity:.0f} % of that"
        words = f"Person {track.number} has the largest weight; person {rival.number}, the next one, has {share}."
        return words + (" That is close: check this choice." if self.subject.ambiguity >= AMBIGUOUS else "")


def look_at_video(
    path: Path,
    *,
    config: PrepareConfig,
    detector: Detector,
    settings: LookSettings,
    on_progress: Callable[[int, int], None] = lambda num_frames, num_expected: None,
) -> VideoLook:
    """Find the shots, the faces and the subject of a video.

    Args:
        path: the video.
        config: settings of `prepare` with which faces are found; `detect_every` is replaced.
        detector: built with these settings.
        settings: how much of the video to look at, and how closely.
        on_progress: called with the number of frames so far and the expected number, 0 when unknown.

    Raises VideoError if no frame can be decoded.
    """
    with open_video(path, deinterlace=config.deinterlace, tone_map=config.tone_map, is_lazy=True) as reader:
        seconds = reader.info.duration_seconds
        seconds = min(seconds, settings.seconds) if settings.seconds else seconds
        num_expected = round(seconds * reader.info.fps)
        every = settings.detect_every or _interval(num_expected)
        watch = _Watch(replace(config, detect_every=every), detector, lambda done: on_progress(done, num_expected))
        watch.see(_within(reader.frames(), settings.seconds))
        if not watch.times:
            reason = reader.decode_error or "it holds no frames"
            raise VideoError("NO_FRAMES", f"{path.name}: no frame could be decoded: {reason}", hint="convert it again")
        return watch.look(path, reader, settings.seconds)


def _interval(num_expected: int) -> int:
    """Return every how many frames to detect, for about as many detections in any video."""
    if not num_expected:
        return FAST_DETECT_EVERY
    return min(MOST_DETECT_EVERY, max(1, ceil(num_expected / _AIMED_DETECTIONS)))


def _within(frames: Iterator[Frame], seconds: float) -> Iterator[Frame]:
    return takewhile(lambda frame: frame.steady_seconds < seconds, frames) if seconds else frames


class _Watch:
    """Collects the facts of a video while its frames are detected and tracked."""

    def __init__(self, config: PrepareConfig, detector: Detector, on_frames: Callable[[int], None]) -> None:
        self._config, self._detector, self._on_frames = config, detector, on_frames
        self._tracker = Tracker(iou=config.track_iou, max_gap_frames=config.max_gap_frames)
        self._size = (0, 0)
        self._steady_seconds = 0.0
        self.times: list[float] = []
        self._seen: list[bool] = []
        self._cuts: list[int] = []
        self._odd: list[int] = []
        self._num_damaged = self._num_missing = 0

    def see(self, frames: Iterator[Frame]) -> None:
        """Detect and track the faces of all frames."""
        keyframes, cuts = Keyframes(self._detect, every=self._config.detect_every), ShotCuts()
        for _, run in runs(frames, clip_seconds=0):
            self._add(keyframes.add(self._noted(cuts.add(run))))
            self._on_frames(len(self.times))
        self._add(chain(keyframes.add(self._noted(cuts.finish())), keyframes.finish()))
        self._tracker.close()

    def _detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        scheme = self._detector.scheme
        found = self._detector.detect([frame.image for frame in frames])
        return [described(frame.image, faces, scheme=scheme) for frame, faces in zip(frames, found, strict=True)]

    def _noted(self, frames: Sequence[tuple[Frame, Transition]]) -> Sequence[tuple[Frame, Transition]]:
        """Note the cuts and the odd frames among frames, and return them."""
        self._cuts += [frame.index for frame, kind in frames if kind == Transition.CUT]
        self._odd += [frame.index for frame, kind in frames if kind == Transition.ODD]
        return frames

    def _add(self, requests: Iterable[DetectionRequest]) -> None:
        for request in requests:
            frame = request.frame
            self._size = frame.size if not self.times else self._size
            self.times.append(frame.pts_seconds)
            self._seen.append(request.found is not None)
            self._steady_seconds = frame.steady_seconds
            self._num_damaged += frame.is_damaged
            self._num_missing += frame.num_missing_before
            self._tracker.add(frame.index, request.found, is_cut=request.is_cut)

    def look(self, path: Path, reader: VideoReader, limit_seconds: float) -> VideoLook:
        """Return the facts, with the subject chosen among all tracks."""
        height, width = self._size
        tracks = tuple(track.as_track() for track in self._tracker.tracks)
        step = 1 / reader.fps if reader.fps else 0.0
        is_whole = (
            not limit_seconds
            or self._steady_seconds + 1.5 * step < limit_seconds
            or (reader.info.duration_seconds <= limit_seconds)
        )
        return VideoLook(
            path=path,
            width_px=width,
            height_px=height,
            fps=reader.fps,
            declared_seconds=reader.info.duration_seconds,
            is_whole=is_whole,
            times=np.array(self.times, np.float64),
            is_detector_frame=np.array(self._seen, np.bool_),
            cuts=tuple(self._cuts),
            odd_frames=tuple(self._odd),
            num_damaged=self._num_damaged,
            num_missing=self._num_missing,
            end_reason=reader.end_reason if is_whole else "",
            hdr=reader.hdr,
            tracks=tracks,
            subject=choose_subject(
                tracks, width_px=width, height_px=height, rule=self._config.subject, scheme=self._detector.scheme
            ),
            config=self._config,
            scheme=self._detector.scheme,
        )


def spans(is_inside: npt.NDArray[np.bool_]) -> list[Span]:
    """Return the runs of true values of (N,) as first index and index after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_inside, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def look_document(look: VideoLook) -> dict[str, Any]:
    """Return the facts of a video as JSON values."""
    subject = look.subject
    return {
        "video": str(look.path),
        "width_px": look.width_px,
        "height_px": look.height_px,
        "fps": round(look.fps, 3),
        "declared_seconds": round(look.declared_seconds, 3),
        "frames": look.num_frames,
        "whole_video": look.is_whole,
        "detect_every": look.config.detect_every,
        "detector_frames": int(look.is_detector_frame.sum()),
        "cuts": [_moment(look, frame) for frame in look.cuts],
        "odd_frames": list(look.odd_frames),
        "damaged_frames": look.num_damaged,
        "missing_frames": look.num_missing,
        "end_reason": look.end_reason or None,
        "hdr": look.hdr or None,
        "without_a_face": [
            {"start": _moment(look, first), "end": _moment(look, stop - 1), "frames": stop - first}
            for first, stop in look.faceless
        ],
        "persons": [_person_document(look, track) for track in look.tracks],
        "subject": subject.track.number if subject else None,
        "ambiguity": round(subject.ambiguity, 4) if subject else None,
        "hit_rate": round(look.hit_rate, 4),
        "reason": look.reason,
    }


def _person_document(look: VideoLook, track: Track) -> dict[str, Any]:
    weights = look.weights[track.number]
    return {
        "person": track.number,
        "start": _moment(look, track.first_frame),
        "end": _moment(look, track.first_frame + len(track) - 1),
        "frames": len(track),
        "detected_frames": track.num_detected,
        "filled_frames": int((track.flags == FrameFlag.GAP_FILLED).sum()),
        "size_px": round(weights.size_px, 1),
        "centrality": round(weights.centrality, 4),
        "mean_score": round(weights.score, 4),
        "weight": round(weights.balanced, 1),
    }


def _moment(look: VideoLook, frame: int) -> dict[str, Any]:
    return {"frame": frame, "seconds": round(float(look.times[frame]), 3)}
