from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfer_data.types import Image
from dfer_data.video.shot_cuts import CutDetector
from tests.dfer_data.tiny import pictures, real_pictures


def cuts(images: list[Image]) -> list[int]:
    detector = CutDetector()
    return [index for index, image in enumerate(images) if detector.is_cut(image)]


@pytest.mark.parametrize("name", ["single_face.mp4", "carphone_pristine.mp4", "no_face.mp4"])
def test_a_shot_of_a_real_video_has_no_cut(real_videos: dict[str, Path], name: str) -> None:
    assert cuts(real_pictures(real_videos[name], stop=72)) == []


def test_the_cut_in_a_real_video_is_found(real_videos: dict[str, Path]) -> None:
    """The face leaves the picture by a cut, at one frame."""
    assert 1 <= len(cuts(real_pictures(real_videos["face_noface.mov"], stop=120))) <= 2


def test_joined_shots_have_a_cut_where_they_join(real_videos: dict[str, Path]) -> None:
    one = real_pictures(real_videos["single_face.mp4"], stop=20)
    other = real_pictures(real_videos["no_face.mp4"], stop=20)
    assert cuts([*one, *other, *one]) == [20, 40]


def test_motion_however_fast_is_no_cut() -> None:
    fast = [np.roll(pictures(1)[0], 7 * i, axis=1) for i in range(20)]
    assert cuts(fast)[1:] == []
    assert cuts(pictures(20)) == []
    assert cuts([]) == []
