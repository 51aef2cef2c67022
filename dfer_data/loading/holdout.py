"""Hold out train clips to choose an epoch by, always from train and never from test.

Where neighbouring ids are of one film, a holdout that tears neighbours apart is optimistic. `blocks` holds out one run
of ids over all classes, which tears two pairs of neighbours; of all runs, its class shares are the nearest to those of
train. A random holdout tears many pairs. The protocol line states the share.
"""

from __future__ import annotations

import hashlib
import itertools
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, get_args

import numpy as np
import pyarrow as pa

from dfer_data.errors import UsageError
from dfer_data.loading.holdout_kinds import Validation
from dfer_data.shards.audit_folder import audited_groups, groups_in, read_audit
from dfer_data.sources.official_counts import official, official_names
from dfer_data.storage.folder import FolderTarget

MAX_DISTANCE = 0.2
"""A run of ids whose class shares are further from those of all clips is no sample of them: ids are sorted by class."""


class HeldOutFrom(Protocol):
    """What a holdout reads of a prepared dataset."""

    root: Path
    """Its folder, for messages."""
    document: dict[str, Any]
    """The content of its dataset.json."""

    def index(self, clip_ids: Sequence[str]) -> pa.Table:
        """Return clip_id, status, label, num_frames... of clips, in their order."""
        ...

    def clip(self, clip_id: str) -> dict[str, Any]:
        """Return the row of a clip in the manifest."""
        ...


class _HoldOut(Protocol):
    def __call__(self, dataset: HeldOutFrom, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]: ...


def _none(dataset: HeldOutFrom, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]:
    return set()


