from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, f1_score

from dfer_data.errors import UsageError
from lstpnet.reporting.multi_label.scores import average_precision, score_labels

BITS = arrays(np.bool_, (12, 3))
SCORES = arrays(np.float64, (12, 3), elements=st.sampled_from([-1.0, 0.0, 0.25, 0.5, 2.0]))  # with ties


@settings(max_examples=100, deadline=None)
@given(BITS.filter(np.any), SCORES, BITS)
def test_the_figures_are_those_of_scikit_learn(truth: np.ndarray, scores: np.ndarray, named: np.ndarray) -> None:
    found = score_labels(truth, scores, named)
    present = [k for k in range(3) if truth[:, k].any()]
    for k in range(3):
        if k in present:
            assert found.average_precisions[k] == pytest.approx(average_precision_score(truth[:, k], scores[:, k]))
            assert found.f1s[k] == pytest.approx(f1_score(truth[:, k], named[:, k], zero_division=0))
        else:
            assert (found.average_precisions[k], found.f1s[k]) == (None, None)
    assert found.mean_average_precision == pytest.approx(
        np.mean([average_precision_score(truth[:, k], scores[:, k]) for k in present])
    )
    assert (found.num_clips, found.num_labels) == (12, truth.sum())


def test_a_class_without_a_chance_is_ranked_last() -> None:
    assert average_precision(np.array([True, False]), np.array([-np.inf, 0.0])) == 0.5
    assert average_precision(np.array([False, False]), np.array([1.0, 0.0])) is None


def test_what_cannot_be_scored_is_refused() -> None:
    bits, scores = np.ones((2, 3), np.bool_), np.zeros((2, 3))
    for truth, given_scores, fault in (
        (bits[:1], scores, "expected the same"),
        (bits, np.full((2, 3), np.nan), "NaN"),
        (~bits, scores, "no clip has a label"),
    ):
        with pytest.raises(UsageError, match=fault):
            score_labels(truth, given_scores, bits)
