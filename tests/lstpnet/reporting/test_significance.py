from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dfer_data.errors import UsageError
from lstpnet.reporting.significance import Booleans, block_length, bootstrap, compare_predictions, mcnemar


def films(rng: np.random.Generator, *, size: int, film_clips: int, chance: float = 0.6) -> Booleans:
    """Whether each of `size` clips is right, where a film's neighbours are right or wrong together."""
    return np.repeat(rng.random(-(-size // film_clips)) < chance, film_clips)[:size]


def test_independent_clips_have_the_binomial_interval() -> None:
    right = np.arange(400) % 5 > 0  # 0.8
    found = bootstrap([right], [0], blocks=False)
    half = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert found.war.low == pytest.approx(0.8 - half, abs=0.005)
    assert found.war.high == pytest.approx(0.8 + half, abs=0.005)
    assert found.uar == found.war  # one class


def test_neighbours_that_go_together_widen_the_interval() -> None:
    right = films(np.random.default_rng(0), size=500, film_clips=20)
    blocks, clips = (bootstrap([right], [0], blocks=kind).war for kind in (True, False))
    assert blocks.high - blocks.low > 2 * (clips.high - clips.low)


def test_classes_weigh_equally_in_uar_and_folds_of_one_class_are_put_together() -> None:
    large, small = np.ones(900, bool), np.zeros(10, bool)
    found = bootstrap([large[:450], small, large[450:]], [0, 1, 0])
    assert (found.war.low, found.war.high) == pytest.approx((900 / 910, 900 / 910))
    assert (found.uar.low, found.uar.high) == pytest.approx((0.5, 0.5))


@settings(max_examples=50)
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4), seed=st.integers(0, 99), blocks=st.booleans())
def test_intervals_are_shares_around_the_figure(sizes: list[int], seed: int, blocks: bool) -> None:
    rng = np.random.default_rng(seed)
    strata = [rng.random(size) < 0.5 for size in sizes]
    found = bootstrap(strata, range(len(sizes)), blocks=blocks, seed=seed)
    war = sum(stratum.sum() for stratum in strata) / sum(sizes)
    for interval, figure in ((found.war, war), (found.uar, np.mean([stratum.mean() for stratum in strata]))):
        assert 0 <= interval.low <= interval.high <= 1 + 1e-12
        assert interval.low - 0.35 <= figure <= interval.high + 0.35
    assert found == bootstrap(strata, range(len(sizes)), blocks=blocks, seed=seed)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """A small sample of benchmarks/interval_coverage.py: films of five clips, all right or all wrong."""
    held = {True: 0, False: 0}
    for run in range(150):
        right = films(np.random.default_rng(run), size=300, film_clips=5)
        for blocks in held:
            interval = bootstrap([right], [0], blocks=blocks, seed=run).war
            held[blocks] += interval.low <= 0.6 <= interval.high
    assert held[True] / 150 >= 0.88
    assert held[False] / 150 <= 0.75


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (5, 0), (7, 7), (12, 4), (30, 60), (1, 2), (2400, 2550)])
def test_mcnemar_is_the_binomial_test(only_a: int, only_b: int) -> None:
    wanted = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar(only_a, only_b) == pytest.approx(wanted, abs=1e-12)


def test_a_run_against_itself_and_against_a_better_one() -> None:
    rng = np.random.default_rng(1)
    a, b = [rng.random(200) < 0.9, rng.random(100) < 0.9], [rng.random(200) < 0.6, rng.random(100) < 0.6]
    same = compare_predictions(a, a, [0, 1])
    assert (same.war_difference, same.uar_difference, same.war_p, same.uar_p, same.mcnemar_p) == (0, 0, 1, 1, 1)
    other = compare_predictions(a, b, [0, 1])
    war = [sum(part.sum() for part in run) / 300 for run in (a, b)]
    uar = [np.mean([part.mean() for part in run]) for run in (a, b)]
    assert other.war_difference == pytest.approx(war[0] - war[1])
    assert other.uar_difference == pytest.approx(uar[0] - uar[1])
    assert max(other.war_p, other.uar_p, other.mcnemar_p) < 0.01
    assert other.num_only_a - other.num_only_b == round(300 * other.war_difference)


def test_the_permutation_test_keeps_its_level_where_neighbours_go_together_and_mcnemar_does_not() -> None:
    false_alarms = {"blocks": 0, "mcnemar": 0}
    for run in range(200):
        rng = np.random.default_rng(run)
        a, b = (films(rng, size=400, film_clips=20, chance=0.5) for _ in range(2))
        found = compare_predictions([a], [b], [0], seed=run)
        false_alarms["blocks"] += found.war_p < 0.05
        false_alarms["mcnemar"] += found.mcnemar_p < 0.05
    assert false_alarms["blocks"] / 200 <= 0.10
    assert false_alarms["mcnemar"] / 200 >= 0.30


def test_nothing_and_other_clips_are_refused() -> None:
    with pytest.raises(UsageError, match="needs clips"):
        bootstrap([], [])
    with pytest.raises(UsageError, match="do not predict the same clips"):
        compare_predictions([np.ones(3, bool)], [np.ones(4, bool)], [0])


def test_blocks_are_about_the_square_root() -> None:
    assert [block_length(number) for number in (1, 2, 29, 180, 534)] == [1, 1, 5, 13, 23]
