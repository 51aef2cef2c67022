"""Make folds for data without any: each group (a person) stays in one fold, classes are spread evenly."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dfer_data.config import Folding
from dfer_data.errors import UsageError
from dfer_data.sources.base import SourceListing, SourceVideo, Split
from dfer_data.wording import by_number, counted

_Counts = npt.NDArray[np.int64]


_GROUPS: Mapping[str, Callable[[SourceVideo], str | None]] = MappingProxyType(
    {
        "subject": lambda video: video.group,
        "folder": lambda video: str(PurePosixPath(video.path or video.clip_id).parent),
        "clip": lambda video: video.clip_id,
    }
)


def folds_command(data: Path | str) -> str:
    """Return a command for messages that adds folds to any prepared dataset."""
    return f"dfer folds {shlex.quote(str(data))} --folds 5 --group-by clip"


def with_folds(listing: SourceListing, folding: Folding) -> SourceListing:
    """Return the listing with folds; UsageError if it has folds, has no groups, or has fewer groups than folds."""
    if listing.folds:
        raise UsageError(f"--folds: {listing.dataset} already has folds ({listing.fold_rule}); omit the flag")
    members: defaultdict[str, list[SourceVideo]] = defaultdict(list)
    for video in listing.videos:
        group = _GROUPS[folding.group_by](video)
        if group is None:
            raise UsageError(
                f"--group-by {folding.group_by}: the person in {video.clip_id} is unknown; add a column subject to a "
                "csv, or use --group-by clip, which splits by clip, or --group-by folder, which keeps a folder "
                "together"
            )
        members[group].append(video)
    num_folds = folding.num_folds or len(members)
    labels = {group: [video.label for video in videos] for group, videos in members.items()}
    check_groups(labels, folding)
    fold_of = assigned(labels, listing.class_names, folding)
    folds: dict[str, dict[str, Split]] = {
        str(fold + 1): {
            video.clip_id: "test" if fold_of[group] == fold else "train"
            for group, videos in members.items()
            for video in videos
        }
        for fold in range(num_folds)
    }
    return replace(listing, folds=folds, fold_rule=folding.rule)


def check_groups(members: Mapping[str, Sequence[str | None]], folding: GroupRule) -> None:
    """Raise UsageError if there are fewer groups than folds, or if the groups are the classes.

    `members`: group -> labels of its clips.
    """
    if len(members) < max(folding.num_folds, 2):
        raise UsageError(
            f"--folds {folding.num_folds or 'loso'}: {counted(len(members), 'group')} by "
            f"{folding.group_by}; give fewer folds, or another --group-by"
        )
    classes = [set(labels) for labels in members.values()]
    if all(len(names) == 1 for names in classes) and len(set.union(*classes)) == len(members):
        is_one_clip_each = all(len(labels) == 1 for labels in members.values())
        remedy = (
            "give classes more clips"
            if is_one_clip_each
            else "name persons with `dfer relabel` (clip_id, group), or use --group-by clip"
        )
        raise UsageError(
            f"--group-by {folding.group_by}: the groups are the classes, so a fold would test a class of which its "
            f"train part has no clip; {remedy}"
        )


class FoldRule(Protocol):
    """How groups are assigned to folds."""

    @property
    def num_folds(self) -> int:
        """Number of folds; 0: one per group."""
        ...

    @property
    def stratify(self) -> bool:
        """Whether each class is spread evenly."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the order of groups of one size."""
        ...


class GroupRule(FoldRule, Protocol):
    """The same, and what makes the groups."""

    @property
    def group_by(self) -> str:
        """What a group is, as `--group-by` takes it."""
        ...


def assigned(
    members: Mapping[str, Sequence[str | None]],
    names: tuple[str, ...],
    folding: FoldRule,
    *,
    present: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, int]:
    """Return group -> fold: the largest group first, ties in random order, each to the fold that stays most even.

    `members`: group -> labels of its clips. `present`: groups that keep their fold. With one fold per group, groups are
    in the order of their names, by number where they have one.
    """
    groups = sorted(members)
    if not groups:  # all clips were removed
        return {}
    if folding.num_folds == 0:
        kept, taken = {group: fold for group, fold in present.items() if group in members}, set(present.values())
        free = (fold for fold in count() if fold not in taken)
        return kept | {group: next(free) for group in sorted(groups, key=by_number) if group not in kept}
    np.random.default_rng((folding.seed, 11)).shuffle(groups)
    groups.sort(key=lambda group: -len(members[group]))
    counts = {group: _count_by_class(members[group], names, stratify=folding.stratify) for group in groups}
    total = np.maximum(np.sum(list(counts.values()), axis=0), 1)
    folds = np.zeros((folding.num_folds, len(total)), np.int64)
    num_groups = np.zeros(folding.num_folds, np.int64)
    fold_of = {group: fold for group, fold in present.items() if group in members}
    for group, fold in fold_of.items():
        folds[fold] += counts[group]
        num_groups[fold] += 1
    groups = [group for group in groups if group not in fold_of]
    for index, group in enumerate(groups):
        num_left = len(groups) - index
        empty = np.flatnonzero(num_groups == 0)
        # Every fold needs a group, however uneven the groups are.
        open_folds = empty if len(empty) >= num_left else np.arange(folding.num_folds)
        costs = [
            (_unevenness(folds, int(fold), counts[group], total), int(folds[fold].sum()), int(fold))
            for fold in open_folds
        ]
        fold = min(costs)[2]
        fold_of[group] = fold
        folds[fold] += counts[group]
        num_groups[fold] += 1
    return fold_of


def _count_by_class(labels: Sequence[str | None], names: tuple[str, ...], *, stratify: bool) -> _Counts:
    if not stratify:
        return np.array([len(labels)], np.int64)
    return np.array([sum(label == name for label in labels) for name in names or (None,)], np.int64)


def _unevenness(folds: _Counts, fold: int, added: _Counts, total: _Counts) -> float:
    """Return the standard deviation over folds of the class shares, with `added` in `fold`, averaged over classes."""
    extended = folds.copy()
    extended[fold] += added
    return round(float((extended / total).std(axis=0).mean()), 12)
