from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfer_data.types import Frame, Image
from dfer_data.video.shot_cuts import ShotCuts, Transition
from tests.dfer_data.tiny import pictures, real_pictures


def transitions(images: list[Image]) -> list[Transition]:
    cuts = ShotCuts()
    found = cuts.add(Frame(i, i / 25, image) for i, image in enumerate(images)) + cuts.finish()
    assert [frame.index for frame, _ in found] == list(range(len(images)))
    return [transition for _, transition in found]


def cuts(images: list[Image]) -> list[int]:
    found = transitions(images)
    assert Transition.ODD not in found
    return [index for index, transition in enumerate(found) if transition == Transition.CUT]


@pytest.fixture(scope="module")
def shots(real_videos: dict[str, Path]) -> tuple[list[Image], list[Image]]:
    return real_pictures(real_videos["single_face.mp4"], stop=20), real_pictures(real_videos["no_face.mp4"], stop=20)


@pytest.mark.parametrize("name", ["single_face.mp4", "carphone_pristine.mp4", "no_face.mp4"])
def test_a_shot_of_a_real_video_has_no_cut(real_videos: dict[str, Path], name: str) -> None:
    assert cuts(real_pictures(real_videos[name], stop=72)) == []


def test_the_cut_in_a_real_video_is_found(real_videos: dict[str, Path]) -> None:
    """The face leaves the picture by a cut, at one frame."""
    assert 1 <= len(cuts(real_pictures(real_videos["face_noface.mov"], stop=120))) <= 2


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.3, 0.2])
def test_joined_shots_have_a_cut_where_they_join(shots: tuple[list[Image], list[Image]], gain: float) -> None:
    """In dark pictures as well: a change counts against the contrast of the picture."""
    one, other = shots
    assert cuts([np.asarray(image * gain, np.uint8) for image in [*one, *other, *one]]) == [20, 40]


def test_motion_however_fast_is_no_cut() -> None:
    fast = [np.roll(pictures(1)[0], 7 * i, axis=1) for i in range(20)]
    assert cuts(fast)[1:] == []
    assert cuts(pictures(20)) == []
    assert cuts([]) == []


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (0, 135, 0)])
@pytest.mark.parametrize("num_frames", [1, 3])
def test_a_flash_is_odd_and_no_cut(
    shots: tuple[list[Image], list[Image]], colour: tuple[int, int, int], num_frames: int
) -> None:
    one, _ = shots
    plain = np.broadcast_to(np.array(colour, np.uint8), one[0].shape)
    found = transitions([*one[:8], *[plain] * num_frames, *one[8 + num_frames :]])
    assert [i for i, kind in enumerate(found) if kind == Transition.ODD] == list(range(8, 8 + num_frames))
    assert Transition.CUT not in found


def test_four_frames_of_something_else_are_two_cuts(shots: tuple[list[Image], list[Image]]) -> None:
    one, other = shots
    assert cuts([*one[:8], *other[:4], *one[12:]]) == [8, 12]


def test_a_flash_before_a_cut_hides_no_cut(shots: tuple[list[Image], list[Image]]) -> None:
    one, other = shots
    white = np.full_like(one[0], 255)
    assert cuts([*one[:8], white, *other[:8]]) == [8, 9]


@pytest.mark.parametrize("gain", [0.4, 1.8])
def test_a_step_of_the_exposure_is_no_cut(shots: tuple[list[Image], list[Image]], gain: float) -> None:
    one, _ = shots
    brighter = [np.asarray(np.clip(image * gain, 0, 255), np.uint8) for image in one[10:]]
    assert cuts([*one[:10], *brighter]) == []
