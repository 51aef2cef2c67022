"""A worker on a node of a Ray cluster; like the processes of process_worker.py it receives steps one at a time.

Its node shares only the source and the output folder with the machine that started the run. A run may consider it lost
while it still works (an unreachable node, a disk that hangs), so it writes to its own folder, the desk, and moves what
is finished. Once the run's folder is gone, so is the desk, and the worker can write nothing more.
"""

from __future__ import annotations

import errno
import importlib.metadata
import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import psutil

from dfer_data.detect.base import Detector
from dfer_data.errors import UsageError
from dfer_data.preparation.shard_step import commit_shard
from dfer_data.preparation.tasks import ShardTask, VideoDone, Workplace, spool_stem
from dfer_data.preparation.video_step import make_video
from dfer_data.preparation.workers.messages import Ready, ShardDone, Stopped, stopped
from dfer_data.preparation.workers.schedule import Step
from dfer_data.shards.staging import move_staged

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Orders:
    """What a worker must know, and must find on its node, before its first step."""

    place: Workplace
    """Workplace with absolute paths; the name of its `work` is unique to the run."""
    first_video: str
    """Path of a video that exists, below the source; empty if all are missing."""
    tool_versions: Mapping[str, str]
    """Packages whose version changes pixels."""


@dataclass(frozen=True)
class Arrived(Ready):
    """First answer: the detector is built."""

    pid: int
    """Process id of the worker."""
    node: str
    """Name of its machine."""


@dataclass(frozen=True)
class NoMemory:
    """Answer: the step needs more memory than there is; the worker should be ended."""


@dataclass(frozen=True)
class Pulse:
    """State of a worker, requested while its step runs."""

    num_beats: int
    """Signs of progress since it started."""
    resident_bytes: int
    """Resident memory of its process."""
    num_frames: int
    """Frames of its video decoded so far."""
    num_expected: int
    """Frames that the video declares; 0 when unknown."""


class RayActor:
    """One worker. It returns errors as answers, like results, and raises only when memory runs out."""

    def __init__(self, orders: Orders) -> None:
        """Store the orders; the work begins with `start`."""
        self._orders = orders
        self._desk = orders.place.work / f"desk-{uuid4().hex}"
        self._place = replace(orders.place, out=orders.place.out.with_work(self._desk))
        self._detector: Detector | None = None
        self._num_beats, self._frames = 0, (0, 0)

    def start(self, model: bytes | None) -> Arrived | NoMemory | Stopped:
        """Check folders and versions on this node, and build the detector from the bytes of its model file."""
        return _answered(lambda: self._start(model))

    def do(self, step: Step) -> VideoDone | ShardDone | NoMemory | Stopped:
        """Run one step."""
        return _answered(lambda: self._do(step))

    def pulse(self, after_seconds: float) -> Pulse:
        """Return the state of the worker after a delay; runs at the same time as `do`."""
        time.sleep(after_seconds)
        return Pulse(self._num_beats, int(psutil.Process().memory_info().rss), *self._frames)

    def _start(self, model: bytes | None) -> Arrived:
        _expect_shared_folders(self._orders)
        _expect_versions(self._orders.tool_versions)
        place = self._orders.place
        with tempfile.TemporaryDirectory(prefix="dfer-model-") as folder:
            weights = None if model is None or place.weights is None else Path(folder) / place.weights.name
            if weights is not None and model is not None:
                weights.write_bytes(model)
            self._detector = replace(place, weights=weights).detector()
        self._desk.mkdir()
        return Arrived(os.getpid(), socket.gethostname())

    def _do(self, step: Step) -> VideoDone | ShardDone:
        place, self._frames = self._place, (0, 0)
        if not self._desk.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the run is over", str(self._desk))
        if isinstance(step, ShardTask):
            commit_shard(step, place, on_progress=self._beat)
            return ShardDone()
        at_desk = replace(place, work=self._desk)
        done = make_video(step, at_desk, detector=self._detector, on_progress=self._beat)
        move_staged(spool_stem(at_desk, step), spool_stem(place, step))
        return done

    def _beat(self, num_frames: int = 0, num_expected: int = 0) -> None:
        self._num_beats, self._frames = self._num_beats + 1, (num_frames, num_expected)


def _answered(work: Callable[[], _Answer]) -> _Answer | NoMemory | Stopped:
    try:
        return work()
    except MemoryError:
        return NoMemory()
    except Exception as error:  # the run decides what the user sees
        return stopped(error)


def _expect_shared_folders(orders: Orders) -> None:
    """Raise UsageError naming node and path if the node cannot see source or output."""
    place = orders.place
    paths = {"--source": place.source / orders.first_video, place.out.flag: place.work}
    for flag, path in paths.items():
        if not path.exists():
            raise UsageError(
                f"node {socket.gethostname()} of the cluster does not see {path}; {flag} must be on a file system "
                "that all nodes share, under the same path on each"
            )


def _expect_versions(expected: Mapping[str, str]) -> None:
    """Raise UsageError naming the packages of this node that would make other bytes."""
    installed = {name: _version(name) for name in expected}
    differences = [
        f"{name} {installed[name]} instead of {expected[name]}"
        for name in expected
        if installed[name] != expected[name]
    ]
    if differences:
        raise UsageError(
            f"node {socket.gethostname()} of the cluster has {', '.join(differences)}; install the same versions on "
            "every node, or the bytes would depend on the node"
        )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
