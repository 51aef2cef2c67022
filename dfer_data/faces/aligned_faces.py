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
    AffineMatrix,
    box_corners,
    landmark_template,
    reaches_outside,
    similarity,
    smooth,
    square,
    warp,
)
from dfer_data.faces.tracker import ActiveTrack, Tracker
from dfer_data.types import Floats, Frame, FrameFlag, FrameRecord, Image, LandmarkScheme, Track

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
        self._target = landmark_template(scheme, size_px=config.size_px, scale=config.template_scale)
        self.encode = encoder(config)

    def smoothed(self, boxes: Floats, landmarks: Floats) -> Floats:
        """Return points (N, 7, 2), smoothed over time: five landmarks, then two corners of the box."""
        points = np.concatenate([landmarks, box_corners(boxes)], axis=1)
        return smooth(points, window_frames=self._config.smoothing_window_frames, order=self._config.smoothing_order)

    def face(self, frame: Frame, points: Floats, *, box: Floats, score: float, flag: int) -> Face:
        """Warp and encode the face of a frame from its smoothed points (7, 2)."""
        size_px, matrix = self._config.size_px, self._matrix(points)
        height, width = frame.image.shape[:2]
        flags = FrameFlag(flag)
        if reaches_outside(matrix, size_px=size_px, width_px=width, height_px=height):
            flags |= FrameFlag.OUTSIDE_BORDER
        if frame.is_damaged:
            flags |= FrameFlag.DAMAGED_SOURCE
        record = FrameRecord(frame.index, frame.pts_seconds, box, points[:5], score, int(flags))
        return Face(self.encode(warp(frame.image, matrix, size_px=size_px)), record)

    def _matrix(self, points: Floats) -> AffineMatrix:
        if self._config.align == "box":
            return square(points[5:], size_px=self._config.size_px, padding=self._config.box_padding)
        return similarity(points[:5], self._target)

    def keeps(self, flag: int) -> bool:
        """Return whether a row is stored: `undetected` drop leaves out the rows of gaps."""
        return self._config.undetected == "interpolate" or flag != FrameFlag.GAP_FILLED

    def faces(self, track: Track, frames: Iterator[Frame]) -> Iterator[Face]:
        """Yield the faces of a whole track in frame order; `frames` are the frames of the track."""
        points = self.smoothed(track.boxes, track.landmarks)
        for frame in frames:
            row = frame.index - track.first_frame
            if self.keeps(track.flags[row]):
                score, flag = float(track.scores[row]), int(track.flags[row])
                yield self.face(frame, points[row], box=track.boxes[row], score=score, flag=flag)

    def final_rows(self, track: ActiveTrack) -> int:
        """Return the number of leading rows of a track that no later frame can change."""
        window = self._config.smoothing_window_frames
        if track.is_closed:
            return len(track)
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
        self._num_waiting_bytes += frame.image.nbytes
        self.make()
        if (
            self._num_waiting_bytes > _WAITING_BYTES
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
            self._num_waiting_bytes -= self._frames.popleft().image.nbytes

    def of(self, number: int) -> list[Face] | None:
        """Return the faces of track `number` of the finished clip; None after giving up."""
        return None if self.has_given_up else self._faces_by_track[number].faces

    def _extend(self, track: ActiveTrack, track_faces: _TrackFaces) -> None:
        start, stop = track_faces.num_rows, self._maker.final_rows(track)
        if stop <= start:
            return
        first = self._frames[0].index
        for row, points in zip(range(start, stop), self._maker.points_of(track, start, stop), strict=True):
            if not self._maker.keeps(track.flags[row]):
                continue
            frame = self._frames[track.first_frame + row - first]
            score, flag = track.scores[row], int(track.flags[row])
            face = self._maker.face(frame, points, box=track.boxes[row], score=score, flag=flag)
            track_faces.faces.append(face)
            self._num_face_bytes += len(face.payload)
        track_faces.num_rows = stop


def encoder(config: PrepareConfig) -> Callable[[Image], bytes]:
    """Return the function that encodes a (size, size, 3) uint8 RGB picture as stored bytes."""
    if config.store == "clips16":
        return lambda image: image.tobytes()
    return lambda image: bytes(simplejpeg.encode_jpeg(image, quality=config.jpeg_quality, colorsubsampling="420"))


def decode(payload: bytes, config: PrepareConfig) -> npt.NDArray[np.uint8]:
    """Decode stored bytes to an (H, W, 3) uint8 RGB picture."""
    if config.store == "clips16":
        return np.frombuffer(payload, np.uint8).reshape(config.size_px, config.size_px, 3)
    decoded: Any = simplejpeg.decode_jpeg(payload)
    return np.asarray(decoded, np.uint8)
