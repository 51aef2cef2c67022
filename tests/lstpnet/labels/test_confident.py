from __future__ import annotations

import json

import numpy as np
import pytest

from dfer_data.errors import UsageError
from lstpnet.labels.confident import contradicted
from tests.golden.cleanlab_values import CASES, VALUES, labels_and_probabilities

EXPECTED = json.loads(VALUES.read_text(encoding="utf-8"))["ranked"]


@pytest.mark.parametrize(("case", "expected"), list(zip(CASES, EXPECTED, strict=True)), ids=str)
def test_the_clips_are_those_of_cleanlab(case: tuple[int, int, int, float], expected: list[int]) -> None:
    labels, probabilities = labels_and_probabilities(*case)
    found = np.flatnonzero(contradicted(labels, probabilities))
    assert len(expected) > 0
    confidence = probabilities[found, labels[found]]
    assert found[np.argsort(confidence, kind="stable")].tolist() == expected


def test_a_class_without_clips_is_never_likely() -> None:
    probabilities = np.array([[0.2, 0.1, 0.7], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])
    assert contradicted(np.array([0, 0, 1]), probabilities).tolist() == [False, False, False]


def test_probabilities_of_other_clips_are_refused() -> None:
    with pytest.raises(UsageError, match="do not fit"):
        contradicted(np.array([0, 1]), np.ones((3, 2)) / 2)
