"""Variances against the mean squares of an analysis of variance, tests against SciPy, and the error that is left."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from dfer_data.errors import UsageError
from lstpnet.reporting.uncertainty.comparison import (
    ASSUMED_NOISE,
    ClipDesign,
    estimate_figures,
    holm,
    with_shares_above,
)
from lstpnet.reporting.uncertainty.significance import Float64s


def single_clips(labels: Sequence[int], folds: Sequence[int] | None = None) -> ClipDesign:
    numbers = np.array([1] * len(labels) if folds is None else folds)
    return ClipDesign(numbers, np.array(labels), np.arange(len(labels)))


def coins(rng: np.random.Generator, shape: tuple[int, int], chance: float = 0.6) -> Float64s:
    return (rng.random(shape) < chance).astype(np.float64)


def test_the_figures_are_the_means_of_the_folds_also_where_a_class_is_missing() -> None:
    rng = np.random.default_rng(0)
    folds = np.repeat([1, 2], [40, 30])
    labels = np.concatenate([rng.integers(0, 3, 40), rng.integers(0, 2, 30)])
    right = coins(rng, (2, 70))
    found = estimate_figures(single_clips(list(labels), list(folds)), [right])
    war, uar = [], []
    for fold in (1, 2):
        for row in right:
            mask = folds == fold
            guesses = np.where(row[mask] == 1, labels[mask], 9)
            war.append(reference.accuracy_score(labels[mask], guesses))
            recalls = reference.recall_score(labels[mask], guesses, labels=sorted(set(labels[mask])), average="macro")
            uar.append(recalls)
    assert found["war"].value == pytest.approx(np.mean(war))
    assert found["uar"].value == pytest.approx(np.mean(uar))


def test_the_variance_is_that_of_crossed_random_effects() -> None:
    """One fold and class: (mean squares of clips + of trainings - of the rest) / (N S), by analysis of variance."""
    rng = np.random.default_rng(1)
    num_seeds, num_clips = 4, 300
    difficulty = rng.normal(size=num_clips)
    latent = difficulty + rng.normal(size=(num_seeds, num_clips)) + rng.normal(0, 0.2, (num_seeds, 1))
    values = (latent > 0).astype(np.float64)
    found = estimate_figures(single_clips([0] * num_clips), [values])["war"]
    by_clip, by_seed = values.mean(axis=0), values.mean(axis=1)
    clips = num_seeds * by_clip.var(ddof=1)
    trainings = num_clips * by_seed.var(ddof=1)
    rest = values - by_clip - by_seed[:, None] + values.mean()
    square = (rest**2).sum() / ((num_seeds - 1) * (num_clips - 1))
    total = num_seeds * num_clips
    assert found.sampling_std == pytest.approx(math.sqrt((clips - square) / total))
    assert found.training_std == pytest.approx(math.sqrt(trainings / total))
    assert found.interval is not None
    assert found.df is not None
    half = stats.t.isf(0.025, found.df) * math.sqrt((clips - square + trainings) / total)
    assert (found.interval.low, found.interval.high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_without_noise_of_clips_it_is_welchs_test() -> None:
    """Values that are equal for all clips of a training: only the trainings vary, unlike many and unlike much."""
    a, b = np.array([0.61, 0.64, 0.66]), np.array([0.52, 0.60, 0.43, 0.57, 0.49])
    arms = [np.repeat(a[:, None], 20, axis=1), -np.repeat(b[:, None], 20, axis=1)]
    found = estimate_figures(single_clips([0] * 10 + [1] * 10), arms)
    wanted = stats.ttest_ind(a, b, equal_var=False)
    interval = wanted.confidence_interval(0.95)
    for figure in found.values():
        assert figure.value == pytest.approx(a.mean() - b.mean())
        assert figure.p == pytest.approx(wanted.pvalue)
        assert figure.df == pytest.approx(wanted.df)
        assert figure.interval is not None
        assert (figure.interval.low, figure.interval.high) == pytest.approx((interval.low, interval.high))


def test_one_training_has_the_interval_of_a_share_and_no_p() -> None:
    right = np.concatenate([np.ones(80), np.zeros(20)])[None]
    found = estimate_figures(single_clips([0] * 100), [right])["war"]
    assert found.interval is not None
    assert (found.p, found.training_std, found.has_training_noise) == (None, None, False)
    assert found.interval.high - 0.8 == pytest.approx(1.96 * math.sqrt(0.8 * 0.2 / 99), rel=0.02)


def test_what_one_seed_would_need_grows_with_the_noise_that_is_assumed() -> None:
    rng = np.random.default_rng(2)
    folds = [1] * 2000 + [2] * 2000
    arms = [coins(rng, (1, 4000)), -coins(rng, (1, 4000))]
    found = estimate_figures(single_clips([0] * 4000, folds), arms)["war"]
    assert found.needed is not None
    clips = (arms[0] + arms[1])[0].reshape(2, 2000).var(axis=1, ddof=1).sum() / 2000 / 4
    for noise in ASSUMED_NOISE:
        wanted = 1.96 * math.sqrt(clips + 2 * noise**2 / 2)
        assert found.needed[f"{noise:g}"] == pytest.approx(wanted, rel=0.005)


def test_clips_of_a_unit_count_as_one_where_they_are_alike() -> None:
    rng = np.random.default_rng(3)
    films = coins(rng, (1, 50))
    right = np.repeat(films, 10, axis=1)
    blocks = ClipDesign(np.ones(500, np.int64), np.tile([0, 1], 250), np.repeat(np.arange(50), 10))
    found = estimate_figures(blocks, [right])["war"]
    assert found.sampling_std == pytest.approx(math.sqrt(films.var(ddof=1) / 50), rel=0.002)
    assert found.df == pytest.approx(49, rel=0.01)


def test_a_rare_class_has_few_degrees_of_freedom() -> None:
    """UAR's uncertainty comes from 10 of 1010 clips, half of them right."""
    rng = np.random.default_rng(4)
    right = np.concatenate([coins(rng, (1, 1000)), np.tile([1.0, 0.0], 5)[None]], axis=1)
    found = estimate_figures(single_clips([0] * 1000 + [1] * 10), [right])
    assert found["uar"].df is not None
    assert found["war"].df is not None
    assert 10 < found["uar"].df < 30
    assert found["war"].df > 500


