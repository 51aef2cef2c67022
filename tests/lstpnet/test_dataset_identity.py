from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_data import open_dataset
from dfer_data.changes.folds import make_fold_set
from dfer_data.preparation.amendments import OwnFolding
from dfer_data.shards.identity import DatasetIdentity
from lstpnet.dataset_identity import data_words, difference, fold_folder, fold_words, folds_words
from tests.changed_datasets import (
    as_of_release,
    copy_of,
    refolded,
    relabelled,
    rewritten,
    with_fold_set,
    without_official_folds,
)
from tests.workspace import ROOT

THREE = DatasetIdentity("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def copy(crops: Path, tmp_path: Path) -> Path:
    """A copy of the crops that has the hashes of clips, labels and folds."""
    return rewritten(copy_of(crops, tmp_path))


def test_a_protocol_line_has_three_hashes_or_the_one_that_stands_for_all() -> None:
    assert data_words(THREE) == "aaaaaaaaaaaa, labels bbbbbbbbbbbb, folds cccccccccccc"
    assert data_words(DatasetIdentity("a" * 64, "b" * 64, "")) == "aaaaaaaaaaaa, labels bbbbbbbbbbbb"
    assert data_words(DatasetIdentity(*["d" * 64] * 3)) == "dddddddddddd"


def test_folds_of_an_own_set_are_named_with_it() -> None:
    assert (fold_words(3, "official"), fold_words(3, "five")) == ("fold 3", "fold 3 of five")
    assert (folds_words((1, 2), "official"), folds_words((1, 2), "five")) == ("folds 1 2", "folds 1 2 of five")
    assert (fold_folder(3, "official"), fold_folder(3, "five")) == ("fold-3", "five-fold-3")


@pytest.mark.parametrize("change", [rewritten, lambda root: with_fold_set(root, "mine")])
def test_another_layout_and_another_set_of_folds_are_the_same_data(copy: Path, change: Callable[[Path], Path]) -> None:
    before = open_dataset(copy)
    after = open_dataset(change(copy))
    assert before.document["sha256"] != after.document["sha256"]
    assert difference(before.identity(), after) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([relabelled], r"^the labels of \S+ changed since this run \(labels \w{12} now, \w{12} in this run\)$"),
        ([refolded], r"^the folds of \S+ changed since this run \(folds \w{12} now, \w{12} in this run\)$"),
        ([relabelled, refolded], r"^the labels and folds of \S+ changed since this run \(labels .*; folds .*\)$"),
        ([without_official_folds], r"^the folds of \S+ changed since this run \(folds none now, \w{12} in this run\)$"),
    ],
)
def test_what_changed_is_named(copy: Path, changes: list[Callable[[Path], Path]], words: str) -> None:
    before = open_dataset(copy).identity()
    for change in changes:
        change(copy)
    assert re.search(words, difference(before, open_dataset(copy)))


def test_a_changed_own_set_is_named_and_does_not_touch_the_official_folds(copy: Path) -> None:
    before = open_dataset(with_fold_set(copy, "mine"))
    after = open_dataset(with_fold_set(copy, "mine", start=1))
    assert difference(before.identity(), after) == ""
    assert "the folds mine of " in difference(before.identity("mine"), after, fold_set="mine")
    assert "folds none now" in difference(before.identity("mine"), open_dataset(rewritten(copy)), fold_set="other")


def test_other_clips_are_another_dataset(copy: Path) -> None:
    assert difference(THREE, open_dataset(copy), subject="these runs").startswith(
        f"{copy} has other clips, labels and folds than these runs (clips "
    )


def test_one_hash_of_everything_matches_a_dataset_of_dfer_0_1_and_says_what_it_cannot_tell(copy: Path) -> None:
    newer = open_dataset(copy).identity()
    old = open_dataset(as_of_release(copy))
    assert difference(old.identity(), old) == ""
    other = DatasetIdentity(*["d" * 64] * 3)
    assert difference(other, old) == f"its sha256 is {old.document['sha256'][:12]}, not dddddddddddd as in this run"
    assert f"{copy} is as dfer 0.1 wrote it" in difference(newer, old)
    upgraded = open_dataset(rewritten(copy))
    words = difference(old.identity(), upgraded)
    assert f"{copy} was prepared or changed by a newer dfer, and this run has only" in words


def test_a_run_of_dfer_0_1_recognises_its_dataset_after_a_change(tmp_path: Path) -> None:
    root = copy_of(ROOT / "tests/golden/release-0.1/prepared/dfew-retinaface", tmp_path)
    known = open_dataset(root).identity()
    make_fold_set(root, OwnFolding(num_folds=2, group_by="clip"))
    words = difference(known, open_dataset(root))
    assert words == f"{root} is the dataset of this run, changed since: folds made"
