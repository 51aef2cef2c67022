"""Frames placed by time: the same instants at any frame rate, and the frame numbers' result at the reference rate."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.errors import UsageError
from dfer_data.frame_sampling import (
    BLACK,
    CLIP_FRAMES,
    SAMPLERS,
    SHORT_RULES,
    checked_grid,
    frames_of_clip,
    frames_on_grid,
    has_times,
)

Part = Literal["train", "test"]
PARTS: tuple[Part, ...] = ("train", "test")
SHORT = sorted(SHORT_RULES.keys() - {"drop"})
Times = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int32]


def even(num_frames: int, *, fps: float, start: float = 0.0, milliseconds: bool = False) -> Times:
    """Times of a constant rate as a shard stores them, float32; some files round them to milliseconds."""
    times = start + np.arange(num_frames) / fps
    return (np.round(times, 3) if milliseconds else times).astype(np.float32)


def by_time(times: Times, name: str, *, part: Part, short: str = "edge", fps: float = 25.0, seed: int = 0) -> Indices:
    grid = frames_on_grid(times, fps=fps)
    rng = np.random.default_rng(seed)
    return frames_of_clip(len(times), grid=grid, part=part, sampler_name=name, short=short, rng=rng)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=12)
@given(
    num_frames=st.integers(1, 400),
    fps=st.sampled_from([10, 24000 / 1001, 25, 30000 / 1001, 30, 50, 60]),
    start=st.sampled_from([0.0, 0.08, 731.4, 3599.96]),
    short=st.sampled_from(SHORT),
    seed=st.integers(0, 99),
)
def test_a_clip_of_the_reference_rate_has_the_frames_of_the_sampler(
    name: str, part: Part, num_frames: int, fps: float, start: float, short: str, seed: int
) -> None:
    expected = frames_of_clip(num_frames, part=part, sampler_name=name, short=short, rng=np.random.default_rng(seed))
    for milliseconds in (False, True):
        times = even(num_frames, fps=fps, start=start, milliseconds=milliseconds)
        np.testing.assert_array_equal(by_time(times, name, part=part, short=short, fps=fps, seed=seed), expected)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("factor", [2, 3, 4])
@settings(max_examples=6)
@given(num_frames=st.integers(1, 200), num_more=st.integers(0, 3), seed=st.integers(0, 99))
def test_a_clip_of_a_multiple_of_the_rate_has_the_frames_of_the_same_instants(
    name: str, part: Part, factor: int, num_frames: int, num_more: int, seed: int
) -> None:
    slow = even(num_frames, fps=25)
    num_fast = factor * (num_frames - 1) + 1 + min(num_more, factor - 1)  # the last instant may be shown once or more
    fast = even(max(2, num_fast), fps=25 * factor)
    expected = by_time(slow, name, part=part, seed=seed)
    np.testing.assert_array_equal(by_time(fast, name, part=part, seed=seed), factor * expected)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=15)
@given(
    steps=st.lists(st.floats(-1, 9, width=32), max_size=60),
    fps=st.floats(1, 240),
    short=st.sampled_from(SHORT),
)
def test_frames_are_in_range_and_in_the_order_of_the_sampler(
    name: str, part: Part, steps: list[float], fps: float, short: str
) -> None:
    times = np.cumsum([0.0, *steps]).astype(np.float32)
    if not has_times(times):
        with pytest.raises(ValueError, match="do not tell when"):
            frames_on_grid(times, fps=fps)
        return
    grid = frames_on_grid(times, fps=fps)
    assert (np.diff(grid) >= 0).all()
    assert grid[0] == 0
    frames = by_time(times, name, part=part, short=short, fps=fps)
    points = frames_of_clip(len(grid), part=part, sampler_name=name, short=short, rng=np.random.default_rng(0))
    assert frames.shape == points.shape
    assert frames.shape[1] == CLIP_FRAMES
    assert ((frames >= 0) & (frames < len(times)) | (points == BLACK)).all()
    assert (np.sign(np.diff(frames)) * np.sign(np.diff(points)) >= 0).all() or short == "zero"


@settings(max_examples=40)
@given(st.lists(st.floats(0.005, 1.0), min_size=16, max_size=120))
def test_every_point_of_a_variable_rate_has_its_nearest_frame(steps: list[float]) -> None:
    times = np.cumsum([0.0, *steps])
    grid = frames_on_grid(times, fps=25)
    points = np.arange(len(grid)) / 25
    distances = np.abs(times[grid] - points)
    nearest = np.abs(times[:, None] - points).min(axis=0)
    np.testing.assert_allclose(distances, nearest, atol=0.04 * 0.04)
    assert points[-1] <= times[-1] + np.median(steps) <= points[-1] + 1.11 / 25


def test_fast_and_slow_clips_of_a_second_show_the_same_second() -> None:
    for fps in (15, 24, 25, 30, 60, 120):
        frames = by_time(even(fps, fps=fps), "uniform", part="test")[0]
        np.testing.assert_allclose(frames / fps, np.linspace(0, 0.96, 16), atol=0.04 + 0.5 / fps)


def test_a_jump_of_the_time_stamps_is_one_step_and_a_pause_is_not() -> None:
    steady = even(40, fps=25)
    jumped, turned, paused = steady.copy(), steady.copy(), steady.copy()
    jumped[20:] += 1000
    turned[20:] -= 5
    paused[20:] += 2
    assert frames_on_grid(jumped).tolist() == frames_on_grid(turned).tolist() == list(range(40))
    assert len(frames_on_grid(paused)) == 90
    assert len(frames_on_grid([0.0, 1e30, 2e30])) == 3 * 5 * 25  # no grid of any size, whatever a file says


def test_a_short_clip_is_short_on_the_grid() -> None:
    """Half a second has 13 points at 25 per second, of 30 frames or of 13."""
    assert len(frames_on_grid(even(30, fps=60))) == 13
    assert by_time(even(30, fps=60), "dense", part="test").tolist() == [
        [0, 2, 5, 7, 10, 12, 14, 17, 19, 22, 24, 26, 29, 29, 29, 29]
    ]
    assert by_time(even(30, fps=60), "dense", part="test", short="zero")[0, -3:].tolist() == [BLACK] * 3
    np.testing.assert_array_equal(
        by_time(even(30, fps=60), "dense", part="test", short="drop"), by_time(even(30, fps=60), "dense", part="test")
    )
    with pytest.raises(ValueError, match="left out under the rule 'drop'"):
        by_time(even(10, fps=5), "dense", part="test", short="drop")


@pytest.mark.parametrize("times", [[], [np.nan], [np.nan] * 20, [0, 0.04, np.nan], [0.0] * 20, [3, 2, 1], [0, np.inf]])
def test_missing_and_flat_times_are_refused(times: list[float]) -> None:
    assert not has_times(times)
    with pytest.raises(ValueError, match="do not tell when"):
        frames_on_grid(times)


def test_a_grid_needs_a_known_word_and_a_positive_rate() -> None:
    assert (checked_grid("frames", 25), checked_grid("time", 30)) == (None, 30)
    with pytest.raises(UsageError, match="unknown sample_by 'seconds'; known: frames, time"):
        checked_grid("seconds", 25)
    with pytest.raises(UsageError, match="must be more than 0"):
        checked_grid("time", 0)
