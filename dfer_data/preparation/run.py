"""`prepare`: plan, shards in parallel, manifest. A second run resumes where the first one stopped."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dfer_data.config import PREPARE_SETTINGS, Cluster, EngineName, Folding, Limits, Request, RunSettings, TaskShare
from dfer_data.detect.gpus import most_workers
from dfer_data.errors import DferError, UsageError
from dfer_data.preparation.clip_remarks import remark_notes
from dfer_data.preparation.crew import Event, WorkerLost
from dfer_data.preparation.engines import started
from dfer_data.preparation.manifest import write_manifest
from dfer_data.preparation.output_folder import discard, output_folder, record
from dfer_data.preparation.plan import Plan, commit_plan, planned_subjects, renewed_plan, with_subjects
from dfer_data.preparation.progress import PreparationProgress, ProgressCounter
from dfer_data.preparation.request import ResolvedRequest, default_output, request_of, resolve_request
from dfer_data.preparation.steps import ShardTask, VideoDone, VideosUnderWay, Workplace
from dfer_data.settings import build_or_none, settings_of, split_settings
from dfer_data.shards.clip_coverage import Coverage, read_coverage
from dfer_data.shards.duplicates import find_duplicates, shard_opener
from dfer_data.shards.fold_file import fold_splits
from dfer_data.shards.layout import (
    AMBIGUOUS_NAME,
    CLIPS_NAME,
    DATASET_NAME,
    FOLDS,
    PLAN_NAME,
    SHARDS,
    sidecar_name,
)
from dfer_data.shards.sidecar import count_clips, count_left_out, failure_codes, finished_sidecars
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.base import OnWait, Target
from dfer_data.storage.folder import FolderTarget
from dfer_data.storage.target import target_at

ALL_CODES = "ALL"
"""For `retry_failed`: any ledger code."""


@dataclass(frozen=True)
class PreparationPlanned:
    """Event: dataset, settings and model file are known; nothing is written yet."""

    resolved: ResolvedRequest
    """The plan and its inputs."""
    out: str
    """Folder or URL of the output."""
    run: RunSettings
    """Engine and places."""
    num_workers: int | None
    """Number of workers; None: as many as fit into the cluster."""
    limits: Limits
    """Limits of each worker."""
    cluster: Cluster
    """The cluster of the `ray` engine."""
    share: TaskShare | None
    """The task of an array whose shards are made; None: all shards."""


@dataclass(frozen=True)
class PreparationStarted:
    """Event: the plan is committed; reports the remaining work."""

    num_videos: int
    """Videos in the shards that this run makes."""
    num_shards: int
    """Shards that this run makes; the others exist already, or belong to another task."""


@dataclass(frozen=True)
class Summary:
    """The result of a run."""

    document: dict[str, Any] | None
    """Contents of dataset.json; None for one task of an array, which writes none."""
    num_shards_made: int
    """Shards made by this run; the others existed already."""
    num_clips: Mapping[str, int]
    """Clips per `ok`, `partial` and ledger code in this run's shards, whether made now or before."""
    out: str
    """Folder or URL of the output."""
    share: TaskShare | None
    """The task of an array that was run; None: the whole run."""
    num_left_out: Mapping[str, int] = field(default_factory=dict)
    """Tracks that make no clip with `all_tracks`, by reason, in this run's shards."""
    num_ambiguous: int = 0
    """Clips that may show another person; 0 for one task of an array."""
    notes: tuple[str, ...] = ()
    """Facts about the dataset that a user should know, one line each."""
    coverage: Coverage = field(default_factory=Coverage)
    """Clips that show little of their video, whether made now or before; none for one task of an array."""

    @property
    def num_failed(self) -> int:
        """Number of clips without faces."""
        return sum(number for code, number in self.num_clips.items() if code not in ("ok", "partial"))


