"""Folds for data without any: groups stay whole, classes are even, the same seed gives the same folds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.config import Folding
from dfer_data.errors import UsageError
from dfer_data.sources.base import SourceListing, SourceVideo
from dfer_data.sources.make_folds import with_folds

NAMES = ("happy", "sad", "angry")


def listing(sizes: list[tuple[int, int, int]]) -> SourceListing:
    """Persons with so many clips of each class."""
    videos = [
        SourceVideo(f"p{person:02d}-{name}-{clip}", f"{name}/p{person:02d}/{clip}.mp4", 1, name, f"p{person:02d}")
        for person, counts in enumerate(sizes)
        for name, count in zip(NAMES, counts, strict=True)
        for clip in range(count)
    ]
    return SourceListing("folder", "videos", NAMES, tuple(videos), {})


def fold_by_clip(made: SourceListing) -> dict[str, str]:
    return {clip: fold for fold, splits in made.folds.items() for clip, split in splits.items() if split == "test"}


@settings(max_examples=60)
@given(
    st.lists(st.tuples(*[st.integers(0, 6)] * 3).filter(any), min_size=5, max_size=30),
    st.integers(2, 5),
    st.booleans(),
    st.integers(0, 3),
)
def test_every_clip_is_tested_once_and_no_person_in_two_folds(
    sizes: list[tuple[int, int, int]], num_folds: int, stratify: bool, seed: int
) -> None:
    data = listing(sizes)
    made = with_folds(data, Folding(num_folds, "subject", stratify, seed))
    assert list(made.folds) == [str(fold + 1) for fold in range(num_folds)]
    fold_of = fold_by_clip(made)
    assert fold_of.keys() == {video.clip_id for video in data.videos}
    assert all(splits.keys() == fold_of.keys() for splits in made.folds.values())
    persons = {(video.group, fold_of[video.clip_id]) for video in data.videos}
    assert len(persons) == len(sizes)
    assert set(fold_of.values()) == set(made.folds)
    assert fold_by_clip(with_folds(data, Folding(num_folds, "subject", stratify, seed))) == fold_of


def test_stratified_folds_have_each_class_evenly() -> None:
    sizes = [(9, 0, 0), (0, 9, 0), (0, 0, 9)] * 5
    made = with_folds(listing(sizes), Folding(5, stratify=True))
    labels = {video.clip_id: video.label for video in made.videos}
    counts = Counter((fold, labels[clip]) for clip, fold in fold_by_clip(made).items())
    assert set(counts.values()) == {9}
    assert len(counts) == 15


def test_the_seed_changes_who_is_where_and_the_rule_says_it() -> None:
    data = listing([(2, 1, 1)] * 12)
    first, second = (with_folds(data, Folding(3, seed=seed)) for seed in (0, 1))
    assert fold_by_clip(first) != fold_by_clip(second)
    assert second.fold_rule == "3 folds by subject, seed 1"
    assert with_folds(data, Folding(3, stratify=True)).fold_rule == "3 folds by subject, stratified, seed 0"


def test_folders_may_be_kept_together() -> None:
    data = listing([(2, 2, 2)] * 4)
    nobody = replace(data, videos=tuple(replace(video, group=None) for video in data.videos))
    made = with_folds(nobody, Folding(4, "folder"))
    fold_of = fold_by_clip(made)
    folders = {(video.path.rpartition("/")[0], fold_of[video.clip_id]) for video in made.videos}
    assert len(folders) == 12
    assert len(set(fold_by_clip(with_folds(nobody, Folding(4, "clip"))).values())) == 4


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"num_folds": 1}, "--folds 1: must be a whole number from 2 to 100"),
        ({"num_folds": 5, "group_by": "film"}, "--group-by film: must be subject, folder or clip"),
        ({"num_folds": 5, "seed": -1}, "--seed -1"),
    ],
)
def test_values_that_make_no_folds(values: dict[str, object], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        Folding(**values)  # type: ignore[arg-type]


def test_data_that_cannot_be_cut_so() -> None:
    data = listing([(1, 1, 1)] * 3)
    with pytest.raises(UsageError, match=r"--folds 5: 3 groups by subject"):
        with_folds(data, Folding(5))
    nobody = replace(data, videos=tuple(replace(video, group=None) for video in data.videos))
    with pytest.raises(UsageError, match="the person in p00-happy-0 is unknown"):
        with_folds(nobody, Folding(2))
    with pytest.raises(UsageError, match=r"already has folds \(2 folds by clip, seed 0\)"):
        with_folds(with_folds(data, Folding(2, "clip")), Folding(2))


def test_groups_that_are_the_classes_are_refused() -> None:
    """Folders of labels, `happy/0012.mp4`: a fold would test a class that its train part lacks."""
    data = listing([(2, 2, 2)] * 3)
    by_label = [replace(video, path=f"{video.label}/{video.clip_id}.mp4") for video in data.videos]
    with pytest.raises(UsageError, match=r"folder: the groups are the classes.* or use --group-by clip"):
        with_folds(replace(data, videos=tuple(by_label)), Folding(2, "folder"))
    one_each = {video.label: video for video in data.videos}
    with pytest.raises(UsageError, match=r"clip: the groups are the classes.*; give classes more clips$"):
        with_folds(replace(data, videos=tuple(one_each.values())), Folding(2, "clip"))
    with_folds(data, Folding(2, "folder"))  # happy/p00 and so on: a folder per person


def test_loso_leaves_one_subject_out_in_the_order_of_names() -> None:
    data = listing([(1, 1, 1)] * 11)
    renamed = [replace(video, group=f"s{int(str(video.group)[1:])}") for video in data.videos]
    made = with_folds(replace(data, videos=tuple(renamed)), Folding(0, "subject"))
    groups = {video.clip_id: video.group for video in renamed}
    tested = {
        fold: {groups[clip] for clip, part in splits.items() if part == "test"} for fold, splits in made.folds.items()
    }
    assert tested == {str(number + 1): {f"s{number}"} for number in range(11)}
    assert made.fold_rule == "one fold per subject"
    with pytest.raises(UsageError, match="--folds loso: 1 group by subject"):
        with_folds(listing([(2, 2, 2)]), Folding(0, "subject"))
