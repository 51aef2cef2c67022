"""Make the pictures for the page of one video: whole frames, filmstrips of faces, the frames that samplers take."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import simplejpeg

from dfer_data.draw.contact_sheet import evenly_spaced
from dfer_data.draw.faces import Mark, colour_of, draw_marks
from dfer_data.errors import UsageError
from dfer_data.faces.align import AffineMatrices, AffineMatrix, warp
from dfer_data.faces.aligned_faces import FaceMaker
from dfer_data.frame_sampling import CLIP_FRAMES, DEFAULT_SHORT, SAMPLERS, frames_of_clip, sampler
from dfer_data.inspection.video_look import VideoLook
from dfer_data.types import Floats, Frame, FrameFlag, Image, Track
from dfer_data.video.reader import open_video

MOST_PERSONS, MOST_CUTS = 10, 8
"""Persons and cuts that have pictures; the page counts the others."""
_STRIP_CELLS, _OVERVIEW_CELLS, _LANDMARK_CELLS = 12, 12, 6
_FACE_PX, _LARGE_FACE_PX, _FRAME_PX = 72, 176, 320
_FACE_QUALITY, _FRAME_QUALITY = 72, 75
_DOT, _DOT_EDGE = (86, 235, 160), (10, 10, 10)


@dataclass(frozen=True, eq=False)
class StripCell:
    """One small picture with the frame that it shows."""

    frame: int
    """Frame number in the video."""
    seconds: float
    """Its time."""
    jpeg: bytes
    """The picture."""
    note: str = ""
    """How the face was found, if it was not detected in this frame."""


@dataclass(frozen=True, eq=False)
class SampledClip:
    """The frames that a sampler takes of the subject."""

    sampler_name: str
    """Name of the sampler."""
    view: int
    """Number of the view, from 0; a sampler with several averages their predictions."""
    num_views: int
    """Views of the sampler."""
    is_random: bool
    """Whether another draw gives other frames."""
    rows: tuple[int, ...]
    """Frames of the clip, from 0, in the order of the network's input."""
    cells: tuple[StripCell, ...]
    """Their pictures."""


@dataclass(frozen=True, eq=False)
class VideoPictures:
    """All pictures of a video's page."""

    overview: tuple[StripCell, ...]
    """Whole frames with every face drawn, evenly spaced."""
    cuts: tuple[tuple[StripCell, StripCell], ...]
    """The last frame before a cut and the first one after it."""
    persons: dict[int, tuple[StripCell, ...]]
    """Number of a person -> filmstrip of its aligned face; the heaviest persons, in order of appearance."""
    landmarks: tuple[StripCell, ...]
    """Faces of the subject with its landmarks."""
    num_sampled: int
    """Frames of a clip that a sampler takes."""
    samples: tuple[SampledClip, ...]
    """One entry per view of each sampler that takes as many frames; empty without a subject."""


def pictures_of(
    look: VideoLook,
    *,
    num_sampled: int = CLIP_FRAMES,
    on_progress: Callable[[int, int], None] = lambda num_frames, num_expected: None,
) -> VideoPictures:
    """Decode a video a second time and make the pictures of its page.

    `num_sampled`: frames of a clip that samplers take. `on_progress` counts the frames of the video.
    """
    faces = {track.number: _Faces(track, look) for track in shown_tracks(look)}
    strips = {number: evenly_spaced(len(strip.track), _STRIP_CELLS) for number, strip in faces.items()}
    plans = _sampling(look, num_sampled)
    subject = look.subject.track if look.subject else None
    landmark_rows = _detected_rows(subject, _LANDMARK_CELLS) if subject is not None else []
    for number, rows in strips.items():
        faces[number].wanted.update(rows)
    if subject is not None:
        for _, _, rows in plans:
            faces[subject.number].wanted.update(rows)
        faces[subject.number].large.update(landmark_rows)
    overview = evenly_spaced(look.num_frames, _OVERVIEW_CELLS)
    pairs = [(frame - 1, frame) for frame in look.cuts[:MOST_CUTS]]
    whole_frames = {*overview, *(frame for pair in pairs for frame in pair)}
    whole: dict[int, StripCell] = {}
    last = max([*whole_frames, *(strip.last_wanted for strip in faces.values())])
    for frame in _frames(look, last, on_progress):
        if frame.index in whole_frames:
            whole[frame.index] = _whole_cell(look, frame)
        for strip in faces.values():
            strip.take(frame)
    return VideoPictures(
        overview=tuple(whole[frame] for frame in overview if frame in whole),
        cuts=tuple((whole[before], whole[after]) for before, after in pairs if before in whole and after in whole),
        persons={number: faces[number].strip(rows) for number, rows in strips.items()},
        landmarks=faces[subject.number].strip(landmark_rows, is_large=True) if subject is not None else (),
        num_sampled=num_sampled,
        samples=tuple(
            SampledClip(
                sampler_name=name,
                view=view,
                num_views=sampler(name).num_views,
                is_random=sampler(name).is_test_random,
                rows=tuple(rows),
                cells=faces[subject.number].strip(rows),
            )
            for name, view, rows in plans
            if subject is not None
        ),
    )


