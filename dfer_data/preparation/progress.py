"""How far a preparation is, at intervals: for prepare.log, and for people without a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dfer_data.preparation.tasks import VideoDone, VideosUnderWay, VideoUnderWay
from dfer_data.render.pace import Pace, rate
from dfer_data.render.tables import duration
from dfer_data.sources.base import SourceVideo
from dfer_data.wording import counted


@dataclass(frozen=True)
class PreparationProgress:
    """Event: how far the run is."""

    num_done: int
    """Videos processed by this run."""
    num_videos: int
    """Videos that this run has to process."""
    share: float
    """Share 0..1 of the work: bytes of the processed videos, and those under way by their decoded frames."""
    num_failed: int
    """Clips without faces so far."""
    frames_per_second: float
    """Decoded frames, mean since the start."""
    seconds_left: float | None
    """Estimate from `share`; None as long as that is 0."""
    num_under_way: int
    """Videos that workers have under way."""
    longest: VideoUnderWay | None
    """That of them with the most decoded frames."""

    def __str__(self) -> str:
        """Return one line for people."""
        left = "time left unknown" if self.seconds_left is None else f"about {duration(self.seconds_left)} left"
        line = (
            f"{self.num_done:,} of {counted(self.num_videos, 'video')}, {100 * self.share:.0f} % of the work, "
            f"{rate(self.frames_per_second)} frames/s, {self.num_failed} failed, {left}"
        )
        if self.longest is None:
            return line
        which = "under way" if self.num_under_way == 1 else "under way, the longest"
        return f"{line}; {self.num_under_way} {which}: {self.longest}"


class ProgressCounter:
    """Counts processed videos and decoded frames, and reports the progress at the pace of `Pace`."""

    def __init__(self, videos: Sequence[SourceVideo], *, clock: Callable[[], float] | None = None) -> None:
        """Start the clock (None: that of the machine); `videos`: those that the run has to process."""
        sizes = {video.clip_id: video.num_bytes for video in videos}
        self._weights = sizes if any(sizes.values()) else dict.fromkeys(sizes, 1)
        self._num_videos, self._num_done, self._num_failed, self._num_frames = len(videos), 0, 0, 0
        self._weight_done = 0
        self._under_way: dict[str, VideoUnderWay] = {}
        self._pace = Pace(clock)

    def count(self, event: VideoDone | VideosUnderWay) -> PreparationProgress | None:
        """Count what an event reports; return the progress if a report is due."""
        if isinstance(event, VideosUnderWay):
            self._under_way = {video.clip_id: video for video in event.videos}
        else:
            self._under_way.pop(event.clip_id, None)
            self._num_done += 1
            self._num_frames += event.num_frames
            self._num_failed += sum(code not in ("ok", "partial") for code in event.codes)
            self._weight_done += self._weights[event.clip_id]
        share = self._share()
        return self._report(share) if self._pace.is_due(share) else None

    def _share(self) -> float:
        """Return the share of the work that is done, at most 1."""
        weight = self._weight_done + sum(
            video.share * self._weights[video.clip_id] for video in self._under_way.values()
        )
        return min(1.0, weight / max(1, sum(self._weights.values())))

    def _report(self, share: float) -> PreparationProgress:
        under_way, seconds = self._under_way.values(), self._pace.seconds
        num_frames = self._num_frames + sum(video.num_frames for video in under_way)
        return PreparationProgress(
            num_done=self._num_done,
            num_videos=self._num_videos,
            share=share,
            num_failed=self._num_failed,
            frames_per_second=num_frames / seconds,
            seconds_left=seconds / share * (1 - share) if share else None,
            num_under_way=len(under_way),
            longest=max(under_way, key=lambda video: video.num_frames, default=None),
        )
