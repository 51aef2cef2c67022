from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from dfer_data.errors import UsageError
from dfer_data.render.tables import per_cent
from lstpnet.metrics import confusion_matrix, mean, predicted_classes, prior_logits, sample_std, score


@st.composite
def answers(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    num_classes = draw(st.integers(2, 11))
    pairs = st.tuples(st.integers(0, num_classes - 1), st.integers(0, num_classes - 1))
    drawn = draw(st.lists(pairs, min_size=1, max_size=80))
    return num_classes, [label for label, _ in drawn], [guess for _, guess in drawn]


@settings(max_examples=150, deadline=None)
@given(answers())
def test_every_figure_is_that_of_scikit_learn(drawn: tuple[int, list[int], list[int]]) -> None:
    num_classes, labels, guesses = drawn
    confusion = confusion_matrix(labels, guesses, num_classes=num_classes)
    everything, present = range(num_classes), sorted(set(labels))
    assert (confusion == reference.confusion_matrix(labels, guesses, labels=everything)).all()
    scores = score(confusion)
    assert scores.num_clips == len(labels)
    assert scores.num_classes_present == len(present)
    assert scores.war == pytest.approx(reference.accuracy_score(labels, guesses), abs=1e-12)
    macro = reference.recall_score(labels, guesses, labels=present, average="macro", zero_division=0)
    assert scores.uar == pytest.approx(macro, abs=1e-12)
    recalls = reference.recall_score(labels, guesses, labels=everything, average=None, zero_division=np.nan)
    precisions = reference.precision_score(labels, guesses, labels=everything, average=None, zero_division=np.nan)
    f1s = reference.f1_score(labels, guesses, labels=everything, average=None, zero_division=0)
    f1s = [f1 if number in present else math.nan for number, f1 in enumerate(f1s)]
    macro_f1 = reference.f1_score(labels, guesses, labels=present, average="macro", zero_division=0)
    assert scores.macro_f1 == pytest.approx(macro_f1, abs=1e-12)
    for found, wanted in ((scores.recalls, recalls), (scores.precisions, precisions), (scores.f1s, f1s)):
        for mine, theirs in zip(found, wanted, strict=True):
            assert (mine is None and math.isnan(theirs)) or mine == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(("guess", "figure"), [(1, 1.0), (0, 0.0)])
def test_one_clip_has_figures(guess: int, figure: float) -> None:
    scores = score(confusion_matrix([1], [guess], num_classes=3))
    assert (scores.war, scores.uar, scores.num_classes_present) == (figure, figure, 1)
    assert scores.recalls == (None, figure, None)


def test_a_class_without_clips_is_not_a_zero_in_uar() -> None:
    scores = score(confusion_matrix([0, 0, 2], [0, 1, 2], num_classes=4))
    assert scores.recalls == (0.5, None, 1.0, None)
    assert (scores.uar, scores.num_classes_present) == (0.75, 2)


def test_no_clips_have_no_figures() -> None:
    with pytest.raises(UsageError, match="test part is empty"):
        score(confusion_matrix([], [], num_classes=7))


@pytest.mark.parametrize(
    ("labels", "guesses"),
    [([0, 1], [0]), ([3], [0]), ([0], [3]), ([-1], [0]), ([0.5], [0]), ([[0]], [[0]])],
)
def test_what_is_no_pair_of_classes_is_refused(labels: list[int], guesses: list[int]) -> None:
    with pytest.raises(UsageError):
        confusion_matrix(labels, guesses, num_classes=3)


@pytest.mark.parametrize(
    ("right", "count", "printed"), [(20, 144, "13.89"), (204, 381, "53.54"), (1695, 2334, "72.62")]
)
def test_published_figures_come_out_of_their_counts(right: int, count: int, printed: str) -> None:
    guesses = [0] * right + [1] * (count - right)
    scores = score(confusion_matrix([0] * count, guesses, num_classes=7))
    assert per_cent(scores.war) == per_cent(scores.recalls[0]) == printed


def test_the_first_of_equal_logits_wins_and_nan_is_refused() -> None:
    assert predicted_classes(np.array([[1.0, 3.0, 3.0], [-np.inf, 0.0, -1.0]])).tolist() == [1, 1]
    with pytest.raises(UsageError, match="NaN"):
        predicted_classes(np.array([[1.0, np.nan]]))


def test_the_prior_is_the_share_of_each_class() -> None:
    logits = prior_logits([1, 0, 3])
    assert logits.dtype == np.float32
    assert np.exp(logits).tolist() == [0.25, 0.0, 0.75]
    with pytest.raises(UsageError):
        prior_logits([0, 0])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_mean_and_deviation_are_those_of_the_textbook(values: list[float]) -> None:
    assert mean(values) == pytest.approx(statistics.fmean(values), abs=1e-12)
    assert sample_std(values) == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_one_value_has_no_deviation_and_none_no_mean() -> None:
    assert sample_std([0.5]) is None
    with pytest.raises(UsageError):
        mean([])
