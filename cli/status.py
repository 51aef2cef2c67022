"""`dfer status`: how far prepared datasets and trainings are, and who works on them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfer_data.errors import UsageError
from dfer_data.wording import counted

from ._support import console
from ._support.options import JsonFlag

if TYPE_CHECKING:
    from dfer_data.inspection.status import DatasetStatus
    from lstpnet.reporting.run_status import RunStatus


def status(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA|RUNS",
            help="Folders or URLs of prepared datasets, folders of runs, or folders that hold them. "
            "[default: prepared and runs]",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what is done, what failed, time left and the next step.

    It also shows which processes are at work. It only reads, so you may call it at any time, also during a run. The
    exit code is 0 in any state.
    """
    datasets: list[DatasetStatus] = []
    runs: list[RunStatus] = []
    for place in places or _default_places():
        more_datasets, more_runs = _statuses(place)
        if places and not more_datasets and not more_runs:
            raise _nothing_in(place)
        datasets += more_datasets
        runs += more_runs
    if not datasets and not runs:
        raise _nothing_in(" and ".join(_default_places()))
    if as_json:
        console.print_json({"datasets": [asdict(item) for item in datasets], "runs": [asdict(item) for item in runs]})
        return
    for item in datasets:
        _show_dataset(item)
    for run in runs:
        console.say(f"{run.folder}: {run}")
    if any(run.state == "stopped" for run in runs):
        console.say("next: the same `dfer train` or `dfer sweep` resumes what has stopped")


def _default_places() -> list[str]:
    """Return those of prepared and runs that are here. Raises UsageError if there is none."""
    if found := [name for name in ("prepared", "runs") if Path(name).is_dir()]:
        return found
    raise UsageError("there is no folder prepared or runs here; name the folder of a prepared dataset, or of runs")


def _statuses(place: str) -> tuple[list[DatasetStatus], list[RunStatus]]:
    """Return the datasets and runs at or below a place. Raises UsageError for what is no folder."""
    from dfer_data.inspection.status import dataset_status, is_dataset
    from dfer_data.storage.files import place_of
    from dfer_data.storage.walk import entries_of
    from lstpnet.reporting.run_status import run_statuses

    folder = place_of(place)
    if isinstance(folder, str) or is_dataset(folder):
        return [dataset_status(folder)], []
    if not folder.is_dir():
        raise UsageError(f"{place} is a file, not a folder" if folder.exists() else f"{place} is not there")
    datasets = [dataset_status(path) for path in entries_of(folder) if path.is_dir() and is_dataset(path)]
    runs = [] if datasets else run_statuses(folder)
    return datasets, runs


def _nothing_in(place: str) -> UsageError:
    return UsageError(f"no prepared dataset and no run in {place}; `dfer prepare` shows up once its plan is written")


def _show_dataset(item: DatasetStatus) -> None:
    """Print what is known of a prepared dataset."""
    pilot = "" if item.limit is None else "pilot, "
    console.say(
        f"{item.place}: {pilot}{item.state}, {item.num_videos_done:,} of {counted(item.num_videos, 'video')}, "
        f"{item.num_shards_done:,} of {counted(item.num_shards, 'shard')}"
    )
    failures = {code: number for code, number in item.num_clips.items() if code not in ("ok", "partial")}
    if failures:
        console.say("  failed: " + ", ".join(f"{code} {number:,}" for code, number in failures.items()))
    if item.holders:
        console.say(f"  in use by {', '.join(item.holders)}")
    if item.progress is not None:
        of_tasks = " (of one task)" if len(item.holders) > 1 else ""
        console.say(f"  {item.progress}{of_tasks}")
    if item.last_end and item.state == "unfinished":
        console.say(f"  the last run {item.last_end}")
    console.say(f"  next: {item.next_step}")
