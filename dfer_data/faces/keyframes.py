"""Choose the frames to detect: every k-th frame, and those between two keyframes that disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dfer_data.detect.base import box_iou
from dfer_data.faces.appearance import change_of_person
from dfer_data.types import Detection, Frame
from dfer_data.video.shot_cuts import Transition

_MIN_IOU = 0.6  # of a face in two neighbouring keyframes; below this it moves too fast to interpolate
Detect = Callable[[Sequence[Frame]], list[list[Detection]]]


@dataclass(frozen=True, eq=False)
class DetectionRequest:
    """A frame and its detections."""

    frame: Frame
    found: list[Detection] | None
    """Detections; None for a frame between two keyframes that agree, empty for an odd frame."""
    is_cut: bool
    """Whether the frame begins another shot."""


class Keyframes:
    """Detects faces in the frames of one clip, run by run.

    Keyframes are every `every`-th frame, the first and last frame of each shot, and the last frame of the clip. Where a
    face appears, disappears, moves far or looks different between two keyframes, the frames between them are detected
    too. Odd frames are not detected, but the frames next to them are. The detections depend only on the clip's frames,
    not on how the frames are grouped into runs.
    """

    def __init__(self, detect: Detect, *, every: int) -> None:
        """`detect` returns the faces of each frame."""
        self._detect, self._every = detect, every
        self._num_frames = 0
        self._last_detections: list[Detection] = []
        self._waiting: list[tuple[Frame, Transition]] = []  # frames after the last keyframe

    def add(self, run: Sequence[tuple[Frame, Transition]]) -> Iterator[DetectionRequest]:
        """Take the next frames, with how each follows the one before; yield those whose detections are final."""
        frames = [*self._waiting, *run]
        first = self._num_frames - len(self._waiting)
        self._num_frames += len(run)
        kinds = [kind for _, kind in frames]
        before, after = [Transition.NONE, *kinds], [*kinds[1:], Transition.NONE]  # a keyframe before, and not known yet
        is_key = [
            kind != Transition.ODD
            and (
                Transition.CUT in (kind, after[i])
                or Transition.ODD in (before[i], after[i])
                or not number % self._every
            )
            for number, (i, kind) in enumerate(enumerate(kinds), start=first)
        ]
        yield from self._requests(frames, is_key)

    def finish(self) -> Iterator[DetectionRequest]:
        """End the clip and yield the remaining frames."""
        frames = self._waiting
        yield from self._requests(frames, [False] * (len(frames) - 1) + [True] if frames else [])

    def _requests(
        self, frames: Sequence[tuple[Frame, Transition]], is_key: Sequence[bool]
    ) -> Iterator[DetectionRequest]:
        keys = np.flatnonzero(is_key).tolist()
        detections = dict(zip(keys, self._detect([frames[key][0] for key in keys]) if keys else [], strict=True))
        start, previous = 0, self._last_detections
        dense: list[int] = []
        for key in keys:
            if frames[key][1] != Transition.CUT and not agree(previous, detections[key]):
                dense += (i for i in range(start, key) if frames[i][1] != Transition.ODD)
            start, previous = key + 1, detections[key]
        if dense:
            detections |= zip(dense, self._detect([frames[i][0] for i in dense]), strict=True)
        for i, (frame, kind) in enumerate(frames[:start]):
            found = [] if kind == Transition.ODD else detections.get(i)
            yield DetectionRequest(frame, found, kind == Transition.CUT)
        self._last_detections, self._waiting = previous, list(frames[start:])


def agree(one: Sequence[Detection], other: Sequence[Detection]) -> bool:
    """Return whether two frames show the same faces, each near its position in the other frame and looking alike."""
    if len(one) != len(other):
        return False
    if not one:
        return True
    overlap = np.stack([box_iou(face.box, np.stack([each.box for each in other])) for face in one])
    nearest = overlap.argmax(axis=1).tolist()
    pairs = [(face.appearance, other[number].appearance) for face, number in zip(one, nearest, strict=True)]
    is_near = len(set(nearest)) == len(one) and bool(overlap.max(axis=1).min() >= _MIN_IOU)
    return is_near and not any(change_of_person(*pair) >= 1 for pair in pairs)
