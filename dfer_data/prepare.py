"""`prepare`: plan, shards in parallel, manifest. A second run goes on where the first one stopped."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dfer_data import weights
from dfer_data.config import Align, PrepareConfig, Store
from dfer_data.detect.registry import detector_spec
from dfer_data.engines import Job, run_inline, run_processes
from dfer_data.errors import DferError, LockedError, UsageError
from dfer_data.manifest import DATASET_NAME, FOLDS, write_manifest
from dfer_data.plan import PLAN_NAME, Plan, commit_plan, make_plan
from dfer_data.sources.registry import source
from dfer_data.task import PREVIEW, SHARDS, WORK, ShardTask, VideoDone, is_done

LOCK_NAME, LOG_NAME = ".lock", "prepare.log"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks of `prepare`; `resolve` turns it into a plan."""

    dataset: str
    """Adapter's name."""
    source: Path
    """Folder of the dataset."""
    detector: str = "retinaface"
    """Registered detector."""
    backbone: str | None = None
    """None: the detector's default."""
    weights: Path | None = None
    """A model file of the user's own instead of the pinned one."""
    align: Align | None = None
    """None: `given` for detector none, else `template`."""
    det_size_px: int = 640
    """Long side of the picture the detector sees."""
    jpeg_quality: int = 95
    """Of stored faces."""
    store: Store = "frames"
    """What a shard holds."""
    clip_seconds: float = 60.0
    """Longer videos become several clips; DFEW's never do."""


@dataclass(frozen=True)
class Resolved:
    """A request checked against the disk: everything is known before the first video is opened."""

    plan: Plan
    """Videos, settings, shards."""
    weights: Path | None
    """The detector's model file."""
    source: Path
    """Folder of the dataset."""


@dataclass(frozen=True)
class Summary:
    """What a run did."""

    document: dict[str, Any]
    """Contents of dataset.json."""
    num_shards_made: int
    """Shards made by this run; the others were there."""

    @property
    def num_failed(self) -> int:
        """Clips without faces."""
        return int(self.document["counts"]["status"].get("failed", 0))


def resolve(request: Request) -> Resolved:
    """List the dataset, fetch the model file and make the plan.

    Raises UsageError and its kinds for anything wrong with the request or the dataset, WeightsError.
    """
    spec = detector_spec(request.detector)
    backbone = request.backbone if request.backbone is not None else spec.backbones[0]
    if backbone not in spec.backbones:
        raise UsageError(
            f"--backbone {backbone}: {spec.name} knows {', '.join(filter(None, spec.backbones)) or 'none'}"
        )
    lister = source(request.dataset)
    config = PrepareConfig(  # faults of the settings come before the dataset is read
        dataset=request.dataset,
        detector=spec.name,
        backbone=backbone,
        weights_sha256="",
        det_size_px=request.det_size_px,
        score_threshold=spec.score_threshold,
        align=request.align or ("given" if spec.name == "none" else "template"),
        jpeg_quality=request.jpeg_quality,
        store=request.store,
        clip_seconds=0.0 if request.dataset == "dfew" else request.clip_seconds,
    )
    listing = lister(request.source, layout="frames" if config.align == "given" else "videos")
    path = weights.resolve(spec.weights, path=request.weights) if spec.weights else None
    if path is not None:
        config = replace(config, weights_sha256=weights.sha256_file(path))
    return Resolved(make_plan(listing, config), path, request.source)


def prepare(
    resolved: Resolved, out: Path, *, num_workers: int = 1, on_event: Callable[[VideoDone], None] = lambda event: None
) -> Summary:
    """Make the prepared dataset in `out`, or finish the one begun there; 0 workers: in this process.

    Raises ConfigMismatchError, LockedError, WorkerError, or DferError when the disk fails. Finished shards are kept.
    """
    try:
        with _output_folder(out) as folder:
            return _prepare(resolved, folder, num_workers=num_workers, on_event=on_event)
    except OSError as error:
        raise DferError(
            f"cannot write {out}: {error.strerror or error}; finished shards are kept: make room, or choose another "
            "--out, and run the same command again"
        ) from error


def _prepare(resolved: Resolved, folder: Path, *, num_workers: int, on_event: Callable[[VideoDone], None]) -> Summary:
    plan = resolved.plan
    commit_plan(plan, folder, work=folder / WORK)
    tasks = [ShardTask(number, videos) for number, videos in enumerate(plan.shards) if not is_done(folder, number)]
    _record_run(folder, resolved, num_workers=num_workers, num_tasks=len(tasks))
    job = Job(resolved.source, folder, plan.config, resolved.weights)
    if tasks:
        (folder / DATASET_NAME).unlink(missing_ok=True)  # never a manifest beside a shard that is being remade
    if num_workers == 0:
        run_inline(tasks, job, on_event=on_event)
    else:
        run_processes(tasks, job, num_workers=num_workers, on_event=on_event)
    return Summary(write_manifest(plan, folder), len(tasks))


def num_pending_videos(plan: Plan, out: Path) -> int:
    """Return how many videos of a plan lie in shards that `out` does not have yet."""
    return sum(len(videos) for number, videos in enumerate(plan.shards) if not is_done(out, number))


@contextlib.contextmanager
def _output_folder(out: Path) -> Iterator[Path]:
    """Create and lock the output folder; clear what a killed run left half done."""
    import filelock

    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; choose another --out")
    if out.is_dir() and _is_foreign(out):
        raise UsageError(f"{out} exists and is not a prepared dataset; choose another --out")
    for folder in (SHARDS, PREVIEW, FOLDS):
        (out / folder).mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(out / LOCK_NAME, timeout=0)
    holder = out / (LOCK_NAME + ".json")
    try:
        lock.acquire()
    except filelock.Timeout:
        raise LockedError(f"{out} is in use by {_holder(holder)}; wait for it, or choose another --out") from None
    try:
        holder.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}), encoding="utf-8")
        shutil.rmtree(out / WORK, ignore_errors=True)
        (out / WORK).mkdir()
        yield out
        shutil.rmtree(out / WORK)
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _is_foreign(out: Path) -> bool:
    """Whether a folder has no plan, and yet more in it than a run leaves that was stopped before its plan."""
    if (out / PLAN_NAME).exists():
        return False
    folders = (SHARDS, PREVIEW, FOLDS)
    names = {path.name for path in out.iterdir()} - {LOCK_NAME, LOCK_NAME + ".json", WORK}
    return not names <= set(folders) or any(any((out / name).iterdir()) for name in names)


def _holder(path: Path) -> str:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return f"process {known['pid']} on {known['host']}"
    except (OSError, ValueError, KeyError):
        return "another run"


def _record_run(out: Path, resolved: Resolved, *, num_workers: int, num_tasks: int) -> None:
    """Append to prepare.log what must not stand in the hashed files: place, machine, workers."""
    line = {
        "source": str(resolved.source.resolve()),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "num_workers": num_workers,
        "shards_to_make": num_tasks,
        "shards": len(resolved.plan.shards),
    }
    with (out / LOG_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")
