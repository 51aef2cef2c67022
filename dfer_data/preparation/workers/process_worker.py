"""A worker process: it has one pipe to its parent, shares no lock, and ends when the parent ends.

It receives steps one at a time and answers each. The parent may kill it at any moment, because it holds nothing but its
pipe and its own files in the spool.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from dfer_data.detect.base import Detector
from dfer_data.detect.gpus import take_gpu
from dfer_data.preparation.shard_step import commit_shard
from dfer_data.preparation.tasks import ShardTask, VideoDone, Workplace
from dfer_data.preparation.video_step import make_video
from dfer_data.preparation.workers.messages import Beat, Ready, ShardDone, stopped
from dfer_data.preparation.workers.schedule import Step
from dfer_data.processes import end_with_parent, safe_imports

EXIT_MEMORY = 86
"""Exit code of a worker that could not allocate memory."""


def start_worker(place: Workplace, *, gpu: int | None = None) -> tuple[Connection, BaseProcess]:
    """Start a worker; return the parent's end of its pipe, on which it sends Ready first, and the process.

    `gpu`: number of the GPU on which it detects faces, if it does so on one.
    """
    context = multiprocessing.get_context("spawn")  # inherits no lock and no state
    parent_end, worker_end = context.Pipe()
    process = context.Process(target=_work, args=(worker_end, place, gpu), daemon=True)
    with safe_imports():
        process.start()
    worker_end.close()
    return parent_end, process


def send(connection: Connection, message: object) -> None:
    """Send a message to the other end of a worker's pipe.

    `Connection.send` and `recv` lend out a buffer: interrupted in between, Python 3.13 complains of it on stderr.
    """
    connection.send_bytes(pickle.dumps(message))


def receive(connection: Connection) -> Any:
    """Wait for a message of `send`. Raises EOFError or OSError where the other end is closed."""
    return pickle.loads(connection.recv_bytes())


def _work(connection: Connection, place: Workplace, gpu: int | None) -> None:
    """Run in the worker process: answer each step until None arrives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the parent decides
    end_with_parent()
    try:
        if gpu is not None:
            take_gpu(gpu)
        detector = place.detector()
        send(connection, Ready())
        for step in iter(partial(receive, connection), None):
            send(connection, _do(step, place, detector=detector, connection=connection))
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except Exception as error:  # the parent decides what the user sees
        send(connection, stopped(error))


def _do(step: Step, place: Workplace, *, detector: Detector | None, connection: Connection) -> VideoDone | ShardDone:
    def beat(num_frames: int = 0, num_expected: int = 0) -> None:
        send(connection, Beat(num_frames, num_expected))

    if isinstance(step, ShardTask):
        commit_shard(step, place, on_progress=beat)
        return ShardDone()
    return make_video(step, place, detector=detector, on_progress=beat)
