"""Who runs the shards: this process, or a pool of worker processes that end with it.

Workers are started once (spawn, so they inherit no lock and no state), build the detector once, and take one shard
after the other. A thread in each watches the parent and ends the process when it is gone, whatever the worker is doing.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from dfer_data.config import PrepareConfig
from dfer_data.errors import DferError, WorkerError
from dfer_data.task import ShardTask, VideoDone, run_task

OnEvent = Callable[[VideoDone], None]


@dataclass(frozen=True)
class Job:
    """What all shards of a run have in common."""

    source: Path
    """Folder of the dataset."""
    out: Path
    """Output folder."""
    config: PrepareConfig
    """Settings."""
    weights: Path | None
    """The detector's model file."""


@dataclass(frozen=True)
class Stopped:
    """Last message of a worker that cannot go on."""

    error: DferError | OSError
    """What went wrong."""
    trace: str
    """The worker's traceback."""


def run_inline(tasks: Iterable[ShardTask], job: Job, *, on_event: OnEvent) -> None:
    """Run the shards one after the other in this process."""
    from dfer_data.detect.registry import build_detector

    detector = build_detector(job.config, weights=job.weights)
    for task in tasks:
        run_task(task, source=job.source, out=job.out, config=job.config, detector=detector, on_event=on_event)


def run_processes(tasks: Iterable[ShardTask], job: Job, *, num_workers: int, on_event: OnEvent) -> None:
    """Run the shards in `num_workers` processes; any exception, Ctrl+C included, ends them all first.

    Raises WorkerError when a worker dies, else what stopped a worker: OSError when the disk fails, DferError.
    """
    waiting = list(tasks)[::-1]
    workers: dict[Connection, BaseProcess] = {}
    try:
        for _ in range(min(num_workers, len(waiting))):
            connection, process = _start_worker(job)
            workers[connection] = process
            _send(connection, process, waiting.pop())
        while workers:
            for ready in wait(list(workers)):
                assert isinstance(ready, Connection)
                _serve(ready, workers, waiting, on_event=on_event)
    finally:
        for connection, process in workers.items():
            process.kill()
            process.join()
            connection.close()


def _start_worker(job: Job) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, job), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _serve(
    connection: Connection, workers: dict[Connection, BaseProcess], waiting: list[ShardTask], *, on_event: OnEvent
) -> None:
    """Take one message from a worker; give it the next shard when it is done, let it go when none is left."""
    try:
        message = connection.recv()
    except (EOFError, ConnectionResetError):
        raise _death(workers[connection]) from None
    if isinstance(message, VideoDone):
        on_event(message)
    elif isinstance(message, Stopped):
        message.error.add_note(message.trace)
        raise message.error
    elif waiting:
        _send(connection, workers[connection], waiting.pop())
    else:
        _send(connection, workers[connection], None)
        workers.pop(connection).join()
        connection.close()


def _send(connection: Connection, process: BaseProcess, task: ShardTask | None) -> None:
    try:
        connection.send(task)
    except ConnectionError:
        raise _death(process) from None


def _death(process: BaseProcess) -> WorkerError:
    process.join()
    return WorkerError(
        f"worker process {process.pid} died (exit code {process.exitcode}; -9 is often a lack of memory); "
        "finished shards are kept, run the same command again to go on"
    )


def _work(connection: Connection, job: Job) -> None:
    """Body of a worker process. Sends VideoDone per video, None per finished shard, Stopped when it must give up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the parent decides
    end_with_parent()
    try:
        tasks = iter(connection.recv, None)
        run_inline(_acknowledged(tasks, connection), job, on_event=connection.send)
    except Exception as error:  # the parent decides what a user sees of it
        connection.send(Stopped(_sendable(error), traceback.format_exc()))


def _sendable(error: Exception) -> DferError | OSError:
    if isinstance(error, DferError):
        return error
    if isinstance(error, OSError):
        return OSError(error.errno, error.strerror or str(error))
    return DferError(f"{type(error).__name__}: {error} (unexpected, in a worker process)")


def _acknowledged(tasks: Iterable[ShardTask], connection: Connection) -> Iterable[ShardTask]:
    """Yield shards and tell the parent as each is finished."""
    for task in tasks:
        yield task
        connection.send(None)


def end_with_parent() -> None:
    """Watch this worker's parent from a thread, and end the process when it is gone, whatever it is doing."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
