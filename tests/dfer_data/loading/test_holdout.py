"""The run of neighbouring ids that is held out, by hand and on DFEW's class sizes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from dfer_data.loading.holdout import held_out_run, torn_share
from dfer_data.sources.official_counts import official


def named(labels: str) -> dict[str, str]:
    """Clips 0000, 0001, ... with one letter each as the label."""
    return {f"{number:04d}": label for number, label in enumerate(labels)}


def held(labels: str, *, share: float = 0.25, seed: int = 0) -> str:
    """The labels of the held-out clips, and nothing else: they must be neighbours."""
    clips = named(labels)
    chosen = held_out_run(clips, share=share, rng=np.random.default_rng(seed))
    places = [int(clip_id) for clip_id in chosen]
    assert places == list(range(places[0], places[0] + len(places)))
    return "".join(clips[clip_id] for clip_id in chosen)


def test_the_run_has_the_class_shares_of_the_whole() -> None:
    labels = "aaaaaaaab" + "ab" + "aaaabbbbb"  # 13 a and 7 b; the only run of five with 3 a and 2 b is in the middle
    clips = named(labels)
    assert sorted(held(labels)) == sorted("aaabb")
    shares = {start: Counter(labels[start : start + 5]) for start in range(16)}
    nearest = [start for start, counts in shares.items() if counts["a"] == 3]
    chosen = {held_out_run(clips, share=0.25, rng=np.random.default_rng(seed))[0] for seed in range(20)}
    assert chosen == {f"{start:04d}" for start in nearest}


def test_no_class_leaves_train_whole_where_that_can_be_avoided() -> None:
    """The only c is in the run with the nearest shares; the run is taken elsewhere."""
    labels = "aabbabcababbaabbaaab"
    for seed in range(5):
        assert "c" not in held(labels, seed=seed)


def test_ids_sorted_by_class_are_cut_in_each_class() -> None:
    clips = named("a" * 40 + "b" * 20 + "c" * 20)
    chosen = held_out_run(clips, share=0.1, rng=np.random.default_rng(0))
    assert Counter(clips[clip_id] for clip_id in chosen) == {"a": 4, "b": 2, "c": 2}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_clip_stays_to_train_on(number: int) -> None:
    clips = named("abc"[:number])
    assert len(held_out_run(clips, share=0.9, rng=np.random.default_rng(0))) < number


def test_two_pairs_of_neighbours_are_torn_and_nearly_all_classes_keep_their_share() -> None:
    """On the class sizes of DFEW's fold 1 in random order, as its public lists have them."""
    sizes = official("dfew").num_train_by_class["1"]
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(7), sizes)).astype(str).tolist()
    clips = {f"{number:05d}": label for number, label in enumerate(labels)}
    chosen = held_out_run(clips, share=0.1, rng=np.random.default_rng(0))
    assert len(chosen) == 936
    assert torn_share(list(clips), chosen) <= 2 / 9355
    counts = Counter(clips[clip_id] for clip_id in chosen)
    assert max(abs(counts[str(number)] - 0.1 * size) for number, size in enumerate(sizes)) < 12


def test_torn_neighbours_are_counted_in_the_order_of_ids() -> None:
    assert torn_share(["d", "a", "b"], ["c"]) == pytest.approx(2 / 3)
    assert torn_share(["a"], ["b"]) == 1
    assert torn_share(["a", "b"], []) == torn_share(["a"], []) == 0
