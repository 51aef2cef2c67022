"""Make, replace and remove own sets of folds of a prepared dataset; the official folds stay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dfer_data.auditing.pairs import groups_of
from dfer_data.changes.opened import clips_of, opened_for_change
from dfer_data.errors import UsageError
from dfer_data.preparation.amendments import OwnFolding
from dfer_data.preparation.fold_sets import check_fold_set, folds_of_set
from dfer_data.preparation.manifest import hashes_before, read_history, write_manifest
from dfer_data.preparation.plan import Plan
from dfer_data.shards.audit_folder import AUDIT, audited_groups, groups_in
from dfer_data.shards.identity import OFFICIAL_SET, is_fold_set
from dfer_data.shards.layout import DATASET_NAME, FOLDS
from dfer_data.storage.base import Target
from dfer_data.storage.changeset import Changeset
from dfer_data.storage.csv_table import read_csv_table


def make_fold_set(
    data: Path | str,
    folding: OwnFolding,
    *,
    name: str = "own",
    table: Path | None = None,
    anew: bool = False,
) -> dict[str, dict[str, int]]:
    """Add a set of folds to a prepared dataset; return fold -> split -> number of clips.

    `table`: CSV with clip_id and the column that `folding` groups by; without one, the groups `audit` are those of the
    dataset's audit, joined by the persons that the dataset names. `anew`: replace the set of this name. Groups keep
    their fold when the dataset is updated. Raises UsageError for a name that is taken, groups that are unknown, too few
    of them, and a missing or outdated audit.
    """
    if name == OFFICIAL_SET:
        raise UsageError(f"--name {OFFICIAL_SET}: the official folds are never overwritten; choose another name")
    if not is_fold_set(name):
        raise UsageError(f"--name {name}: use lower-case letters, digits, - and _, at most 64")
    groups = None if table is None else read_groups(table, folding.group_by)
    with opened_for_change(data) as (out, plan, _):
        if groups is None and folding.group_by == AUDIT:
            audited = groups_in(audited_groups(out, json.loads(out.read(DATASET_NAME))))
            groups = _with_persons(audited, clips_of(out))
        present = plan.amendments.fold_sets.get(name)
        if present == folding and plan.amendments.groups.get(name) == groups and not anew:
            return _sizes(name, folding, out, groups)
        if present is not None and not anew:
            raise UsageError(
                f"there is a set {name} ({present.rule}); choose another --name, or replace it with --anew"
            )
        check_fold_set(folding, clips_of(out), groups=groups)
        if present is not None:
            plan = _without(plan, name)
            _write(plan, out, {"change": "folds removed", "name": name})
        sets = {**plan.amendments.fold_sets, name: folding}
        own_groups = plan.amendments.groups if groups is None else {**plan.amendments.groups, name: groups}
        plan = replace(plan, amendments=replace(plan.amendments, fold_sets=sets, groups=own_groups))
        sizes = _sizes(name, folding, out, groups)
        _write(plan, out, {"change": "folds made", "name": name})
        return sizes


def remove_fold_set(data: Path | str, name: str) -> None:
    """Remove an own set of folds. Raises UsageError for an unknown one."""
    with opened_for_change(data) as (out, plan, _):
        if name not in plan.amendments.fold_sets:
            known = ", ".join(sorted(plan.amendments.fold_sets)) or "none"
            raise UsageError(f"there is no own set of folds {name!r}; there are: {known}")
        _write(_without(plan, name), out, {"change": "folds removed", "name": name})
        out.remove_folder(f"{FOLDS}/{name}")  # empty by now


def read_groups(table: Path, column: str) -> dict[str, str]:
    """Return clip id -> group from the columns clip_id and `column` of a CSV. Raises UsageError."""
    read = read_csv_table(table, flag="--from")
    read.require("clip_id", column)
    groups = {clip_id: cells[column] for _, clip_id, cells in read.by_clip()}
    read.raise_faults()
    return groups


def _with_persons(groups: Mapping[str, str], clips: pd.DataFrame) -> dict[str, str]:
    """Return clip id -> group of an audit; groups that hold clips of one person are one."""
    named = clips.loc[clips["clip_id"].isin(groups.keys()) & (clips["group"].fillna("") != "")]
    links: list[tuple[str, str]] = []
    for group_of in (groups, dict(zip(named["clip_id"], named["group"], strict=True))):
        first: dict[str, str] = {}
        links += [(first.setdefault(group, clip_id), clip_id) for clip_id, group in group_of.items()]
    return groups_of(list(groups), links)


def _sizes(name: str, folding: OwnFolding, out: Target, groups: Mapping[str, str] | None) -> dict[str, dict[str, int]]:
    """Return the sizes that a set will have; UsageError where it cannot be made of all clips."""
    clips = clips_of(out)
    check_fold_set(folding, clips, groups=groups)
    folds = folds_of_set(name, folding, clips, out, groups=groups)
    return {
        fold: {part: sum(split == part for split in splits.values()) for part in ("train", "test")}
        for fold, splits in folds.items()
    }


def _without(plan: Plan, name: str) -> Plan:
    sets = {other: folding for other, folding in plan.amendments.fold_sets.items() if other != name}
    groups = {other: ids for other, ids in plan.amendments.groups.items() if other != name}
    return replace(plan, amendments=replace(plan.amendments, fold_sets=sets, groups=groups))


def _write(plan: Plan, out: Target, entry: dict[str, object]) -> None:
    history = [*read_history(out), {**entry, **hashes_before(out)}]
    write_manifest(plan, out, changes=Changeset(out), history=history)
