from __future__ import annotations

import cv2
import numpy as np
import pytest

from dfer_data.faces.appearance import (
    change_of_bust,
    change_of_person,
    described,
    distance,
    is_other_scene,
)
from dfer_data.types import Appearance, Image
from tests.dfer_data.tiny import face

RNG = np.random.default_rng(5)
ONE, OTHER, PAN = (
    np.asarray(cv2.resize(RNG.integers(20, 120, (18, 32, 3), np.uint8), (160, 90)), np.uint8) for _ in range(3)
)
PLACE = face(60, 25, side=40)


def seen(image: Image) -> Appearance:
    (found,) = described(image, [PLACE], scheme="eyes-nose-mouth")
    assert found.appearance is not None
    return found.appearance


def pasted(image: Image, on: Image, *, rows: slice, columns: slice) -> Image:
    changed = on.copy()
    changed[rows, columns] = image[rows, columns]
    return changed


HALF_WAY = seen(np.rint(0.5 * ONE + 0.5 * OTHER).astype(np.uint8)).overview


@pytest.mark.parametrize("gain", [0.3, 0.6, 2.0])
def test_the_exposure_changes_nothing(gain: float) -> None:
    brighter = seen(np.asarray(np.clip(ONE * gain, 0, 255), np.uint8))
    assert distance(seen(ONE), brighter) < 0.1
    assert change_of_bust(seen(ONE), brighter) < 0.15


def test_another_picture_is_another_scene_at_any_gain() -> None:
    for gain in (1.0, 0.2):
        one, other = (seen(np.asarray(image * gain, np.uint8)) for image in (ONE, OTHER))
        assert distance(one, other) > 0.3
        assert change_of_person(one, other) >= 1
        middle = np.rint(gain * (0.5 * ONE + 0.5 * OTHER)).astype(np.uint8)
        wiped = np.asarray(gain * np.where(np.arange(160)[None, :, None] < 80, ONE, OTHER), np.uint8)
        for between in (middle, wiped):
            assert is_other_scene(one, [seen(between).overview], other)
        assert not is_other_scene(one, [seen(PAN).overview], other)
        assert not is_other_scene(one, [], other)


def test_a_hand_over_part_of_the_face_replaces_nobody() -> None:
    hand = seen(pasted(OTHER, ONE, rows=slice(45, 65), columns=slice(55, 85)))
    assert change_of_person(seen(ONE), hand) < 1
    assert not is_other_scene(seen(ONE), [HALF_WAY], hand)


def test_a_face_that_changes_alone_is_no_other_scene() -> None:
    turned = seen(pasted(OTHER, ONE, rows=slice(25, 65), columns=slice(60, 100)))
    assert distance(seen(ONE), turned) > 0.3
    assert not is_other_scene(seen(ONE), [HALF_WAY], turned)


def test_a_background_that_changes_alone_is_no_other_scene() -> None:
    walking = seen(pasted(ONE, OTHER, rows=slice(20, 70), columns=slice(55, 105)))
    assert distance(seen(ONE), walking) < 0.1
    assert not is_other_scene(seen(ONE), [HALF_WAY], walking)


def test_an_unknown_appearance_differs_from_nothing() -> None:
    assert distance(None, seen(ONE)) == 0
    assert change_of_person(None, seen(ONE)) == 0
    assert not is_other_scene(seen(ONE), [HALF_WAY], None)
