"""A worker process: one pipe to its parent, no lock shared with anybody, an end when the parent ends.

It is told steps, one at a time, and answers each. A parent may kill it at any moment: nothing but its one pipe and its
own files in the spool is in its hands.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from dfer_data.detect.base import Detector
from dfer_data.detect.registry import build_detector
from dfer_data.errors import DferError
from dfer_data.preparation.schedule import Step
from dfer_data.preparation.steps import ShardTask, VideoDone, Workplace, commit_shard, make_video
from dfer_data.processes import end_with_parent, safe_imports

EXIT_MEMORY = 86
"""Exit code of a worker that could not get memory."""


@dataclass(frozen=True)
class Ready:
    """First message: the detector is built."""


@dataclass(frozen=True)
class Beat:
    """Message: the step in work goes on."""


@dataclass(frozen=True)
class ShardDone:
    """Message: a shard is written."""


@dataclass(frozen=True)
class Stopped:
    """Last message of a worker that cannot go on."""

    error: DferError | OSError
    """What went wrong."""
    trace: str
    """The worker's traceback."""


Message = Ready | Beat | VideoDone | ShardDone | Stopped


def start_worker(place: Workplace) -> tuple[Connection, BaseProcess]:
    """Start a worker; returns the parent's end of its pipe, on which it will send Ready, and the process."""
    context = multiprocessing.get_context("spawn")  # inherits no lock and no state
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, place), daemon=True)
    with safe_imports():
        process.start()
    theirs.close()
    return ours, process


def _work(connection: Connection, place: Workplace) -> None:
    """Body of a worker process: answers each step until it is told None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the parent decides
    end_with_parent()
    try:
        detector = build_detector(place.config, weights=place.weights)
        connection.send(Ready())
        for step in iter(connection.recv, None):
            connection.send(_do(step, place, detector=detector, connection=connection))
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except Exception as error:  # the parent decides what a user sees of it
        connection.send(stopped(error))


def _do(step: Step, place: Workplace, *, detector: Detector | None, connection: Connection) -> VideoDone | ShardDone:
    def beat() -> None:
        connection.send(Beat())

    if isinstance(step, ShardTask):
        commit_shard(step, place, on_progress=beat)
        return ShardDone()
    return make_video(step, place, detector=detector, on_progress=beat)


def stopped(error: Exception) -> Stopped:
    """Return the last message of a worker in whose hands `error` is, as something that can be sent."""
    sendable: DferError | OSError
    if isinstance(error, DferError):
        sendable = error
    elif isinstance(error, OSError):
        sendable = OSError(error.errno, error.strerror or str(error))
    else:
        sendable = DferError(f"{type(error).__name__}: {error} (unexpected, in a worker process)")
    return Stopped(sendable, traceback.format_exc())
