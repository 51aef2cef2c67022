"""Identity over frames: link detections to tracks, fill short gaps, choose the subject. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dfer_data.detect.base import box_iou
from dfer_data.types import Detection, Detections, Floats, Track


@dataclass
class _OpenTrack:
    frames: list[int] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)


def link(detections: Detections, *, iou: float, max_gap_frames: int) -> list[Track]:
    """Link the detections of consecutive frames into tracks, in order of their first frame.

    In each frame the pairs (open track, detection) are joined by falling overlap of the boxes, at least `iou`. A track
    without a detection for more than `max_gap_frames` frames ends; shorter gaps are filled by linear interpolation.
    """
    open_tracks: list[_OpenTrack] = []
    closed: list[_OpenTrack] = []
    for index, found in enumerate(detections):
        closed += [track for track in open_tracks if index - track.frames[-1] > max_gap_frames + 1]
        open_tracks = [track for track in open_tracks if index - track.frames[-1] <= max_gap_frames + 1]
        matches = _match(open_tracks, found, iou=iou)
        for number, detection in enumerate(found):
            if number not in matches:
                open_tracks.append(_OpenTrack())
                matches[number] = len(open_tracks) - 1
            track = open_tracks[matches[number]]
            track.frames.append(index)
            track.detections.append(detection)
    return sorted((_fill_gaps(track) for track in closed + open_tracks), key=lambda track: track.first_frame)


def _match(open_tracks: Sequence[_OpenTrack], found: Sequence[Detection], *, iou: float) -> dict[int, int]:
    """Return detection number -> track number, each used once, best overlap first; ties go to the lower numbers."""
    if not found or not open_tracks:
        return {}
    boxes = np.stack([detection.box for detection in found])
    overlap = np.stack([box_iou(track.detections[-1].box, boxes) for track in open_tracks])  # (tracks, detections)
    matches: dict[int, int] = {}
    for flat in np.argsort(-overlap, axis=None, kind="stable"):
        track, detection = divmod(int(flat), len(found))
        if overlap[track, detection] < iou:
            break
        if detection not in matches and track not in matches.values():
            matches[detection] = track
    return matches


def _fill_gaps(track: _OpenTrack) -> Track:
    first, last = track.frames[0], track.frames[-1]
    length = last - first + 1
    known = np.array(track.frames) - first
    wanted = np.arange(length)
    boxes = np.stack([detection.box for detection in track.detections]).reshape(len(known), 4)
    landmarks = np.stack([detection.landmarks for detection in track.detections]).reshape(len(known), 10)
    is_detected = np.zeros(length, np.bool_)
    is_detected[known] = True
    scores = np.full(length, np.nan, np.float32)
    scores[known] = [detection.score for detection in track.detections]
    return Track(
        first,
        _interpolate(wanted, known, boxes),
        _interpolate(wanted, known, landmarks).reshape(length, 5, 2),
        scores,
        is_detected,
    )


def _interpolate(wanted: np.typing.NDArray[np.int64], known: np.typing.NDArray[np.int64], values: Floats) -> Floats:
    """Interpolate each column of `values` (K, D), given at positions `known`, to positions `wanted` (N,) -> (N, D)."""
    columns = [np.interp(wanted, known, values[:, d]) for d in range(values.shape[1])]
    return np.stack(columns, axis=1).astype(np.float32)


@dataclass(frozen=True)
class Subject:
    """The track chosen as the person a clip is about."""

    track: Track
    """The winner."""
    ambiguity: float
    """Weight of the runner-up over that of the winner, 0 (alone) to 1 (a tie)."""


def choose_subject(tracks: Sequence[Track], *, width_px: int, height_px: int) -> Subject | None:
    """Choose the subject: longest x largest x most central.

    The weight of a track is (number of detected frames) x (mean square root of the box area) x (1 - d / 2), where d is
    the mean distance of the box centre from the picture's centre over half the picture's diagonal. None without tracks.
    """
    if not tracks:
        return None
    weights = [_subject_weight(track, width_px=width_px, height_px=height_px) for track in tracks]
    order = sorted(range(len(tracks)), key=lambda i: (-weights[i], tracks[i].first_frame, i))
    first, second = (weights[i] for i in (order * 2)[:2])
    ambiguity = 0.0 if len(order) == 1 else second / first if first > 0 else 1.0
    return Subject(tracks[order[0]], ambiguity)


def _subject_weight(track: Track, *, width_px: int, height_px: int) -> float:
    boxes = track.boxes[track.is_detected].astype(np.float64)
    sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    middle = np.array([(width_px - 1) / 2, (height_px - 1) / 2])
    distance = np.linalg.norm(centres - middle, axis=1) / (np.hypot(width_px, height_px) / 2)
    return float(track.num_detected * sides.mean() * max(0.0, 1 - distance.mean() / 2))
