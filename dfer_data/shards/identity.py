"""What a prepared dataset is, in three hashes: its clips, their labels, and how a set of folds splits them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dfer_data.storage.files import canonical_json

OFFICIAL_SET = "official"
"""Name of the folds that a dataset comes with, or was prepared with."""


def is_fold_set(name: str) -> bool:
    """Return whether a set of folds can have this name, which is also a folder's."""
    return re.fullmatch("[a-z0-9][a-z0-9_-]{0,63}", name) is not None


@dataclass(frozen=True)
class DatasetIdentity:
    """Hashes of a dataset, 64 hex digits each; they do not depend on how its clips are cut into shards.

    A dataset of dfer 0.1 has only one hash, of everything: it is used as all three.
    """

    content_sha256: str
    """Of settings, ids and bytes of all clips."""
    labels_sha256: str
    """Of class names, and of label, group, votes and, where there are several, all labels of each clip."""
    folds_sha256: str
    """Of one set of folds; empty where there is none."""


def identity_of(document: Mapping[str, Any], *, fold_set: str = OFFICIAL_SET) -> DatasetIdentity:
    """Return the hashes in a dataset.json, with those of a set of folds; KeyError for an unknown set."""
    if "content_sha256" not in document:
        return DatasetIdentity(*[str(document["sha256"])] * 3)
    is_official = fold_set == OFFICIAL_SET
    folds = document["folds_sha256"] if is_official else document["fold_sets"][fold_set]["sha256"]
    return DatasetIdentity(str(document["content_sha256"]), str(document["labels_sha256"]), str(folds))


def content_sha256(config_sha256: str, clips: Iterable[tuple[str, str]]) -> str:
    """Hash clips: pairs of clip id and the hash of its bytes, or the code of its failure."""
    digest = hashlib.sha256(config_sha256.encode("ascii"))
    for pair in sorted(clips):
        digest.update(canonical_json(list(pair)))
    return digest.hexdigest()


def labels_sha256(class_names: Iterable[str], clips: Iterable[tuple[Any, ...]]) -> str:
    """Hash labels: per clip its id, label, group, votes and, in datasets with several, all labels."""
    digest = hashlib.sha256(canonical_json(list(class_names)))
    for clip in sorted(clips, key=lambda clip: str(clip[0])):
        digest.update(canonical_json([list(value) if isinstance(value, tuple) else value for value in clip]))
    return digest.hexdigest()


def folds_sha256(folds: Mapping[str, Mapping[str, str]]) -> str:
    """Hash folds: fold -> clip id -> split; empty without folds."""
    if not folds:
        return ""
    digest = hashlib.sha256()
    for fold, splits in sorted(folds.items()):
        digest.update(canonical_json([fold, sorted(splits.items())]))
    return digest.hexdigest()