PreparationEvent = PreparationStarted | PreparationProgress | Event
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
        on_event: receives the events: planned, started, videos started and done, progress, workers lost.
        on_wait: receives the holder of a lock behind a URL while it is watched.
        **settings: any other setting of `dfer prepare`, such as `det_size_px=960`, `align="box"` or `workers=4`;
            docs/settings.md lists them.

    Returns:
        The result, with the contents of dataset.json. Failed clips are in its counts and in ledger.jsonl.

    Raises:
        UsageError: all faults of the arguments or the dataset; ConfigMismatchError for a folder with other settings.
        LockedError, WorkerError, RemoteError, WeightsError, DferError: see the error tree; finished shards are kept.
    """
    planned = plan_preparation(dataset, source=source, out=out, detector=detector, **settings)
    on_event(planned)
    return run_planned(
        planned, retry_failed=retry_failed, retry_code=retry_code, force=force, on_event=on_event, on_wait=on_wait
    )


def plan_preparation(
    dataset: str,
    *,
    source: Path | str | None = None,
    out: Path | str | None = None,
    detector: str | None = None,
    **settings: Any,
) -> PreparationPlanned:
    """List the dataset, fetch the model file and check all settings, as `prepare` does first; write nothing."""
    places = {"out": out if out is None else str(out), "source": source, "detector": detector}
    given = settings | {name: value for name, value in places.items() if value is not None}
    groups = split_settings(PREPARE_SETTINGS, given, by_flag=True)
    run, cluster = RunSettings(**groups[RunSettings]), Cluster(**groups[Cluster])
    _check_cluster(run, groups[Cluster])
    share = build_or_none(TaskShare, groups[TaskShare])
    request = request_of(dataset, groups[Request], folding=build_or_none(Folding, groups[Folding]))
    place = run.out or str(default_output(dataset, request.detector, crops=request.crops))
    target_at(place, work=run.work).check()  # before a large dataset is listed
    resolved = resolve_request(request, has_hardware=run.engine != "ray")
    num_workers = run.workers or (None if run.engine == "ray" else most_workers(resolved.plan.config.device))
    return PreparationPlanned(resolved, place, run, num_workers, Limits(**groups[Limits]), cluster, share)


def run_planned(
    planned: PreparationPlanned,
    *,
    retry_failed: bool = False,
    retry_code: str | None = None,
    force: bool = False,
    on_event: Callable[[PreparationEvent], None] = lambda event: None,
    on_wait: OnWait = lambda holder: None,
) -> Summary:
    """Make what was planned; arguments and errors as in `prepare`."""
    return run_preparation(
        planned.resolved,
        planned.out,
        engine=planned.run.engine,
        num_workers=planned.num_workers,
        limits=planned.limits,
        cluster=planned.cluster,
        share=planned.share,
        retry_failed=retry_code or (ALL_CODES if retry_failed else None),
        force=force,
        scratch=planned.run.work,
        on_event=on_event,
        on_wait=on_wait,
    )


def _check_cluster(run: RunSettings, given: Mapping[str, Any]) -> None:
    if given and run.engine != "ray":
        flags = [settings_of(Cluster)[name].flag for name in given]
        raise UsageError(f"{' and '.join(flags)}: only for --engine ray")


def run_preparation(
    resolved: ResolvedRequest,
    out: Path | str,
    *,
    engine: EngineName = "processes",
    num_workers: int | None = None,
    limits: Limits | None = None,
    cluster: Cluster | None = None,
    share: TaskShare | None = None,
    retry_failed: str | None = None,
    force: bool = False,
    scratch: Path | None = None,
    on_event: Callable[[PreparationEvent], None] = lambda event: None,
    on_wait: OnWait = lambda holder: None,
) -> Summary:
    """Make the prepared dataset in `out`, or finish the one begun there.

    `out`: a folder, or a URL; for a URL `scratch` holds unfinished files (None: the cache).
    `engine`: worker processes, one unless `num_workers` is given; `inline`, or 0 workers: this process;
    `ray`: as many actors as fit into `cluster`, or `num_workers`.
    `share`: make only one task's shards, and no manifest; a run without `share` writes it once all shards exist.
    `on_wait`: receives the holder of a lock behind a URL while it is watched, which takes up to a minute.
    `retry_failed`: remake the shards that hold a failure with this ledger code (ALL_CODES: with any); the files of
    their videos may have changed. `force`: first remove what is in `out`, once the engine is ready.
    Raises ConfigMismatchError, LockedError, WorkerError, UsageError, RemoteError, or
    DferError when the disk fails. Finished shards are kept.
    """
    if share is not None and retry_failed is not None:
        raise UsageError(
            "--retry-failed cannot be combined with --task-index: run it once without --task-index; the "
            "tasks then make the missing shards"
        )
    if share is not None and force:
        raise UsageError("--force cannot be combined with --task-index: one task must not remove the others' shards")
    task_index = share.task_index if share else None
    target = target_at(out, work=scratch, task_index=task_index)
    starting_engine = started(
        engine,
        num_workers=num_workers,
        limits=limits or Limits(),
        cluster=cluster or Cluster(),
        tool_versions=resolved.plan.tool_versions,
    )
    try:
        with contextlib.ExitStack() as stack:
            run = stack.enter_context(starting_engine)
            if force:
                discard(target, on_wait=on_wait)
            work = stack.enter_context(output_folder(target, task_index=task_index, on_wait=on_wait))
            place = Workplace(resolved.source, target, work, resolved.plan.config, resolved.weights)
            plan = _committed_plan(resolved, place, retry_failed=retry_failed, share=share)
            numbers = [number for number in range(len(plan.shards)) if share is None or number in share]
            sidecars = finished_sidecars(target)
            tasks = [ShardTask(n, plan.shards[n]) for n in numbers if n not in sidecars]
            _record_run(target, resolved, share=share, engine=engine, num_workers=num_workers, num_tasks=len(tasks))
            num_videos = sum(len(task.videos) for task in tasks)
            report = _reporter(target, [video for task in tasks for video in task.videos], on_event)
            report(PreparationStarted(num_videos, len(tasks)))
            if tasks:
                target.remove(DATASET_NAME)  # no manifest may describe a shard that is being remade
                run(tasks, place, on_event=report)
            target.confirm()
            document = write_manifest(plan, target) if share is None else None
            own = [sidecar for number, sidecar in finished_sidecars(target).items() if number in numbers]
            counts: dict[str, Any] = {"num_clips": count_clips(own), "num_left_out": count_left_out(own)}
            findings = _findings(plan, target, document) if document else {}
            return Summary(document, len(tasks), out=str(out), share=share, **counts, **findings)
    except OSError as error:
        raise DferError(
            f"cannot write {target.disk}: {error.strerror or error}; finished shards are kept: {_remedy(error)}, or "
            f"choose another {target.flag}, and run the same command again"
        ) from error


def _remedy(error: OSError) -> str:
    """Return what a user can do about an output that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make it writable"
    return "check the disk"


