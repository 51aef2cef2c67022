"""Tasks of the steps of `prepare`, the workplace that the steps share, and the events that report progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.detect.registry import build_detector
from dfer_data.shards.layout import shard_name
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.base import Target
from dfer_data.wording import counted


@dataclass(frozen=True)
class ShardTask:
    """The videos of one shard, which is named by the five digits of its number."""

    number: int
    """From 0."""
    videos: tuple[SourceVideo, ...]
    """In order."""
    donors: tuple[str, ...] = ()
    """Per video the donor with its clips, empty where it must be decoded; () where all are decoded."""

    @property
    def tasks(self) -> tuple[VideoTask, ...]:
        """The videos as tasks, in order."""
        donors = self.donors or ("",) * len(self.videos)
        pairs = zip(self.videos, donors, strict=True)
        return tuple(VideoTask(self.number, position, *pair) for position, pair in enumerate(pairs))


@dataclass(frozen=True)
class VideoTask:
    """One video to process."""

    shard: int
    """Number of its shard."""
    position: int
    """Index in the shard, from 0."""
    video: SourceVideo
    donor: str = ""
    """Shard with its clips, by the path without suffix: they are taken over; empty: the video is decoded."""


@dataclass(frozen=True)
class Workplace:
    """The folders and settings that all steps of a run share."""

    source: Path
    """Folder of the dataset."""
    out: Target
    """Where the dataset is written."""
    work: Path
    """Local folder for unfinished files, used only by this run."""
    config: PrepareConfig
    weights: Path | None
    """The detector's model file."""
    excluded: frozenset[str] = frozenset()
    """Ids of clips that are not made."""
    lock: Path | None = None
    """The lock that tells where the faces are; None: the detector finds them."""

    @property
    def needs_gpu(self) -> bool:
        """Whether its workers detect faces on a GPU."""
        return self.config.device == "cuda" and self.lock is None

    def detector(self) -> Detector | None:
        """Build what finds the faces; None for shipped crops, and where a lock tells. Raises as `build_detector`."""
        return None if self.lock is not None else build_detector(self.config, weights=self.weights)


@dataclass(frozen=True)
class VideoDone:
    """Event: a video is processed."""

    clip_id: str
    """Id of the video."""
    num_frames: int
    """Frames decoded."""
    codes: tuple[str, ...]
    """`ok`, `partial` or a ledger code per clip of the video."""


@dataclass(frozen=True)
class VideoUnderWay:
    """A video that a worker decodes."""

    clip_id: str
    """Id of the video."""
    num_frames: int
    """Frames decoded so far."""
    num_expected: int
    """Frames that its file declares; 0 when unknown."""

    @property
    def share(self) -> float:
        """Share 0..1 of its frames that are decoded; 0 when unknown."""
        return min(1.0, self.num_frames / self.num_expected) if self.num_expected else 0.0

    def __str__(self) -> str:
        """Return its name and frames for people."""
        if self.num_expected >= max(1, self.num_frames):
            return f"{self.clip_id}, {self.num_frames:,} of about {counted(self.num_expected, 'frame')}"
        return f"{self.clip_id}, {counted(self.num_frames, 'frame')}"


@dataclass(frozen=True)
class VideosUnderWay:
    """Event, about once a second: what the workers have under way, and a sign that the run lives."""

    videos: tuple[VideoUnderWay, ...]
    """Empty while workers start or write shards."""


UNDER_WAY_SECONDS = 1.0
"""Least time between two of these events."""


OnFrames = Callable[[int, int], None]
"""Called while a video is decoded, with the number of frames so far and the number expected, 0 when unknown."""


def spool_stem(place: Workplace, task: VideoTask) -> Path:
    """Return the path of a task's finished video in the spool, without suffix."""
    return place.work / shard_name(task.shard) / f"{task.position:04d}"