def _blocks(dataset: HeldOutFrom, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Choose one run of neighbouring ids over all classes, in FERV39k one in each scene, as its folds are cut."""
    rng = np.random.default_rng((seed, 7))
    labels = _labels(dataset, clip_ids)
    runs = [held_out_run(labels, share=share, rng=rng) for labels in _by_scene(dataset, labels)]
    return {clip_id for run in runs for clip_id in run}


def held_out_run(labels: Mapping[str, str], *, share: float, rng: np.random.Generator) -> list[str]:
    """Return the clips of one run of neighbouring ids whose class shares are the nearest to those of all clips.

    Runs of equal class shares are drawn by lot, and a run that holds a whole class is chosen only where all do. Ids
    that are sorted by class (folders of classes) have no run near to the whole: each class gets its own run then.

    `labels`: clip id -> label, in the order of ids.
    """
    start, length, distance = _nearest_run(list(labels.values()), share=share, rng=rng)
    if distance <= MAX_DISTANCE:
        return list(labels)[start : start + length]
    runs = []
    for label in sorted(set(labels.values())):
        class_ids = [clip_id for clip_id, of_clip in labels.items() if of_clip == label]
        start, length, _ = _nearest_run([label] * len(class_ids), share=share, rng=rng)
        runs += class_ids[start : start + length]
    return runs


def _nearest_run(labels: Sequence[str], *, share: float, rng: np.random.Generator) -> tuple[int, int, float]:
    """Return start, length and distance of a run; the distance is the total variation of class shares, 0 to 1."""
    classes, codes = np.unique(np.array(labels, dtype=str), return_inverse=True)
    size, length = len(codes), _num_held_out(len(codes), share=share)
    if not length:
        return 0, 0, 0.0
    one_hot = np.arange(len(classes)) == codes.reshape(-1, 1)
    before = np.concatenate([np.zeros((1, len(classes)), np.int64), np.cumsum(one_hot, axis=0)])
    counts, totals = before[length:] - before[:-length], before[-1]
    num_whole_classes = (counts == totals).sum(axis=1)
    distances = np.abs(counts * size - totals * length).sum(axis=1)  # whole numbers, so that ties are exact
    allowed = np.flatnonzero(num_whole_classes == num_whole_classes.min())
    start = int(rng.choice(allowed[distances[allowed] == distances[allowed].min()]))
    return start, length, float(distances[start] / (2 * size * length))


def torn_share(train_ids: Sequence[str], val_ids: Sequence[str]) -> float:
    """Return the share of neighbouring ids of which one is trained on and the other is held out."""
    held_out = set(val_ids)
    is_held_out = [clip_id in held_out for clip_id in sorted({*train_ids, *val_ids})]
    return sum(a != b for a, b in itertools.pairwise(is_held_out)) / max(1, len(is_held_out) - 1)


def _random(dataset: HeldOutFrom, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Draw clips of each class (FERV39k: of each scene and class); most of their neighbours stay in train."""
    rng = np.random.default_rng((seed, 8))
    held_out_ids: set[str] = set()
    for stratum_ids in _strata(dataset, clip_ids):
        held_out_ids.update(
            rng.choice(stratum_ids, _num_held_out(len(stratum_ids), share=share), replace=False).tolist()
        )
    return held_out_ids


def _groups(dataset: HeldOutFrom, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Choose whole groups (people, or of an audit) in random order until they reach the share; one stays in train."""
    ids_by_group: dict[str, list[str]] = defaultdict(list)
    for clip_id, group in _group_of(dataset, clip_ids).items():
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


def _official(dataset: HeldOutFrom, clip_ids: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Hold out the part that the owners gave for validation, whatever its share."""
    parts = {name: official(name).validation_part for name in official_names() if official(name).validation_part}
    part = parts.get(str(dataset.document["dataset"]))
    held_out_ids = {clip_id for clip_id in clip_ids if clip_id.partition("/")[0] == part}
    if not held_out_ids or len(held_out_ids) == len(clip_ids):
        which = "nothing but" if held_out_ids else "no clip of"
        raise UsageError(
            f"{dataset.root}: the train part has {which} a validation part of its owners ({' and '.join(parts)} have "
            "one); use --val blocks"
        )
    return held_out_ids


def _group_of(dataset: HeldOutFrom, clip_ids: Sequence[str]) -> dict[str, str]:
    """Return clip id -> person; clip id -> group of the dataset's audit where a clip's person is unknown."""
    groups = {clip_id: dataset.clip(clip_id)["group"] for clip_id in clip_ids}
    unknown = [clip_id for clip_id, group in groups.items() if not isinstance(group, str)]
    if not unknown:
        return groups
    out = FolderTarget(dataset.root)
    if read_audit(out) is None:
        raise UsageError(
            f"{dataset.root}: clip {unknown[0]} has no group (person); use --val blocks, or find groups of copies: "
            f"dfer audit {shlex.quote(str(dataset.root))}"
        )
    of_audit = groups_in(audited_groups(out, dataset.document, flag="--val groups"))
    return {clip_id: of_audit[clip_id] for clip_id in clip_ids}


def audit_of_holdout(dataset: HeldOutFrom, clip_ids: Sequence[str], *, val: Validation) -> str:
    """Return the sha256 of the audit's groups by which clips are held out; empty if it is not used."""
    if val != "groups" or all(isinstance(dataset.clip(clip_id)["group"], str) for clip_id in clip_ids):
        return ""
    return hashlib.sha256(audited_groups(FolderTarget(dataset.root), dataset.document, flag="--val groups")).hexdigest()


@dataclass(frozen=True)
class FoldSplit:
    """The clips of a fold, each list in the order of ids; all have a face but those of `test_without_face`."""

    train: tuple[str, ...]
    """Ids of the clips to train on."""
    val: tuple[str, ...]
    """Ids held out of the fold's train part, to choose an epoch by."""
    test: tuple[str, ...]
    """Ids of the test clips that can be read."""
    test_without_face: tuple[str, ...]
    """Ids of the other test clips. A comparable result counts them too, with a fixed prediction."""


def split_of_fold(
    dataset: HeldOutFrom, splits: Mapping[str, str], *, val: Validation | Literal["auto"], share: float, seed: int
) -> FoldSplit:
    """Split the clips of a fold (clip id -> train or test), as `dfer train` does; see `PreparedDataset.split`."""
    if val != "auto" and val not in get_args(Validation):
        raise UsageError(f"val {val!r}: one of auto, {', '.join(get_args(Validation))} is needed")
    if not 0 < share < 1:
        raise UsageError(f"val_share {share}: a share between 0 and 1 is needed")
    rows = dataset.index(sorted(splits))
    columns = (rows[name].to_pylist() for name in ("clip_id", "status"))
    has_face = {clip_id: status != "failed" for clip_id, status in zip(*columns, strict=True)}
    train_ids = [clip_id for clip_id in has_face if splits[clip_id] == "train" and has_face[clip_id]]
    kind: Validation = ("groups" if _has_groups(dataset, train_ids) else "blocks") if val == "auto" else val
    held_out_ids = HOLD_OUT[kind](dataset, train_ids, share=share, seed=seed) if train_ids else set()
    test_ids = [clip_id for clip_id in has_face if splits[clip_id] == "test"]
    return FoldSplit(
        tuple(clip_id for clip_id in train_ids if clip_id not in held_out_ids),
        tuple(sorted(held_out_ids)),
        tuple(clip_id for clip_id in test_ids if has_face[clip_id]),
        tuple(clip_id for clip_id in test_ids if not has_face[clip_id]),
    )


def _has_groups(dataset: HeldOutFrom, clip_ids: Sequence[str]) -> bool:
    """Return whether every clip has a group (person), and there are two or more of them."""
    groups = {dataset.clip(clip_id)["group"] for clip_id in clip_ids}
    return len(groups) > 1 and all(isinstance(group, str) for group in groups)


HOLD_OUT: Mapping[Validation, _HoldOut] = MappingProxyType(
    {"none": _none, "blocks": _blocks, "groups": _groups, "random": _random, "official": _official}
)
"""Kind of validation -> function (dataset, train clips, share, seed) that returns the held-out clips."""
HOLD_OUT_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "blocks": "id blocks",
        "groups": "whole groups",
        "official": "the owners' validation part",
        "random": "drawn at random, so neighbours of train clips: optimistic where neighbours are alike",
    }
)
"""Kind of validation -> its words in protocol lines."""


