"""Correct labels and persons of clips in a prepared dataset; no picture changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from dfer_data.changes.opened import opened_for_change
from dfer_data.errors import UsageError
from dfer_data.preparation.committed_plan import before
from dfer_data.preparation.manifest import read_history, write_manifest
from dfer_data.preparation.plan import Plan
from dfer_data.shards.clips_table import clips_frame
from dfer_data.shards.layout import CLIPS_NAME
from dfer_data.storage.base import OnWait, Target
from dfer_data.storage.changeset import Changeset
from dfer_data.storage.csv_text import csv_rows, from_spreadsheet
from dfer_data.storage.files import read_regular_text

_COLUMNS = ("label", "group")
_SHOWN = 5


def relabel(data: Path | str, table: Path, *, on_wait: OnWait = lambda holder: None) -> int:
    """Give clips the labels and persons in a CSV; return the number of clips that changed.

    `table`: columns clip_id, and label, group or both; an empty cell changes nothing. The corrections stay when the
    dataset is updated from its source. All files change together. Raises UsageError with all faults at once.
    """
    corrections = read_corrections(table)
    with opened_for_change(data, on_wait=on_wait) as (out, plan, _):
        clips = clips_frame(out.read(CLIPS_NAME), name=CLIPS_NAME)
        _check(corrections, clips, plan, table)
        current = {
            row.clip_id: {"label": row.label, "group": row.group}
            for row in clips[["clip_id", "label", "group"]].itertuples()
        }
        changed = {
            clip_id: values
            for clip_id, values in corrections.items()
            if any(current[clip_id][name] is pd.NA or current[clip_id][name] != value for name, value in values.items())
        }
        if changed:
            labels = {clip_id: dict(values) for clip_id, values in plan.amendments.labels.items()}
            for clip_id, values in changed.items():
                labels[clip_id] = labels.get(clip_id, {}) | dict(values)
            plan = replace(plan, amendments=replace(plan.amendments, labels=_needed(labels, clips, plan)))
            entry = {"change": "relabelled", "clips": len(changed), **before(out)}
            write_manifest(plan, out, changes=Changeset(out), history=[*read_history(out), entry])
        return len(changed)


def read_corrections(table: Path) -> dict[str, dict[str, str]]:
    """Return clip id -> `label`, `group` or both. Raises UsageError with all faults of the file at once."""
    try:
        lines = list(csv_rows(read_regular_text(table)))
    except (OSError, ValueError) as error:
        raise UsageError(f"--from {table} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    header = [cell.strip() for cell in lines[0][1]] if lines else []
    columns = [name for name in _COLUMNS if name in header]
    if "clip_id" not in header or not columns:
        raise UsageError(f"--from {table} needs the columns clip_id, and label, group or both; it has: {header}")
    faults, corrections = [], {}
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            faults.append(f"line {line}: {len(cells)} cells, the header has {len(header)}")
            continue
        clip_id = from_spreadsheet(cells[header.index("clip_id")])
        values = {name: from_spreadsheet(cells[header.index(name)].strip()) for name in columns}
        if clip_id in corrections:
            faults.append(f"line {line}: clip {clip_id} is listed twice")
        corrections[clip_id] = {name: value for name, value in values.items() if value}
    if faults:
        raise UsageError(f"--from {table}: {_shown(faults)}")
    return {clip_id: values for clip_id, values in corrections.items() if values}


def _check(corrections: Mapping[str, Mapping[str, str]], clips: pd.DataFrame, plan: Plan, table: Path) -> None:
    """Raise UsageError for clips that do not exist and labels that are no class."""
    known = set(clips["clip_id"])
    faults = [f"there is no clip {clip_id!r}" for clip_id in corrections if clip_id not in known]
    names = plan.listing.class_names
    for name in dict.fromkeys(values["label"] for values in corrections.values() if "label" in values):
        if name not in names:
            near = get_close_matches(name, names, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none'}"
            faults.append(f"{name!r} is no class; {meant}")
    if faults:
        raise UsageError(f"--from {table}: {_shown(faults)}; nothing was changed")


def _shown(faults: list[str]) -> str:
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return "; ".join(faults[:_SHOWN]) + more


def _needed(labels: Mapping[str, Mapping[str, str]], clips: pd.DataFrame, plan: Plan) -> dict[str, dict[str, str]]:
    """Return the corrections without those that give a clip what its source says."""
    videos = {video.clip_id: video for video in plan.listing.videos}
    origin = dict(zip(clips["clip_id"], clips["source_clip_id"], strict=True))
    needed = {}
    for clip_id, values in labels.items():
        video = videos[origin[clip_id]]
        kept = {name: value for name, value in values.items() if getattr(video, name) != value}
        if kept:
            needed[clip_id] = kept
    return needed


def clips_of(out: Target) -> pd.DataFrame:
    """Return the rows of clips.parquet."""
    return clips_frame(out.read(CLIPS_NAME), name=CLIPS_NAME)
