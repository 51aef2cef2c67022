"""Choose the frames of a clip: sampling policies of the field, as pure functions of the number of frames.

A policy has a random formula for training and a formula for testing that gives one or more views. A separate rule
covers clips with fewer frames than are read, 16 by default. Every protocol line names policy and rule;
docs/reference/sampling.md draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from dfer_data.wording import counted

CLIP_FRAMES = 16
BLACK = -1
"""The index of a black frame."""
FrameIndices = npt.NDArray[np.int32]
Generator = np.random.Generator
SampleBy = Literal["frames", "time"]
"""Whether a sampler counts the stored frames of a clip, or the points of a uniform grid over its time."""
REFERENCE_FPS = 25.0
"""Default points of that grid per second."""
_LONGEST_STEP_SECONDS = 5.0
# Shares of a step by which rounded time stamps may move the end of a clip (milliseconds), and a tie (float32).
_END_SHARE, _TIE_SHARE = 0.1, 0.02
_Draw = Callable[[int, Generator], FrameIndices]


@dataclass(frozen=True)
class Sampler:
    """A sampling policy for clips of at least T frames, usually T = 16; its formulas also cover shorter clips."""

    name: str
    """Its name in recipes and protocol lines."""
    train: _Draw
    """(number of frames, random stream) -> (T,) int32."""
    test: _Draw
    """(number of frames, random stream) -> (V, T) int32."""
    num_views: int = 1
    """V: views of a test clip; their probabilities are averaged."""
    is_test_random: bool = False
    """Whether test frames are random too, as in the authors' code."""
    shortest_test: int = 0
    """Fewest frames for which the test formula spreads over the clip; below, it repeats the first frames."""


def segments_train(num_frames: int, rng: Generator, *, num_segments: int, frames_per_segment: int) -> FrameIndices:
    """Draw a run of consecutive frames from each equal segment: (num_segments * frames_per_segment,) int32.

    Former-DFER, LSTPNet, IAL, DFER-CLIP: segments have a = (N - d + 1) // n frames and run k starts at k a + U{0..a-1},
    so the last (N - d + 1) mod n frames are never drawn. If a is 0, starts are drawn over the clip and sorted; if N is
    at most n, all runs start at 0. Indices beyond the last frame become the last frame.
    """
    num_starts = num_frames - frames_per_segment + 1
    length = max(0, num_starts) // num_segments
    if length > 0:
        starts = np.arange(num_segments) * length + rng.integers(0, length, num_segments)
    elif num_frames > num_segments:
        starts = np.sort(rng.integers(0, max(1, num_starts), num_segments))
    else:
        starts = np.zeros(num_segments, np.int64)
    return _runs(starts, num_frames, frames_per_segment)


