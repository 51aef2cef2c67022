"""Make the aligned faces of tracks, either while a clip is decoded or in a second decoding pass.

A face can be made as soon as its landmarks are final: detected, or interpolated up to the next detection, and smoothed
with the landmarks after them. Both ways give the same bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg

from dfer_data.config import PrepareConfig
from dfer_data.faces.align import (
    AffineMatrices,
    AffineMatrix,
    box_corners,
    landmark_template,
    num_alignment_points,
    reaches_outside,
    similarity,
    smooth,
    square,
    track_scale,
    track_similarities,
    warp,
)
from dfer_data.faces.tracker import ActiveTrack, Tracker
from dfer_data.types import Floats, Frame, FrameFlag, FrameRecord, Image, LandmarkScheme, Track
from dfer_data.video.resize import LEAST_SHRINK

_WAITING_BYTES = 192 * 2**20  # limit for frames that wait for their landmarks
_FACE_BYTES = 96 * 2**20  # limit for faces that wait for the choice of the subject
_MAX_TRACKS = 4  # open at a time: warping more costs as much as decoding a second time


@dataclass(frozen=True, eq=False)
class Face:
    """One aligned face, ready to be stored."""

    payload: bytes
    """JPEG bytes, or raw (size, size, 3) uint8 RGB bytes with `store` clips16."""
    record: FrameRecord
    """Source frame, box, landmarks, score and flags."""


class FaceMaker:
    """Warps and encodes the faces of tracks as configured."""

    def __init__(self, config: PrepareConfig, *, scheme: LandmarkScheme) -> None:
        """`scheme`: the detector's landmark scheme."""
        self._config, self.scheme = config, scheme
        template = landmark_template(scheme, size_px=config.size_px, scale=config.template_scale)
        self._target = template[: num_alignment_points(scheme, config.align_points)]
        self.encode = encoder(config)

    def smoothed(self, boxes: Floats, landmarks: Floats) -> Floats:
        """Return points (N, 7, 2), smoothed over time: five landmarks, then two corners of the box."""
        points = np.concatenate([landmarks, box_corners(boxes)], axis=1)
        return smooth(points, window_frames=self._config.smoothing_window_frames, order=self._config.smoothing_order)

    def scale_of(self, track: Track) -> float | None:
        """Return the one scale of a track; None where each of its frames has its own."""
        if self._config.align == "box" or self._config.align_scale != "track":
            return None
        return track_scale(self.smoothed(track.boxes, track.landmarks)[:, : len(self._target)], self._target)

    def matrices(self, points: Floats, *, scale: float | None = None) -> AffineMatrices:
        """Return the transforms (N, 2, 3) of rows of a track from their smoothed points (N, 7, 2).

        `scale`: that of the track, with `align_scale` track; None: `points` are all rows of the track.
        """
        if self._config.align == "box":
            size_px, padding = self._config.size_px, self._config.box_padding
            return np.stack([square(corners, size_px=size_px, padding=padding) for corners in points[:, 5:]])
        landmarks = points[:, : len(self._target)]
        if self._config.align_scale == "track":
            return track_similarities(landmarks, self._target, scale=scale or track_scale(landmarks, self._target))
        return np.stack([similarity(row, self._target) for row in landmarks])

    def face(
        self, frame: Frame, matrix: AffineMatrix, landmarks: Floats, *, box: Floats, score: float, flag: int
    ) -> Face:
        """Warp and encode the face of a frame by its transform; `landmarks` (5, 2) are the smoothed ones."""
        size_px = self._config.size_px
        height, width = frame.size
        flags = FrameFlag(flag)
        if reaches_outside(matrix, size_px=size_px, width_px=width, height_px=height):
            flags |= FrameFlag.OUTSIDE_BORDER
        if frame.is_damaged:
            flags |= FrameFlag.DAMAGED_SOURCE
        record = FrameRecord(frame.index, frame.pts_seconds, box, landmarks, score, int(flags))
        return Face(self.encode(warp(frame.picture, matrix, size_px=size_px)), record)

    def keeps(self, flag: int) -> bool:
        """Return whether a row is stored: `undetected` drop leaves out the rows of gaps."""
        return self._config.undetected == "interpolate" or flag != FrameFlag.GAP_FILLED

    def faces(self, track: Track, frames: Iterator[Frame]) -> Iterator[Face]:
        """Yield the faces of a whole track in frame order; `frames` are the frames of the track."""
        points = self.smoothed(track.boxes, track.landmarks)
        matrices = self.matrices(points)
        for frame in frames:
            row = frame.index - track.first_frame
            if self.keeps(track.flags[row]):
                score, flag = float(track.scores[row]), int(track.flags[row])
                yield self.face(frame, matrices[row], points[row, :5], box=track.boxes[row], score=score, flag=flag)

    def final_rows(self, track: ActiveTrack) -> int:
        """Return the number of leading rows of a track whose faces no later frame can change."""
        window = self._config.smoothing_window_frames
        if track.is_closed:
            return len(track)
        if self._config.align_scale == "track":
            return 0  # the scale is known after the last frame
        return len(track) - window // 2 if len(track) >= window else 0

    def points_of(self, track: ActiveTrack, start: int, stop: int) -> Floats:
        """Return the smoothed points (stop - start, 7, 2) of final rows."""
        window = self._config.smoothing_window_frames
        first = max(0, min(start - window // 2, len(track) - window))
        boxes, landmarks = np.stack(track.boxes[first:]), np.stack(track.landmarks[first:])
        return self.smoothed(boxes, landmarks)[start - first : stop - first]


@dataclass(eq=False)
class _TrackFaces:
    """The faces made of one track so far."""

    num_rows: int = 0
    faces: list[Face] = field(default_factory=list)


class FacesOnTheWay:
    """Makes the faces of a clip's tracks as frames arrive; gives up when they would take too much memory."""

    def __init__(self, maker: FaceMaker, tracker: Tracker) -> None:
        """`tracker` must receive each frame before this object does."""
        self._maker, self._tracker = maker, tracker
        self._faces_by_track: dict[int, _TrackFaces] = {}
        self._frames: deque[Frame] = deque()
        self._num_waiting_bytes = self._num_face_bytes = 0
        self._num_closed_seen = 0
        self.has_given_up = False

    def add(self, frame: Frame) -> None:
        """Take the next frame and make every face that can be made."""
        if self.has_given_up:
            return
        self._frames.append(frame)
        self._num_waiting_bytes += frame.num_bytes
        if not self._tracker.has_rewritten:
            self.make()
        if (
            self._tracker.has_rewritten  # faces made of the rows would have to be taken back
            or self._num_waiting_bytes > _WAITING_BYTES
            or self._num_face_bytes > _FACE_BYTES
            or len(self._tracker.open) > _MAX_TRACKS
        ):
            self.has_given_up = True
            self._faces_by_track, self._frames = {}, deque()

    def make(self) -> None:
        """Make all faces whose landmarks are final, and release the frames that no track needs any more."""
        if self.has_given_up:
            return
        needed_from = []
        for track in self._tracker.tracks[self._num_closed_seen :]:
            track_faces = self._faces_by_track.setdefault(track.number, _TrackFaces())
            self._extend(track, track_faces)
            if not track.is_closed:
                needed_from.append(track.first_frame + track_faces.num_rows)
        while (
            self._num_closed_seen < len(self._tracker.tracks) and self._tracker.tracks[self._num_closed_seen].is_closed
        ):
            self._num_closed_seen += 1
        oldest = min(needed_from, default=self._frames[-1].index + 1 if self._frames else 0)
        while self._frames and self._frames[0].index < oldest:
            self._num_waiting_bytes -= self._frames.popleft().num_bytes

    def of(self, number: int) -> list[Face] | None:
        """Return the faces of track `number` of the finished clip; None after giving up."""
        return None if self.has_given_up else self._faces_by_track[number].faces

    def _extend(self, track: ActiveTrack, track_faces: _TrackFaces) -> None:
        start, stop = track_faces.num_rows, self._maker.final_rows(track)
        if stop <= start:
            return
        first = self._frames[0].index
        points = self._maker.points_of(track, start, stop)
        for row, matrix, landmarks in zip(range(start, stop), self._maker.matrices(points), points[:, :5], strict=True):
            if not self._maker.keeps(track.flags[row]):
                continue
            frame = self._frames[track.first_frame + row - first]
            score, flag = track.scores[row], int(track.flags[row])
            face = self._maker.face(frame, matrix, landmarks, box=track.boxes[row], score=score, flag=flag)
            track_faces.faces.append(face)
            self._num_face_bytes += len(face.payload)
        track_faces.num_rows = stop


def encoder(config: PrepareConfig) -> Callable[[Image], bytes]:
    """Return the function that encodes a (size, size, 3) uint8 RGB picture as stored bytes."""
    if config.store == "clips16":
        return lambda image: image.tobytes()
    quality, chroma = config.jpeg_quality, config.jpeg_subsampling
    return lambda image: bytes(simplejpeg.encode_jpeg(image, quality=quality, colorsubsampling=chroma))


def decode(payload: bytes, config: PrepareConfig, *, least_px: int = 0) -> npt.NDArray[np.uint8]:
    """Decode stored bytes to an (H, W, 3) uint8 RGB picture.

    `least_px`: decode a JPEG of twice this side or more at its smallest scale of at least it; 0: at its full size.
    """
    if config.store == "clips16":
        return np.frombuffer(payload, np.uint8).reshape(config.size_px, config.size_px, 3)
    decoded: Any = simplejpeg.decode_jpeg(payload, min_height=least_px, min_width=least_px, min_factor=LEAST_SHRINK)
    return np.asarray(decoded, np.uint8)
