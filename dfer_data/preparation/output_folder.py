"""The output of `prepare`: recognise it, lock it, clear what a killed run left, discard it on request."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dfer_data.errors import UsageError
from dfer_data.shards.layout import (
    AMBIGUOUS_NAME,
    CARD_NAME,
    CLIPS_NAME,
    DATASET_NAME,
    FOLDS,
    LEDGER_NAME,
    LEFT_OUT_NAME,
    LOG_NAME,
    PLAN_NAME,
    PREVIEW,
    SHARDS,
)
from dfer_data.storage import folder_lock as lock
from dfer_data.storage.base import WORK, OnWait, Target


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
        out.remove(DATASET_NAME, CLIPS_NAME, LEDGER_NAME, AMBIGUOUS_NAME, LEFT_OUT_NAME, CARD_NAME)
        for name in (SHARDS, PREVIEW, FOLDS, WORK):
            out.remove_folder(name)
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
        try:
            yield out.work
        finally:
            shutil.rmtree(out.stale, ignore_errors=True)


def _refuse_foreign(out: Target) -> None:
    """Raise UsageError for a place without a plan, unless it holds only what a run creates before its plan."""
    names = {name for name in out.listing() if not name.startswith(lock.PREFIX)} - {WORK, LOG_NAME}
    is_begun = names <= {SHARDS, PREVIEW, FOLDS} and not any(out.listing(name) for name in names)
    if not is_begun and PLAN_NAME not in names:
        raise UsageError(f"{out} exists and is not a prepared dataset; choose another --out")


def record(out: Target, **facts: Any) -> None:
    """Append facts to prepare.log that must not enter the hashed files: place, machine, workers, lost workers."""
    out.append(LOG_NAME, json.dumps(facts, sort_keys=True, allow_nan=False).encode("utf-8") + b"\n")
