from __future__ import annotations

import re
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
    baked_frames,
    frames_of_clip,
    sampler,
    segments_test,
    segments_train,
)
from tests.workspace import ROOT

DOCS = ROOT / "docs/protocol.md"
IN_ORDER = sorted(SAMPLERS.keys() - {"m3dfel"})
"""Policies whose frames never go back in time."""
Indices = npt.NDArray[np.int32]
Part = Literal["train", "test"]
PARTS: tuple[Part, ...] = ("train", "test")


def views(name: str, num_frames: int, *, part: Part, seed: int = 0, short: str = "formula") -> Indices:
    rng = np.random.default_rng(seed)
    return frames_of_clip(num_frames, part=part, sampler_name=name, short=short, rng=rng)


def test_the_published_example() -> None:
    wanted = [4, 5, 12, 13, 21, 22, 30, 31, 38, 39, 47, 48, 56, 57, 64, 65]
    assert segments_test(70).tolist() == wanted
    assert baked_frames(70).tolist() == wanted


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=120)
@given(num_frames=st.integers(1, 3000), seed=st.integers(0, 2**32))
def test_indices_are_in_range_and_a_function_of_their_stream(name: str, part: Part, num_frames: int, seed: int) -> None:
    found = views(name, num_frames, part=part, seed=seed)
    assert found.shape == (1 if part == "train" else sampler(name).num_views, CLIP_FRAMES)
    assert found.dtype == np.int32
    assert found.min() >= 0
    assert found.max() < num_frames
    np.testing.assert_array_equal(found, views(name, num_frames, part=part, seed=seed))
    if part == "test" and not sampler(name).is_test_random:
        np.testing.assert_array_equal(found, views(name, num_frames, part=part, seed=seed + 1))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", IN_ORDER)
@settings(max_examples=120)
@given(num_frames=st.integers(16, 3000), seed=st.integers(0, 2**32))
def test_clips_long_enough_stay_in_order_of_time(name: str, part: Part, num_frames: int, seed: int) -> None:
    starts = views(name, num_frames, part=part, seed=seed)
    if part == "train" and name == "segments-8x2":
        starts = starts[:, ::2]  # runs may overlap, each is in order
    assert (np.diff(starts, axis=1) >= 0).all()


def test_m3dfel_is_not_in_order_of_time() -> None:
    assert any((np.diff(views("m3dfel", 70, part="test", seed=seed)) < 0).any() for seed in range(20))
    assert not (views("m3dfel", 70, part="test", seed=0) == views("m3dfel", 70, part="test", seed=1)).all()


@settings(max_examples=100)
@given(st.integers(16, 5000))
def test_the_test_runs_lie_in_the_middle_of_equal_segments(num_frames: int) -> None:
    pairs = segments_test(num_frames).reshape(8, 2)
    assert (pairs[:, 1] - pairs[:, 0] == 1).all()
    assert len(np.unique(pairs)) == 16
    step = (num_frames - 1) / 8
    middles = step * (np.arange(8) + 0.5)
    assert ((pairs[:, 0] <= middles) & (middles < pairs[:, 0] + 1)).all()


def test_other_segmentations() -> None:
    wanted = [int(70 / 32 + 70 / 16 * k) for k in range(16)]
    assert segments_test(70, num_segments=16, frames_per_segment=1).tolist() == wanted
    assert views("segments-16x1", 70, part="test")[0].tolist() == wanted


def pairs_drawn(num_frames: int, seed: int) -> Indices:
    rng = np.random.default_rng(seed)
    return segments_train(num_frames, rng, num_segments=8, frames_per_segment=2).reshape(8, 2)


@settings(max_examples=200)
@given(st.integers(16, 5000), st.integers(0, 2**32))
def test_training_draws_one_pair_of_neighbours_in_each_of_eight_segments(num_frames: int, seed: int) -> None:
    """The field's rule: a = (N - d + 1) // n, k a + U{0..a-1}; never the last (N - d + 1) mod n frames."""
    pairs = pairs_drawn(num_frames, seed)
    length, remainder = divmod(num_frames - 1, 8)
    assert (pairs[:, 1] - pairs[:, 0] == 1).all()
    assert (pairs[:, 0] // length == np.arange(8)).all()
    assert pairs.max() < num_frames - remainder


@pytest.mark.parametrize("num_frames", [16, 17, 25, 70])
def test_training_reaches_every_frame_but_the_unreachable_tail(num_frames: int) -> None:
    reached = {int(index) for seed in range(300) for index in pairs_drawn(num_frames, seed).reshape(-1)}
    tail = (num_frames - 1) % 8
    assert reached == set(range(num_frames - tail))
    assert f"the last {('no', 'one', 'two', 'three', 'four', 'five')[(70 - 1) % 8]} are never trained on" in text()


@settings(max_examples=200)
@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 6), st.integers(0, 99))
def test_other_training_segmentations(num_frames: int, num_segments: int, frames_per_segment: int, seed: int) -> None:
    cut = {"num_segments": num_segments, "frames_per_segment": frames_per_segment}
    groups = segments_train(num_frames, np.random.default_rng(seed), **cut)
    assert groups.shape == (num_segments * frames_per_segment,)
    assert ((groups >= 0) & (groups < num_frames)).all()


def test_former_dfers_own_rule_for_short_clips() -> None:
    """Where N is at most 8 (train) or 9 (test) all runs start at 0."""
    for num_frames in range(1, 10):
        wanted = [0, min(1, num_frames - 1)] * 8
        assert views("segments-8x2", num_frames, part="test")[0].tolist() == wanted
        if num_frames <= 8:
            assert views("segments-8x2", num_frames, part="train")[0].tolist() == wanted
    assert views("segments-8x2", 9, part="train")[0, ::2].tolist() == list(range(8))
    step = 9 / 8
    starts = [int(step / 2 + step * k) for k in range(8)]
    assert views("segments-8x2", 10, part="test")[0, ::2].tolist() == starts


