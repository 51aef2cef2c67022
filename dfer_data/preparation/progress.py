"""How far a preparation is, at intervals: for prepare.log, and for people without a terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dfer_data.preparation.steps import VideoDone
from dfer_data.render.tables import duration

INTERVAL_SECONDS = 30.0
"""Least time between two reports."""


@dataclass(frozen=True)
class PreparationProgress:
    """Event: how far the run is."""

    num_done: int
    """Videos processed by this run."""
    num_videos: int
    """Videos that this run has to process."""
    num_failed: int
    """Clips without faces so far."""
    frames_per_second: float
    """Decoded frames, mean since the start."""
    seconds_left: float
    """Estimate from the videos processed so far."""

    def __str__(self) -> str:
        """Return one line for people."""
        return (
            f"{self.num_done} of {self.num_videos} videos ({100 * self.num_done / max(1, self.num_videos):.0f} %), "
            f"{self.frames_per_second:.0f} frames/s, {self.num_failed} failed, about {duration(self.seconds_left)} left"
        )


class ProgressCounter:
    """Counts processed videos, and reports the progress every INTERVAL_SECONDS."""

    def __init__(self, num_videos: int) -> None:
        """Start the clock."""
        self._num_videos, self._num_done, self._num_failed, self._num_frames = num_videos, 0, 0, 0
        self._start = self._last_report = time.monotonic()

    def count(self, event: VideoDone) -> PreparationProgress | None:
        """Count a video; return the progress if a report is due."""
        self._num_done += 1
        self._num_frames += event.num_frames
        self._num_failed += sum(code not in ("ok", "partial") for code in event.codes)
        now = time.monotonic()
        if now - self._last_report < INTERVAL_SECONDS:
            return None
        self._last_report = now
        seconds = now - self._start
        return PreparationProgress(
            self._num_done,
            self._num_videos,
            self._num_failed,
            self._num_frames / seconds,
            seconds / self._num_done * (self._num_videos - self._num_done),
        )
