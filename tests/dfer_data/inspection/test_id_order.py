"""The lag-1 test, counted by hand, by permutations and on the official numbers."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from dfer_data.inspection.id_order import combined_order, lag_one_test, neighbours_of, neighbours_section
from dfer_data.loading.prepared import open_dataset
from dfer_data.sources.official_counts import official, official_names


def ids(number: int) -> list[str]:
    return [f"{index:05d}" for index in range(number)]


def test_both_tests_are_exact_over_all_permutations() -> None:
    labels, num_frames = ["a", "a", "b", "a", "b", "c"], [10, 20, 30, 30, 80, 16]
    found = lag_one_test(ids(6), labels, num_frames)
    values = np.log(num_frames) - np.log(num_frames).mean()
    orders = [list(order) for order in itertools.permutations(range(6))]
    shares = [sum(labels[i] == labels[j] for i, j in itertools.pairwise(order)) / 5 for order in orders]
    products = [values[order][1:] @ values[order][:-1] / (values @ values) for order in orders]
    for test, of_all in ((found.same_label, shares), (found.log_num_frames, products)):
        assert test is not None
        assert test.num_pairs == 5
        assert test.observed == pytest.approx(of_all[0])
        assert test.permuted == pytest.approx(np.mean(of_all))
        assert test.z == pytest.approx((of_all[0] - np.mean(of_all)) / np.std(of_all))


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_handful_of_clips_is_exact_too(number: int) -> None:
    labels = list("abab")[:number]
    orders = list(itertools.permutations(labels))
    shares = [np.mean([a == b for a, b in itertools.pairwise(order)]) for order in orders]
    found = lag_one_test(ids(number), labels).same_label
    if np.std(shares) == 0:
        assert found is None
    else:
        assert found is not None
        assert found.z == pytest.approx((shares[0] - np.mean(shares)) / np.std(shares))


def test_the_order_is_that_of_ids_and_not_that_of_the_table() -> None:
    labels, num_frames = list(np.repeat(["a", "b", "c"], 20)), list(range(10, 70))
    shuffled = np.random.default_rng(0).permutation(60)
    tested = [lag_one_test(ids(60), labels, num_frames)]
    tested += [
        lag_one_test([ids(60)[i] for i in shuffled], *([of[i] for i in shuffled] for of in (labels, num_frames)))
    ]
    assert tested[0].verdict == "ordered"
    for found, wanted in (
        (tested[1].same_label, tested[0].same_label),
        (tested[1].log_num_frames, tested[0].log_num_frames),
    ):
        assert found is not None
        assert wanted is not None
        assert found.num_pairs == wanted.num_pairs
        assert found.observed == pytest.approx(wanted.observed)
        assert found.z == pytest.approx(wanted.z)


def test_films_of_neighbours_are_seen_by_labels_or_by_lengths_alone() -> None:
    rng = np.random.default_rng(3)
    films = np.repeat(np.arange(50), 8)
    mixed, of_film = rng.choice(list("abc"), 400), np.array(list("abc"))[rng.integers(0, 3, 50)][films]
    any_length, of_film_length = rng.integers(16, 200, 400), (40 + 80 * rng.random(50))[films].astype(int)
    assert lag_one_test(ids(400), mixed.tolist(), any_length.tolist()).verdict == "none seen"
    assert lag_one_test(ids(400), of_film.tolist(), any_length.tolist()).verdict == "ordered"
    assert lag_one_test(ids(400), mixed.tolist(), of_film_length.tolist()).verdict == "ordered"


def test_random_orders_have_a_z_around_zero() -> None:
    rng = np.random.default_rng(2)
    zs = []
    for _ in range(200):
        found = lag_one_test(ids(300), rng.choice(list("abcdefg"), 300).tolist(), rng.integers(16, 99, 300).tolist())
        assert found.same_label is not None
        assert found.log_num_frames is not None
        zs.append((found.same_label.z, found.log_num_frames.z))
    assert np.abs(np.mean(zs, axis=0)).max() < 0.2
    assert np.std(zs, axis=0) == pytest.approx([1, 1], abs=0.15)


def test_folders_of_ids_are_permuted_apart_so_that_classes_as_folders_show_no_order() -> None:
    """As in FERV39k (scene/emotion/number) and folders of videos: neighbours share the label by their name alone."""
    rng = np.random.default_rng(5)
    labels = np.repeat(["angry", "happy"], 60)
    names = [f"{label}/{number:04d}.mp4" for number, label in enumerate(labels)]
    lengths = np.concatenate([rng.integers(10, 20, 60), rng.integers(100, 200, 60)])  # the classes differ in length
    found = lag_one_test(names, labels.tolist(), lengths.tolist())
    assert found.same_label is None
    assert found.log_num_frames is not None
    assert found.log_num_frames.num_pairs == 118
    assert abs(found.log_num_frames.z) < 2
    assert found.verdict == "none seen"


def test_labels_that_take_turns_are_no_order_and_the_table_says_so(crops: Path) -> None:
    found = lag_one_test(ids(70), [f"c{number % 7}" for number in range(70)])
    assert found.same_label is not None
    assert found.same_label.z < -2
    assert found.verdict == "none seen"
    table = neighbours_section(open_dataset(crops))
    assert any("take turns" in note for note in table.notes)


def test_clips_without_a_label_or_without_frames_are_left_out_of_their_test() -> None:
    found = lag_one_test(ids(5), ["a", None, "a", "b", "b"], [0, 20, 30, 0, 50])
    assert found.same_label is not None
    assert found.log_num_frames is not None
    assert (found.same_label.num_pairs, found.log_num_frames.num_pairs) == (3, 2)


def test_nothing_to_compare_is_no_test() -> None:
    for found in (lag_one_test([], []), lag_one_test(["a"], ["x"], [9]), lag_one_test(ids(9), ["x"] * 9, [16] * 9)):
        assert (found.same_label, found.log_num_frames, found.verdict) == (None, None, "none seen")


def test_the_published_evidence_agrees_with_the_official_class_sizes() -> None:
    """The share under permutation is a function of the class sizes, and so is its deviation."""
    for name in ("dfew", "mafw"):
        facts = official(name)
        counts, evidence = np.array(list(facts.num_clips.values())), facts.order.evidence["same_label"]
        size = counts.sum()
        sorted_labels = lag_one_test(ids(size), np.repeat(np.arange(len(counts)), counts).astype(str).tolist())
        assert sorted_labels.same_label is not None
        permuted = sorted_labels.same_label.permuted
        deviation = (sorted_labels.same_label.observed - permuted) / sorted_labels.same_label.z
        assert permuted == pytest.approx((counts * (counts - 1)).sum() / (size * (size - 1)))
        assert evidence["permuted"] == pytest.approx(permuted, abs=0.00005)
        assert evidence["z"] == round((evidence["observed"] - permuted) / deviation, 1 if name == "dfew" else 0)


def test_no_dataset_is_called_independent() -> None:
    for name in official_names():
        order = official(name).order
        assert order.words
        assert "independent" not in order.words
        assert (order.kind == "people") == bool(order.person_pattern)
    kinds = {name: official(name).order.kind for name in ("dfew", "ferv39k", "mafw", "afew")}
    assert kinds == {"dfew": "none seen", "ferv39k": "none seen", "mafw": "ordered", "afew": "own test"}


def test_the_own_test_adds_an_order_and_takes_none_away() -> None:
    assert combined_order("mafw", "none seen", is_synthetic=False) == official("mafw").order
    assert combined_order("dfew", "none seen", is_synthetic=False) == official("dfew").order
    assert combined_order("dfew", "ordered", is_synthetic=False).kind == "ordered"
    assert combined_order("afew", "none seen", is_synthetic=False).kind == "none seen"
    assert combined_order("cremad", "ordered", is_synthetic=False).kind == "people"
    assert combined_order("mafw", "none seen", is_synthetic=True).kind == "none seen"


def test_a_fold_is_tested_on_all_of_its_clips(crops: Path) -> None:
    dataset = open_dataset(crops)
    assert neighbours_of(dataset, fold="3") == neighbours_of(dataset)