def test_few_clips_of_a_class_leave_uar_without_an_interval() -> None:
    found = estimate_figures(single_clips([0] * 30 + [1] * 4), [coins(np.random.default_rng(5), (3, 34))])
    assert found["uar"].interval is None
    assert found["uar"].p is None
    assert found["war"].interval is not None


def test_equal_predictions_do_not_differ() -> None:
    right = coins(np.random.default_rng(6), (3, 40))
    found = estimate_figures(single_clips([0] * 20 + [1] * 20), [right - right])
    assert [(figure.value, figure.p) for figure in found.values()] == [(0, 1), (0, 1)]


def test_a_difference_that_nothing_varies_has_no_p() -> None:
    found = estimate_figures(single_clips([0] * 20), [np.ones((3, 20)), -np.zeros((3, 20))])
    assert found["war"].value == pytest.approx(1)
    assert found["war"].p is None


@pytest.mark.parametrize("film", [1, 10])
def test_the_share_of_resamples_agrees_with_p(film: int) -> None:
    rng = np.random.default_rng(7)
    num_clips = 400
    design = ClipDesign(np.repeat([1, 2], 200), np.tile([0, 1], 200), np.arange(num_clips) // film)
    common = rng.normal(size=num_clips)
    arms = [
        sign * (common + rng.normal(size=(3, num_clips)) + rng.normal(0, 0.05, (3, 1)) + shift > 0).astype(np.float64)
        for sign, shift in ((1, 0.12), (-1, 0.0))
    ]
    found = with_shares_above(estimate_figures(design, arms), design, arms)
    for figure in found.values():
        assert figure.p is not None
        assert figure.share_above == pytest.approx(1 - figure.p / 2 if figure.value > 0 else figure.p / 2, abs=0.03)
    assert found == with_shares_above(estimate_figures(design, arms), design, arms)


def test_equal_recipes_are_rarely_told_apart_and_by_clips_alone_they_are() -> None:
    """A small sample of benchmarks/comparison_error.py: 383 clips, 3 seeds, 4 points of training noise."""
    rng = np.random.default_rng(8)
    design = single_clips([0] * 383)
    errors = {"report": 0, "clips": 0}
    for _ in range(120):
        common = rng.normal(0, 0.8, 383)
        arms: list[Float64s] = []
        for sign in (1, -1):
            noise = rng.normal(0, 0.10, (3, 1)) + rng.normal(0, 0.6, (3, 383))
            arms.append(sign * (common + noise > 0).astype(np.float64))
        p = estimate_figures(design, arms)["war"].p
        assert p is not None
        errors["report"] += p < 0.05
        sampled = estimate_figures(design, [np.sum([arm.mean(axis=0) for arm in arms], axis=0)[None]])["war"]
        assert sampled.interval is not None
        errors["clips"] += not sampled.interval.low <= 0 <= sampled.interval.high
    assert errors["report"] <= 12
    assert errors["clips"] >= 30


def test_holm_corrects_in_steps() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_clips_without_a_unit_are_refused() -> None:
    with pytest.raises(UsageError, match="needs clips, each with its fold, label and unit"):
        ClipDesign(np.ones(3, np.int64), np.ones(3, np.int64), np.arange(2))
    with pytest.raises(UsageError, match="needs clips"):
        single_clips([])
