"""The steps of `prepare` on a Ray cluster: the crew of crew.py, with actors instead of processes.

The crew decides on retries and limits; Ray is asked to retry nothing. Each actor has at most one step, and keeps its
detector. The actors receive the bytes of the detector's model file through Ray's object store: nodes need neither the
cache of the machine that started the run nor a network. Ray is imported when it is used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from dfer_data.detect.gpus import WORKERS_PER_GPU
from dfer_data.errors import UsageError, VideoError, WorkerError
from dfer_data.extras import imported_package
from dfer_data.preparation.run_settings import Cluster, Limits
from dfer_data.preparation.tasks import ShardTask, Workplace
from dfer_data.preparation.workers.crew import OnEvent, Worker, crashed, out_of_memory, run_crew
from dfer_data.preparation.workers.messages import Beat, Message
from dfer_data.preparation.workers.ray_worker import Arrived, NoMemory, Orders, Pulse, RayActor
from dfer_data.preparation.workers.schedule import Schedule, Step
from dfer_data.shards.layout import SHARDS, sidecar_name
from dfer_data.wording import counted

_PULSE_SECONDS = 2.0
_REACH_SECONDS = 5.0
_SEEN_SECONDS = 120.0  # longer than network file systems cache the contents of a folder
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # dead workers, which Ray prints to stdout and the crew reports anyway
}
_FEW_RETRIES = {"RAY_NUM_REDIS_GET_RETRIES": "1"}  # to find a head; Ray's default of 20 takes a quarter of an hour


@contextlib.contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Connect to the cluster for the block; an existing connection of this process is used and left open.

    Raises UsageError without Ray, and for a cluster that cannot be reached or runs another version.
    """
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    with _environment(_QUIET | (_FEW_RETRIES if address else {})), _kept_sigterm():
        ray = _ray()
        _expect_answer(address)
        was_connected = bool(ray.is_initialized())
        if not was_connected:
            _connect(cluster)
    try:
        yield
    finally:
        if not was_connected:
            ray.shutdown()


def _connect(cluster: Cluster) -> None:
    ray = _ray()
    try:
        address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = f"--address {cluster.address}" if cluster.address else "--engine ray"
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{where}: cannot connect to a Ray cluster: {reason}; is it up, is this machine one of its nodes, and is "
            "the Ray version the same? A cluster that asks for a token needs RAY_AUTH_MODE=token as well as HOST:PORT"
        ) from error


def run_ray(
    shards: Sequence[ShardTask],
    place: Workplace,
    *,
    cluster: Cluster,
    num_workers: int | None,
    tool_versions: Mapping[str, str],
    limits: Limits,
    on_event: OnEvent,
) -> None:
    """Run the shards with up to `num_workers` actors of the connected cluster; None: as many as fit at once.

    Raises the errors of `run_processes`, and UsageError when a node lacks what a worker needs.
    """
    num_gpus = cluster.ray_gpus if cluster.ray_gpus is not None else place.needs_gpu / WORKERS_PER_GPU
    num_slots = _num_slots(num_gpus)
    work = place.work.absolute() / uuid4().hex
    lock = None if place.lock is None else place.lock.absolute()
    place = replace(place, source=place.source.absolute(), out=place.out.with_work(work), work=work, lock=lock)
    place.work.mkdir()
    actors = _Actors(Orders(place, _first_video(shards, place), tool_versions), num_gpus=num_gpus, limits=limits)
    run_crew(Schedule(shards), place, actors, num_workers=num_workers or num_slots, limits=limits, on_event=on_event)
    _wait_for_sidecars(shards, place)


def _num_slots(num_gpus: float) -> int:
    """Return how many workers fit into the cluster at once; UsageError if none does."""
    nodes = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
    cpus, gpus = ([int(resources.get(kind, 0)) for resources in nodes] for kind in ("CPU", "GPU"))
    fits = [min(cpu, _num_shares(gpu, num_gpus)) if num_gpus else cpu for cpu, gpu in zip(cpus, gpus, strict=True)]
    if not sum(fits):
        raise UsageError(
            f"a worker needs 1 CPU and --ray-gpus {num_gpus:g}, and no node of the Ray cluster has them: "
            f"{counted(len(nodes), 'node')} with at most {max(cpus, default=0)} CPU and {max(gpus, default=0)} GPU"
        )
    return sum(fits)


def _num_shares(num_gpus: int, share: float) -> int:
    """Return how many workers these GPUs can serve; a share below 1 comes from a single GPU."""
    return num_gpus // int(share) if share >= 1 else num_gpus * int(1 / share + 1e-6)


def _first_video(shards: Sequence[ShardTask], place: Workplace) -> str:
    paths = (video.path for shard in shards for video in shard.videos)
    return next((path for path in paths if path and (place.source / path).exists()), "")