def shown_tracks(look: VideoLook) -> list[Track]:
    """Return the persons with pictures: the subject and the heaviest others, in order of appearance."""
    weights = {number: weight.balanced for number, weight in look.weights.items()}
    subject = look.subject.track.number if look.subject else -1
    order = sorted(look.tracks, key=lambda track: (track.number != subject, -weights[track.number], track.number))
    return sorted(order[:MOST_PERSONS], key=lambda track: track.number)


def _sampling(look: VideoLook, num_sampled: int) -> list[tuple[str, int, list[int]]]:
    """Return name, view and rows of the subject's track for every view of every sampler that takes `num_sampled`."""
    if look.subject is None:
        return []
    options: dict[str, Any] = {"part": "test", "short": DEFAULT_SHORT, "clip_frames": num_sampled}
    plans = []
    for name in SAMPLERS:
        with contextlib.suppress(UsageError):  # segments-8x2 takes an even number
            views = frames_of_clip(len(look.subject.track), sampler_name=name, **options)
            plans += [(name, view, rows) for view, rows in enumerate(views.tolist())]
    return plans


class _Faces:
    """The aligned faces of one track, made as its frames are decoded."""

    def __init__(self, track: Track, look: VideoLook) -> None:
        self.track, self._times = track, look.times
        self.wanted: set[int] = set()
        self.large: set[int] = set()
        maker = FaceMaker(look.config, scheme=look.scheme)
        points = maker.smoothed(track.boxes, track.landmarks)
        self._landmarks: Floats = points[:, :5]
        self._matrices: AffineMatrices = maker.matrices(points) / look.config.size_px  # aligned sides of 1
        self._jpegs: dict[int, bytes] = {}
        self._large_jpegs: dict[int, bytes] = {}

    @property
    def last_wanted(self) -> int:
        return self.track.first_frame + max(self.wanted | self.large, default=0)

    def take(self, frame: Frame) -> None:
        """Make the faces of a frame."""
        row = frame.index - self.track.first_frame
        if row in self.wanted:
            face = warp(frame.picture, self._matrices[row] * _FACE_PX, size_px=_FACE_PX)
            self._jpegs[row] = _jpeg(face, _FACE_QUALITY)
        if row in self.large:
            matrix = self._matrices[row] * _LARGE_FACE_PX
            face = warp(frame.picture, matrix, size_px=_LARGE_FACE_PX)
            _draw_dots(face, _mapped(matrix, self._landmarks[row]))
            self._large_jpegs[row] = _jpeg(face, _FRAME_QUALITY)

    def strip(self, rows: Sequence[int], *, is_large: bool = False) -> tuple[StripCell, ...]:
        """Return the pictures of rows, in their order."""
        jpegs = self._large_jpegs if is_large else self._jpegs
        return tuple(self._cell(row, jpegs[row]) for row in rows if row in jpegs)

    def _cell(self, row: int, jpeg: bytes) -> StripCell:
        frame = self.track.first_frame + row
        note = "filled in" if self.track.flags[row] == FrameFlag.GAP_FILLED else ""
        return StripCell(frame, float(self._times[frame]), jpeg, note)


def _frames(look: VideoLook, last: int, on_progress: Callable[[int, int], None]) -> Iterator[Frame]:
    """Yield the frames of a video up to number `last`, converted where they are read."""
    config = look.config
    with open_video(look.path, deinterlace=config.deinterlace, tone_map=config.tone_map, is_lazy=True) as reader:
        for frame in reader.frames():
            yield frame
            on_progress(frame.index + 1, last + 1)
            if frame.index >= last:
                return


def _whole_cell(look: VideoLook, frame: Frame) -> StripCell:
    """Draw every face into a small copy of a frame."""
    height, width = frame.size
    scale = min(1.0, _FRAME_PX / width, _FRAME_PX / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = np.asarray(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA), np.uint8)
    draw_marks(picture, _marks(look, frame.index, scale))
    return StripCell(frame.index, float(look.times[frame.index]), _jpeg(picture, _FRAME_QUALITY))


def _marks(look: VideoLook, frame: int, scale: float) -> list[Mark]:
    subject = look.subject.track.number if look.subject else -1
    marks = []
    for track in look.tracks:
        row = frame - track.first_frame
        if 0 <= row < len(track):
            marks.append(
                Mark(
                    track.boxes[row] * np.float32(scale),
                    track.landmarks[row] * np.float32(scale),
                    colour_of(track.number),
                    label=str(track.number),
                    is_strong=track.number == subject,
                    is_seen=track.flags[row] != FrameFlag.GAP_FILLED,
                )
            )
    return marks


def _draw_dots(face: Image, landmarks: Floats) -> None:
    for x, y in np.rint(landmarks).astype(int).tolist():
        cv2.circle(face, (x, y), 4, _DOT_EDGE, -1, cv2.LINE_AA)
        cv2.circle(face, (x, y), 3, _DOT, -1, cv2.LINE_AA)


def _mapped(matrix: AffineMatrix, points: Floats) -> Floats:
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)


def _detected_rows(track: Track, most: int) -> list[int]:
    rows = np.flatnonzero(track.is_detected)
    return [int(rows[number]) for number in evenly_spaced(len(rows), most)]


def _jpeg(picture: Image, quality: int) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=quality, colorsubsampling="420"))