def _reporter(
    target: Target, videos: Sequence[SourceVideo], on_event: Callable[[PreparationEvent], None]
) -> Callable[[PreparationEvent], None]:
    """Return a receiver of events that passes them on, and keeps progress and lost workers in prepare.log."""
    counter = ProgressCounter(videos)

    def report(event: PreparationEvent) -> None:
        target.confirm()
        if isinstance(event, WorkerLost):
            record(target, event="worker lost", **asdict(event))
        on_event(event)
        if isinstance(event, VideoDone | VideosUnderWay) and (progress := counter.count(event)):
            record(target, event="progress", **asdict(progress))
            on_event(progress)

    return report


def _committed_plan(
    resolved: ResolvedRequest, place: Workplace, *, retry_failed: str | None, share: TaskShare | None
) -> Plan:
    """Write the plan, or check the existing one; reopen the shards to remake: failed ones, changed subjects."""
    out = place.out
    planned = planned_subjects(out)
    subjects = resolved.subjects
    if subjects is None:
        subjects = {clip_id: track for tracks in planned.values() for clip_id, track in tracks.items()}
    plan = with_subjects(resolved.plan, subjects)
    changed_ids = {
        video.clip_id for video in plan.listing.videos if dict(video.subjects or ()) != planned.get(video.clip_id, {})
    }
    if out.size(PLAN_NAME) is None or (retry_failed is None and not changed_ids):
        commit_plan(plan, out)
        return plan
    if share is not None:
        raise UsageError(
            "changed --subjects cannot be combined with --task-index: run it once without --task-index; the "
            "tasks then make the missing shards"
        )
    return _reopened_plan(plan, place, retry_failed=retry_failed, changed_ids=changed_ids)


