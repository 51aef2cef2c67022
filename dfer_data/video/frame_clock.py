"""Times of decoded frames: times that rise, and a clock without the jumps of the time stamps."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

import av

_JUMP_STEPS, _JUMP_SECONDS = 10, 0.5  # a step is a jump beyond both
_REMEMBERED_STEPS = 31


class FrameClock:
    """Reads the time of each frame, in the order of presentation."""

    def __init__(self, *, step_seconds: float, has_only_dts: bool) -> None:
        """Take the step where times are missing, and whether the container stores decoding times alone (AVI)."""
        self._step = step_seconds
        self._uses_dts = has_only_dts
        self._delay: int | None = None
        self.last_pts: int | None = None
        self._last_dts: int | None = None
        self._steps: deque[float] = deque(maxlen=_REMEMBERED_STEPS)
        self.first_seconds = self.last_seconds = self._jumped_seconds = 0.0
        self.has_jumped = self.has_fallen = False
        self._has_begun = False
        self.before_seconds = self.usual_step = 0.0

    def expect(self, seconds: Sequence[float], *, has_b_frames: bool) -> None:
        """Learn from the times of the packets to come, in file order, before the first frame."""
        steps = [after - before for before, after in pairwise(seconds)]
        if has_b_frames and steps and max(steps) < 2 * min(steps):  # even in the order of decoding: copied from an AVI
            self._uses_dts = True
        self._remember(after - before for before, after in pairwise(sorted(seconds)))

    def _remember(self, steps: Iterable[float]) -> None:
        self._steps.extend(step for step in steps if step > 0)

    def read(self, picture: av.VideoFrame) -> float:
        """Return the time of the next frame."""
        seconds = self._seconds(picture)
        if not self._has_begun:
            self.first_seconds = self.last_seconds = self.before_seconds = seconds
            self._has_begun = True
            self.usual_step = statistics.median(self._steps) if self._steps else self._step
            return seconds
        step = seconds - self.last_seconds
        usual = statistics.median(self._steps) if self._steps else step
        is_far = is_jump(step, usual_step=usual)
        if is_far or step < 0:
            self._jumped_seconds += step - max(0.0, usual)
        self.has_jumped |= is_far
        self.has_fallen |= is_far and step < 0
        self._remember([step])
        self.before_seconds, self.usual_step = self.last_seconds, usual
        self.last_seconds = seconds
        return seconds

    @property
    def steady_seconds(self) -> float:
        """Time from the first frame to the last one read, with each jump counted as one usual step."""
        return self.last_seconds - self.first_seconds - self._jumped_seconds

    def _seconds(self, picture: av.VideoFrame) -> float:
        """Return the presentation time, from decoding times where presentation times go backwards without them."""
        pts, dts = picture.pts, picture.dts
        if self._delay is None:
            self._delay = dts - pts if dts is not None and pts is not None else 0
        elif _falls(self.last_pts, pts) and dts is not None and not _falls(self._last_dts, dts):
            self._uses_dts = True
        self.last_pts, self._last_dts = pts, dts
        if self._uses_dts and self._has_begun:
            seconds = float((dts - self._delay) * picture.time_base) if dts is not None and picture.time_base else None
        else:
            seconds = picture.time
        if seconds is None:
            return self.last_seconds + (self._step if self._has_begun else 0.0)
        return seconds


def is_jump(step: float, *, usual_step: float) -> bool:
    """Return whether a step of the times is a jump rather than a slow frame."""
    return abs(step) > max(_JUMP_STEPS * usual_step, _JUMP_SECONDS)


def _falls(before: int | None, now: int | None) -> bool:
    return before is not None and now is not None and now < before
