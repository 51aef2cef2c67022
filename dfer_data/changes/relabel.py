"""Correct labels and persons of clips in a prepared dataset; no picture changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from dfer_data.changes.opened import clips_of, opened_for_change
from dfer_data.errors import UsageError
from dfer_data.preparation.manifest import hashes_before, read_history, write_manifest
from dfer_data.preparation.plan import Plan
from dfer_data.storage.changeset import Changeset
from dfer_data.storage.csv_table import raise_faults, read_csv_table
from dfer_data.storage.csv_text import composed

_COLUMNS = ("label", "group")


def relabel(data: Path | str, table: Path) -> int:
    """Give clips the labels and persons in a CSV; return the number of clips that changed.

    `table`: columns clip_id, and label, group or both; an empty cell changes nothing. The corrections stay when the
    dataset is updated from its source. All files change together. Raises UsageError with all faults at once.
    """
    corrections = read_corrections(table)
    with opened_for_change(data) as (out, plan, _):
        clips = clips_of(out)
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
            entry = {"change": "relabelled", "clips": len(changed), **hashes_before(out)}
            write_manifest(plan, out, changes=Changeset(out), history=[*read_history(out), entry])
        return len(changed)


def read_corrections(table: Path) -> dict[str, dict[str, str]]:
    """Return clip id -> `label`, `group` or both. Raises UsageError with all faults of the file at once."""
    read = read_csv_table(table, flag="--from")
    read.require("clip_id")
    columns = [name for name in _COLUMNS if name in read.header]
    if not columns:
        raise UsageError(f"--from {table} needs a column label, group or both; it has: {', '.join(read.header)}")
    corrections = {
        clip_id: {name: cells[name] for name in columns if cells[name]} for _, clip_id, cells in read.by_clip()
    }
    for values in corrections.values():
        values |= {name: composed(value) for name, value in values.items() if name == "label"}  # as class names are
    read.raise_faults()
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
    raise_faults(faults, path=table, flag="--from", ending="; nothing was changed")


def _needed(labels: Mapping[str, Mapping[str, str]], clips: pd.DataFrame, plan: Plan) -> dict[str, dict[str, str]]:
    """Return the corrections without those that give a clip what its source says."""
    videos = {video.clip_id: video for video in plan.listing.videos}
    origin = dict(zip(clips["clip_id"], clips["source_clip_id"], strict=True))
    needed = {}
    for clip_id, values in labels.items():
        if clip_id not in origin:  # its video was cut into fewer clips since
            continue
        video = videos[origin[clip_id]]
        kept = {name: value for name, value in values.items() if getattr(video, name) != value}
        if kept:
            needed[clip_id] = kept
    return needed