def test_uniform_is_numpys() -> None:
    assert views("uniform", 70, part="test")[0].tolist() == np.linspace(0, 69, 16).astype(int).tolist()
    assert len(set(views("uniform", 16, part="train")[0].tolist())) == 16
    assert views("uniform", 5, part="train")[0].tolist() == [i % 5 for i in range(16)]


@settings(max_examples=200)
@given(num_frames=st.integers(1, 600), seed=st.integers(0, 2**32))
def test_m3dfels_formula(num_frames: int, seed: int) -> None:
    draws = np.random.default_rng(seed).integers(0, 16, 16)
    wanted = [min(num_frames - 1, int(num_frames * i / 16) + int(draw)) for i, draw in enumerate(draws)]
    assert views("m3dfel", num_frames, part="train", seed=seed)[0].tolist() == wanted


@pytest.mark.parametrize("stride", [1, 4])
@settings(max_examples=200)
@given(num_frames=st.integers(1, 600), seed=st.integers(0, 2**32))
def test_the_strided_window(stride: int, num_frames: int, seed: int) -> None:
    first, last = views(f"strided-window-{stride}", num_frames, part="test")
    every = list(range(0, num_frames, stride))
    every += [every[-1]] * max(0, 16 - len(every))
    assert (first.tolist(), last.tolist()) == (every[:16], every[-16:])
    drawn = views(f"strided-window-{stride}", num_frames, part="train", seed=seed)[0]
    if num_frames > 16 * stride:
        assert drawn[-1] - drawn[0] == 16 * stride - 1
        assert set(np.diff(drawn)) <= {stride, stride + 1}
    else:
        num_spaced = num_frames // stride
        assert (drawn[num_spaced:] == num_frames - 1).all()
        assert (
            drawn[:num_spaced] == np.minimum(np.linspace(0, num_frames, num_spaced).astype(int), num_frames - 1)
        ).all()


@settings(max_examples=100)
@given(num_frames=st.integers(16, 600), seed=st.integers(0, 2**32))
def test_dense_is_sixteen_in_a_row(num_frames: int, seed: int) -> None:
    for part in PARTS:
        assert (np.diff(views("dense", num_frames, part=part, seed=seed)[0]) == 1).all()
    assert views("dense", num_frames, part="test")[0, 0] == (num_frames - 16) // 2


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("num_frames", range(1, 16))
def test_short_clips_go_by_the_rule(name: str, num_frames: int, part: Part) -> None:
    frames = list(range(num_frames))
    wanted = {
        "edge": (frames + frames[-1:] * 16)[:16],
        "loop": (frames * 16)[:16],
        "zero": (frames + [BLACK] * 16)[:16],
    }
    for short, indices in wanted.items():
        found = views(name, num_frames, part=part, short=short)
        assert found.tolist() == [indices] * (1 if part == "train" else sampler(name).num_views)
    with pytest.raises(ValueError, match=f"a clip of {num_frames} frames is left out under the rule 'drop'"):
        views(name, num_frames, part=part, short="drop")


@pytest.mark.parametrize("short", SHORT_RULES)
def test_sixteen_frames_are_not_short(short: str) -> None:
    assert views("segments-8x2", 16, part="test", short=short)[0].tolist() == list(range(16))


@pytest.mark.parametrize("num_frames", [0, -1])
def test_an_empty_clip_is_refused(num_frames: int) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        views("segments-8x2", num_frames, part="test")


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown sampler 'random'; known: segments-8x2, segments-16x1, "):
        sampler("random")
    with pytest.raises(UsageError, match=r"unknown rule for short clips 'pad'; known: edge, loop, "):
        views("dense", 5, part="test", short="pad")


def text() -> str:
    return DOCS.read_text(encoding="utf-8")


def drawing(indices: npt.NDArray[np.int32], num_frames: int) -> str:
    """Return one character per frame: `#` used once, hex digit: number of uses, `.` unused; `0` per black frame."""
    counts = np.bincount(indices[indices >= 0], minlength=num_frames)
    marks = ["." if count == 0 else "#" if count == 1 else format(min(int(count), 15), "x") for count in counts]
    return "".join(marks) + "0" * int((indices == BLACK).sum())


def test_the_drawings_on_the_page_are_made_by_the_functions() -> None:
    shown = re.findall(r"^    (\S*) +(train|test(?: \d)?) +([.#\da-f]+)$", text(), flags=re.MULTILINE)
    wanted, found, name = [], [], ""
    for label, part, picture in shown:
        name = label or name
        found.append((name, part, picture))
    for name in SAMPLERS:
        policy = sampler(name)
        wanted.append((name, "train", drawing(policy.train(70, np.random.default_rng(0)), 70)))
        for number, view in enumerate(policy.test(70, np.random.default_rng(0)), start=1):
            wanted.append((name, "test" if policy.num_views == 1 else f"test {number}", drawing(view, 70)))
    assert found == wanted


def test_the_short_clips_on_the_page_are_made_by_the_functions() -> None:
    shown = re.findall(r"^    (edge|loop|zero|formula) +(\S+)  +((?:-?\d+ ?)+)$", text(), flags=re.MULTILINE)
    assert [name for name, _, _ in shown] == ["edge", "loop", "zero", "formula"]
    for name, picture, numbers in shown:
        found = views("segments-8x2", 11, part="test", short=name)[0]
        assert (drawing(found, 11), " ".join(map(str, found.tolist()))) == (picture, numbers)


def test_every_name_is_on_the_page() -> None:
    for name in (*SAMPLERS, *SHORT_RULES):
        assert f"`{name}`" in text()
