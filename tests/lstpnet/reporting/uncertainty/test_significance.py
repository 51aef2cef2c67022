from __future__ import annotations

import itertools
import math

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


def intervals_of(*folds: ScoredFold, seed: int = 0) -> Intervals:
    found = bootstrap(folds, seed=seed)
    assert found is not None
    return found


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


def test_few_units_have_the_variance_of_a_sample_and_not_that_of_a_population() -> None:
    """Of 4 people, 0 to 3 clips of 3 are right: sum of squares / (n - 1), as in Rao and Wu's bootstrap."""
    right = np.array([0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1], bool)
    table = np.array([0, 1, 2, 3]) / 3
    draws = np.array([np.mean(drawn) for drawn in itertools.product(table, repeat=3)])  # 3 of 4, all 64 ways
    assert draws.var() == pytest.approx(table.var(ddof=1) / 4)
    found = intervals_of(fold_of(right, unit_clips=3)).war
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5], method="inverted_cdf")))


def test_recalls_are_counted_again_in_each_resample() -> None:
    """Two units, of one class each: a resample is one of them, so it has one class, and its recall is the UAR."""
    fold = ScoredFold(np.array([0, 0, 1, 1]), np.array([True, True, False, True]), np.array([0, 0, 1, 1]))
    found = intervals_of(fold)
    assert (found.uar.low, found.uar.high) == (0.5, 1.0)
    assert found.war == found.uar


def test_classes_weigh_equally_in_uar_and_folds_are_counted_together() -> None:
    large, small = fold_of(np.ones(900, bool)), fold_of(np.zeros(10, bool), np.ones(10, np.int64))
    found = intervals_of(large, small)
    assert (found.war.low, found.war.high) == pytest.approx((900 / 910, 900 / 910))
    assert (found.uar.low, found.uar.high) == pytest.approx((0.5, 0.5))


def test_folds_are_resampled_apart() -> None:
    """A fold that is all right and one that is all wrong give half, whatever is drawn."""
    found = intervals_of(fold_of(np.ones(30, bool)), fold_of(np.zeros(30, bool)))
    assert (found.war.low, found.war.high) == pytest.approx((0.5, 0.5))


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
        for interval in (found.war, found.uar):
            assert 0 <= interval.low <= interval.high <= 1 + 1e-12
        assert found == bootstrap(folds, seed=seed)


def test_chosen_clips_stay_in_their_units() -> None:
    fold = ScoredFold(np.array([0, 1, 0, 1, 0]), np.ones(5), np.array([0, 0, 3, 3, 5]))
    chosen = fold.chosen(np.array([True, False, True, True, False]))
    assert (chosen.labels.tolist(), chosen.units.tolist()) == ([0, 0, 1], [0, 1, 1])


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
