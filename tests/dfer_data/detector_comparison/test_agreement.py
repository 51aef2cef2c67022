from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dfer_data.detector_comparison.agreement import (
    alignment_scale_range,
    landmark_distance,
    overlaps,
    same_face,
    second_differences,
)
from dfer_data.faces.tracker import link
from dfer_data.types import Detection, LandmarkScheme, Track
from tests.dfer_data.tiny import CONFIG, face

EYES_PX = 8.0  # of a face of 20 px in tiny.face


def moved(one: Detection, shift: npt.ArrayLike) -> Detection:
    return Detection(one.box, one.score, (one.landmarks + np.asarray(shift, np.float64)).astype(np.float32))


def track_of(faces: list[Detection | None]) -> Track:
    (track,) = link([[one] if one else [] for one in faces], iou=0.3, max_gap_frames=12)
    return track


def test_the_same_face_is_the_pair_that_overlaps_most() -> None:
    one, other = [face(0, 0), face(100, 0)], [face(97, 0), face(8, 0), face(300, 0)]
    same = same_face(one, other)
    assert same == (one[1], other[0])
    assert same_face(one, [face(300, 0)]) is None
    assert same_face(one[:1], [face(11, 0)]) is None  # 9 of 31 px: under 0.3
    assert same_face(one[:1], [face(10.5, 0)]) is not None
    assert same_face(one, []) is same_face([], one) is None


def test_landmarks_apart_are_in_shares_of_the_eyes_distance() -> None:
    one = face(10, 10)
    both: tuple[LandmarkScheme, LandmarkScheme] = ("eyes-nose-mouth", "eyes-nose-mouth")
    assert landmark_distance(one, moved(one, (3, 4)), schemes=both) == pytest.approx(5 / EYES_PX, rel=1e-5)
    nose_alone = np.zeros((5, 2))
    nose_alone[2] = (3, 4)
    assert landmark_distance(one, moved(one, nose_alone), schemes=both) == pytest.approx(1 / EYES_PX, rel=1e-5)


def test_of_other_schemes_the_eyes_alone_are_compared() -> None:
    one = face(10, 10)
    left, right = one.landmarks[:2]
    aside = np.array([2, 0], np.float32)
    corners = np.stack([left - aside, left + aside, right - aside, right + aside, np.zeros(2, np.float32)])
    dlib = Detection(one.box, 1.0, corners)
    schemes: tuple[LandmarkScheme, LandmarkScheme] = ("eyes-nose-mouth", "eye-corners-nose-base")
    assert landmark_distance(one, dlib, schemes=schemes) == pytest.approx(0, abs=1e-6)
    assert landmark_distance(one, moved(dlib, (0, 2)), schemes=schemes) == pytest.approx(2 / EYES_PX, rel=1e-5)


def jitter(track: Track) -> float:
    squares = second_differences(track, scheme="eyes-nose-mouth")
    return float(np.sqrt(np.mean(list(squares.values()))))


def test_steady_motion_is_no_jitter() -> None:
    steady = track_of([moved(face(50, 50), (0.25 * t, -0.5 * t)) for t in range(9)])
    assert jitter(steady) == pytest.approx(0, abs=1e-5)
    assert len(second_differences(steady, scheme="eyes-nose-mouth")) == 7


def test_jitter_is_the_second_difference_over_the_eyes_distance() -> None:
    shaking = track_of([moved(face(50, 50), (0.5 * (-1) ** t, 0)) for t in range(9)])
    assert jitter(shaking) == pytest.approx(4 * 0.5 / EYES_PX, rel=1e-5)


def test_white_noise_shows_as_the_root_of_twelve_times_its_deviation() -> None:
    rng = np.random.default_rng(0)
    noisy = track_of([moved(face(50, 50), rng.normal(0, 0.05, (5, 2))) for _ in range(400)])
    assert jitter(noisy) == pytest.approx(12**0.5 * 0.05 / EYES_PX, rel=0.05)


def scale_ranges(track: Track) -> list[float | None]:
    return [
        alignment_scale_range(track, points=points, config=CONFIG, scheme="eyes-nose-mouth")
        for points in ("all", "rigid")
    ]


def test_the_range_of_scale_is_that_of_the_alignment() -> None:
    grows = track_of([face(50 - t / 2, 50 - t / 2, side=20 + t) for t in range(21)])  # to twice its size
    for found in scale_ranges(grows):
        assert found == pytest.approx(39 / 21 - 1, abs=1e-3)  # 5 % of the 21 frames left out at both ends
    opens_mouth = track_of([moved(face(50, 50), [[0, 0]] * 3 + [[0, 0.06 * t]] * 2) for t in range(21)])
    every, rigid = scale_ranges(opens_mouth)
    assert every is not None
    assert every > 0.05
    assert rigid == pytest.approx(0, abs=1e-5)


def test_a_track_shorter_than_the_smoothing_window_has_no_range_of_scale() -> None:
    assert scale_ranges(track_of([face(50, 50)] * 6)) == [None, None]
    assert scale_ranges(track_of([face(50, 50)] * 7)) == pytest.approx([0, 0], abs=1e-5)


def test_frames_that_were_filled_in_are_no_part_of_jitter() -> None:
    track = track_of([face(50, 50), face(50, 50), face(50, 50), None, face(50, 50), face(50, 50), face(50, 50)])
    assert sorted(second_differences(track, scheme="eyes-nose-mouth")) == [1, 5]


def test_tracks_overlap_where_both_were_detected() -> None:
    one = track_of([face(0, 0), None, face(0, 0), face(0, 0)])
    other = track_of([face(0, 0), face(0, 0), face(10, 0), None])
    np.testing.assert_allclose(overlaps(one, other), [1, 1 / 3], rtol=1e-5)
    late = Track(0, 50, other.boxes, other.landmarks, other.scores, other.flags)
    assert overlaps(one, late).tolist() == []
