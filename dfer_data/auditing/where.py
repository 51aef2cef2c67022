"""Where the pairs of an audit are: inside the train or test part of a fold, or across; and how many of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dfer_data.auditing.pairs import ClipPair
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.identity import OFFICIAL_SET

Place = Literal["train", "test", "across"]
Splits = Mapping[str, Mapping[str, str]]
"""Fold -> clip id -> split; folds of own sets are named SET/FOLD."""


@dataclass(frozen=True)
class FoldCounts:
    """The pairs of one fold."""

    fold: str
    inside_train: int
    """Pairs of duplicates, and of clips cut from one video."""
    inside_test: int
    across: int
    """Pairs of a train clip and a test clip."""
    leaked: int
    """Test clips that have a copy in the train part."""
    num_test: int
    """All test clips."""
    people_across: int | None
    """Pairs of a train clip and a test clip that may show one person; None without faces compared."""
    people_leaked: int | None
    """Test clips whose group, of copies and persons, has a clip in the train part."""


def splits_of(dataset: PreparedDataset) -> Splits:
    """Return the splits of all folds of all sets."""
    return {
        name if fold_set == OFFICIAL_SET else f"{fold_set}/{name}": dataset.fold(name, fold_set=fold_set)
        for fold_set in dataset.fold_sets
        for name in dataset.fold_names(fold_set)
    }


def place(pair: ClipPair, split_of: Mapping[str, str]) -> Place | None:
    """Return where a pair is in a fold; None if a clip is in neither part, or of another dataset."""
    first, second = split_of.get(pair.clip_a), split_of.get(pair.clip_b)
    if pair.dataset_b or first is None or second is None:
        return None
    if first != second:
        return "across" if {first, second} == {"train", "test"} else None
    return "train" if first == "train" else "test" if first == "test" else None


def fold_counts(
    pairs: Iterable[ClipPair], splits: Splits, *, copies: Mapping[str, str], groups: Mapping[str, str] | None
) -> list[FoldCounts]:
    """Return the counts of each fold.

    `copies`: clip id -> group of copies; `groups`: of copies and persons, None where faces were not compared.
    """
    counted = [pair for pair in pairs if pair.counts]
    rows = []
    for fold, split_of in splits.items():
        places = [place(pair, split_of) for pair in counted if pair.kind != "identity"]
        people = [place(pair, split_of) for pair in counted if pair.kind == "identity"]
        rows.append(
            FoldCounts(
                fold,
                places.count("train"),
                places.count("test"),
                places.count("across"),
                _num_leaked(copies, split_of),
                list(split_of.values()).count("test"),
                None if groups is None else people.count("across"),
                None if groups is None else _num_leaked(groups, split_of),
            )
        )
    return rows


def _num_leaked(groups: Mapping[str, str], split_of: Mapping[str, str]) -> int:
    """Return the number of test clips whose group has a train clip."""
    train = {groups[clip_id] for clip_id, split in split_of.items() if split == "train"}
    return sum(split == "test" and groups[clip_id] in train for clip_id, split in split_of.items())
