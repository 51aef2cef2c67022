"""`prepare`: plan, shards in parallel, manifest. A second run resumes where the first one stopped."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dfer_data.errors import DferError
from dfer_data.locking.lock_file import lock_for_workers
from dfer_data.preparation.committed_plan import OnHashed, committed_plan
from dfer_data.preparation.donors import donors_of_videos
from dfer_data.preparation.failure_limit import FailureCounter
from dfer_data.preparation.locked_request import (
    SourcesCompared,
    begin_rebuild,
    check_rebuild,
    finish_rebuild,
)
from dfer_data.preparation.manifest import write_manifest
from dfer_data.preparation.output_folder import discard, output_folder, record, record_start
from dfer_data.preparation.plan import Plan
from dfer_data.preparation.planned import PreparationPlanned, plan_preparation
from dfer_data.preparation.progress import PreparationProgress, ProgressCounter
from dfer_data.preparation.request import ResolvedRequest
from dfer_data.preparation.run_settings import (
    Cluster,
    EngineName,
    Limits,
    Revision,
    TaskShare,
)
from dfer_data.preparation.summary import Summary, findings_of_manifest
from dfer_data.preparation.summary_file import RunRecord, recorded
from dfer_data.preparation.tasks import ShardTask, VideoDone, VideosUnderWay, Workplace
from dfer_data.preparation.workers.crew import Event, WorkerLost
from dfer_data.preparation.workers.engines import Engine, started
from dfer_data.shards.layout import (
    DATASET_NAME,
    DONORS,
)
from dfer_data.shards.sidecar import count_clips, count_left_out, finished_sidecars
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.base import OnWait, Target
from dfer_data.storage.target import target_at


@dataclass(frozen=True)
class PreparationStarted:
    """Event: the plan is committed; reports the remaining work."""

    num_videos: int
    """Videos in the shards that this run makes."""
    num_shards: int
    """Shards that this run makes; the others exist already, or belong to another task."""


PreparationEvent = PreparationStarted | PreparationProgress | SourcesCompared | Event
"""What a run reports."""


def prepare(
    dataset: str,
    *,
    source: Path | str | None = None,
    out: Path | str | None = None,
    detector: str | None = None,
    retry_failed: bool = False,
    retry_code: str | None = None,
    force: bool = False,
    update: bool = False,
    prune: bool = False,
    on_event: Callable[[PreparationPlanned | PreparationEvent], None] = lambda event: None,
    on_wait: OnWait = lambda holder: None,
    **settings: Any,
) -> Summary:
    """Make a prepared dataset: decode, detect, track, align, store. The same call resumes an interrupted run.

    Args:
        dataset: name of the dataset (`dfer datasets` lists them), `folder` or `csv`.
        source: its folder; None: data/DATASET.
        out: folder or URL to write; None: prepared/DATASET-DETECTOR.
        detector: `retinaface`, `dlib`, or `none` for shipped crops; None: what the dataset needs.
        retry_failed: remake the shards with failed clips.
        retry_code: remake only the shards with failed clips of this ledger code.
        force: first remove what was prepared in `out`.
        update: bring what was prepared in line with the source; only new and changed videos are decoded.
        prune: with `update`, drop the clips of videos that are gone from the source; else they are kept.
        on_event: receives the events: planned, started, videos started and done, progress, workers lost.
        on_wait: receives the holder of a lock behind a URL while it is watched.
        **settings: any other setting of `dfer prepare`, such as `det_size_px=960`, `align="box"` or `workers=4`;
            docs/reference/settings.md lists them.

    Returns:
        The result, with the contents of dataset.json. Failed clips are in its counts and in ledger.jsonl.

    Raises:
        UsageError: all faults of the arguments or the dataset; ConfigMismatchError for a folder with other settings.
        LockedError, WorkerError, FailureLimitError, RemoteError, WeightsError, DferError: see the error tree; finished
            shards are kept.
    """
    revision = Revision(update=update, prune=prune, retry_failed=retry_failed, retry_code=retry_code, force=force)
    planned = plan_preparation(dataset, source=source, out=out, detector=detector, **settings)
    on_event(planned)
    return run_planned(planned, revision=revision, on_event=on_event, on_wait=on_wait)


def run_planned(
    planned: PreparationPlanned,
    *,
    revision: Revision = Revision(),  # noqa: B008
    on_event: Callable[[PreparationEvent], None] = lambda event: None,
    on_hashed: OnHashed = lambda done, total: None,
    on_wait: OnWait = lambda holder: None,
) -> Summary:
    """Make what was planned; arguments and errors as in `prepare`."""
    target = target_at(
        planned.out, work=planned.run.work, task_index=planned.share.task_index if planned.share else None
    )
    return run_preparation(
        planned.resolved,
        target,
        engine=planned.run.engine,
        num_workers=planned.num_workers,
        limits=planned.limits,
        cluster=planned.cluster,
        share=planned.share,
        revision=revision,
        max_failures=planned.run.max_failures,
        on_hashed=on_hashed,
        on_event=on_event,
        on_wait=on_wait,
    )


def run_preparation(
    resolved: ResolvedRequest,
    out: Path | str | Target,
    *,
    engine: EngineName = "processes",
    num_workers: int | None = None,
    limits: Limits | None = None,
    cluster: Cluster | None = None,
    share: TaskShare | None = None,
    revision: Revision = Revision(),  # noqa: B008
    max_failures: str | None = None,
    on_event: Callable[[PreparationEvent], None] = lambda event: None,
    on_hashed: OnHashed = lambda done, total: None,
    on_wait: OnWait = lambda holder: None,
) -> Summary:
    """Make the prepared dataset in `out`, or finish the one begun there.

    `out`: a folder, a URL, or the place of this task.
    `engine`: worker processes, one unless `num_workers` is given; `inline`, or 0 workers: this process;
    `ray`: as many actors as fit into `cluster`, or `num_workers`.
    `share`: make only one task's shards, and no manifest; a run without `share` writes it once all shards exist.
    `on_wait`: receives the holder of a lock behind a URL while it is watched, which takes up to a minute.
    `revision`: how to change what is there: update it, retry what failed, or remove it first, once the engine is ready.
    `max_failures`: stop when more videos fail, as the setting says; None: never.
    `on_hashed`: receives the number of videos whose files were compared for an update, and of all.
    Raises ConfigMismatchError, LockedError, WorkerError, FailureLimitError, UsageError, RemoteError, or DferError when
    the disk fails. Finished shards are kept; summary.json tells how the run ended.
    """
    revision.check_share(share)
    task_index = share.task_index if share else None
    target = target_at(out, task_index=task_index) if isinstance(out, Path | str) else out
    run_record = RunRecord(target, resolved, engine=engine, num_workers=num_workers, share=share)
    starting_engine = started(
        engine,
        num_workers=num_workers,
        limits=limits or Limits(),
        cluster=cluster or Cluster(),
        tool_versions=resolved.tool_versions,
    )
    try:
        with contextlib.ExitStack() as stack:
            run = stack.enter_context(starting_engine)
            if revision.force:
                discard(target, on_wait=on_wait)
            work = stack.enter_context(output_folder(target, task_index=task_index, on_wait=on_wait))
            stack.enter_context(recorded(run_record, roots=(target.disk, resolved.source)))
            place = _workplace(resolved, target, work)
            check_rebuild(resolved, target, is_update=revision.update)
            plan, change = committed_plan(resolved, target, revision=revision, share=share, on_hashed=on_hashed)
            run_record.begin(plan)
            numbers = [number for number in range(len(plan.shards)) if share is None or number in share]
            sidecars, donors = finished_sidecars(target), donors_of_videos(target)
            tasks = [_task(n, plan, donors) for n in numbers if n not in sidecars]
            record_start(target, resolved, share=share, engine=engine, num_workers=num_workers, num_tasks=len(tasks))
            if resolved.lock is not None:
                numbers_to_make = [task.number for task in tasks]
                on_event(begin_rebuild(resolved, plan, target, numbers=numbers_to_make, on_hashed=on_hashed))
            _make_shards(run, tasks, place, run_record=run_record, max_failures=max_failures, on_event=on_event)
            target.confirm()
            if share is None:
                target.remove_folder(DONORS)
            document = write_manifest(plan, target, history=resolved.history) if share is None else None
            own = {number: sidecar for number, sidecar in finished_sidecars(target).items() if number in numbers}
            run_record.finish(own)
            counts: dict[str, Any] = {"num_clips": count_clips([*own.values()])}
            counts |= {"num_left_out": count_left_out(own.values())}
            findings = findings_of_manifest(plan, target, document) if document else {}
            findings |= {"rebuilt": finish_rebuild(resolved, plan, target, document)} if document else {}
            counts |= {"change": change, "forecast": run_record.forecast}
            return Summary(document, len(tasks), out=str(out), share=share, **counts, **findings)
    except OSError as error:
        raise DferError(
            f"cannot write {target.disk}: {error.strerror or error}; finished shards are kept: {_remedy(error)}, or "
            f"choose another {target.flag}, and run the same command again"
        ) from error


def _workplace(resolved: ResolvedRequest, target: Target, work: Path) -> Workplace:
    """Return what all steps of a run share."""
    excluded, lock = resolved.excluded or frozenset(), lock_for_workers(resolved.lock, work)
    return Workplace(resolved.source, target, work, resolved.plan.config, resolved.weights, excluded, lock)


def _make_shards(
    run: Engine,
    tasks: Sequence[ShardTask],
    place: Workplace,
    *,
    run_record: RunRecord,
    max_failures: str | None,
    on_event: Callable[[PreparationEvent], None],
) -> None:
    """Make the shards, and report and record what happens."""
    target, failures = place.out, FailureCounter(max_failures)
    videos = [task.video for shard in tasks for task in shard.tasks if not task.donor]
    report = _reporter(target, videos, run_record, failures, on_event)
    report(PreparationStarted(len(videos), len(tasks)))
    if tasks:
        target.remove(DATASET_NAME)  # no manifest may describe a shard that is being remade
        run(tasks, place, on_event=report)
        failures.check()


def _task(number: int, plan: Plan, donors: Mapping[str, str]) -> ShardTask:
    """Return the task that makes a shard, with the clips that can be taken over."""
    videos = plan.shards[number]
    return ShardTask(number, videos, tuple(donors.get(video.clip_id, "") for video in videos) if donors else ())


def _remedy(error: OSError) -> str:
    """Return what a user can do about an output that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make it writable"
    return "check the disk"


def _reporter(
    target: Target,
    videos: Sequence[SourceVideo],
    run_record: RunRecord,
    failures: FailureCounter,
    on_event: Callable[[PreparationEvent], None],
) -> Callable[[PreparationEvent], None]:
    """Return a receiver of events that passes them on, counts them, and keeps progress and losses in prepare.log."""
    counter, ids = ProgressCounter(videos), {video.clip_id for video in videos}

    def report(event: PreparationEvent) -> None:
        target.confirm()
        if isinstance(event, WorkerLost):
            record(target, event="worker lost", **asdict(event))
        on_event(event)
        is_taken_over = isinstance(event, VideoDone) and event.clip_id not in ids
        if not isinstance(event, PreparationStarted | PreparationProgress | SourcesCompared):
            run_record.count(event, is_taken_over=is_taken_over)
        if is_taken_over:
            return
        if isinstance(event, VideoDone | VideosUnderWay) and (progress := counter.count(event)):
            record(target, event="progress", **asdict(progress))
            on_event(progress)
        if isinstance(event, VideoDone):
            failures.count(event)

    return report
