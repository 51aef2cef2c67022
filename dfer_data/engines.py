"""Who runs the shards: this process, or a crew of worker processes that may die without the run.

The parent knows what every worker has in hands. A worker that dies, stands still or grows beyond its caps is replaced;
the video it had is tried once more, alone, and only then becomes a ledger row.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import psutil

from dfer_data.detect.registry import build_detector
from dfer_data.errors import UsageError, VideoError, WorkerError
from dfer_data.schedule import Schedule, Step
from dfer_data.task import ShardTask, VideoDone, VideoTask, Workplace, commit_shard, give_up_video, make_video
from dfer_data.workers import EXIT_MEMORY, Beat, Message, Ready, Stopped, start_worker

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


def run_inline(shards: Sequence[ShardTask], place: Workplace, *, on_event: OnEvent) -> None:
    """Run the shards one after the other in this process; a video that crashes the process ends the run."""
    detector = build_detector(place.config, weights=place.weights)
    for shard in shards:
        for position, video in enumerate(shard.videos):
            task = VideoTask(shard.number, position, video)
            try:
                on_event(make_video(task, place, detector=detector))
            except MemoryError:
                on_event(give_up_video(task, place, _out_of_memory("could not get memory")))
        commit_shard(shard, place)


def run_processes(
    shards: Sequence[ShardTask], place: Workplace, *, num_workers: int, limits: Limits, on_event: OnEvent
) -> None:
    """Run the shards in `num_workers` processes; any exception, Ctrl+C included, ends them all first.

    Raises WorkerError when workers keep dying, else what stopped a worker: OSError when the disk fails, DferError.
    """
    crew = _Crew(Schedule(shards), place, num_workers=num_workers, limits=limits, on_event=on_event)
    try:
        crew.run()
    finally:
        crew.dismiss()


@dataclass(eq=False)
class _Worker:
    """A worker as its parent sees it."""

    connection: Connection
    process: BaseProcess
    step: Step | None = None
    is_ready: bool = False
    step_start: float = field(default_factory=time.monotonic)
    last_sign: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        return self.process.pid or 0

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Crew:
    """The workers of a run, and the loop that serves them."""

    def __init__(
        self, schedule: Schedule, place: Workplace, *, num_workers: int, limits: Limits, on_event: OnEvent
    ) -> None:
        self._schedule, self._place, self._limits, self._on_event = schedule, place, limits, on_event
        self._num_workers = num_workers
        self._workers: dict[Connection, _Worker] = {}
        self._num_losses = 0  # since a video was last finished

    def run(self) -> None:
        """Serve the workers until every shard is written."""
        while not self._schedule.is_finished:
            self._hire()
            for worker in list(self._workers.values()):
                if worker.is_ready and worker.step is None:
                    self._hand_out(worker)
            for ready in wait(list(self._workers), timeout=_POLL_SECONDS):
                assert isinstance(ready, Connection)
                self._serve(self._workers[ready])
            for worker in list(self._workers.values()):
                if error := self._broken_cap(worker):
                    self._lose(worker, error)

    def dismiss(self) -> None:
        """End all workers, whatever they are doing."""
        while self._workers:
            self._workers.popitem()[1].kill()

    def _hire(self) -> None:
        num_idle = sum(worker.step is None for worker in self._workers.values())
        num_wanted = min(self._num_workers - len(self._workers), self._schedule.num_waiting - num_idle)
        for _ in range(num_wanted):
            connection, process = start_worker(self._place)
            self._workers[connection] = _Worker(connection, process)

    def _hand_out(self, worker: _Worker) -> None:
        step = self._schedule.take()
        if step is None:
            return
        worker.step, worker.step_start = step, time.monotonic()
        worker.last_sign = worker.step_start
        if isinstance(step, VideoTask):
            self._on_event(VideoStarted(step.video.clip_id, worker.pid))
        try:
            worker.connection.send(step)
        except ConnectionError:
            self._lose(worker, _death(worker.process))

    def _serve(self, worker: _Worker) -> None:
        """Take one message from a worker."""
        try:
            message: Message = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            self._lose(worker, _death(worker.process))
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

    def _broken_cap(self, worker: _Worker) -> VideoError | None:
        """Return what a worker has taken too much of. Raises WorkerError for one that does not start."""
        now = time.monotonic()
        if not worker.is_ready and now - worker.step_start > _START_SECONDS:
            raise WorkerError(f"worker process {worker.pid} has not started after {_START_SECONDS:.0f} s{_AGAIN}")
        if worker.step is None:
            return None
        if now - worker.last_sign > self._limits.stall_seconds:
            hint = "a hanging decoder or disk; --max-stall-seconds gives it longer"
            return VideoError("TIMEOUT", f"no sign of progress in {self._limits.stall_seconds:g} s", hint=hint)
        if now - worker.step_start > self._limits.video_seconds:
            hint = "--max-video-seconds gives it longer"
            return VideoError("TIMEOUT", f"not finished after {self._limits.video_seconds:g} s", hint=hint)
        if _resident_bytes(worker.pid) > self._limits.memory_bytes:
            return _out_of_memory(f"took more than {self._limits.memory_bytes / 2**20:.0f} MiB of memory")
        return None

    def _lose(self, worker: _Worker, error: VideoError) -> None:
        """Let a worker go for good, and decide on the step that it had in hands."""
        del self._workers[worker.connection]
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
        if self._num_losses >= _MOST_LOSSES_IN_A_ROW:
            raise WorkerError(
                f"{self._num_losses} worker processes were lost with no video finished between them, the last one "
                f"{error.message}{_AGAIN}"
            )


def _death(process: BaseProcess) -> VideoError:
    process.join()
    code = process.exitcode or 0
    if code == EXIT_MEMORY:
        return _out_of_memory("could not get memory")
    how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    hint = "SIGKILL is often a lack of memory: fewer --workers; else look at the video; then `--retry-failed CRASHED`"
    return VideoError("CRASHED", f"its process {how}", hint=hint)


def _out_of_memory(message: str) -> VideoError:
    hint = "--max-memory-mb allows more, fewer --workers leave more; then `--retry-failed OUT_OF_MEMORY`"
    return VideoError("OUT_OF_MEMORY", message, hint=hint)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
