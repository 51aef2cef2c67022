"""Which frames make a 16-frame clip: the field's sampling policies by name, as pure functions of the number of frames.

A policy has a formula for training, which draws, and one for testing, which gives one or more views. Clips shorter than
sixteen frames go by a rule of their own. Both are named in every protocol line; docs/protocol.md draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError

CLIP_FRAMES = 16
BLACK = -1
"""An index that stands for a black frame."""
FrameIndices = npt.NDArray[np.int32]
Generator = np.random.Generator
ShortRule = Literal["edge", "loop", "zero", "drop", "formula"]
_Draw = Callable[[int, Generator], FrameIndices]


@dataclass(frozen=True)
class Sampler:
    """A sampling policy for clips of at least sixteen frames; its formulas also say what they do with fewer."""

    name: str
    """In recipes and protocol lines."""
    train: _Draw
    """(number of frames, random stream) -> (16,) int32."""
    test: _Draw
    """(number of frames, random stream) -> (V, 16) int32."""
    num_views: int = 1
    """V: views of a test clip, whose probabilities are averaged."""
    is_test_random: bool = False
    """The authors draw test frames too."""


def segments_train(num_frames: int, rng: Generator, *, num_segments: int, frames_per_segment: int) -> FrameIndices:
    """Draw runs of consecutive frames, one in each equal segment: (num_segments * frames_per_segment,) int32.

    Former-DFER, LSTPNet, IAL, DFER-CLIP: segments have a = (N - d + 1) // n frames and run k starts at k a + U{0..a-1},
    so the last (N - d + 1) mod n frames are never drawn. Where a is 0, starts are drawn over the clip and sorted; where
    N is not even more than n, all runs start at 0. Frames after the last are the last.
    """
    room = num_frames - frames_per_segment + 1
    length = max(0, room) // num_segments
    if length > 0:
        starts = np.arange(num_segments) * length + rng.integers(0, length, num_segments)
    elif num_frames > num_segments:
        starts = np.sort(rng.integers(0, max(1, room), num_segments))
    else:
        starts = np.zeros(num_segments, np.int64)
    return _runs(starts, num_frames, frames_per_segment)


def segments_test(num_frames: int, *, num_segments: int = 8, frames_per_segment: int = 2) -> FrameIndices:
    """Return the run at the middle of each equal segment: (num_segments * frames_per_segment,) int32.

    t = (N - d + 1) / n, run k starts at int(t / 2 + t k); where N is not more than n + d - 1, all runs start at 0.
    For 70 frames: 4 5 12 13 21 22 30 31 38 39 47 48 56 57 64 65.
    """
    step = (num_frames - frames_per_segment + 1) / num_segments
    if num_frames > num_segments + frames_per_segment - 1:
        starts = np.array([int(step / 2 + step * k) for k in range(num_segments)])
    else:
        starts = np.zeros(num_segments, np.int64)
    return _runs(starts, num_frames, frames_per_segment)


def _runs(starts: npt.NDArray[np.int64], num_frames: int, frames_per_segment: int) -> FrameIndices:
    frames = (starts[:, None] + np.arange(frames_per_segment)).reshape(-1)
    return np.asarray(np.minimum(frames, num_frames - 1), np.int32)


def uniform_train(num_frames: int, rng: Generator) -> FrameIndices:
    """Draw sixteen different frames, sorted (the code of DFEW's owners); fewer frames are repeated in turn."""
    if num_frames < CLIP_FRAMES:
        return loop(num_frames)
    return np.sort(rng.choice(num_frames, CLIP_FRAMES, replace=False)).astype(np.int32)


def uniform_test(num_frames: int) -> FrameIndices:
    """Return sixteen evenly spaced frames, the first and the last among them (the code of DFEW's owners)."""
    return np.linspace(0, num_frames - 1, CLIP_FRAMES).astype(np.int32)


def m3dfel(num_frames: int, rng: Generator) -> FrameIndices:
    """Draw min(N - 1, int(N i / 16) + U{0..15}) for i = 0..15, in training and in testing; not in order of time."""
    starts = np.array([num_frames * i // CLIP_FRAMES for i in range(CLIP_FRAMES)])
    return np.asarray(np.minimum(starts + rng.integers(0, CLIP_FRAMES, CLIP_FRAMES), num_frames - 1), np.int32)


def strided_window_train(num_frames: int, rng: Generator, *, stride: int) -> FrameIndices:
    """Draw a window of 16 `stride` frames and take sixteen evenly spaced ones (VideoMAE, MAE-DFER, SVFAP, S2D).

    A clip that is not longer than the window gives every `stride`-th frame, then its last one.
    """
    window = CLIP_FRAMES * stride
    if num_frames <= window:
        spaced = np.linspace(0, num_frames, num_frames // stride)
        index = np.concatenate([spaced, np.full(CLIP_FRAMES - len(spaced), num_frames)])
        return np.asarray(np.clip(index, 0, num_frames - 1), np.int32)
    end = int(rng.integers(window, num_frames))
    return np.asarray(np.clip(np.linspace(end - window, end, CLIP_FRAMES), end - window, end - 1), np.int32)


def strided_window_test(num_frames: int, *, stride: int, num_views: int) -> FrameIndices:
    """Return views (V, 16) of every `stride`-th frame, the first sixteen to the last sixteen, padded with the last."""
    strided = np.arange(0, num_frames, stride)
    strided = np.concatenate([strided, np.full(max(0, CLIP_FRAMES - len(strided)), strided[-1])])
    step = (len(strided) - CLIP_FRAMES) / max(1, num_views - 1)
    return np.stack([strided[int(v * step) :][:CLIP_FRAMES] for v in range(num_views)]).astype(np.int32)


def dense_train(num_frames: int, rng: Generator) -> FrameIndices:
    """Draw sixteen consecutive frames; a shorter clip repeats its last one."""
    start = int(rng.integers(0, max(1, num_frames - CLIP_FRAMES + 1)))
    return np.minimum(start + np.arange(CLIP_FRAMES), num_frames - 1).astype(np.int32)


def dense_test(num_frames: int) -> FrameIndices:
    """Return the sixteen consecutive frames in the middle; a shorter clip repeats its last one."""
    start = max(0, (num_frames - CLIP_FRAMES) // 2)
    return np.minimum(start + np.arange(CLIP_FRAMES), num_frames - 1).astype(np.int32)


def edge(num_frames: int) -> FrameIndices:
    """Take all frames, then the last one again and again."""
    return np.minimum(np.arange(CLIP_FRAMES), num_frames - 1).astype(np.int32)


def loop(num_frames: int) -> FrameIndices:
    """Take all frames, then begin anew."""
    return (np.arange(CLIP_FRAMES) % num_frames).astype(np.int32)


def zero(num_frames: int) -> FrameIndices:
    """Take all frames, then black ones."""
    frames = np.arange(CLIP_FRAMES)
    return np.where(frames < num_frames, frames, BLACK).astype(np.int32)


def _segments(name: str, num_segments: int, frames_per_segment: int) -> Sampler:
    train = partial(segments_train, num_segments=num_segments, frames_per_segment=frames_per_segment)
    test = partial(segments_test, num_segments=num_segments, frames_per_segment=frames_per_segment)
    return Sampler(name, train, lambda n, rng: test(n)[None])


def _strided(stride: int) -> Sampler:
    test = partial(strided_window_test, stride=stride, num_views=2)
    train = partial(strided_window_train, stride=stride)
    return Sampler(f"strided-window-{stride}", train, lambda n, rng: test(n), num_views=2)


SAMPLERS: Mapping[str, Sampler] = MappingProxyType(
    {
        sampler.name: sampler
        for sampler in (
            _segments("segments-8x2", 8, 2),
            _segments("segments-16x1", 16, 1),
            Sampler("uniform", uniform_train, lambda n, rng: uniform_test(n)[None]),
            Sampler("m3dfel", m3dfel, lambda n, rng: m3dfel(n, rng)[None], is_test_random=True),
            _strided(4),
            _strided(1),
            Sampler("dense", dense_train, lambda n, rng: dense_test(n)[None]),
        )
    }
)
"""segments-8x2: Former-DFER, LSTPNet. segments-16x1: IAL, DFER-CLIP. uniform: DFEW's owners. m3dfel: M3DFEL.
strided-window-4: MAE-DFER, SVFAP on DFEW and MAFW; -1: on FERV39k. dense: action recognition."""
SHORT_RULES: Mapping[str, Callable[[int], FrameIndices] | None] = MappingProxyType(
    {"edge": edge, "loop": loop, "zero": zero, "drop": None, "formula": None}
)
"""What becomes of a clip with fewer than sixteen frames. `drop`: it is left out, in train and test. `formula`: the
sampler's own formula, as its authors run it."""
DEFAULT_SAMPLER, DEFAULT_SHORT = "segments-8x2", "edge"


def sampler(name: str) -> Sampler:
    """Return the policy called `name`; UsageError lists the known ones."""
    if name not in SAMPLERS:
        raise UsageError(f"unknown sampler {name!r}; known: {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def checked_short_rule(name: str) -> str:
    """Return `name` if it is a rule for short clips; UsageError lists the known ones."""
    if name not in SHORT_RULES:
        raise UsageError(f"unknown rule for short clips {name!r}; known: {', '.join(SHORT_RULES)}")
    return name


def frames_of_clip(
    num_frames: int,
    *,
    part: Literal["train", "test"],
    sampler_name: str = DEFAULT_SAMPLER,
    short: str = DEFAULT_SHORT,
    rng: Generator | None = None,
) -> FrameIndices:
    """Return the frames of a clip of `num_frames` as views: (1, 16) for train, (V, 16) for test, int32.

    `rng` is needed where the policy draws. BLACK stands for a black frame. Raises ValueError for an empty clip, and for
    a short one under the rule `drop`, which the caller must have left out.
    """
    if num_frames < 1:
        raise ValueError("a clip needs at least one frame")
    chosen = sampler(sampler_name)
    if num_frames < CLIP_FRAMES and short != "formula":
        rule = SHORT_RULES[checked_short_rule(short)]
        if rule is None:
            raise ValueError(f"a clip of {num_frames} frames is left out under the rule {short!r}")
        return np.tile(rule(num_frames), (1 if part == "train" else chosen.num_views, 1))
    stream = rng if rng is not None else np.random.default_rng(0)
    return chosen.train(num_frames, stream)[None] if part == "train" else chosen.test(num_frames, stream)


def baked_frames(num_frames: int) -> FrameIndices:
    """Return the sixteen test frames (16,) int32 that a shard names: segments-8x2, short clips by edge."""
    frames: FrameIndices = frames_of_clip(num_frames, part="test")[0]
    return frames


def drawing(indices: FrameIndices, num_frames: int) -> str:
    """Return one character a frame: `#` taken, a digit taken so many times, `.` not taken; then `0` a black frame."""
    counts = np.bincount(indices[indices >= 0], minlength=num_frames)
    marks = ["." if count == 0 else "#" if count == 1 else format(min(int(count), 15), "x") for count in counts]
    return "".join(marks) + "0" * int((indices == BLACK).sum())