def _reopened_plan(plan: Plan, place: Workplace, *, retry_failed: str | None, changed_ids: Container[str]) -> Plan:
    """Replace the existing plan; remove the sidecars of shards with such failures or a video of `changed_ids`."""
    out = place.out
    sidecars = finished_sidecars(out)
    failed = {number: failure_codes(sidecar) for number, sidecar in sidecars.items()}
    reopened = {
        number for number, codes in failed.items() if codes & {retry_failed} or (codes and retry_failed == ALL_CODES)
    }
    reopened |= {
        number for number, sidecar in sidecars.items() if any(video in changed_ids for video in _video_ids(sidecar))
    }
    plan = renewed_plan(plan, out, closed_shards=failed.keys() - reopened)
    if not reopened and retry_failed not in (None, ALL_CODES) and len(failed) == len(plan.shards):
        known = ", ".join(sorted({code for codes in failed.values() for code in codes})) or "none failed"
        raise UsageError(f"--retry-code {retry_failed}: no clip in {out} failed with that code; there are: {known}")
    if reopened:
        out.remove(DATASET_NAME)
    out.remove(*map(sidecar_name, sorted(reopened)))
    out.sync(SHARDS)
    out.put(PLAN_NAME, plan.as_bytes())
    return plan


def _video_ids(sidecar: Mapping[str, Any]) -> Iterator[str]:
    """Yield the video ids of a shard, some more than once."""
    for row in (*sidecar["clips"], *sidecar["failures"]):
        yield row["source_clip_id"]


def _findings(plan: Plan, out: Target, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the summary that come from the manifest, whoever made its shards."""
    num_ambiguous = len(out.read(AMBIGUOUS_NAME).splitlines()) - 1
    clips = out.read(CLIPS_NAME)
    folds = {fold: fold_splits(out.read(f"{FOLDS}/fold-{fold}.csv")) for fold in plan.listing.folds}
    coverage = read_coverage(clips, all_tracks=plan.config.all_tracks)
    note = find_duplicates(clips, folds, open_shard=shard_opener(document, out.shard_bytes)).note
    notes = (*((note,) if note else ()), *remark_notes(clips), *coverage.notes)
    return {"num_ambiguous": num_ambiguous, "notes": notes, "coverage": coverage}


def _record_run(
    out: Target,
    resolved: ResolvedRequest,
    *,
    share: TaskShare | None,
    engine: EngineName,
    num_workers: int | None,
    num_tasks: int,
) -> None:
    """Append how this run was started to prepare.log: no host name and no absolute path."""
    record(
        out,
        event="begun",
        source=_relative_to(out, resolved.source),
        platform=platform.platform(),
        python=platform.python_version(),
        engine=engine,
        num_workers=num_workers,
        task=asdict(share) if share else None,
        shards_to_make=num_tasks,
        shards=len(resolved.plan.shards),
    )


def _relative_to(out: Target, source: Path) -> str | None:
    """Return the path from a local output folder to the source; None where there is none."""
    if not isinstance(out, FolderTarget):
        return None
    with contextlib.suppress(ValueError):  # on another drive
        return Path(os.path.relpath(source.resolve(), out.root.resolve())).as_posix()
    return None
