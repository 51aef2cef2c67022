"""A video of exported frames lasts as long as they did in their source."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from dfer_data.exchange.clip_source import ClipSource
from dfer_data.exchange.selection import ExportClip

FPS = 25.0


def rate(frames: list[int], *, fps: float = FPS, only_16: bool = False, is_timed: bool = True) -> float:
    """Return the rate of a clip with these frames of its source; `only_16`: 16 of them, evenly spaced."""
    times = np.array(frames, np.float32) / np.float32(FPS) if is_timed else np.full(len(frames), np.nan, np.float32)
    chosen = np.linspace(0, len(frames) - 1, 16).round().astype(np.int32)
    reader = SimpleNamespace(
        clip_offsets=[0, len(frames)],
        num_frames=lambda row: len(frames),
        clip16_index=lambda row: chosen,
        tensor=lambda name: times,
    )
    dataset = cast(Any, SimpleNamespace(shard=lambda number: reader))
    clip = ExportClip("a", "a", None, None, {}, len(frames), fps, 0, 0)
    return ClipSource(dataset, only_16=only_16).rate(clip)


@pytest.mark.parametrize(
    ("frames", "seconds"),
    [
        (list(range(150)), 5.96),
        (list(range(16)), 0.6),
        (list(range(90_000, 90_400)), 15.96),  # an hour from the beginning of the video
    ],
)
def test_sixteen_frames_last_as_long_as_the_clip(frames: list[int], seconds: float) -> None:
    assert 15 / rate(frames, only_16=True) == pytest.approx(seconds, rel=0.001)


def test_all_frames_have_the_rate_of_their_source_and_those_with_gaps_a_slower_one() -> None:
    assert rate(list(range(100))) == FPS
    assert rate([*range(50), *range(100, 150)]) == pytest.approx(99 / (149 / FPS))


@pytest.mark.parametrize("frames", [[7], [7, 7]])
def test_frames_without_times_have_the_declared_rate(frames: list[int]) -> None:
    assert rate(frames) == FPS
    assert rate(list(range(9)), is_timed=False) == FPS
    assert rate(list(range(9)), is_timed=False, fps=0.0) == 0.0
    assert rate(list(range(9)), fps=0.0) == pytest.approx(FPS)


def test_the_rate_of_a_day_is_one_that_a_video_can_have() -> None:
    assert rate([25 * 86_400 * frame for frame in range(16)]) == 0.001
