"""Turn the settings of a caller into a planned run; nothing is written yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfer_data.config import Folding, Request
from dfer_data.detect.gpus import most_workers
from dfer_data.errors import UsageError
from dfer_data.locking.lock_file import read_lock
from dfer_data.preparation.locked_request import check_like, refuse_settings, resolve_locked, settings_like
from dfer_data.preparation.request import ResolvedRequest, default_output, request_of, resolve_request
from dfer_data.preparation.run_settings import PREPARE_SETTINGS, Cluster, Limits, RunSettings, TaskShare
from dfer_data.settings import build_or_none, settings_of, split_settings
from dfer_data.storage.target import target_at


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
    of_request = groups[Request]
    lock, like = (read_lock(of_request[name]) if name in of_request else None for name in ("from_lock", "like"))
    if lock is not None:
        refuse_settings([*of_request, *groups[Folding]])
        of_request |= {"detector": lock.header.config.detector}
    if like is not None:
        of_request = settings_like(like) | of_request
    run, cluster = RunSettings(**groups[RunSettings]), Cluster(**groups[Cluster])
    _check_cluster(run, groups[Cluster])
    share = build_or_none(TaskShare, groups[TaskShare])
    request = request_of(dataset, of_request, folding=build_or_none(Folding, groups[Folding]))
    place = run.out or str(default_output(dataset, request.detector, crops=request.crops))
    target_at(place, work=run.work).check()  # before a large dataset is listed
    if lock is not None:
        resolved = resolve_locked(request, lock)
    else:
        resolved = resolve_request(request, has_hardware=run.engine != "ray")
    if like is not None:
        check_like(like, resolved)
    device = "cpu" if lock is not None else resolved.plan.config.device
    num_workers = run.workers or (None if run.engine == "ray" else most_workers(device))
    return PreparationPlanned(resolved, place, run, num_workers, Limits(**groups[Limits]), cluster, share)


def _check_cluster(run: RunSettings, given: Mapping[str, Any]) -> None:
    if given and run.engine != "ray":
        flags = [settings_of(Cluster)[name].flag for name in given]
        raise UsageError(f"{' and '.join(flags)}: only for --engine ray")
