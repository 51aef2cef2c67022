"""The output of `prepare`: recognise it, lock it, clear what a killed run left, discard it on request."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dfer_data.errors import UsageError
from dfer_data.preparation.request import ResolvedRequest
from dfer_data.preparation.run_settings import EngineName, TaskShare
from dfer_data.shards.layout import (
    AMBIGUOUS_NAME,
    CARD_NAME,
    CLIPS_NAME,
    DATASET_NAME,
    DONORS,
    FOLDS,
    HISTORY_NAME,
    LEDGER_NAME,
    LEFT_OUT_NAME,
    LOG_NAME,
    PLAN_NAME,
    PREVIEW,
    SHARDS,
    is_summary,
)
from dfer_data.shards.rebuilt_file import REBUILT_NAME
from dfer_data.storage import folder_lock as lock
from dfer_data.storage.base import WORK, OnWait, Target
from dfer_data.storage.changeset import NEXT, finish_change, is_interrupted
from dfer_data.storage.folder import FolderTarget


def is_there(out: Target) -> bool:
    """Return whether the place holds anything. Raises UsageError or RemoteError where nothing can be written."""
    out.check()
    return bool(out.listing())


def discard(out: Target, *, on_wait: OnWait = lambda holder: None) -> None:
    """Remove a prepared dataset, finished or not, but keep its log.

    Raises UsageError for a place that holds something else, LockedError.
    """
    if not is_there(out):
        return
    _refuse_foreign(out)
    with out.hold(task_index=None, on_wait=on_wait):
        out.remove(DATASET_NAME, CLIPS_NAME, LEDGER_NAME, AMBIGUOUS_NAME, LEFT_OUT_NAME, CARD_NAME, HISTORY_NAME)
        out.remove(REBUILT_NAME)
        for name in (NEXT, SHARDS, DONORS, PREVIEW, FOLDS, WORK):
            out.remove_folder(name)
        out.remove(*filter(is_summary, out.listing()))
        out.remove(PLAN_NAME)  # last: it identifies the place as a dataset


@contextlib.contextmanager
def output_folder(out: Target, *, task_index: int | None, on_wait: OnWait = lambda holder: None) -> Iterator[Path]:
    """Create and lock the output; yield an empty local folder for unfinished files, removed after the block."""
    out.check()
    _refuse_foreign(out)
    out.make_folders(SHARDS, PREVIEW, FOLDS)
    with out.hold(task_index=task_index, on_wait=on_wait):
        shutil.rmtree(out.stale, ignore_errors=True)  # unfinished files of a killed run
        out.work.mkdir(parents=True)
        if task_index is None:
            finish_change(out)
        elif is_interrupted(out):
            raise UsageError(f"a change of {out} was interrupted: run the command once without --task-index")
        try:
            yield out.work
        finally:
            shutil.rmtree(out.stale, ignore_errors=True)


def _refuse_foreign(out: Target) -> None:
    """Raise UsageError for a place without a plan, unless it holds only what a run creates before its plan."""
    names = {name for name in out.listing() if not name.startswith(lock.PREFIX) and not is_summary(name)}
    names -= {WORK, LOG_NAME}
    is_begun = names <= {SHARDS, PREVIEW, FOLDS} and not any(out.listing(name) for name in names)
    if not is_begun and PLAN_NAME not in names:
        raise UsageError(f"{out} exists and is not a prepared dataset; choose another --out")


def record(out: Target, **facts: Any) -> None:
    """Append facts to prepare.log that must not enter the hashed files: place, machine, workers, lost workers."""
    out.append(LOG_NAME, json.dumps(facts, sort_keys=True, allow_nan=False).encode("utf-8") + b"\n")


def record_start(
    out: Target,
    resolved: ResolvedRequest,
    *,
    share: TaskShare | None,
    engine: EngineName,
    num_workers: int | None,
    num_tasks: int,
) -> None:
    """Append how a run was started to prepare.log: no host name and no absolute path."""
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
