from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.errors import UsageError
from lstpnet.reporting.uncertainty.significance import (
    Booleans,
    Interval,
    Intervals,
    ScoredFold,
    bootstrap,
)


def films(rng: np.random.Generator, *, size: int, film_clips: int, chance: float = 0.6) -> Booleans:
    """Whether each of `size` clips is right, where a film's neighbours are right or wrong together."""
    return np.repeat(rng.random(-(-size // film_clips)) < chance, film_clips)[:size]


def fold_of(right: Booleans, labels: npt.NDArray[np.int64] | None = None, *, unit_clips: int = 1) -> ScoredFold:
    """A fold in the order of ids, with units of neighbours of equal length."""
    labels = np.zeros(len(right), np.int64) if labels is None else labels
    return ScoredFold(labels, right, np.arange(len(right)) // unit_clips)


@dataclass(frozen=True)
class Both:
    """Two intervals that are known to exist."""

    war: Interval
    uar: Interval


def intervals_of(*folds: ScoredFold, seed: int = 0) -> Both:
    found = bootstrap(folds, seed=seed)
    assert found is not None
    assert found.war is not None
    assert found.uar is not None
    return Both(found.war, found.uar)


def width(interval: Interval) -> float:
    return interval.high - interval.low


def test_independent_clips_have_the_binomial_interval() -> None:
    found = intervals_of(fold_of(np.arange(400) % 5 > 0))  # 0.8
    half = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert found.war.low == pytest.approx(0.8 - half, abs=0.005)
    assert found.war.high == pytest.approx(0.8 + half, abs=0.005)
    assert found.uar == found.war  # one class


def test_units_of_clips_that_go_together_have_the_interval_of_so_many_clips() -> None:
    """Twenty equal clips are worth one: units of 20 in 8,000 clips have the interval of 400 clips."""
    found = intervals_of(fold_of(np.repeat(np.arange(400) % 5 > 0, 20), unit_clips=20))
    half = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert (found.war.low, found.war.high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.005)


def test_few_units_have_the_variance_of_a_sample_and_the_spread_of_students_t() -> None:
    """Of 4 people, 0 to 3 clips of 3 are right: sum of squares / (n - 1), as in Rao and Wu's bootstrap, and t of 3."""
    right = np.array([0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1], bool)
    table = np.array([0, 1, 2, 3]) / 3
    draws = np.array([np.mean(drawn) for drawn in itertools.product(table, repeat=3)])  # 3 of 4, all 64 ways
    assert draws.var() == pytest.approx(table.var(ddof=1) / 4)
    found = intervals_of(fold_of(right, unit_clips=3)).war
    low, high = np.percentile(draws, [2.5, 97.5], method="inverted_cdf")
    t_of_3, normal = 3.182446, 1.959964
    wanted = (0.5 + t_of_3 / normal * (low - 0.5), 0.5 + t_of_3 / normal * (high - 0.5))
    assert (found.low, found.high) == pytest.approx((max(0, wanted[0]), min(1, wanted[1])), abs=1e-6)


def test_recalls_are_counted_again_in_each_resample() -> None:
    """Each of two units holds five clips of each class; a resample is one of them, so its recalls are the UAR."""
    right = np.repeat([True, False, True, True], 5)  # recalls 1 and 0 in the first unit, 1 and 1 in the second
    fold = ScoredFold(np.repeat([0, 1, 0, 1], 5), right, np.repeat([0, 0, 1, 1], 5))
    found = bootstrap([fold])
    assert found is not None
    assert found.uar == found.war == Interval(0.0, 1.0)  # 0.75 -+ 0.25 x t of 1 / normal, within 0 and 1


def test_classes_weigh_equally_in_uar_and_folds_are_counted_together() -> None:
    large, small = fold_of(np.arange(900) % 2 > 0), fold_of(np.zeros(10, bool), np.ones(10, np.int64))
    found = intervals_of(large, small)
    half = 1.96 * math.sqrt(0.25 / 900)
    assert (found.war.low, found.war.high) == pytest.approx((450 / 910 - half, 450 / 910 + half), abs=0.003)
    assert (found.uar.low, found.uar.high) == pytest.approx((0.25 - half / 2, 0.25 + half / 2), abs=0.003)


def test_folds_are_resampled_apart() -> None:
    """A fold that is all right and one that is half right: only the second one varies."""
    found = intervals_of(fold_of(np.ones(300, bool)), fold_of(np.arange(300) % 2 > 0))
    half = 1.96 * math.sqrt(0.25 / 300) / 2
    assert (found.war.low, found.war.high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.003)


@pytest.mark.parametrize("right", [np.ones(20, bool), np.zeros(20, bool)])
def test_where_all_clips_are_right_or_all_wrong_nothing_shows_the_uncertainty(right: Booleans) -> None:
    """The middle of the resamples would be 100 to 100 %, whatever the number of clips."""
    assert bootstrap([fold_of(right)]) == Intervals(None, None)


@pytest.mark.parametrize(("size", "unit_clips", "has_uar"), [(4, 1, False), (5, 1, True), (6, 6, False), (6, 3, True)])
def test_uar_has_no_interval_with_few_clips_of_a_class_or_all_of_them_in_one_unit(
    size: int, unit_clips: int, has_uar: bool
) -> None:
    labels = np.repeat([0, 1], [60, size])
    found = bootstrap([ScoredFold(labels, np.arange(60 + size) % 7 > 2, np.arange(60 + size) // unit_clips)])
    assert found is not None
    assert found.war is not None
    assert (found.uar is not None) == has_uar


def test_a_fold_of_one_unit_adds_no_uncertainty_and_one_unit_alone_has_no_interval() -> None:
    whole = fold_of(np.arange(10) < 5, unit_clips=10)
    assert bootstrap([whole]) is None
    other = fold_of(np.arange(100) % 2 == 0)
    assert width(intervals_of(whole, other).war) == pytest.approx(width(intervals_of(other).war) * 100 / 110, rel=0.05)


@settings(max_examples=50)
@given(sizes=st.lists(st.integers(2, 60), min_size=1, max_size=4), seed=st.integers(0, 99), unit=st.integers(1, 5))
def test_intervals_are_shares_around_the_figure(sizes: list[int], seed: int, unit: int) -> None:
    rng = np.random.default_rng(seed)
    folds = [fold_of(rng.random(size) < 0.5, rng.integers(0, 3, size), unit_clips=unit) for size in sizes]
    found = bootstrap(folds, seed=seed)
    assert (found is None) == (max(sizes) <= unit)
    if found is not None:
        for interval in filter(None, (found.war, found.uar)):
            assert 0 <= interval.low <= interval.high <= 1 + 1e-12
        assert found == bootstrap(folds, seed=seed)


def test_chosen_clips_stay_in_their_units() -> None:
    fold = ScoredFold(np.array([0, 1, 0, 1, 0]), np.ones(5), np.array([0, 0, 3, 3, 5]))
    chosen = fold.chosen(np.array([True, False, True, True, False]))
    assert (chosen.labels.tolist(), chosen.units.tolist()) == ([0, 0, 1], [0, 1, 1])


def test_four_people_are_enough_for_an_interval_that_holds_the_truth() -> None:
    """Percentiles alone, without Student's t, hold the truth in 77 to 80 % of cases (docs/benchmarks.md)."""
    held = 0
    for run in range(300):
        rng = np.random.default_rng(run)
        skill = np.repeat(rng.normal(0, 0.5, 4), 60)
        right = rng.normal(size=240) + skill < 0.25335 * math.sqrt(1.25)  # a share of 0.6
        interval = intervals_of(fold_of(right, unit_clips=60), seed=run).war
        held += interval.low <= 0.6 <= interval.high
    assert held / 300 >= 0.89


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """A small sample of benchmarks/interval_coverage.py: films of five clips, all right or all wrong."""
    held = {1: 0, 17: 0}
    for run in range(150):
        right = films(np.random.default_rng(run), size=300, film_clips=5)
        for unit_clips in held:
            interval = intervals_of(fold_of(right, unit_clips=unit_clips), seed=run).war
            held[unit_clips] += interval.low <= 0.6 <= interval.high
    assert held[17] / 150 >= 0.90
    assert held[1] / 150 <= 0.75


def test_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="needs clips"):
        bootstrap([])
    with pytest.raises(UsageError, match="needs clips"):
        bootstrap([fold_of(np.ones(0, bool))])
