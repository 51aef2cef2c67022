"""Hold out train clips to choose an epoch by, always from train and never from test.

The folds of DFEW and FERV39k are cut in the order of ids, which keeps neighbours (the same film) together; the default
kind does the same. A random holdout leaks neighbours of train clips, and its protocol line states it.
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
    """Choose one block of neighbouring ids per stratum, as the folds were cut; neighbours come from the same film."""
    rng = np.random.default_rng((seed, 7))
    held_out_ids: set[str] = set()
    for stratum_ids in _strata(dataset, clip_ids):
        length = _num_held_out(len(stratum_ids), share=share)
        start = int(rng.integers(0, len(stratum_ids) - length + 1))
        held_out_ids.update(stratum_ids[start : start + length])
    return held_out_ids


def _random(dataset: PreparedDataset, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Draw clips in each stratum; their neighbours stay in train, so validation is optimistic."""
    rng = np.random.default_rng((seed, 8))
    held_out_ids: set[str] = set()
    for stratum_ids in _strata(dataset, clip_ids):
        held_out_ids.update(
            rng.choice(stratum_ids, _num_held_out(len(stratum_ids), share=share), replace=False).tolist()
        )
    return held_out_ids


def _groups(dataset: PreparedDataset, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Choose whole groups (people) in random order until they reach the share; at least one stays in train."""
    ids_by_group: dict[str, list[str]] = defaultdict(list)
    for clip_id in clip_ids:
        group = dataset.clip(clip_id)["group"]
        if not isinstance(group, str):
            raise UsageError(f"{dataset.root}: clip {clip_id} has no group (person); use --val blocks")
        ids_by_group[group].append(clip_id)
    if len(ids_by_group) < 2:
        raise UsageError(f"{dataset.root}: the train part has only one group; use --val blocks")
    groups = sorted(ids_by_group)
    np.random.default_rng((seed, 9)).shuffle(groups)
    held_out_ids: set[str] = set()
    for group_name in groups[:-1]:
        if len(held_out_ids) >= share * len(clip_ids):
            break
        held_out_ids.update(ids_by_group[group_name])
    return held_out_ids


HOLD_OUT: Mapping[str, _HoldOut] = MappingProxyType(
    {"none": _none, "blocks": _blocks, "groups": _groups, "random": _random}
)
"""Kind of validation -> function (dataset, train clips, share, seed) that returns the held-out clips."""
HOLD_OUT_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "blocks": "id blocks",
        "groups": "whole groups",
        "random": "drawn at random, so neighbours of train clips: optimistic",
    }
)
"""Kind of validation -> its words in protocol lines."""


def _strata(dataset: PreparedDataset, clip_ids: Sequence[str]) -> list[list[str]]:
    """Return the clips of each class (FERV39k: of each scene and class) in the order of ids."""
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    has_scenes = dataset.document["dataset"] == "ferv39k"  # whose ids are scene/emotion/number
    rows = dataset.index(sorted(clip_ids))
    for clip_id, label in zip(rows["clip_id"].to_pylist(), rows["label"].to_pylist(), strict=True):
        scene = clip_id.partition("/")[0] if has_scenes else ""
        strata[str(label), scene].append(clip_id)
    return [strata[key] for key in sorted(strata)]


def _num_held_out(num_clips: int, *, share: float) -> int:
    return min(max(1, round(share * num_clips)), num_clips - 1)  # one stays to train on
