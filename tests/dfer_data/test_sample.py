from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.sample import CLIP_FRAMES, segments_test, segments_train


def test_the_published_example() -> None:
    wanted = [4, 5, 12, 13, 21, 22, 30, 31, 38, 39, 47, 48, 56, 57, 64, 65]
    assert segments_test(70).tolist() == wanted


@settings(max_examples=200)
@given(st.integers(1, 5000))
def test_indices_are_in_range_and_in_order(num_frames: int) -> None:
    indices = segments_test(num_frames)
    assert indices.shape == (CLIP_FRAMES,)
    assert indices.dtype == np.int32
    assert indices[0] >= 0
    assert indices[-1] < num_frames
    assert (np.diff(indices) >= 0).all()


@settings(max_examples=100)
@given(st.integers(16, 5000))
def test_long_clips_give_eight_pairs_of_neighbours_in_the_middle_of_equal_segments(num_frames: int) -> None:
    pairs = segments_test(num_frames).reshape(8, 2)
    assert (pairs[:, 1] - pairs[:, 0] == 1).all()
    assert len(np.unique(pairs)) == 16
    step = (num_frames - 1) / 8
    middles = step * (np.arange(8) + 0.5)
    assert ((pairs[:, 0] <= middles) & (middles < pairs[:, 0] + 1)).all()


@pytest.mark.parametrize("num_frames", range(1, 16))
def test_short_clips_repeat_their_last_frame(num_frames: int) -> None:
    wanted = [min(index, num_frames - 1) for index in range(16)]
    assert segments_test(num_frames).tolist() == wanted


def test_sixteen_frames_are_taken_whole() -> None:
    assert segments_test(16).tolist() == list(range(16))


def test_other_segmentations() -> None:
    assert segments_test(70, num_segments=16, frames_per_segment=1).tolist() == [
        int(70 / 32 + 70 / 16 * k) for k in range(16)
    ]


@pytest.mark.parametrize("num_frames", [0, -1])
def test_an_empty_clip_is_refused(num_frames: int) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        segments_test(num_frames)


def drawn(num_frames: int, seed: int = 0, **segmentation: int) -> npt.NDArray[np.int32]:
    return segments_train(num_frames, rng=np.random.default_rng(seed), **segmentation)


@settings(max_examples=200)
@given(st.integers(1, 5000), st.integers(0, 2**32))
def test_training_indices_are_in_range_and_in_order(num_frames: int, seed: int) -> None:
    indices = drawn(num_frames, seed)
    assert indices.shape == (CLIP_FRAMES,)
    assert indices.dtype == np.int32
    assert indices[0] >= 0
    assert indices[-1] < num_frames
    assert (np.diff(indices[::2]) >= 0).all()
    assert indices.tolist() == drawn(num_frames, seed).tolist()


@settings(max_examples=200)
@given(st.integers(16, 5000), st.integers(0, 2**32))
def test_training_draws_one_pair_of_neighbours_in_each_of_eight_segments(num_frames: int, seed: int) -> None:
    """The field's rule: a = (N - d + 1) // n, k a + U{0..a-1}; never the last (N - d + 1) mod n frames."""
    pairs = drawn(num_frames, seed).reshape(8, 2)
    length, remainder = divmod(num_frames - 1, 8)
    assert (pairs[:, 1] - pairs[:, 0] == 1).all()
    assert (pairs[:, 0] // length == np.arange(8)).all()
    assert pairs.max() < num_frames - remainder


@pytest.mark.parametrize("num_frames", [16, 17, 25, 70])
def test_training_reaches_every_frame_but_the_last_few(num_frames: int) -> None:
    reached = {int(index) for seed in range(300) for index in drawn(num_frames, seed)}
    assert reached == set(range(num_frames - (num_frames - 1) % 8))


@pytest.mark.parametrize("num_frames", range(1, 16))
def test_short_training_clips_repeat_their_last_frame(num_frames: int) -> None:
    assert drawn(num_frames).tolist() == [min(index, num_frames - 1) for index in range(16)]


@settings(max_examples=200)
@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 6), st.integers(0, 99))
def test_other_training_segmentations(num_frames: int, num_segments: int, frames_per_segment: int, seed: int) -> None:
    groups = drawn(num_frames, seed, num_segments=num_segments, frames_per_segment=frames_per_segment)
    assert groups.shape == (num_segments * frames_per_segment,)
    assert ((groups >= 0) & (groups < num_frames)).all()
    if num_frames >= len(groups):
        assert (np.diff(groups.reshape(num_segments, frames_per_segment), axis=1) == 1).all()


@pytest.mark.parametrize("num_frames", [0, -1])
def test_an_empty_training_clip_is_refused(num_frames: int) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        drawn(num_frames)