def _wait_for_sidecars(shards: Sequence[ShardTask], place: Workplace) -> None:
    """Wait until this machine sees the sidecars that nodes wrote: a network file system may take a while.

    Raises WorkerError when they do not appear.
    """
    deadline = time.monotonic() + _SEEN_SECONDS
    while True:
        names = place.out.listing(SHARDS)  # opening a folder makes NFS refresh it
        missing = [name for shard in shards if (name := sidecar_name(shard.number)).rpartition("/")[2] not in names]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise WorkerError(
                f"{place.out}/{missing[0]} was written by a node of the cluster and cannot be seen here after "
                f"{_SEEN_SECONDS:.0f} s; is --out on a file system that all nodes share?"
            )
        time.sleep(0.5)


class _Actors:
    """Starts workers as actors of the cluster."""

    def __init__(self, orders: Orders, *, num_gpus: float, limits: Limits) -> None:
        ray = _ray()
        self._orders, self._num_gpus = orders, num_gpus
        self._pulse_seconds = min(_PULSE_SECONDS, limits.max_stall_seconds / 4)
        weights = orders.place.weights
        self._model = ray.put(weights.read_bytes() if weights else None)
        self._hire = ray.remote(
            num_cpus=1,
            num_gpus=num_gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            concurrency_groups={"watch": 1},
        )(RayActor).remote

    def hire(self) -> Worker:
        return _Actor(self._hire(self._orders), model=self._model, pulse_seconds=self._pulse_seconds)

    def wait(self, workers: Sequence[Worker], *, timeout_seconds: float) -> Sequence[Worker]:
        ray = _ray()
        by_reference = {ref: worker for worker in workers if isinstance(worker, _Actor) for ref in worker.awaited}
        references = list(by_reference)
        first, _ = ray.wait(references, timeout=timeout_seconds) if references else ((), ())
        arrived, _ = ray.wait(references, num_returns=len(references), timeout=0) if first else ((), ())
        return [worker for worker in dict.fromkeys(by_reference[reference] for reference in arrived)]

    def why_nobody_starts(self) -> str:
        return (
            f"each needs 1 CPU and {self._num_gpus:g} GPU; `ray status` shows whether others use them, and whether "
            "nodes are starting"
        )


class _Actor(Worker):
    """One actor: its pending answer, and its pulse while it has a step."""

    def __init__(self, actor: Any, *, model: Any, pulse_seconds: float) -> None:
        super().__init__()
        self._actor, self._pulse_seconds = actor, pulse_seconds
        self._pid, self._node, self._num_beats, self._resident_bytes = 0, "", 0, 0
        self._answer: Any = actor.start.remote(model)
        self._pulse: Any = None

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def resident_bytes(self) -> int:
        return self._resident_bytes

    @property
    def awaited(self) -> list[Any]:
        """References to its next messages."""
        return [reference for reference in (self._answer, self._pulse) if reference is not None]

    def tell(self, step: Step) -> None:
        self._answer = self._actor.do.remote(step)
        if self._pulse is None:
            self._request_pulse()

    def hear(self) -> Message | VideoError | None:
        ray = _ray()
        (reference,), _ = ray.wait(self.awaited)
        try:
            answer = ray.get(reference)
        except ray.exceptions.RayError as error:
            return self._loss(error)
        if isinstance(answer, Pulse):
            return self._receive_pulse(answer)
        self._answer = None
        if isinstance(answer, Arrived):
            self._pid, self._node = answer.pid, answer.node
        if isinstance(answer, NoMemory):
            return out_of_memory(f"could not allocate memory on node {self._node}")
        message: Message = answer
        return message

    def kill(self) -> None:
        _ray().kill(self._actor)

    def _request_pulse(self) -> None:
        self._pulse = self._actor.pulse.options(concurrency_group="watch").remote(self._pulse_seconds)

    def _receive_pulse(self, pulse: Pulse) -> Beat | None:
        self._pulse = None
        if self.step is not None:
            self._request_pulse()
        has_moved, self._num_beats = pulse.num_beats > self._num_beats, pulse.num_beats
        self._resident_bytes = pulse.resident_bytes
        return Beat(pulse.num_frames, pulse.num_expected) if has_moved else None

    def _loss(self, error: Exception) -> VideoError:
        """Return the error that an actor died of; WorkerError for one that could not be created at all."""
        words = " ".join(str(error).split())
        if not self.is_ready and getattr(error, "actor_init_failed", True):
            raise WorkerError(
                "a worker on the Ray cluster could not be created; is this dfer installed on every node? "
                f"{words[-300:]}"
            )
        if "low on memory" in words:  # Ray ends workers before the node's kernel does
            return out_of_memory(f"Ray ended its process on node {self._node}, which ran low on memory")
        return crashed(f"its process on node {self._node} ended" if self._node else "its process ended while starting")


def _ray() -> Any:
    return imported_package("ray", "--engine ray", extra="ray")


def _expect_answer(address: str | None) -> None:
    """Raise UsageError if nothing answers at HOST:PORT: Ray itself would try for minutes."""
    if address is None or address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or "://" in address or not port.isdecimal():
        raise UsageError(f"--address {address}: HOST:PORT of the cluster's head is needed, or auto on one of its nodes")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"--address {address}: nothing answers there ({error}); is the head of the Ray cluster up, and is the "
            "port the one that `ray start --head` printed (6379)?"
        ) from error


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set the variables that are not set yet, for the block."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Restore the handler of SIGTERM after the block: Ray sets its own when it connects."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
