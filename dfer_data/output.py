"""The output folder of `prepare`: recognised, locked, cleared of what a killed run left, discarded on request."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dfer_data import lock
from dfer_data.dataset_card import CARD_NAME
from dfer_data.errors import UsageError
from dfer_data.manifest import AMBIGUOUS_NAME, CLIPS_NAME, DATASET_NAME, FOLDS, LEDGER_NAME
from dfer_data.plan import PLAN_NAME
from dfer_data.sidecar import PREVIEW, SHARDS

LOG_NAME, WORK = "prepare.log", ".work"


def discard(out: Path) -> None:
    """Remove a prepared dataset, finished or not, but for its log.

    Raises UsageError for a folder that is none, LockedError.
    """
    if not out.is_dir():
        return
    _refuse_foreign(out)
    with lock.hold(out):
        for name in (DATASET_NAME, CLIPS_NAME, LEDGER_NAME, AMBIGUOUS_NAME, CARD_NAME):
            (out / name).unlink(missing_ok=True)
        for name in (SHARDS, PREVIEW, FOLDS, WORK):
            shutil.rmtree(out / name, ignore_errors=True)
        (out / PLAN_NAME).unlink(missing_ok=True)  # last: it tells what the folder is


@contextlib.contextmanager
def output_folder(out: Path, *, task_index: int | None) -> Iterator[Path]:
    """Create and lock the output folder; yield an empty folder below it for what is not finished, gone afterwards."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; choose another --out")
    if out.is_dir():
        _refuse_foreign(out)
    for folder in (SHARDS, PREVIEW, FOLDS):
        (out / folder).mkdir(parents=True, exist_ok=True)
    with lock.hold(out, task_index=task_index):
        work = out / WORK / ("all" if task_index is None else f"task-{task_index:04d}")
        stale = out / WORK if task_index is None else work  # what a killed run left half done
        shutil.rmtree(stale, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            yield work
        finally:
            shutil.rmtree(stale, ignore_errors=True)


def _refuse_foreign(out: Path) -> None:
    """Raise UsageError for a folder without a plan that holds more than a run stopped before its plan leaves."""
    folders = (SHARDS, PREVIEW, FOLDS)
    names = {path.name for path in out.iterdir() if not path.name.startswith(lock.PREFIX)} - {WORK, LOG_NAME}
    is_begun = names <= set(folders) and not any(any((out / name).iterdir()) for name in names)
    if not is_begun and not (out / PLAN_NAME).exists():
        raise UsageError(f"{out} exists and is not a prepared dataset; choose another --out")


def record(out: Path, **facts: Any) -> None:
    """Append to prepare.log what must not stand in the hashed files: place, machine, workers and what befell them."""
    with (out / LOG_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts, sort_keys=True) + "\n")
