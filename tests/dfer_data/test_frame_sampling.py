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

DOCS = ROOT / "docs/reference/sampling.md"
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


def test_uniform_repeats_a_short_clip_before_it_chooses() -> None:
    assert views("uniform", 12, part="test")[0].tolist() == [0, 1, 3, 4, 6, 7, 9, 10, 0, 1, 3, 4, 6, 7, 9, 11]
    assert views("uniform", 8, part="train")[0].tolist() == [*range(8), *range(8)]
    draws = {tuple(views("uniform", 12, part="train", seed=seed)[0].tolist()) for seed in range(20)}
    assert len(draws) > 10
    assert all(max(drawn.count(frame) for frame in drawn) <= 2 for drawn in draws)


LENGTHS = range(1, 41)


def repeated(num_frames: int) -> list[int]:
    """The indices of a clip, again and again until there are sixteen, as the code of DFEW's owners has them."""
    indices = list(range(num_frames))
    while len(indices) < 16:
        indices += range(num_frames)
    return indices


def authors_test(name: str, num_frames: int) -> list[list[int]]:
    """The test views of the authors' code, without numpy."""
    if name.startswith("segments"):
        n, d = map(int, name.removeprefix("segments-").split("x"))
        step = (num_frames - d + 1) / n
        starts = [int(step / 2 + step * k) if num_frames > n + d - 1 else 0 for k in range(n)]
        return [[min(start + i, num_frames - 1) for start in starts for i in range(d)]]
    if name == "uniform":
        indices = repeated(num_frames)
        return [[indices[i * (len(indices) - 1) // 15] for i in range(16)]]
    if name == "dense":
        start = max(0, (num_frames - 16) // 2)
        return [[min(start + i, num_frames - 1) for i in range(16)]]
    every = list(range(0, num_frames, int(name.rpartition("-")[2])))
    every += every[-1:] * (16 - len(every))
    return [every[:16], every[-16:]]


def padded(num_frames: int, short: str) -> list[int]:
    frames = list(range(num_frames))
    ends = {"edge": frames[-1:] * 16, "loop": frames * 16, "zero": [BLACK] * 16}
    return (frames + ends[short])[:16]


@pytest.mark.parametrize("name", sorted(SAMPLERS.keys() - {"m3dfel"}))
def test_the_test_frames_of_each_length_are_the_authors(name: str) -> None:
    for num_frames in LENGTHS:
        wanted = authors_test(name, num_frames)
        assert views(name, num_frames, part="test", short="formula").tolist() == wanted, num_frames
        for short in ("edge", "loop", "zero", "drop"):
            if num_frames < 16:
                rule = [padded(num_frames, short)] * len(wanted) if short != "drop" else None
            else:  # of sixteen frames each is taken where the formula of sixteen segments takes the first alone
                rule = [list(range(16))] if (name, num_frames) == ("segments-16x1", 16) else wanted
            if rule is None:
                with pytest.raises(ValueError, match="left out"):
                    views(name, num_frames, part="test", short=short)
            else:
                assert views(name, num_frames, part="test", short=short).tolist() == rule, (num_frames, short)


def allowed_in_train(name: str, num_frames: int) -> list[set[int]]:
    """For each of the sixteen places, the frames that the authors' train code can put there."""
    last, everywhere = num_frames - 1, set(range(num_frames))
    if name.startswith("segments"):
        n, d = map(int, name.removeprefix("segments-").split("x"))
        length = (num_frames - d + 1) // n
        runs = []
        for k in range(n):
            if length > 0:
                starts = set(range(k * length, (k + 1) * length))
            else:
                starts = set(range(max(1, num_frames - d + 1))) if num_frames > n else {0}
            runs += [{min(start + i, last) for start in starts} for i in range(d)]
        return runs
    if name == "m3dfel":
        return [{min(last, num_frames * i // 16 + draw) for draw in range(16)} for i in range(16)]
    if name == "uniform":
        indices = repeated(num_frames)
        return [{indices[at] for at in range(i, len(indices) - 15 + i)} for i in range(16)]
    if name == "dense":
        return [{min(start + i, last) for start in range(max(1, num_frames - 15))} for i in range(16)]
    stride = int(name.rpartition("-")[2])
    if num_frames > 16 * stride:
        return [everywhere] * 16
    spaced = [min(last, int(i * num_frames / max(1, num_frames // stride - 1))) for i in range(num_frames // stride)]
    return [{frame} for frame in (spaced + [last] * 16)[:16]]


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_train_frames_of_each_length_are_among_the_authors(name: str) -> None:
    for num_frames in LENGTHS:
        allowed = allowed_in_train(name, num_frames)
        for seed in range(12):
            drawn = views(name, num_frames, part="train", seed=seed)[0].tolist()
            assert all(frame in frames for frame, frames in zip(drawn, allowed, strict=True)), (num_frames, drawn)
            for short in ("edge", "loop", "zero", "drop"):
                if num_frames >= 16:
                    assert views(name, num_frames, part="train", seed=seed, short=short)[0].tolist() == drawn
                elif short != "drop":
                    wanted = padded(num_frames, short)
                    assert views(name, num_frames, part="train", seed=seed, short=short)[0].tolist() == wanted


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", ["segments-8x2", "segments-16x1", "uniform", "dense", "strided-window-1"])
@settings(max_examples=150)
@given(num_frames=st.one_of(st.integers(16, 40), st.integers(16, 3000)), seed=st.integers(0, 2**32))
def test_a_clip_that_is_not_short_shows_many_frames(name: str, part: Part, num_frames: int, seed: int) -> None:
    for view in views(name, num_frames, part=part, seed=seed, short="edge"):
        assert len(set(view.tolist())) >= 8
    assert len(set(views("strided-window-4", 16, part="test")[0].tolist())) == 4  # as its authors have it


@pytest.mark.parametrize("clip_frames", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("name", ["segments-8x2", "segments-16x1"])
def test_a_clip_of_as_many_frames_as_are_read_is_read_whole(name: str, clip_frames: int) -> None:
    found = frames_of_clip(clip_frames, part="test", sampler_name=name, clip_frames=clip_frames)
    assert found.tolist() == [list(range(clip_frames))]


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
    with pytest.raises(ValueError, match=f"a clip of {num_frames} frames? is left out under the rule 'drop'"):
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
