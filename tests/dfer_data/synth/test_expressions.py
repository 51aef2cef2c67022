"""The courses of the seven emotions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfer_data.sources.class_labels import DFEW_NAMES
from dfer_data.synth.expressions import APEX, Performance, perform

seeds = st.integers(0, 2**32 - 1)


def _perform(emotion: str, seed: int) -> Performance:
    return perform(emotion, np.random.default_rng(seed))


@given(seed=seeds, emotion=st.sampled_from(DFEW_NAMES))
def test_every_clip_starts_neutral_and_is_long_enough(seed: int, emotion: str) -> None:
    performance = _perform(emotion, seed)
    assert performance.intensity[0] == pytest.approx(0, abs=1e-6)
    assert 16 <= len(performance.intensity) <= 30
    assert len(performance.yaw) == len(performance.pitch) == len(performance.blink) == len(performance.intensity)


@given(seed=seeds, emotion=st.sampled_from([name for name in DFEW_NAMES if name != "neutral"]))
def test_every_expression_reaches_a_visible_apex(seed: int, emotion: str) -> None:
    assert 0.7 <= _perform(emotion, seed).intensity.max() <= 1.4


@given(seed=seeds)
def test_neutral_stays_neutral(seed: int) -> None:
    assert not _perform("neutral", seed).intensity.any()


def test_surprise_and_fear_differ_in_time_alone() -> None:
    assert APEX["surprise"] == APEX["fear"]


@given(seed=seeds)
def test_surprise_is_sudden_and_short_fear_slow_and_held(seed: int) -> None:
    surprise, fear = _perform("surprise", seed).intensity, _perform("fear", seed).intensity
    assert np.diff(surprise).max() > 1.5 * np.diff(fear).max()
    assert surprise[-1] < 0.1
    assert fear[-1] == pytest.approx(fear.max())
    assert (surprise > 0.5 * surprise.max()).mean() < 0.5


@given(seed=seeds, emotion=st.sampled_from(DFEW_NAMES))
def test_the_head_moves_a_little_and_smoothly(seed: int, emotion: str) -> None:
    performance = _perform(emotion, seed)
    assert np.abs(performance.yaw).max() <= 0.33
    assert np.abs(np.diff(performance.yaw)).max() < 0.1
