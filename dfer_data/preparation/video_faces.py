"""Find the faces of videos in the workers of `prepare`, and hand them to the process that started the workers.

The workers run the first step of `prepare` on each video: decode, detect, track, align. No shard follows it. The faces
wait on disk until they are taken; the workers start no further video while too many of them wait.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from dfer_data.config import PrepareConfig
from dfer_data.errors import DferError, VideoError
from dfer_data.preparation.run_settings import Limits
from dfer_data.preparation.tasks import ShardTask, VideoDone, VideoTask, Workplace, spool_stem
from dfer_data.preparation.workers.crew import Event, OnEvent
from dfer_data.preparation.workers.process_pool import run_schedule
from dfer_data.preparation.workers.schedule import Schedule, Step
from dfer_data.shards.staging import STAGED_SUFFIXES, StagedVideo, read_staged
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.folder import FolderTarget
from dfer_data.types import FrameRecord


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face through a shot."""

    payloads: Sequence[bytes]
    """Its aligned faces as JPEG, in frame order; at least one."""
    records: Sequence[FrameRecord]
    """What was measured in each frame."""
    partial_reason: str = ""
    """Why its video is incomplete; empty otherwise."""


@dataclass(frozen=True, eq=False)
class VideoFaces:
    """The faces of one video; they can be read until the next video is taken."""

    number: int
    """Index of the video in the list that was given."""
    tracks: tuple[FaceTrack, ...]
    """In order of appearance."""
    failures: tuple[VideoError, ...]
    """Why the video, or parts of it, show no faces."""


@contextmanager
def faces_of_videos(
    videos: Sequence[SourceVideo],
    *,
    config: PrepareConfig,
    weights: Path | None,
    work: Path,
    num_workers: int,
    limits: Limits,
    on_event: OnEvent = lambda event: None,
) -> Iterator[Iterator[VideoFaces]]:
    """Yield the videos with their faces, each as soon as it is done; the workers end with the block.

    A video that cannot be decoded, hangs, crashes its worker or exceeds a limit is one with failures.

    Args:
        videos: their paths are relative to the working folder, or absolute; the ids differ.
        config: how faces are found; with `all_tracks`, every track of a video is kept.
        weights: the detector's model file.
        work: an empty local folder for unfinished files.
        num_workers: number of worker processes.
        limits: limits of each worker.
        on_event: receives the events of the workers, in the thread that takes the videos.

    Raises:
        WorkerError: the workers keep dying. DferError: a worker stopped, or the disk of `work` fails.
    """
    crew = _BackgroundCrew(videos, Workplace(Path(), FolderTarget(work), work, config, weights))
    crew.start(num_workers=num_workers, limits=limits)
    try:
        yield crew.videos(on_event)
    finally:
        crew.stop()


class _Stopped(Exception):
    """The videos are no longer wanted."""


class _VideosOnly(Schedule):
    """Hands out videos while `may_start` holds; no shard is made of them."""

    def __init__(self, task: ShardTask, crew: _BackgroundCrew) -> None:
        super().__init__([task])
        self._num_left, self._crew = len(task.videos), crew

    @property
    def is_finished(self) -> bool:
        return not self._num_left

    def take(self) -> Step | None:
        return super().take() if self._crew.may_start() else None

    def finish(self, step: Step) -> None:
        self._stop(step)
        self._num_left -= 1


class _BackgroundCrew:
    """A crew served by a thread, while the thread that takes the videos works on them."""

    def __init__(self, videos: Sequence[SourceVideo], place: Workplace) -> None:
        self._task, self._place = ShardTask(0, tuple(videos)), place
        self._numbers = {video.clip_id: number for number, video in enumerate(videos)}
        self._events: queue.SimpleQueue[Event | Exception | None] = queue.SimpleQueue()
        self._is_stopped = threading.Event()
        self._num_done = self._num_taken = self._most_waiting = 0  # each is written by one thread
        self._thread: threading.Thread | None = None
        self._taken: Path | None = None  # stem of the video taken last

    def start(self, *, num_workers: int, limits: Limits) -> None:
        self._most_waiting = num_workers + 1
        self._thread = threading.Thread(target=self._run, args=(num_workers, limits), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the workers, whatever they are doing."""
        self._is_stopped.set()
        if self._thread is not None:
            self._thread.join()

    def may_start(self) -> bool:
        if self._is_stopped.is_set():
            raise _Stopped
        return self._num_done - self._num_taken < self._most_waiting

    def videos(self, on_event: OnEvent) -> Iterator[VideoFaces]:
        while (event := self._events.get()) is not None:
            if isinstance(event, OSError):
                raise DferError(
                    f"cannot write unfinished faces to {self._place.work}: {event.strerror or event}; make room"
                ) from event
            if isinstance(event, Exception):
                raise event
            on_event(event)
            if isinstance(event, VideoDone):
                yield self._take(self._numbers[event.clip_id])

    def _take(self, number: int) -> VideoFaces:
        """Return a finished video and remove the files of the one before it."""
        self._remove_taken()
        self._num_taken += 1
        self._taken = spool_stem(self._place, VideoTask(0, number, self._task.videos[number]))
        return _video_faces(number, read_staged(self._taken))

    def _remove_taken(self) -> None:
        if self._taken is not None:
            for suffix in STAGED_SUFFIXES:
                self._taken.with_suffix(suffix).unlink(missing_ok=True)

    def _run(self, num_workers: int, limits: Limits) -> None:
        try:
            schedule = _VideosOnly(self._task, self)
            run_schedule(schedule, self._place, num_workers=num_workers, limits=limits, on_event=self._pass_on)
            self._events.put(None)
        except _Stopped:
            pass
        except Exception as error:  # raised again in the thread that takes the videos
            self._events.put(error)

    def _pass_on(self, event: Event) -> None:
        if self._is_stopped.is_set():
            raise _Stopped
        self._num_done += isinstance(event, VideoDone)
        self._events.put(event)


class _Payloads(Sequence[bytes]):
    """The encoded faces of one track of a staged video, read from disk when they are asked for."""

    def __init__(self, frames: npt.NDArray[np.uint8], starts: Sequence[int], ends: Sequence[int]) -> None:
        self._frames, self._starts, self._ends = frames, starts, ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        return self._frames[self._starts[index] : self._ends[index]].tobytes()


def _video_faces(number: int, staged: StagedVideo) -> VideoFaces:
    records = staged.records()
    ends = np.cumsum(records["num_bytes"])
    starts, tracks, first = ends - records["num_bytes"], [], 0
    path = staged.stem.with_suffix(".frames")
    frames = np.memmap(path, np.uint8, "r") if len(records) else np.empty(0, np.uint8)
    for clip, num_faces in zip(staged.clips, staged.frames_per_clip, strict=True):
        rows = slice(first, first + num_faces)
        payloads = _Payloads(frames, starts[rows].tolist(), ends[rows].tolist())
        reason = str(clip["reason"]) if clip["status"] == "partial" else ""
        tracks.append(FaceTrack(payloads, tuple(map(_record, records[rows])), reason))
        first += num_faces
    failures = [
        VideoError(row["code"], row["message"], frame=row["frame"], hint=row["hint"]) for row in staged.failures
    ]
    return VideoFaces(number, tuple(tracks), tuple(failures))


def _record(row: np.void) -> FrameRecord:
    return FrameRecord(
        frame_index=int(row["frame_index"]),
        pts_seconds=float(row["pts_seconds"]),
        box=row["box"].copy(),
        landmarks=row["landmarks"].copy(),
        score=float(row["score"]),
        flags=int(row["flags"]),
    )