def segments_test(num_frames: int, *, num_segments: int = 8, frames_per_segment: int = 2) -> FrameIndices:
    """Return the run at the middle of each equal segment: (num_segments * frames_per_segment,) int32.

    t = (N - d + 1) / n, run k starts at int(t / 2 + t k). If N is at most n + d - 1, all runs start at 0, as in the
    code of Former-DFER, LSTPNet and IAL; DFER-CLIP's repeats the last frame instead.
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


def uniform_train(num_frames: int, rng: Generator, *, clip_frames: int = CLIP_FRAMES) -> FrameIndices:
    """Draw T different frames, sorted (the code of DFEW's owners); a shorter clip is repeated until it has T."""
    length = _repeated_length(num_frames, clip_frames)
    drawn = np.sort(rng.choice(length, clip_frames, replace=False))
    return (drawn % num_frames).astype(np.int32)


def uniform_test(num_frames: int, *, clip_frames: int = CLIP_FRAMES) -> FrameIndices:
    """Return T evenly spaced frames, including the first and the last (the code of DFEW's owners).

    A shorter clip is repeated until it has T. For 12 frames: 0 1 3 4 6 7 9 10 0 1 3 4 6 7 9 11.
    """
    length = _repeated_length(num_frames, clip_frames)
    spaced = np.linspace(0, length - 1, clip_frames).astype(np.int32)
    return np.asarray(spaced % num_frames, np.int32)


def _repeated_length(num_frames: int, clip_frames: int) -> int:
    """Return the length of a clip that is repeated whole until it has T frames."""
    return num_frames * -(-clip_frames // num_frames)


def m3dfel(num_frames: int, rng: Generator, *, clip_frames: int = CLIP_FRAMES) -> FrameIndices:
    """Draw min(N - 1, int(N i / T) + U{0..T-1}) for i = 0..T-1, in training and in testing; not in temporal order."""
    starts = np.array([num_frames * i // clip_frames for i in range(clip_frames)])
    return np.asarray(np.minimum(starts + rng.integers(0, clip_frames, clip_frames), num_frames - 1), np.int32)


def strided_window_train(
    num_frames: int, rng: Generator, *, stride: int, clip_frames: int = CLIP_FRAMES
) -> FrameIndices:
    """Draw a window of T * `stride` frames and return T evenly spaced ones (VideoMAE, MAE-DFER, SVFAP, S2D).

    A clip no longer than the window gives every `stride`-th frame, then repeats its last one.
    """
    window = clip_frames * stride
    if num_frames <= window:
        spaced = np.linspace(0, num_frames, num_frames // stride)
        index = np.concatenate([spaced, np.full(clip_frames - len(spaced), num_frames)])
        return np.asarray(np.clip(index, 0, num_frames - 1), np.int32)
    end = int(rng.integers(window, num_frames))
    return np.asarray(np.clip(np.linspace(end - window, end, clip_frames), end - window, end - 1), np.int32)


def strided_window_test(
    num_frames: int, *, stride: int, num_views: int, clip_frames: int = CLIP_FRAMES
) -> FrameIndices:
    """Return views (V, T) of every `stride`-th frame, from the first T to the last T, padded with the last one."""
    strided = np.arange(0, num_frames, stride)
    strided = np.concatenate([strided, np.full(max(0, clip_frames - len(strided)), strided[-1])])
    step = (len(strided) - clip_frames) / max(1, num_views - 1)
    return np.stack([strided[int(v * step) :][:clip_frames] for v in range(num_views)]).astype(np.int32)


def dense_train(num_frames: int, rng: Generator, *, clip_frames: int = CLIP_FRAMES) -> FrameIndices:
    """Draw T consecutive frames; a shorter clip repeats its last frame."""
    start = int(rng.integers(0, max(1, num_frames - clip_frames + 1)))
    return np.minimum(start + np.arange(clip_frames), num_frames - 1).astype(np.int32)


def dense_test(num_frames: int, *, clip_frames: int = CLIP_FRAMES) -> FrameIndices:
    """Return the T consecutive frames in the middle; a shorter clip repeats its last frame."""
    start = max(0, (num_frames - clip_frames) // 2)
    return np.minimum(start + np.arange(clip_frames), num_frames - 1).astype(np.int32)


def edge(num_frames: int, *, clip_frames: int = CLIP_FRAMES) -> FrameIndices:
    """Return all frames, then repeat the last one."""
    return np.minimum(np.arange(clip_frames), num_frames - 1).astype(np.int32)


def loop(num_frames: int, *, clip_frames: int = CLIP_FRAMES) -> FrameIndices:
    """Return all frames, then start again from the first."""
    return (np.arange(clip_frames) % num_frames).astype(np.int32)


def zero(num_frames: int, *, clip_frames: int = CLIP_FRAMES) -> FrameIndices:
    """Return all frames, then black ones."""
    frames = np.arange(clip_frames)
    return np.where(frames < num_frames, frames, BLACK).astype(np.int32)


def _segments(name: str, frames_per_segment: int, clip_frames: int) -> Sampler:
    if clip_frames % frames_per_segment:
        raise UsageError(f"{name} takes {frames_per_segment} frames per segment: {clip_frames} is not a multiple")
    num_segments = clip_frames // frames_per_segment
    train = partial(segments_train, num_segments=num_segments, frames_per_segment=frames_per_segment)
    test = partial(segments_test, num_segments=num_segments, frames_per_segment=frames_per_segment)
    shortest = num_segments + frames_per_segment
    return Sampler(name, train, lambda n, rng: test(n)[None], shortest_test=shortest)


def _strided(stride: int, clip_frames: int) -> Sampler:
    test = partial(strided_window_test, stride=stride, num_views=2, clip_frames=clip_frames)
    train = partial(strided_window_train, stride=stride, clip_frames=clip_frames)
    return Sampler(f"strided-window-{stride}", train, lambda n, rng: test(n), num_views=2)


def _uniform(clip_frames: int) -> Sampler:
    train = partial(uniform_train, clip_frames=clip_frames)
    return Sampler("uniform", train, lambda n, rng: uniform_test(n, clip_frames=clip_frames)[None])


def _m3dfel(clip_frames: int) -> Sampler:
    draw = partial(m3dfel, clip_frames=clip_frames)
    return Sampler("m3dfel", draw, lambda n, rng: draw(n, rng)[None], is_test_random=True)


def _dense(clip_frames: int) -> Sampler:
    train = partial(dense_train, clip_frames=clip_frames)
    return Sampler("dense", train, lambda n, rng: dense_test(n, clip_frames=clip_frames)[None])


SAMPLERS: Mapping[str, Callable[[int], Sampler]] = MappingProxyType(
    {
        "segments-8x2": partial(_segments, "segments-8x2", 2),
        "segments-16x1": partial(_segments, "segments-16x1", 1),
        "uniform": _uniform,
        "m3dfel": _m3dfel,
        "strided-window-4": partial(_strided, 4),
        "strided-window-1": partial(_strided, 1),
        "dense": _dense,
    }
)
"""Name -> policy for T frames. segments-8x2: Former-DFER, LSTPNet. segments-16x1: IAL, DFER-CLIP. uniform: DFEW's
owners. m3dfel: M3DFEL. strided-window-4: MAE-DFER, SVFAP on DFEW and MAFW; -1: on FERV39k. dense: action recognition.
If T is not 16, segments keep their length and their number changes."""
SHORT_RULES: Mapping[str, Callable[..., FrameIndices] | None] = MappingProxyType(
    {"edge": edge, "loop": loop, "zero": zero, "drop": None, "formula": None}
)
"""Rules for clips with fewer than T frames. `drop`: the clip is left out of train and test. `formula`: the sampler's
own formula, as in its authors' code."""
DEFAULT_SAMPLER, DEFAULT_SHORT = "segments-8x2", "edge"


def sampler(name: str, *, clip_frames: int = CLIP_FRAMES) -> Sampler:
    """Return the policy `name` for T = `clip_frames`; UsageError for an unknown name or an unsupported T."""
    if name not in SAMPLERS:
        raise UsageError(f"unknown sampler {name!r}; known: {', '.join(SAMPLERS)}")
    if clip_frames < 1:
        raise UsageError(f"clips of {clip_frames} frames: must be 1 or more")
    return SAMPLERS[name](clip_frames)


def checked_short_rule(name: str) -> str:
    """Return `name` if it is a rule for short clips; UsageError lists the known ones."""
    if name not in SHORT_RULES:
        raise UsageError(f"unknown rule for short clips {name!r}; known: {', '.join(SHORT_RULES)}")
    return name


def checked_grid(sample_by: str, fps: float) -> float | None:
    """Return the points per second of the grid on which `sample_by` places frames; None if it counts them.

    Raises UsageError for another word or no positive number.
    """
    if sample_by not in get_args(SampleBy):
        raise UsageError(f"unknown sample_by {sample_by!r}; known: {', '.join(get_args(SampleBy))}")
    if not 0 < fps < np.inf:
        raise UsageError(f"{fps} points per second: must be more than 0")
    return fps if sample_by == "time" else None


def frames_of_clip(
    num_frames: int,
    *,
    part: Literal["train", "test"],
    sampler_name: str = DEFAULT_SAMPLER,
    short: str = DEFAULT_SHORT,
    rng: Generator | None = None,
    clip_frames: int = CLIP_FRAMES,
    grid: FrameIndices | None = None,
) -> FrameIndices:
    """Return the frames of a clip of `num_frames` as views: (1, T) for train, (V, T) for test, int32; T: `clip_frames`.

    `grid`: from `frames_on_grid`. The sampler and the rule then choose among its points, as if these were the frames,
    and each point becomes its nearest frame; `drop` counts frames still, and a shorter grid repeats its last point.

    A clip of T frames whose test formula would repeat the first one gives each frame once, except under `formula`.
    Random policies need `rng`. BLACK is a black frame. Raises ValueError for an empty clip, and for a short clip under
    the rule `drop`: the caller must leave it out.
    """
    if num_frames < 1:
        raise ValueError("a clip needs at least one frame")
    if short == "drop" and num_frames < clip_frames:
        raise ValueError(f"a clip of {counted(num_frames, 'frame')} is left out under the rule {short!r}")
    if grid is not None:
        rule = DEFAULT_SHORT if short == "drop" else short
        points = frames_of_clip(
            len(grid), part=part, sampler_name=sampler_name, short=rule, rng=rng, clip_frames=clip_frames
        )
        return np.where(points == BLACK, BLACK, grid[points]).astype(np.int32)
    policy = sampler(sampler_name, clip_frames=clip_frames)
    shortest = max(clip_frames, policy.shortest_test if part == "test" else 0)
    if num_frames < shortest and short != "formula":
        fill = SHORT_RULES[checked_short_rule(short)] or edge
        return np.tile(fill(num_frames, clip_frames=clip_frames), (1 if part == "train" else policy.num_views, 1))
    stream = rng if rng is not None else np.random.default_rng(0)
    return policy.train(num_frames, stream)[None] if part == "train" else policy.test(num_frames, stream)


def frames_on_grid(times_seconds: npt.ArrayLike, *, fps: float = REFERENCE_FPS) -> FrameIndices:
    """Return the frame that is nearest to each point of a uniform grid over a clip, (num_points,) int32, sorted.

    `times_seconds` (N,): times of the frames, in order. The grid has `fps` points per second from the first frame to
    the end of the last, which lasts as long as the median step; of two frames equally near it takes the earlier one. A
    step back, or of more than 5 s, counts as a median step of at most 5 s. So a clip of constant rate `fps` gives each
    frame once.

    Raises ValueError without a frame, and if times are missing or none comes after the one before.
    """
    times = np.asarray(times_seconds, np.float64)
    steps = np.diff(times)
    if not has_times(times):
        raise ValueError(f"the times of {counted(len(times), 'frame')} do not tell when each was shown")
    usual = min(float(np.median(steps[steps > 0])), _LONGEST_STEP_SECONDS) if len(steps) else 0.0
    starts = np.cumsum([0.0, *np.where((steps < 0) | (steps > _LONGEST_STEP_SECONDS), usual, steps)])
    num_points = max(1, int(np.ceil((starts[-1] + usual) * fps - _END_SHARE)))
    middles = (starts[:-1] + starts[1:]) / 2
    points = np.arange(num_points) / fps
    return np.searchsorted(middles, points - _TIE_SHARE * min(usual, 1 / fps), side="left").astype(np.int32)


def has_times(times_seconds: npt.ArrayLike) -> bool:
    """Whether the times (N,) of a clip's frames tell when each was shown: all are known, and not all are the same."""
    times = np.asarray(times_seconds, np.float64)
    return len(times) > 0 and bool(np.isfinite(times).all()) and (len(times) == 1 or bool((np.diff(times) > 0).any()))


def baked_frames(num_frames: int) -> FrameIndices:
    """Return the sixteen test frames (16,) int32 that a shard stores: segments-8x2, with `edge` for short clips."""
    frames: FrameIndices = frames_of_clip(num_frames, part="test")[0]
    return frames
