"""Open a prepared dataset for a change, and carry a change out: shards are remade from what is stored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from dfer_data.errors import UsageError
from dfer_data.loading.document import absence
from dfer_data.preparation.donors import donors_of_videos
from dfer_data.preparation.manifest import write_manifest
from dfer_data.preparation.output_folder import output_folder
from dfer_data.preparation.plan import Plan, read_plan
from dfer_data.preparation.shard_step import commit_shard
from dfer_data.preparation.tasks import ShardTask, Workplace
from dfer_data.preparation.video_step import make_video
from dfer_data.shards.clips_table import clips_frame
from dfer_data.shards.layout import CLIPS_NAME, DATASET_NAME, DONORS, PLAN_NAME
from dfer_data.shards.sidecar import finished_sidecars
from dfer_data.storage.base import Target
from dfer_data.storage.files import place_of
from dfer_data.storage.target import target_at
from dfer_data.wording import counted

OnShard = Callable[[int, int], None]
"""Called with the number of shards that are remade, and of all that must be."""


def _ignore(done: int, total: int) -> None:
    """Report nothing."""


@contextlib.contextmanager
def opened_for_change(data: Path | str, *, on_shard: OnShard = _ignore) -> Iterator[tuple[Target, Plan, bool]]:
    """Lock a prepared dataset and yield it, its plan, and whether an interrupted change was finished first.

    Raises UsageError for a place that holds no finished dataset, LockedError.
    """
    out = target_at(data)
    if out.size(PLAN_NAME) is None:
        place = place_of(data)
        why = absence(place) if isinstance(place, Path) else f"({PLAN_NAME} is missing); make it with `dfer prepare`"
        raise UsageError(f"{data} is not a prepared dataset {why}")
    with output_folder(out, task_index=None):
        plan, is_finished = read_plan(out), out.size(DATASET_NAME) is not None
        if not is_finished:
            carry_out(plan, out, on_shard=on_shard)
        yield out, plan, not is_finished


def carry_out(plan: Plan, out: Target, *, on_shard: OnShard = _ignore) -> dict[str, Any]:
    """Make the shards that are missing from what is stored, and write the manifest; return dataset.json.

    Raises UsageError where a video must be decoded, because `prepare` has not finished.
    """
    finished, donors = finished_sidecars(out), donors_of_videos(out)
    missing = [number for number in range(len(plan.shards)) if number not in finished]
    absent = [video.clip_id for number in missing for video in plan.shards[number] if video.clip_id not in donors]
    if absent:
        raise UsageError(
            f"{out}: prepare has not finished here ({counted(len(absent), 'video')} left): run it again to resume"
        )
    place = Workplace(Path(), out, out.work, plan.config, None)
    for number_done, number in enumerate(missing, start=1):
        videos = plan.shards[number]
        shard = ShardTask(number, videos, tuple(donors[video.clip_id] for video in videos))
        for task in shard.tasks:
            make_video(task, place, detector=None)
        commit_shard(shard, place)
        on_shard(number_done, len(missing))
    out.remove_folder(DONORS)
    return write_manifest(plan, out)


def clips_of(out: Target) -> pd.DataFrame:
    """Return the rows of clips.parquet."""
    return clips_frame(out.read(CLIPS_NAME), name=CLIPS_NAME)
