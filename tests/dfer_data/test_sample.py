from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.sample import CLIP_FRAMES, segments_test


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
