"""Make own sets of folds: each group of clips is in one fold, and keeps that fold when clips are added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import pandas as pd

from dfer_data.errors import UsageError
from dfer_data.preparation.amendments import Amendments, OwnFolding
from dfer_data.render.tables import listed
from dfer_data.shards.audit_folder import AUDIT
from dfer_data.shards.fold_file import fold_splits
from dfer_data.shards.layout import fold_name
from dfer_data.sources.make_folds import assigned, check_groups
from dfer_data.storage.base import Target
from dfer_data.wording import counted

_SPECIAL: Mapping[str, Callable[[pd.DataFrame], pd.Series]] = MappingProxyType(
    {
        "subject": lambda clips: clips["group"],
        "folder": lambda clips: (
            clips["source"]
            .where(clips["source"] != "", clips["source_clip_id"])
            .map(lambda path: str(PurePosixPath(path).parent))
        ),
        "clip": lambda clips: clips["source_clip_id"],
    }
)
_LISTS = frozenset({"votes", "labels"})
Folds = dict[str, dict[str, str]]
"""Fold -> clip id -> split."""


def own_fold_sets(amendments: Amendments, clips: pd.DataFrame, out: Target) -> dict[str, Folds]:
    """Return the own sets of folds; a group that has a fold in `out` keeps it, a clip without a group is in no fold.

    `clips`: the columns of clips.parquet.
    """
    return {
        name: folds_of_set(name, folding, clips, out, groups=amendments.groups.get(name))
        for name, folding in amendments.fold_sets.items()
    }


def folds_of_set(
    name: str, folding: OwnFolding, clips: pd.DataFrame, out: Target, *, groups: Mapping[str, str] | None = None
) -> Folds:
    """Return one set of folds; `groups`: clip id -> group, else the column that `folding` names."""
    members, _ = _members(folding, clips, groups)
    by_group = _labels_of(members, clips)
    names = tuple(sorted(clips["label"].dropna().unique()))
    present = _present(name, members, out)
    fold_of = assigned(by_group, names, folding, present=present)
    test_fold = {clip_id: fold_of[group] for group, clip_ids in members.items() for clip_id in clip_ids}
    placed = [clip_id for clip_id in clips["clip_id"] if clip_id in test_fold]
    return {
        str(fold + 1): {clip_id: "test" if test_fold[clip_id] == fold else "train" for clip_id in placed}
        for fold in range(folding.num_folds or 1 + max(fold_of.values(), default=-1))
    }


def fold_files(name: str, out: Target) -> Iterator[str]:
    """Yield the path of each fold's file of an own set, from fold 1."""
    paths = (fold_name(str(fold), fold_set=name) for fold in count(1))
    for path in paths:
        if out.size(path) is None:
            return
        yield path


def check_fold_set(folding: OwnFolding, clips: pd.DataFrame, *, groups: Mapping[str, str] | None = None) -> None:
    """Raise UsageError for clips without a group, for fewer groups than folds, and for groups that are the classes."""
    members, missing = _members(folding, clips, groups)
    if missing and groups is not None and folding.group_by != AUDIT:
        raise UsageError(
            f"{folding.group_by} is unknown for {listed(missing, most=3)}; every clip needs a row with a value"
        )
    if missing:
        raise UsageError(
            f"{folding.group_by} is unknown for {listed(missing, most=3)}; give it with `dfer relabel DATA --from "
            "FILE.csv` (clip_id, group), or use --group-by clip, or --group-by folder, which keeps each folder together"
        )
    check_groups(_labels_of(members, clips), folding)


def fold_set_notes(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a note per own set of folds in a dataset.json that lacks clips."""
    for name, facts in document.get("fold_sets", {}).items():
        num_placed = sum(next(iter(facts["folds"].values()), {}).values())
        if missing := document["counts"]["clips"] - num_placed:
            is_audited = " by audit" in facts["rule"]
            remedy = "make it again after `dfer audit`, with --anew" if is_audited else "give it with `dfer relabel`"
            place = f"{counted(missing, 'clip')} in no fold of the set {name} ({facts['rule']})"
            yield f"{place}, of unknown groups: {remedy}"


def _members(
    folding: OwnFolding, clips: pd.DataFrame, groups: Mapping[str, str] | None
) -> tuple[dict[str, list[str]], list[str]]:
    """Return group -> ids of its clips, and the clips without a group; UsageError for an unknown column."""
    if groups is not None:
        values = clips["clip_id"].map(groups)
    elif folding.group_by in _SPECIAL:
        values = _SPECIAL[folding.group_by](clips)
    elif folding.group_by in clips.columns and folding.group_by not in _LISTS:
        values = clips[folding.group_by]
    else:
        known = ", ".join([*_SPECIAL, *(column for column in clips.columns if column not in _LISTS)])
        raise UsageError(
            f"--group-by {folding.group_by}: no such column; give a file that has it with --from, or one of: {known}"
        )
    members: defaultdict[str, list[str]] = defaultdict(list)
    missing = []
    for clip_id, value in zip(clips["clip_id"], values, strict=True):
        if pd.isna(value) or value == "":
            missing.append(clip_id)
        else:
            members[str(value)].append(clip_id)
    return dict(members), missing


def _labels_of(members: Mapping[str, list[str]], clips: pd.DataFrame) -> dict[str, list[str | None]]:
    """Return group -> labels of its clips."""
    labels = dict(zip(clips["clip_id"], clips["label"], strict=True))
    return {
        group: [None if pd.isna(labels[clip_id]) else labels[clip_id] for clip_id in clip_ids]
        for group, clip_ids in members.items()
    }


def _present(name: str, members: Mapping[str, list[str]], out: Target) -> dict[str, int]:
    """Return group -> fold of the groups that have one in the files of the set."""
    fold_of_clip: dict[str, int] = {}
    for fold, file in enumerate(fold_files(name, out)):
        splits = fold_splits(out.read(file))
        fold_of_clip |= {clip_id: fold for clip_id, split in splits.items() if split == "test"}
    return {
        group: next(fold_of_clip[clip_id] for clip_id in clip_ids if clip_id in fold_of_clip)
        for group, clip_ids in members.items()
        if any(clip_id in fold_of_clip for clip_id in clip_ids)
    }
