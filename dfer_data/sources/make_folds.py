"""Folds for data that has none: groups (people) kept whole, classes spread evenly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from dfer_data.sources.base import SourceListing, SourceVideo, Split

GroupBy = Literal["subject", "folder", "clip"]
_Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Folding:
    """How folds are made; the same values and videos always give the same folds."""

    num_folds: int
    """At least 2; each clip is tested in one fold and trained on in the others."""
    group_by: GroupBy = "subject"
    """What stays together: a person that the dataset names, a folder, or nothing but the clip itself."""
    stratify: bool = False
    """Whether each class, not only the number of clips, is spread evenly."""
    seed: int = 0
    """Start of the random order in which groups are dealt out."""

    def __post_init__(self) -> None:
        """Collect every fault of the values and raise them as one UsageError."""
        faults = []
        if not 2 <= self.num_folds <= 100:
            faults.append(f"--folds {self.num_folds}: 2 to 100 is needed")
        if self.group_by not in _GROUPS:
            faults.append(f"--group-by {self.group_by}: {', '.join(_GROUPS)} is needed")
        if self.seed < 0:
            faults.append(f"--seed {self.seed}: 0 or more is needed")
        if faults:
            raise UsageError("; ".join(faults))

    @property
    def rule(self) -> str:
        """Say in a few words how the folds are cut."""
        even = ", stratified" if self.stratify else ""
        return f"{self.num_folds} folds by {self.group_by}{even}, seed {self.seed}"


_GROUPS: Mapping[str, Callable[[SourceVideo], str | None]] = MappingProxyType(
    {
        "subject": lambda video: video.group,
        "folder": lambda video: str(PurePosixPath(video.path or video.clip_id).parent),
        "clip": lambda video: video.clip_id,
    }
)


def with_folds(listing: SourceListing, folding: Folding) -> SourceListing:
    """Return the listing with folds; UsageError where it has some, names no groups, or has fewer groups than folds."""
    if listing.folds:
        raise UsageError(f"--folds: {listing.dataset} has folds already ({listing.fold_rule}); leave the flag out")
    members: defaultdict[str, list[SourceVideo]] = defaultdict(list)
    for video in listing.videos:
        group = _GROUPS[folding.group_by](video)
        if group is None:
            raise UsageError(
                f"--group-by {folding.group_by}: nothing says who is in {video.clip_id}; a csv may have a column "
                "subject; --group-by folder keeps folders together, --group-by clip nothing"
            )
        members[group].append(video)
    if len(members) < folding.num_folds:
        raise UsageError(
            f"--folds {folding.num_folds}: {listing.dataset} has {len(members)} groups by {folding.group_by}; give "
            "fewer folds, or another --group-by"
        )
    fold_of = _dealt(members, listing.class_names, folding)
    folds: dict[str, dict[str, Split]] = {
        str(fold + 1): {
            video.clip_id: "test" if fold_of[group] == fold else "train"
            for group, videos in members.items()
            for video in videos
        }
        for fold in range(folding.num_folds)
    }
    return replace(listing, folds=folds, fold_rule=folding.rule)


def _dealt(members: Mapping[str, list[SourceVideo]], names: tuple[str, ...], folding: Folding) -> dict[str, int]:
    """Deal groups out, the largest first, equal ones in random order, each to the fold that it makes least uneven."""
    groups = sorted(members)
    np.random.default_rng((folding.seed, 11)).shuffle(groups)
    groups.sort(key=lambda group: -len(members[group]))
    counts = {group: _counted(members[group], names, stratify=folding.stratify) for group in groups}
    total = np.maximum(np.sum(list(counts.values()), axis=0), 1)
    folds = np.zeros((folding.num_folds, len(total)), np.int64)
    num_groups = np.zeros(folding.num_folds, np.int64)
    dealt = {}
    for place, group in enumerate(groups):
        left = len(groups) - place
        empty = np.flatnonzero(num_groups == 0)
        # No fold may stay empty, however uneven the groups are.
        open_folds = empty if len(empty) >= left else np.arange(folding.num_folds)
        costs = [
            (_unevenness(folds, int(fold), counts[group], total), int(folds[fold].sum()), int(fold))
            for fold in open_folds
        ]
        fold = min(costs)[2]
        dealt[group] = fold
        folds[fold] += counts[group]
        num_groups[fold] += 1
    return dealt


def _counted(videos: list[SourceVideo], names: tuple[str, ...], *, stratify: bool) -> _Counts:
    if not stratify:
        return np.array([len(videos)], np.int64)
    return np.array([sum(video.label == name for video in videos) for name in names or (None,)], np.int64)


def _unevenness(folds: _Counts, fold: int, added: _Counts, total: _Counts) -> float:
    """Return the mean spread over folds of each class's share, with a group added to one of the folds."""
    with_it = folds.copy()
    with_it[fold] += added
    return round(float((with_it / total).std(axis=0).mean()), 12)
