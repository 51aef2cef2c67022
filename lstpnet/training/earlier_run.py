"""A run folder that may hold an earlier run: find out what is there, and remove what is left of it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Literal

from dfer_data.errors import CorruptDataError, LockedError, UsageError
from dfer_data.settings import with_absent
from dfer_data.storage.walk import entries_of
from lstpnet.checkpoints.start_weights import read_start_weights
from lstpnet.recipe import Recipe
from lstpnet.run_files import facts_of, locked_run
from lstpnet.runs import (
    CHECKPOINTS_FOLDER,
    CONFIG_NAME,
    METRICS_NAME,
    PREDICTIONS_NAME,
    RUN_NAME,
    read_config,
    read_run,
)
from lstpnet.training.experiment import Experiment
from lstpnet.training.resume_state import FOLDER as STATES
from lstpnet.training.run_settings import setting_faults

Standing = Literal["absent", "begun", "finished"]


def run_state(folder: Path, experiment: Experiment, *, init: Path | None = None) -> Standing:
    """Return whether `folder` holds this run: absent, begun with a state to resume from, or finished.

    Raises UsageError that names the differences if it holds a run with other settings or data, CorruptDataError if
    that run's files are damaged.
    """
    info = read_run(folder) if (folder / RUN_NAME).is_file() else None
    is_finished = info is not None and info.finished
    if not is_finished and not any(path.suffix == ".pt" for path in entries_of(folder / STATES)):
        return "absent"
    kind = "finished" if is_finished else "begun"
    try:
        old_settings = with_absent(Recipe, dict(read_config(folder, info)["settings"]))
    except (CorruptDataError, KeyError) as error:
        raise CorruptDataError(
            f"{folder} holds a {kind} run whose {CONFIG_NAME} is missing or damaged ({error}); --force trains again"
        ) from error
    if faults := list(setting_faults(old_settings, experiment, init_sha256=_init_sha256(init))):
        raise UsageError(f"{folder} holds a run {' and '.join(faults)}; choose another --out, or --force")
    return "finished" if is_finished else "begun"


_PARTS = (RUN_NAME, CONFIG_NAME, METRICS_NAME, PREDICTIONS_NAME, CHECKPOINTS_FOLDER, STATES)
"""Where one of these is, there is a run, or what a kill has left of it."""


def remove_old_run(folder: Path) -> None:
    """Remove the run in a folder, if any; what a kill leaves of it does not count as finished and is not resumed."""
    if any((folder / name).exists() for name in _PARTS):
        (folder / RUN_NAME).unlink(missing_ok=True)
        shutil.rmtree(folder / STATES, ignore_errors=True)
        shutil.rmtree(folder)


def remove_old_state(folder: Path) -> None:
    """Remove the training state of a finished run, which a kill at the very end of its training leaves.

    A folder that another process writes to, or that cannot be written, stays as it is.
    """
    if not (folder / STATES).is_dir():
        return
    with contextlib.suppress(LockedError, OSError), locked_run(folder):
        if (folder / RUN_NAME).is_file() and read_run(folder).finished:  # no longer, if it is being trained again
            shutil.rmtree(folder / STATES, ignore_errors=True)


def _init_sha256(init: Path | None) -> str | None:
    """Return the hash of the start weights. Raises UsageError if the file is missing."""
    return None if init is None else facts_of(read_start_weights(init)).sha256
