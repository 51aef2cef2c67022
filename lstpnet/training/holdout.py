"""Which train clips are held out to choose an epoch, always cut from train and never from test.

The folds of DFEW and FERV39k are cuts in the order of ids, which keeps neighbours (the same film) together; so is the
default kind here. A random part leaks neighbours of train clips and says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np

from dfer_data.errors import UsageError
from dfer_data.loading.prepared import PreparedDataset


class _HoldOut(Protocol):
    def __call__(self, dataset: PreparedDataset, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]: ...


def _none(dataset: PreparedDataset, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]:
    return set()


def _blocks(dataset: PreparedDataset, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Choose one run of neighbouring ids in each stratum, as the folds were cut; neighbours come from the same film."""
    rng = np.random.default_rng((seed, 7))
    chosen: set[str] = set()
    for members in _strata(dataset, clip_ids):
        length = _num_held_out(len(members), share=share)
        start = int(rng.integers(0, len(members) - length + 1))
        chosen.update(members[start : start + length])
    return chosen


def _random(dataset: PreparedDataset, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Draw clips in each stratum; their neighbours stay in train, so the validation figure is optimistic."""
    rng = np.random.default_rng((seed, 8))
    chosen: set[str] = set()
    for members in _strata(dataset, clip_ids):
        chosen.update(rng.choice(members, _num_held_out(len(members), share=share), replace=False).tolist())
    return chosen


def _groups(dataset: PreparedDataset, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Choose whole groups (people) in random order until they hold the share; at least one stays in train."""
    members: dict[str, list[str]] = defaultdict(list)
    for clip_id in clip_ids:
        group = dataset.clip(clip_id)["group"]
        if not isinstance(group, str):
            raise UsageError(f"{dataset.root} does not say whose clip {clip_id} is; use --val blocks")
        members[group].append(clip_id)
    if len(members) < 2:
        raise UsageError(f"{dataset.root}: the train part has one group alone; use --val blocks")
    names = sorted(members)
    np.random.default_rng((seed, 9)).shuffle(names)
    chosen: set[str] = set()
    for name in names[:-1]:
        if len(chosen) >= share * len(clip_ids):
            break
        chosen.update(members[name])
    return chosen


HOLD_OUT: Mapping[str, _HoldOut] = MappingProxyType(
    {"none": _none, "blocks": _blocks, "groups": _groups, "random": _random}
)
"""Kind of validation -> (dataset, train clips, share, seed) -> the clips held out."""
HOLD_OUT_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "blocks": "id blocks",
        "groups": "whole groups",
        "random": "drawn at random, so neighbours of train clips: optimistic",
    }
)
"""The same in protocol lines."""


def _strata(dataset: PreparedDataset, clip_ids: Sequence[str]) -> list[list[str]]:
    """Return the clips of each class, of FERV39k of each scene and class, in the order of ids."""
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    has_scenes = dataset.document["dataset"] == "ferv39k"  # whose ids are scene/emotion/number
    rows = dataset.index(sorted(clip_ids))
    for clip_id, label in zip(rows["clip_id"].to_pylist(), rows["label"].to_pylist(), strict=True):
        scene = clip_id.partition("/")[0] if has_scenes else ""
        strata[str(label), scene].append(clip_id)
    return [strata[key] for key in sorted(strata)]


def _num_held_out(num_clips: int, *, share: float) -> int:
    return min(max(1, round(share * num_clips)), num_clips - 1)  # one stays to train on
