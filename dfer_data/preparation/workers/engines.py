"""The engines that run the shards: this process, or a crew of workers whose deaths do not end the run.

The crew knows the current step of every worker. It replaces a worker that dies, stalls or exceeds its limits. It
retries the worker's video once, alone; only if that fails too does the video become a ledger row. Workers are processes
of this machine, or actors of a Ray cluster (ray_pool.py).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from dfer_data.preparation.run_settings import Cluster, EngineName, Limits
from dfer_data.preparation.shard_step import commit_shard
from dfer_data.preparation.tasks import (
    UNDER_WAY_SECONDS,
    OnFrames,
    ShardTask,
    VideosUnderWay,
    VideoUnderWay,
    Workplace,
)
from dfer_data.preparation.video_step import give_up_video, make_video
from dfer_data.preparation.workers.crew import OnEvent, out_of_memory
from dfer_data.preparation.workers.process_pool import run_processes


class Engine(Protocol):
    """Runs shards in a workplace; see `run_processes` for the errors it raises."""

    def __call__(self, shards: Sequence[ShardTask], place: Workplace, *, on_event: OnEvent) -> None:
        """Run all shards."""
        ...


@contextlib.contextmanager
def started(
    name: EngineName, *, num_workers: int | None, limits: Limits, cluster: Cluster, tool_versions: Mapping[str, str]
) -> Iterator[Engine]:
    """Yield the named engine, ready to run; 0 workers mean `inline`, None means one, or as many as fit a cluster.

    Raises UsageError for a cluster that cannot be used.
    """
    if name == "inline" or num_workers == 0:
        yield run_inline
    elif name == "processes":
        yield partial(run_processes, num_workers=num_workers or 1, limits=limits)
    else:
        from dfer_data.preparation.workers import ray_pool as ray_engine

        with ray_engine.connected(cluster):
            yield partial(
                ray_engine.run_ray,
                cluster=cluster,
                num_workers=num_workers,
                limits=limits,
                tool_versions=tool_versions,
            )


def run_inline(shards: Sequence[ShardTask], place: Workplace, *, on_event: OnEvent) -> None:
    """Run the shards one after another in this process; a video that crashes the process ends the run."""
    detector = place.detector()
    for shard in shards:
        for task in shard.tasks:
            try:
                on_progress = _reporter(task.video.clip_id, on_event)
                on_event(make_video(task, place, detector=detector, on_progress=on_progress))
            except MemoryError:
                on_event(give_up_video(task, place, out_of_memory("could not allocate memory")))
        commit_shard(shard, place)


def _reporter(clip_id: str, on_event: OnEvent) -> OnFrames:
    """Return a receiver of the frames of a video that reports it as under way, as often as a crew does."""
    last_report = time.monotonic()

    def report(num_frames: int, num_expected: int) -> None:
        nonlocal last_report
        if (now := time.monotonic()) - last_report >= UNDER_WAY_SECONDS:
            last_report = now
            on_event(VideosUnderWay((VideoUnderWay(clip_id, num_frames, num_expected),)))

    return report
