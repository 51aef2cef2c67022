"""Workers that are processes of this machine."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import psutil

from dfer_data.detect.gpus import num_gpus
from dfer_data.errors import VideoError
from dfer_data.preparation.run_settings import Limits
from dfer_data.preparation.tasks import ShardTask, Workplace
from dfer_data.preparation.workers.crew import OnEvent, Worker, crashed, out_of_memory, run_crew
from dfer_data.preparation.workers.messages import Message
from dfer_data.preparation.workers.process_worker import EXIT_MEMORY, receive, send, start_worker
from dfer_data.preparation.workers.schedule import Schedule, Step


def run_processes(
    shards: Sequence[ShardTask], place: Workplace, *, num_workers: int, limits: Limits, on_event: OnEvent
) -> None:
    """Run the shards in `num_workers` processes; any exception, including Ctrl+C, ends them all first.

    Raises WorkerError when workers keep dying, else the error that stopped a worker: OSError when the disk fails, or
    DferError.
    """
    run_schedule(Schedule(shards), place, num_workers=num_workers, limits=limits, on_event=on_event)


def run_schedule(schedule: Schedule, place: Workplace, *, num_workers: int, limits: Limits, on_event: OnEvent) -> None:
    """Run the steps of a schedule as `run_processes` does those of shards."""
    run_crew(schedule, place, _Processes(place), num_workers=num_workers, limits=limits, on_event=on_event)


class _Processes:
    """Starts workers as processes of this machine."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._num_gpus = num_gpus() if place.needs_gpu else 0
        self._num_hired = 0

    def hire(self) -> Worker:
        """Start a worker; on a machine with GPUs, they take turns."""
        gpu = self._num_hired % self._num_gpus if self._num_gpus else None
        self._num_hired += 1
        return _Process(*start_worker(self._place, gpu=gpu))

    def wait(self, workers: Sequence[Worker], *, timeout_seconds: float) -> Sequence[Worker]:
        by_connection = {worker.connection: worker for worker in workers if isinstance(worker, _Process)}
        ready = wait(list(by_connection), timeout=timeout_seconds)
        return [by_connection[connection] for connection in ready if isinstance(connection, Connection)]

    def why_nobody_starts(self) -> str:
        return "the machine is too busy, or its disk hangs"


class _Process(Worker):
    """One process and its pipe."""

    def __init__(self, connection: Connection, process: BaseProcess) -> None:
        super().__init__()
        self.connection, self._process = connection, process

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def resident_bytes(self) -> int:
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def tell(self, step: Step) -> None:
        with contextlib.suppress(ConnectionError):
            send(self.connection, step)

    def hear(self) -> Message | VideoError:
        try:
            message: Message = receive(self.connection)
        except (EOFError, OSError):  # it died, perhaps in the middle of a message
            return _death(self._process)
        return message

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _death(process: BaseProcess) -> VideoError:
    process.join()
    code = process.exitcode or 0
    if code == EXIT_MEMORY:
        return out_of_memory("could not allocate memory")
    ending = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    return crashed(f"its process {ending}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
