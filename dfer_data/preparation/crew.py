"""A crew of workers that may die without the run: who has which step, who is replaced, what is tried again."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dfer_data.errors import UsageError, VideoError, WorkerError
from dfer_data.preparation.messages import Beat, Message, Ready, Stopped
from dfer_data.preparation.schedule import Schedule, Step
from dfer_data.preparation.steps import ShardTask, VideoDone, VideoTask, Workplace, give_up_video

_POLL_SECONDS = 0.2  # between two looks at the caps


_START_SECONDS = 300.0


_MOST_LOSSES_IN_A_ROW = 10


_AGAIN = "; finished shards are kept, run the same command again to go on"


@dataclass(frozen=True)
class Limits:
    """What a worker may take before it is killed; outside the promise of equal bytes."""

    stall_seconds: float = 120.0
    """Longest time without a sign of progress: a few frames finished, a piece of a shard written."""
    video_seconds: float = 4 * 3600.0
    """Longest time for a whole video."""
    memory_bytes: int = 2 * 2**30
    """Most resident memory of a worker process."""

    def __post_init__(self) -> None:
        """Collect every fault and raise them as one UsageError."""
        flags = {
            "--max-stall-seconds": self.stall_seconds,
            "--max-video-seconds": self.video_seconds,
            "--max-memory-mb": self.memory_bytes / 2**20,
        }
        faults = [f"{flag} {value:g}: more than 0 is needed" for flag, value in flags.items() if not value > 0]
        if faults:
            raise UsageError("; ".join(faults))


@dataclass(frozen=True)
class VideoStarted:
    """Event: a worker takes a video in hands."""

    clip_id: str
    """Id of the video."""
    pid: int
    """Of the worker."""


@dataclass(frozen=True)
class WorkerLost:
    """Event: a worker was lost and is replaced."""

    clip_id: str
    """Id of the video it had in hands; empty when it had none."""
    pid: int
    """Of the worker."""
    code: str
    """CRASHED, TIMEOUT or OUT_OF_MEMORY."""
    message: str
    """What became of it."""
    is_final: bool
    """The video was tried alone already and is given up; else it is tried once more."""


Event = VideoStarted | VideoDone | WorkerLost


OnEvent = Callable[[Event], None]


def run_crew(
    shards: Sequence[ShardTask],
    place: Workplace,
    workforce: Workforce,
    *,
    num_workers: int,
    limits: Limits,
    on_event: OnEvent,
) -> None:
    """Run the shards by up to `num_workers` of a workforce; see `run_processes`."""
    schedule = Schedule(shards)
    crew = _Crew(schedule, place, workforce, num_workers=num_workers, limits=limits, on_event=on_event)
    try:
        crew.run()
    finally:
        crew.dismiss()


class Worker(ABC):
    """A worker as its crew sees it: what it has in hands, and how it is doing."""

    def __init__(self) -> None:
        """Begin with nothing in hands."""
        self.step: Step | None = None
        self.is_ready = False
        self.step_start = self.last_sign = time.monotonic()

    @property
    @abstractmethod
    def pid(self) -> int:
        """Process id, on the machine it runs on; 0 where it has none yet."""

    @property
    @abstractmethod
    def resident_bytes(self) -> int:
        """Resident memory of its process; 0 where that is not known."""

    @abstractmethod
    def tell(self, step: Step) -> None:
        """Hand it a step. That it is dead comes out when it is heard."""

    @abstractmethod
    def hear(self) -> Message | VideoError | None:
        """Take one of its messages; what it died of; None for a message that says nothing."""

    @abstractmethod
    def kill(self) -> None:
        """End it, whatever it is doing."""


class Workforce(Protocol):
    """Where workers come from."""

    def hire(self) -> Worker:
        """Start a worker, which will send Ready."""
        ...

    def wait(self, workers: Sequence[Worker], *, timeout_seconds: float) -> Sequence[Worker]:
        """Return those that have something to say, waiting for the first of them."""
        ...

    def why_nobody_starts(self) -> str:
        """Say, as the end of a sentence, what may keep workers from starting."""
        ...


class _Crew:
    """The workers of a run, and the loop that serves them."""

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
        self._workers: list[Worker] = []
        self._most_losses = max(_MOST_LOSSES_IN_A_ROW, num_workers)  # many may go at once, with their machine
        self._num_losses = 0  # since a video was last finished

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
                if error := self._broken_cap(worker):
                    self._lose(worker, error)
            self._expect_somebody()

    def dismiss(self) -> None:
        """End all workers, whatever they are doing."""
        while self._workers:
            self._workers.pop().kill()

    def _hire(self) -> None:
        num_idle = sum(worker.step is None for worker in self._workers)
        num_wanted = min(self._num_workers - len(self._workers), self._schedule.num_waiting - num_idle)
        self._workers += [self._workforce.hire() for _ in range(num_wanted)]

    def _expect_somebody(self) -> None:
        """Raise WorkerError when there is nobody but workers that do not start."""
        earliest = time.monotonic() - _START_SECONDS
        if self._workers and all(not worker.is_ready and worker.step_start < earliest for worker in self._workers):
            why = self._workforce.why_nobody_starts()
            raise WorkerError(f"no worker has started after {_START_SECONDS:.0f} s: {why}{_AGAIN}")

    def _hand_out(self, worker: Worker) -> None:
        step = self._schedule.take()
        if step is None:
            return
        worker.step, worker.step_start = step, time.monotonic()
        worker.last_sign = worker.step_start
        if isinstance(step, VideoTask):
            self._on_event(VideoStarted(step.video.clip_id, worker.pid))
        worker.tell(step)

    def _serve(self, worker: Worker) -> None:
        """Take one message from a worker."""
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
        elif not isinstance(message, Beat):
            if isinstance(message, VideoDone):
                self._num_losses = 0
                self._on_event(message)
            assert worker.step is not None
            self._schedule.finish(worker.step)
            worker.step = None

    def _broken_cap(self, worker: Worker) -> VideoError | None:
        """Return what a worker has taken too much of."""
        now = time.monotonic()
        if worker.step is None:
            return None
        if now - worker.last_sign > self._limits.stall_seconds:
            hint = "a hanging decoder or disk; --max-stall-seconds gives it longer"
            return VideoError("TIMEOUT", f"no sign of progress in {self._limits.stall_seconds:g} s", hint=hint)
        if now - worker.step_start > self._limits.video_seconds:
            hint = "--max-video-seconds gives it longer"
            return VideoError("TIMEOUT", f"not finished after {self._limits.video_seconds:g} s", hint=hint)
        if worker.resident_bytes > self._limits.memory_bytes:
            return out_of_memory(f"took more than {self._limits.memory_bytes / 2**20:.0f} MiB of memory")
        return None

    def _lose(self, worker: Worker, error: VideoError) -> None:
        """Let a worker go for good, and decide on the step that it had in hands."""
        self._workers.remove(worker)
        worker.kill()
        self._num_losses += 1
        step = worker.step
        is_final = step is not None and self._schedule.lose(step)
        clip_id = step.video.clip_id if isinstance(step, VideoTask) else ""
        self._on_event(WorkerLost(clip_id, worker.pid, error.code, error.message, is_final))
        if is_final:
            assert isinstance(step, VideoTask)
            self._on_event(give_up_video(step, self._place, error))
            self._schedule.finish(step)
        if self._num_losses >= self._most_losses:
            raise WorkerError(
                f"{self._num_losses} worker processes were lost with no video finished between them, the last one "
                f"{error.message}{_AGAIN}"
            )


def crashed(message: str) -> VideoError:
    """Return what becomes of a video whose workers die."""
    hint = "SIGKILL is often a lack of memory: fewer --workers; else look at the video; then `--retry-failed CRASHED`"
    return VideoError("CRASHED", message, hint=hint)


def out_of_memory(message: str) -> VideoError:
    """Return what becomes of a video that takes too much memory."""
    hint = "--max-memory-mb allows more, fewer --workers leave more; then `--retry-failed OUT_OF_MEMORY`"
    return VideoError("OUT_OF_MEMORY", message, hint=hint)
