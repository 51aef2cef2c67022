"""A crew of workers whose deaths do not end the run: who has which step, who is replaced, what is retried."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dfer_data.detect.gpus import worker_memory_mb
from dfer_data.errors import VideoError, WorkerError
from dfer_data.preparation.run_settings import Limits
from dfer_data.preparation.tasks import (
    UNDER_WAY_SECONDS,
    VideoDone,
    VideosUnderWay,
    VideoTask,
    VideoUnderWay,
    Workplace,
)
from dfer_data.preparation.video_step import give_up_video
from dfer_data.preparation.workers.messages import Beat, Message, Ready, Stopped
from dfer_data.preparation.workers.schedule import Schedule, Step
from dfer_data.wording import counted

_POLL_SECONDS = 0.2  # between two checks of the limits


_START_SECONDS = 300.0


_MAX_LOSSES_IN_A_ROW = 10


_RESUME_HINT = "; finished work is kept, run the same command again to resume"


@dataclass(frozen=True)
class VideoStarted:
    """Event: a worker starts a video."""

    clip_id: str
    """Id of the video."""
    pid: int
    """Process id of the worker."""


@dataclass(frozen=True)
class WorkerLost:
    """Event: a worker was lost and is replaced."""

    clip_id: str
    """Id of its current video; empty if it had none."""
    pid: int
    """Process id of the worker."""
    code: str
    """CRASHED, TIMEOUT or OUT_OF_MEMORY."""
    message: str
    """How it was lost."""
    is_final: bool
    """The video had already been retried alone and is given up; otherwise it is retried once."""


Event = VideoStarted | VideosUnderWay | VideoDone | WorkerLost


OnEvent = Callable[[Event], None]


def run_crew(
    schedule: Schedule,
    place: Workplace,
    workforce: Workforce,
    *,
    num_workers: int,
    limits: Limits,
    on_event: OnEvent,
) -> None:
    """Run the steps of a schedule with up to `num_workers` workers of a workforce; see `run_processes`."""
    crew = _Crew(schedule, place, workforce, num_workers=num_workers, limits=limits, on_event=on_event)
    try:
        crew.run()
    finally:
        crew.dismiss()


class Worker(ABC):
    """A worker as its crew sees it: its current step and its state."""

    def __init__(self) -> None:
        """Begin without a step."""
        self.step: Step | None = None
        self.is_ready = False
        self.step_start = self.last_sign = time.monotonic()
        self.num_frames = self.num_expected = 0  # of the video of its step

    @property
    @abstractmethod
    def pid(self) -> int:
        """Process id on the machine where it runs; 0 if it has none yet."""

    @property
    @abstractmethod
    def resident_bytes(self) -> int:
        """Resident memory of its process; 0 if unknown."""

    @abstractmethod
    def tell(self, step: Step) -> None:
        """Send it a step. If it is dead, `hear` reports that."""

    @abstractmethod
    def hear(self) -> Message | VideoError | None:
        """Return its next message, or the error it died of; None for a message without content."""

    @abstractmethod
    def kill(self) -> None:
        """End it, whatever it is doing."""


class Workforce(Protocol):
    """A source of workers."""

    def hire(self) -> Worker:
        """Start a worker, which sends Ready first."""
        ...

    def wait(self, workers: Sequence[Worker], *, timeout_seconds: float) -> Sequence[Worker]:
        """Return the workers that have a message, after waiting for the first of them."""
        ...

    def why_nobody_starts(self) -> str:
        """Return what may keep workers from starting, as the end of a sentence."""
        ...


class _Crew:
    """The workers of a run and the loop that serves them."""

    def __init__(
        self,
        schedule: Schedule,
        place: Workplace,
        workforce: Workforce,
        *,
        num_workers: int,
        limits: Limits,
        on_event: OnEvent,
    ) -> None:
        self._schedule, self._place, self._limits, self._on_event = schedule, place, limits, on_event
        self._workforce, self._num_workers = workforce, num_workers
        self._max_memory_mb = limits.max_memory_mb or worker_memory_mb(place.config.device)
        self._workers: list[Worker] = []
        self._max_losses = max(_MAX_LOSSES_IN_A_ROW, num_workers)  # a machine that fails may take many at once
        self._num_losses = 0  # since a video was last finished
        self._last_report = time.monotonic()

    def run(self) -> None:
        """Serve the workers until every shard is written. Raises WorkerError when none starts."""
        while not self._schedule.is_finished:
            self._hire()
            for worker in self._workers:
                if worker.is_ready and worker.step is None:
                    self._hand_out(worker)
            for worker in self._workforce.wait(self._workers, timeout_seconds=_POLL_SECONDS):
                self._serve(worker)
            for worker in list(self._workers):
                if error := self._exceeded_limit(worker):
                    self._lose(worker, error)
            self._check_that_some_start()
            self._report_under_way()

    def _report_under_way(self) -> None:
        """Report the videos under way if the last report is old enough."""
        now = time.monotonic()
        if now - self._last_report < UNDER_WAY_SECONDS:
            return
        self._last_report = now
        videos = [
            VideoUnderWay(worker.step.video.clip_id, worker.num_frames, worker.num_expected)
            for worker in self._workers
            if isinstance(worker.step, VideoTask)
        ]
        self._on_event(VideosUnderWay(tuple(videos)))

    def dismiss(self) -> None:
        """End all workers, whatever they are doing."""
        while self._workers:
            self._workers.pop().kill()

    def _hire(self) -> None:
        num_idle = sum(worker.step is None for worker in self._workers)
        num_missing = min(self._num_workers - len(self._workers), self._schedule.num_waiting - num_idle)
        self._workers += [self._workforce.hire() for _ in range(num_missing)]

    def _check_that_some_start(self) -> None:
        """Raise WorkerError when all workers fail to start."""
        earliest = time.monotonic() - _START_SECONDS
        if self._workers and all(not worker.is_ready and worker.step_start < earliest for worker in self._workers):
            why = self._workforce.why_nobody_starts()
            raise WorkerError(f"no worker has started after {_START_SECONDS:.0f} s: {why}{_RESUME_HINT}")

    def _hand_out(self, worker: Worker) -> None:
        step = self._schedule.take()
        if step is None:
            return
        worker.step, worker.step_start = step, time.monotonic()
        worker.last_sign, worker.num_frames, worker.num_expected = worker.step_start, 0, 0
        if isinstance(step, VideoTask):
            self._on_event(VideoStarted(step.video.clip_id, worker.pid))
        worker.tell(step)

    def _serve(self, worker: Worker) -> None:
        """Handle one message of a worker."""
        message = worker.hear()
        if message is None:
            return
        if isinstance(message, VideoError):
            self._lose(worker, message)
            return
        worker.last_sign = time.monotonic()
        if isinstance(message, Stopped):
            message.error.add_note(message.trace)
            raise message.error
        if isinstance(message, Ready):
            worker.is_ready = True
        elif isinstance(message, Beat):
            worker.num_frames, worker.num_expected = message.num_frames, message.num_expected
        else:
            if isinstance(message, VideoDone):
                self._num_losses = 0
                self._on_event(message)
            assert worker.step is not None
            self._schedule.finish(worker.step)
            worker.step = None

    def _exceeded_limit(self, worker: Worker) -> VideoError | None:
        """Return the error for a worker that exceeds a limit; None for one within its limits."""
        now = time.monotonic()
        if worker.step is None:
            return None
        if now - worker.last_sign > self._limits.max_stall_seconds:
            hint = "the decoder or the disk may hang; --max-stall-seconds allows more time"
            return VideoError("TIMEOUT", f"no sign of progress in {self._limits.max_stall_seconds:g} s", hint=hint)
        if now - worker.step_start > self._limits.max_video_seconds:
            hint = "--max-video-seconds allows more time"
            return VideoError("TIMEOUT", f"not finished after {self._limits.max_video_seconds:g} s", hint=hint)
        if worker.resident_bytes > 2**20 * self._max_memory_mb:
            return out_of_memory(f"used more than {self._max_memory_mb} MiB of memory")
        return None

    def _lose(self, worker: Worker, error: VideoError) -> None:
        """Remove a lost worker and decide what happens to its step."""
        self._workers.remove(worker)
        worker.kill()
        step = worker.step
        is_final = step is not None and self._schedule.lose(step)
        self._num_losses += not is_final  # a video that fails again, alone, says nothing about the machine
        clip_id = step.video.clip_id if isinstance(step, VideoTask) else ""
        self._on_event(WorkerLost(clip_id, worker.pid, error.code, error.message, is_final))
        if is_final:
            assert isinstance(step, VideoTask)
            self._on_event(give_up_video(step, self._place, error))
            self._schedule.finish(step)
        if self._num_losses >= self._max_losses:
            raise WorkerError(
                f"lost without finishing a video: {counted(self._num_losses, 'worker')}; the last error: "
                f"{error.message}{_RESUME_HINT}"
            )


def crashed(message: str) -> VideoError:
    """Return the error for a video whose workers died."""
    hint = "often too little memory (SIGKILL): use fewer --workers; else check the video; then `--retry-code CRASHED`"
    return VideoError("CRASHED", message, hint=hint)


def out_of_memory(message: str) -> VideoError:
    """Return the error for a video that needs too much memory."""
    hint = "raise --max-memory-mb or use fewer --workers; then `--retry-code OUT_OF_MEMORY`"
    return VideoError("OUT_OF_MEMORY", message, hint=hint)
