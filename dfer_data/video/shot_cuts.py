"""Detect shot cuts and odd frames: pictures that differ from the one before by much of their contrast."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from enum import IntEnum

import cv2
import numpy as np

from dfer_data.types import Floats, Frame, Image

OVERVIEW_WIDTH, OVERVIEW_HEIGHT = 32, 18
_MIN_CHANGE = 0.35  # mean difference in standard deviations; at most 0.2 inside shots, at least 0.4 at cuts
_MIN_RATIO = 3.0  # to the mean change of the frames before: fast motion is not a cut
_NUM_FRAMES_BEFORE = 5
_MAX_ODD_FRAMES = 3
_MAX_RETURN_CHANGE = 0.2  # from the last frame before odd ones to the first one after them
_NOISE = 1.0  # grey levels, added to the contrast: noise in a black picture is no change
_SATURATED, _BLACK, _MIN_GAIN, _MAX_GAIN = 250, 8, 1.1, 4.0
_THIRDS = np.full(3, 1 / 3, np.float32)
_MIN_SHARE = 0.05  # of values that are neither, to know how the exposure has changed


class Transition(IntEnum):
    """How a frame follows the one before."""

    NONE = 0
    CUT = 1
    """It begins another shot."""
    ODD = 2
    """It differs, but at most three such frames later the picture is back: a flash, a black or a broken frame."""


def overview(image: Image) -> Image:
    """Downscale a picture to (18, 32, 3) from about every fourth pixel; takes a tenth of a millisecond."""
    row_step, column_step = _overview_steps(image.shape[0], image.shape[1])
    return _overview_of_samples(image[::row_step, ::column_step])


def overview_of_frame(frame: Frame) -> Image:
    """Return the overview of a frame; only the pixels for it are converted."""
    return _overview_of_samples(frame.sampled(*_overview_steps(*frame.size)))


def _overview_steps(height: int, width: int) -> tuple[int, int]:
    return max(1, height // (4 * OVERVIEW_HEIGHT)), max(1, width // (4 * OVERVIEW_WIDTH))


def _overview_of_samples(sparse: Image) -> Image:
    size = (OVERVIEW_WIDTH, OVERVIEW_HEIGHT)
    return np.asarray(cv2.resize(np.ascontiguousarray(sparse), size, interpolation=cv2.INTER_AREA), np.uint8)


def differences(one: Image, other: Image, *, any_exposure: bool = True) -> Floats:
    """Return the differences (H, W) of two small pictures in units of their contrast.

    With `any_exposure` the darker one is also brightened to the exposure of the other, so that it saturates where that
    one does, and the smaller differences are returned.
    """
    dark, bright = sorted((one.astype(np.float32), other.astype(np.float32)), key=np.sum)
    found = _standardised_differences(dark, bright)
    if not any_exposure or bright.sum() < _MIN_GAIN * dark.sum():
        return found
    is_exposed = (dark >= _BLACK) & (bright < _SATURATED)
    if is_exposed.all() or np.count_nonzero(is_exposed) < _MIN_SHARE * dark.size:
        return found
    ratios = bright[is_exposed] / dark[is_exposed]
    gain = min(float(np.partition(ratios, len(ratios) // 2)[len(ratios) // 2]), _MAX_GAIN)
    brightened = _standardised_differences(np.minimum(dark * np.float32(gain), 255), bright)
    return brightened if brightened.mean() < found.mean() else found


def _standardised_differences(one: Floats, other: Floats) -> Floats:
    (mean, deviation), (other_mean, other_deviation) = (_moments(picture) for picture in (one, other))
    change = one * np.float32(1 / deviation) - other * np.float32(1 / other_deviation)
    change -= np.float32(mean / deviation - other_mean / other_deviation)
    np.abs(change, out=change)
    return np.asarray(change @ _THIRDS, np.float32)


def _moments(picture: Floats) -> tuple[float, float]:
    """Return the mean and the contrast of a small picture."""
    flat = picture.ravel()
    mean = float(flat.sum()) / flat.size
    return mean, math.sqrt(max(float(flat @ flat) / flat.size - mean * mean, 0)) + _NOISE


class ShotCuts:
    """Decides for each frame of a clip how it follows the one before; up to three frames wait for those after them."""

    def __init__(self) -> None:
        """Start before the first frame."""
        self._waiting: deque[tuple[Frame, Image]] = deque()
        self._last: Image | None = None  # of the last frame that is not odd
        self._changes: deque[float] = deque(maxlen=_NUM_FRAMES_BEFORE)

    def add(self, frames: Iterable[Frame]) -> list[tuple[Frame, Transition]]:
        """Take the next frames; return those that are decided, in order."""
        decided: list[tuple[Frame, Transition]] = []
        for frame in frames:
            self._waiting.append((frame, overview_of_frame(frame)))
            decided += self._decide(is_end=False)
        return decided

    def finish(self) -> list[tuple[Frame, Transition]]:
        """End the clip; return the remaining frames."""
        return self._decide(is_end=True)

    def _decide(self, *, is_end: bool) -> list[tuple[Frame, Transition]]:
        decided: list[tuple[Frame, Transition]] = []
        while self._waiting:
            picture = self._waiting[0][1]
            last = picture if self._last is None else self._last
            change = float(differences(picture, last, any_exposure=False).mean())
            mean_before = sum(self._changes) / len(self._changes) if self._changes else 0.0
            least, num_frames = max(_MIN_CHANGE, _MIN_RATIO * mean_before), 1
            transition = Transition.NONE
            if change >= least:
                if num_odd := self._num_odd(last):
                    transition, num_frames = Transition.ODD, num_odd
                elif not is_end and len(self._waiting) <= _MAX_ODD_FRAMES:
                    break
                elif differences(picture, last).mean() >= least:
                    transition = Transition.CUT
            decided += [(self._waiting.popleft()[0], transition) for _ in range(num_frames)]
            if transition != Transition.ODD:
                if last is not picture:
                    self._changes.append(change)
                self._last = picture
        return decided

    def _num_odd(self, last: Image) -> int:
        """Return after how many waiting frames the picture is back; 0 if it is not."""
        for number, (_, picture) in enumerate(self._waiting):
            if number and differences(picture, last, any_exposure=False).mean() <= _MAX_RETURN_CHANGE:
                return number
        return 0
