from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.faces.keyframes import DetectionRequest, Keyframes, agree
from dfer_data.types import Appearance, Detection, Frame
from dfer_data.video.shot_cuts import Transition
from tests.dfer_data.tiny import face

_PICTURE = np.zeros((8, 8, 3), np.uint8)


class Scripted:
    """Answers by the number of a frame, and remembers which were asked for."""

    def __init__(self, script: Sequence[list[Detection]]) -> None:
        self._script = script
        self.asked: list[int] = []

    def __call__(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        self.asked += [frame.index for frame in frames]
        return [self._script[frame.index] for frame in frames]


def looked(
    script: Sequence[list[Detection]],
    *,
    every: int,
    cuts: Sequence[int] = (),
    odd: Sequence[int] = (),
    runs: Sequence[int] = (16,),
) -> tuple[list[DetectionRequest], list[int]]:
    """Feed the frames in runs of the given lengths, over and over."""
    detect = Scripted(script)
    kinds = dict.fromkeys(cuts, Transition.CUT) | dict.fromkeys(odd, Transition.ODD)
    keyframes = Keyframes(detect, every=every)
    looks: list[DetectionRequest] = []
    start, turn = 0, 0
    while start < len(script):
        stop = min(len(script), start + runs[turn % len(runs)])
        numbers = range(start, stop)
        looks += keyframes.add([(Frame(i, i / 25, _PICTURE), kinds.get(i, Transition.NONE)) for i in numbers])
        start, turn = stop, turn + 1
    return looks + list(keyframes.finish()), sorted(detect.asked)


STILL = [[face(20, 20)] for _ in range(20)]


def test_between_keyframes_that_agree_nothing_is_detected() -> None:
    looks, asked = looked(STILL, every=4)
    assert asked == [0, 4, 8, 12, 16, 19]
    assert [look.frame.index for look in looks] == list(range(20))
    assert [i for i, look in enumerate(looks) if look.found is not None] == asked


def test_where_a_face_appears_or_moves_far_all_frames_are_detected() -> None:
    appears = [[] if i < 6 else [face(20, 20)] for i in range(13)]
    assert looked(appears, every=4)[1] == [0, 4, 5, 6, 7, 8, 12]
    jumps = [[face(20 if i < 6 else 31, 20)] for i in range(13)]  # of 20 px: an overlap of 0.29
    assert looked(jumps, every=4)[1] == [0, 4, 5, 6, 7, 8, 12]
    nobody: list[list[Detection]] = [[] for _ in range(9)]
    assert looked(nobody, every=4)[1] == [0, 4, 8]


def test_a_shot_begins_and_ends_with_a_keyframe() -> None:
    """Frames 6 and 7 lie on both sides of the cut; nothing is asked for between 4 and 6 that agree."""
    looks, asked = looked(STILL[:13], every=4, cuts=(7,))
    assert asked == [0, 4, 6, 7, 8, 12]
    assert [look.frame.index for look in looks if look.is_cut] == [7]


def test_odd_frames_are_not_detected_but_those_next_to_them_are() -> None:
    looks, asked = looked(STILL[:13], every=4, odd=(6, 7, 8))
    assert asked == [0, 4, 5, 9, 12]
    assert [look.frame.index for look in looks if look.found == []] == [6, 7, 8]
    assert [look.frame.index for look in looks] == list(range(13))


def test_where_a_face_is_replaced_all_frames_are_detected() -> None:
    """Another face of other colours in the same place, with another bust."""
    rng = np.random.default_rng(3)
    looks_like = [
        Appearance(
            rng.integers(0, 255, (8, 8, 3), np.uint8),
            rng.integers(0, 255, (18, 32, 3), np.uint8),
            np.ones((18, 32), np.float32),
        )
        for _ in range(2)
    ]
    replaced = [[replace(face(20, 20), appearance=looks_like[i >= 6])] for i in range(13)]
    assert looked(replaced, every=4)[1] == [0, 4, 5, 6, 7, 8, 12]


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.sampled_from([10, 14, 40, 60]), max_size=2, unique=True), min_size=1, max_size=40),
    st.integers(1, 8),
    st.sets(st.integers(1, 39), max_size=3),
    st.lists(st.integers(1, 16), min_size=1, max_size=4),
)
def test_the_runs_in_which_frames_come_change_nothing(
    places: list[list[int]], every: int, cuts: set[int], runs: list[int]
) -> None:
    script = [[face(x, 20) for x in xs] for xs in places]
    one, asked = looked(script, every=every, cuts=sorted(cuts), runs=(len(script),))
    other, asked_again = looked(script, every=every, cuts=sorted(cuts), runs=runs)
    assert asked == asked_again
    assert len(asked) == len(set(asked))
    assert [(a.frame.index, a.found, a.is_cut) for a in one] == [(b.frame.index, b.found, b.is_cut) for b in other]
    if every == 1:
        assert asked == list(range(len(script)))


def test_agreement_is_one_to_one() -> None:
    assert agree([], [])
    assert agree([face(0, 0), face(50, 0)], [face(51, 0), face(1, 0)])
    assert not agree([face(0, 0)], [])
    assert not agree([face(0, 0), face(1, 0)], [face(0, 0), face(60, 0)])
