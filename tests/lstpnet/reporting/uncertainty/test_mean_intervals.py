from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.uncertainty.mean_intervals import mean_intervals
from lstpnet.reporting.uncertainty.significance import Booleans, ScoredFold


def fold_of(number: int, right: Booleans, *, first: int = 0) -> tuple[int, ScoredPredictions, ScoredFold]:
    """One class, clips in the reverse order of ids, single clips as units."""
    size = len(right)
    ids = tuple(f"{number}{first + place:04d}" for place in reversed(range(size)))
    labels, predicted = np.zeros(size, np.int64), np.where(right[::-1], 0, 1).astype(np.int64)
    part = ScoredPredictions(("happy", "sad"), ids, labels, predicted, np.ones(size, np.bool_))
    return number, part, ScoredFold(labels, part.is_right, np.arange(size)[::-1].copy())


def test_one_seed_has_the_interval_over_the_clips_of_its_folds() -> None:
    rng = np.random.default_rng(0)
    folds = [rng.random(size) < 0.7 for size in (300, 500)]
    found = mean_intervals([[fold_of(number + 1, right) for number, right in enumerate(folds)]], "clips")
    mean = float(np.mean([right.mean() for right in folds]))
    error = float(np.sqrt(sum(right.var(ddof=1) / len(right) for right in folds)) / 2)
    interval = found["war_interval"]["clips"]
    assert (interval.low, interval.high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=1e-3)


def test_several_seeds_hold_training_noise() -> None:
    rng = np.random.default_rng(1)
    rights = [rng.random(2000) < chance for chance in (0.5, 0.6, 0.7, 0.8)]
    found = mean_intervals([[fold_of(1, right)] for right in rights], "clips")
    means = [float(right.mean()) for right in rights]
    wanted = stats.t.interval(0.95, 3, loc=np.mean(means), scale=stats.sem(means))
    interval = found["war_interval"]["clips"]
    assert (interval.low, interval.high) == pytest.approx(wanted, abs=0.01)


def test_intervals_stay_between_0_and_1() -> None:
    rights = [np.arange(40) >= number for number in (0, 1, 8)]
    interval = mean_intervals([[fold_of(1, right)] for right in rights], "clips")["war_interval"]["clips"]
    assert interval.high == 1


def test_seeds_with_other_clips_have_no_interval() -> None:
    right = np.arange(40) % 3 > 0
    found = mean_intervals([[fold_of(1, right)], [fold_of(1, right, first=1)]], "clips")
    assert found == {"war_interval": None, "uar_interval": None}
