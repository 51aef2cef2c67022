"""The comparison of figures and the verdict, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfer_data.sources.official_counts import official
from lstpnet.replication.claim import Claim, claim_of
from lstpnet.replication.figures import (
    ASPECTS,
    NO_PRIOR,
    Aspect,
    DataDifference,
    FoldPredictions,
    check_figures,
    judge,
    other_labels,
    other_order,
)

NAMES = ("a", "b", "c")


def claim(*expected: dict[str, Any], **changes: Any) -> Claim:
    values = {
        "title": "x",
        "dataset": "dfew",
        "kind": "checkpoint",
        "date": "2026-11-28",
        "source": "a test",
        "folds": ["1", "2"],
        "class_names": list(NAMES),
        "tolerance_points": 1.0,
        "expected": list(expected),
    }
    return claim_of(values | changes, where="test")


def part(labels: str, predicted: str, *, fold: str = "1", seed: int = 0, priors: Sequence[str] = ()) -> FoldPredictions:
    """One clip per letter; `predicted`: its class."""
    logits = np.array([[float(name == guess) for name in NAMES] for guess in predicted], np.float32)
    ids = tuple(f"{fold}-{number}" for number in range(len(labels)))
    return FoldPredictions(
        fold, seed, ids, tuple(labels), (20,) * len(labels), tuple(priors) or ("",) * len(labels), logits
    )


def test_counts_of_a_fold_and_of_a_class_over_folds() -> None:
    parts = [part("aabb", "aaba"), part("abc", "abb", fold="2")]
    lines = claim({"fold": "1", "right": 3, "of": 4}, {"class_name": "b", "right": 2, "of": 3})
    checks = check_figures(lines, parts, NAMES)
    assert [(check.what, check.found, check.is_met) for check in checks] == [
        ("fold 1, all classes", "3 of 4", True),
        ("all folds, b", "2 of 3", True),
    ]


def test_means_of_folds_and_a_fold_that_was_not_tested() -> None:
    line = claim({"war": 62.5, "uar": 50.0})
    parts = [part("aabb", "aaba"), part("aabb", "aaaa", fold="2")]
    war, uar = check_figures(line, parts, NAMES)
    assert (war.found, war.difference, war.is_met) == ("62.50", 0.0, True)
    assert (uar.found, uar.is_met) == ("62.50", False)
    assert [check.is_met for check in check_figures(line, parts[:1], NAMES)] == [None, None]


def test_seeds_widen_the_tolerance_to_two_deviations() -> None:
    parts = [part("aabb", guess, seed=seed) for seed, guess in enumerate(("aabb", "aaba", "aaaa"))]
    (check,) = check_figures(claim({"fold": "1", "right": 4, "of": 4}, seed_deviations=2.0), parts, NAMES)
    assert check.allowed == pytest.approx(50.0)
    assert (check.difference, check.is_met) == (-25.0, True)
    (narrow,) = check_figures(claim({"fold": "1", "right": 4, "of": 4}), parts, NAMES)
    assert (narrow.allowed, narrow.is_met) == (1.0, False)


@pytest.mark.parametrize(
    ("between", "off", "is_met"), [([2, 4], 0.0, True), ([3, 4], -25.0, False), ([0, 1], 25.0, False)]
)
def test_a_range_must_hold_every_seed(between: list[int], off: float, is_met: bool) -> None:
    parts = [part("aabb", guess, seed=seed) for seed, guess in enumerate(("aaba", "aaaa"))]
    if between == [0, 1]:
        off = 50.0
    (check,) = check_figures(claim({"fold": "1", "right_between": between, "of": 4}), parts, NAMES)
    assert (check.difference, check.is_met) == (off, is_met)


def test_another_number_of_clips_is_never_met() -> None:
    (check,) = check_figures(claim({"fold": "1", "right": 2, "of": 4}), [part("ab", "aa")], NAMES)
    assert (check.found, check.difference, check.is_met) == ("1 of 2", 0.0, False)


def test_clips_without_a_face_count_by_their_prior() -> None:
    predictions = part("aab", "bbb", priors=("a", NO_PRIOR, ""))
    assert predictions.predicted(NAMES).tolist() == [0, 3, 1]
    assert predictions.scores(NAMES).num_clips == 3
    assert predictions.scores(NAMES).war == pytest.approx(2 / 3)


@given(st.permutations(range(3)))
def test_another_order_of_outputs_is_found(order: list[int]) -> None:
    labels = "abcabcabcabc"
    guesses = "".join(NAMES[order.index(NAMES.index(label))] for label in labels)
    found = other_order([part(labels, guesses)], NAMES)
    right = sum(label == guess for label, guess in zip(labels, guesses, strict=True))
    assert found == (() if right == len(labels) else tuple(NAMES[number] for number in order))


def test_a_model_that_errs_has_no_other_order() -> None:
    assert other_order([part("aabbcc", "abbcca")], NAMES) == ()
    assert other_order([], NAMES) == ()


def test_exchanged_labels_are_found_where_sizes_tell_classes_apart() -> None:
    sizes = official("dfew").num_clips
    numbered = dict(
        zip(sizes, [sizes[name] for name in ("neutral", *list(sizes)[1:2], "happy", *list(sizes)[3:])], strict=True)
    )
    assert other_labels(sizes, numbered) == {"happy": "neutral", "neutral": "happy"}
    assert other_labels(sizes, sizes) == {}
    assert other_labels(sizes, dict.fromkeys(sizes, 3)) == {}
    assert other_labels({"a": 2, "b": 2}, {"b": 2, "a": 2}) == {}


@pytest.mark.parametrize("aspect", ASPECTS[:4])
def test_data_come_before_figures_in_order(aspect: Aspect) -> None:
    checks = check_figures(claim({"fold": "1", "right": 1, "of": 4}), [part("aabb", "aabb")], NAMES)
    later = [DataDifference(name, name) for name in reversed(ASPECTS[ASPECTS.index(aspect) :])]
    verdict = judge(claim(), later, checks, order=("b",))
    assert verdict.first == f"{aspect}: {aspect}"


def test_other_crops_are_named_before_the_figures_and_within_what() -> None:
    lines = claim({"fold": "1", "right": 3, "of": 4}, other_crops_points=25.0)
    other = [DataDifference("crops", "of another detector")]
    close = judge(lines, other, check_figures(lines, [part("aabb", "aabb")], NAMES))
    assert close.words == "reproduced on other crops within 25.00 points (crops: of another detector)"
    far = judge(lines, other, check_figures(lines, [part("aabb", "bbab")], NAMES))
    assert far.words == "not reproduced; the first difference is in crops: of another detector"
