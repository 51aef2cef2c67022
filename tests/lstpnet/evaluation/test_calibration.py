"""Calibration figures against plain restatements and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from dfer_data.errors import UsageError
from lstpnet.evaluation.calibration import (
    GREATEST_TEMPERATURE,
    LEAST_TEMPERATURE,
    NUM_BINS,
    calibration,
    fit_temperature,
    probabilities,
)


def made(seed: int, *, num_clips: int = 200, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose labels are drawn from their own softmax, made `scale` times too sure."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((num_clips, 7))
    labels = np.array([rng.choice(7, p=row) for row in softmax(logits, axis=1)])
    return scale * logits, labels


def test_probabilities_are_the_softmax_and_stand_an_impossible_class() -> None:
    logits, _ = made(0)
    np.testing.assert_allclose(probabilities(logits, temperature=2.0), softmax(logits / 2, axis=1), rtol=1e-12)
    assert probabilities(np.array([[0.0, -np.inf, 0.0]])).tolist() == [[0.5, 0.0, 0.5]]


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_ece_and_brier_are_their_definitions(seed: int) -> None:
    logits, labels = made(seed, num_clips=50)
    chances = softmax(logits, axis=1)
    found = calibration(chances, labels)
    error = 0.0
    for number in range(NUM_BINS):
        clips = [
            (row.max(), row.argmax() == label)
            for row, label in zip(chances, labels, strict=True)
            if number / NUM_BINS < row.max() <= (number + 1) / NUM_BINS
        ]
        assert found.bins[number].num_clips == len(clips)
        if clips:
            error += abs(sum(right for _, right in clips) - sum(confidence for confidence, _ in clips)) / len(labels)
    squares = 0.0
    for row, label in zip(chances, labels, strict=True):
        squares += sum((chance - (number == label)) ** 2 for number, chance in enumerate(row)) / len(labels)
    assert found.ece == pytest.approx(error)
    assert found.brier == pytest.approx(squares)


def test_sure_predictions_are_perfect_or_as_bad_as_can_be() -> None:
    chances, labels = np.eye(3), np.array([0, 1, 2])
    assert (calibration(chances, labels).ece, calibration(chances, labels).brier) == (0.0, 0.0)
    wrong = calibration(chances, np.array([1, 2, 0]))
    assert (wrong.ece, wrong.brier) == (1.0, 2.0)
    assert wrong.bins[-1].num_clips == 3


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_one_that_scipy_finds_and_undoes_the_scale(scale: float) -> None:
    logits, labels = made(1, num_clips=4000, scale=scale)

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(labels)), labels].mean())

    found = fit_temperature(logits, labels)
    assert found == pytest.approx(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x), rel=1e-3)
    assert found == pytest.approx(scale, rel=0.1)
    before, after = (calibration(probabilities(logits, temperature=t), labels).ece for t in (1.0, found))
    assert after < before or scale == 1.0


def test_clips_that_are_all_right_or_all_wrong_give_a_bound() -> None:
    logits = 5 * np.eye(4)
    assert fit_temperature(logits, np.arange(4)) == pytest.approx(LEAST_TEMPERATURE)
    assert fit_temperature(logits, np.array([1, 2, 3, 0])) == pytest.approx(GREATEST_TEMPERATURE)


def test_no_clips_are_refused() -> None:
    none = np.zeros((0, 7)), np.zeros(0, np.int64)
    with pytest.raises(
        UsageError, match="no temperature without held-out clips: train with --val blocks, groups, random or official"
    ):
        fit_temperature(*none)
    with pytest.raises(UsageError, match="calibration of no clips"):
        calibration(*none)