def _labels(dataset: HeldOutFrom, clip_ids: Sequence[str]) -> dict[str, str]:
    """Return clip id -> label, in the order of ids."""
    rows = dataset.index(sorted(clip_ids))
    return dict(zip(rows["clip_id"].to_pylist(), map(str, rows["label"].to_pylist()), strict=True))


def _by_scene(dataset: HeldOutFrom, labels: Mapping[str, str]) -> list[dict[str, str]]:
    """Return FERV39k's labels by scene, whose ids are scene/emotion/number; those of other datasets as one part."""
    has_scenes = dataset.document["dataset"] == "ferv39k"
    scenes: dict[str, dict[str, str]] = defaultdict(dict)
    for clip_id, label in labels.items():
        scenes[clip_id.partition("/")[0] if has_scenes else ""][clip_id] = label
    return [scenes[scene] for scene in sorted(scenes)]


def _strata(dataset: HeldOutFrom, clip_ids: Sequence[str]) -> list[list[str]]:
    """Return the clips of each class (FERV39k: of each scene and class) in the order of ids."""
    strata: dict[tuple[str, int], list[str]] = defaultdict(list)
    for number, labels in enumerate(_by_scene(dataset, _labels(dataset, clip_ids))):
        for clip_id, label in labels.items():
            strata[label, number].append(clip_id)
    return [strata[key] for key in sorted(strata)]


def _num_held_out(num_clips: int, *, share: float) -> int:
    return min(max(1, round(share * num_clips)), num_clips - 1)  # one stays to train on
