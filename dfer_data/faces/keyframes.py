"""Which frames are detected: every k-th one, and those between wherever two neighbours do not agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dfer_data.detect.base import box_iou
from dfer_data.types import Detection, Frame

_LEAST_IOU = 0.6  # of a face in two neighbouring keyframes: below, it moves too fast to be interpolated
Detect = Callable[[Sequence[Frame]], list[list[Detection]]]


@dataclass(frozen=True, eq=False)
class DetectionRequest:
    """A frame and what was found in it."""

    frame: Frame
    """The frame."""
    found: list[Detection] | None
    """Its faces; None where it lies between two keyframes that agree."""
    is_cut: bool
    """Whether it begins another shot."""


class Keyframes:
    """Detects the frames of one clip, run after run.

    Keyframes are every `every`-th frame, the first and last frame of each shot, and the last one of the clip. Where a
    face comes or goes between two of them, or moves far, the frames between are detected too. What is found in a frame
    depends on the clip's frames alone, not on the runs in which they come.
    """

    def __init__(self, detect: Detect, *, every: int) -> None:
        """`detect` finds the faces of frames."""
        self._detect, self._every = detect, every
        self._num_frames = 0
        self._last: list[Detection] = []
        self._waiting: list[tuple[Frame, bool]] = []  # after the last keyframe

    def add(self, run: Sequence[Frame], cuts: Sequence[bool]) -> Iterator[DetectionRequest]:
        """Take the next frames, with whether each begins a shot; yield those about which all is known."""
        frames = [*self._waiting, *zip(run, cuts, strict=True)]
        numbers = range(self._num_frames - len(self._waiting), self._num_frames + len(run))
        starts = [is_cut for _, is_cut in frames]
        is_key = [
            number % self._every == 0 or start or end
            for number, start, end in zip(numbers, starts, [*starts[1:], False], strict=True)
        ]
        self._num_frames += len(run)
        yield from self._looks(frames, is_key)

    def finish(self) -> Iterator[DetectionRequest]:
        """End the clip; yield the frames that were waiting for its end."""
        frames = self._waiting
        yield from self._looks(frames, [False] * (len(frames) - 1) + [True] if frames else [])

    def _looks(self, frames: Sequence[tuple[Frame, bool]], is_key: Sequence[bool]) -> Iterator[DetectionRequest]:
        keys = np.flatnonzero(is_key).tolist()
        found = dict(zip(keys, self._detect([frames[key][0] for key in keys]) if keys else [], strict=True))
        start, before = 0, self._last
        dense: list[int] = []
        for key in keys:
            if not frames[key][1] and not agree(before, found[key]):
                dense += range(start, key)
            start, before = key + 1, found[key]
        if dense:
            found |= zip(dense, self._detect([frames[i][0] for i in dense]), strict=True)
        for i in range(start):
            yield DetectionRequest(frames[i][0], found.get(i), frames[i][1])
        self._last, self._waiting = before, list(frames[start:])


def agree(one: Sequence[Detection], other: Sequence[Detection]) -> bool:
    """Whether two frames show the same faces, each of them near where it was."""
    if len(one) != len(other):
        return False
    if not one:
        return True
    overlap = np.stack([box_iou(face.box, np.stack([each.box for each in other])) for face in one])
    nearest = overlap.argmax(axis=1)
    return len(set(nearest.tolist())) == len(one) and bool(overlap.max(axis=1).min() >= _LEAST_IOU)
