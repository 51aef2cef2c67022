"""Forecast the work of a whole dataset from a pilot: time, output bytes and failed videos, as measured there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dfer_data.preparation.request import ResolvedRequest
from dfer_data.render.tables import duration
from dfer_data.wording import counted

_Z95 = 1.959964  # quantile of the normal distribution for an interval of 95 %


@dataclass(frozen=True)
class Forecast:
    """What all videos of a source are expected to take, from those of a pilot."""

    num_videos: int
    """Videos of the source."""
    num_measured: int
    """Finished videos of the pilot."""
    output_bytes: int
    """Size of the shards and contact sheets of all videos; by the number of videos."""
    failed_share: float
    """Share 0..1 of the pilot's videos with a clip in the ledger."""
    failed_low: float
    """Lower end of its 95 % interval (Wilson)."""
    failed_high: float
    """Upper end."""
    seconds: float | None
    """Time for all videos with as many workers; by the size of their files, if known, else by their number. None if
    nothing was decoded."""
    num_parallel: int
    """Videos that were under way at once, at most."""

    def __str__(self) -> str:
        """Return one line for people."""
        workers = counted(self.num_parallel, "worker")
        time = "time unknown" if self.seconds is None else f"about {duration(self.seconds)} with {workers}"
        low, high = math.floor(self.failed_low * self.num_videos), math.ceil(self.failed_high * self.num_videos)
        return (
            f"forecast for all {counted(self.num_videos, 'video')}: {time}, {_size(self.output_bytes)}, "
            f"{100 * self.failed_share:.1f} % of the videos fail (95 % interval: {low:,} to "
            f"{counted(high, 'video')}); measured on {self.num_measured:,}"
        )

    def as_result(self) -> dict[str, Any]:
        """Return what equal pilots have in common, as JSON values."""
        return {
            "videos": self.num_videos,
            "measured_videos": self.num_measured,
            "output_bytes": self.output_bytes,
            "failed_share": self.failed_share,
            "failed_share_95": [self.failed_low, self.failed_high],
        }

    def as_times(self) -> dict[str, Any]:
        """Return what depends on the machine, as JSON values."""
        return {"seconds": self.seconds, "workers": self.num_parallel}


def _size(num_bytes: int) -> str:
    """Return a size in the unit that suits it."""
    unit, factor = ("GB", 1e9) if num_bytes >= 1e9 else ("MB", 1e6)
    return f"{num_bytes / factor:.1f} {unit}"


class WorkMeter:
    """Measures the time that workers spend on the videos that they decode."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """`sizes`: bytes of the source per video."""
        self._sizes = sizes
        self._starts: dict[str, float] = {}
        self._last = 0.0
        self.busy_seconds = 0.0
        """Sum over the videos of the time from their start to their end."""
        self.num_videos = self.num_frames = self.source_bytes = 0
        self.num_parallel = 1
        """Most videos that were under way at once."""

    def begin(self, now: float) -> None:
        """Start the work; `now` in seconds, as in the other methods."""
        self._last = now

    def start(self, clip_id: str, now: float) -> None:
        """Count the start of a video; again for one that is retried."""
        self._starts[clip_id] = now
        self.num_parallel = max(self.num_parallel, len(self._starts))

    def stop(self, clip_id: str, num_frames: int, now: float) -> None:
        """Count the end of a video; without a start it began when the one before it ended."""
        self.busy_seconds += now - self._starts.pop(clip_id, self._last)
        self._last = now
        self.num_videos += 1
        self.num_frames += num_frames
        self.source_bytes += self._sizes.get(clip_id, 0)

    def skip(self, clip_id: str, now: float) -> None:
        """Forget a video whose clips were taken over."""
        self._starts.pop(clip_id, None)
        self._last = now


def forecast(
    resolved: ResolvedRequest, meter: WorkMeter, *, num_videos: int, num_failed: int, output_bytes: int
) -> Forecast | None:
    """Return the forecast of a pilot with so many finished and failed videos and bytes of output; None without one.

    A preparation of all videos is no pilot.
    """
    if resolved.plan.limit is None or not num_videos:
        return None
    num_all = max(resolved.num_all_videos, num_videos)
    low, high = wilson_interval(num_failed, num_videos)
    seconds = None
    if meter.num_videos:
        is_by_size = meter.source_bytes > 0 and resolved.all_bytes > 0
        scale = resolved.all_bytes / meter.source_bytes if is_by_size else num_all / meter.num_videos
        seconds = meter.busy_seconds * scale / meter.num_parallel
    return Forecast(
        num_videos=num_all,
        num_measured=num_videos,
        output_bytes=round(output_bytes / num_videos * num_all),
        failed_share=num_failed / num_videos,
        failed_low=low,
        failed_high=high,
        seconds=seconds,
        num_parallel=meter.num_parallel,
    )


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share 0..1, after Wilson (1927); `total` is 1 or more."""
    share, z2 = count / total, _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return (0.0 if count == 0 else max(0.0, centre - half)), (1.0 if count == total else min(1.0, centre + half))
