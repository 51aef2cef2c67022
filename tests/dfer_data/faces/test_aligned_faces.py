"""The transforms of a track: by all landmarks or the rigid ones, with a scale per frame or one per track."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.config import AlignPoints, AlignScale
from dfer_data.faces.align import AffineMatrices, landmark_template, scales, similarity
from dfer_data.faces.aligned_faces import FaceMaker
from dfer_data.faces.tracker import link
from dfer_data.types import Floats, LandmarkScheme, Track
from tests.dfer_data.tiny import CONFIG, face

EYES_MOUTH: LandmarkScheme = "eyes-nose-mouth"
DLIB: LandmarkScheme = "eye-corners-nose-base"
VARIANTS = list(product(get_args(AlignPoints), get_args(AlignScale)))
HALF_WINDOW = CONFIG.smoothing_window_frames // 2
seeds = st.integers(0, 100_000)


def maker(points: AlignPoints, scale: AlignScale, *, scheme: LandmarkScheme = EYES_MOUTH) -> FaceMaker:
    return FaceMaker(replace(CONFIG, align_points=points, align_scale=scale), scheme=scheme)


def template(scheme: LandmarkScheme = EYES_MOUTH) -> Floats:
    return landmark_template(scheme, size_px=CONFIG.size_px, scale=CONFIG.template_scale)


def matrices_of(landmarks: Floats, made: FaceMaker) -> AffineMatrices:
    """Return the transforms of a track as `prepare` makes them, with smoothed landmarks."""
    boxes = np.zeros((len(landmarks), 4), np.float32)
    return made.matrices(made.smoothed(boxes, landmarks))


def placed(matrices: AffineMatrices, landmarks: Floats) -> Floats:
    return np.asarray(np.einsum("nij,npj->npi", matrices[:, :, :2], landmarks) + matrices[:, None, :, 2], np.float32)


def moving(seed: int, *, num_frames: int = 30, scheme: LandmarkScheme = EYES_MOUTH) -> Floats:
    """Return the landmarks (N, 5, 2) of a head that turns, comes nearer and is detected with noise."""
    rng = np.random.default_rng(seed)
    angles, sizes = np.cumsum(rng.normal(0, 0.02, num_frames)), 0.4 * np.exp(np.cumsum(rng.normal(0, 0.02, num_frames)))
    turns = np.stack([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)
    place = 200 + np.cumsum(rng.normal(0, 2, (num_frames, 2)), axis=0)
    points = (sizes[:, None, None] * template(scheme)) @ turns.transpose(0, 2, 1) + place[:, None]
    return np.asarray(points + rng.normal(0, 0.5, points.shape), np.float32)


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(get_args(AlignScale)))
def test_the_mouth_does_not_move_a_rigid_alignment(seed: int, scale: AlignScale) -> None:
    landmarks = moving(seed)
    speaking = landmarks.copy()
    speaking[:, 3:] += np.random.default_rng(seed).normal(0, 20, (len(landmarks), 2, 2)).astype(np.float32)
    rigid, every = maker("rigid", scale), maker("all", scale)
    np.testing.assert_array_equal(matrices_of(speaking, rigid), matrices_of(landmarks, rigid))
    assert np.abs(matrices_of(speaking, every) - matrices_of(landmarks, every)).max() > 0.1


def test_an_open_mouth_shrinks_a_face_aligned_by_all_points() -> None:
    opened = np.repeat(template()[None], 9, axis=0)
    opened[:, 3:, 1] += 0.15 * np.linalg.norm(opened[0, 1] - opened[0, 0])  # 15 % of the distance of the eyes
    np.testing.assert_allclose(scales(matrices_of(opened, maker("all", "frame"))), 0.921, atol=1e-3)
    np.testing.assert_allclose(scales(matrices_of(opened, maker("rigid", "frame"))), 1, atol=1e-5)


@pytest.mark.parametrize("scale", get_args(AlignScale))
def test_all_of_dlibs_points_are_rigid(scale: AlignScale) -> None:
    landmarks = moving(3, scheme=DLIB)
    one, other = (matrices_of(landmarks, maker(points, scale, scheme=DLIB)) for points in get_args(AlignPoints))
    np.testing.assert_array_equal(one, other)


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(get_args(AlignPoints)), st.integers(1, 40))
def test_a_track_has_one_scale_and_each_frame_its_own_turn_and_place(
    seed: int, points: AlignPoints, num_frames: int
) -> None:
    landmarks = moving(seed, num_frames=num_frames)
    by_track, by_frame = (matrices_of(landmarks, maker(points, scale)) for scale in ("track", "frame"))
    np.testing.assert_allclose(scales(by_track), np.median(scales(by_frame)), rtol=1e-9)
    turn, own_turn = (made[:, :, :2] / scales(made)[:, None, None] for made in (by_track, by_frame))
    np.testing.assert_allclose(turn, own_turn, atol=1e-9)
    used = 5 if points == "all" else 3
    smoothed = maker(points, "track").smoothed(np.zeros((num_frames, 4), np.float32), landmarks)[:, :used]
    middles = placed(by_track, smoothed).mean(axis=1)
    np.testing.assert_allclose(middles, np.tile(template()[:used].mean(axis=0), (num_frames, 1)), atol=1e-2)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_no_other_transform_of_one_scale_fits_a_frame_better(seed: int) -> None:
    landmarks, rng = moving(seed, num_frames=5), np.random.default_rng(seed)
    made = maker("all", "track").matrices(np.concatenate([landmarks, landmarks[:, :2]], axis=1))
    least = ((placed(made, landmarks) - template()) ** 2).sum(axis=(1, 2))
    angle = rng.uniform(-0.1, 0.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = made[:, :, 2:] + rng.normal(0, 2, (5, 2, 1))
    other = np.concatenate([turn @ made[:, :, :2], shift], axis=2)
    assert (((placed(other, landmarks) - template()) ** 2).sum(axis=(1, 2)) >= least - 1e-2).all()


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(VARIANTS), st.integers(1, 12))
def test_alignment_does_not_depend_on_where_a_track_begins(
    seed: int, variant: tuple[AlignPoints, AlignScale], offset: int
) -> None:
    """All but the first half window, and the scale of the track, come out the same without its first frames."""
    landmarks, made = moving(seed), maker(*variant)
    whole, late = matrices_of(landmarks, made), matrices_of(landmarks[offset:], made)
    ratio = scales(whole)[-1] / scales(late)[-1] if variant[1] == "track" else 1.0
    inner = slice(HALF_WINDOW, None)
    np.testing.assert_allclose(late[inner, :, :2] * ratio, whole[offset:][inner, :, :2], rtol=1e-9, atol=1e-12)
    if variant[1] == "frame":
        np.testing.assert_array_equal(late[inner], whole[offset:][inner])


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(VARIANTS), st.floats(-4, 4), st.floats(-4, 4))
def test_a_motion_of_constant_velocity_is_followed_to_the_pixel(
    seed: int, variant: tuple[AlignPoints, AlignScale], x: float, y: float
) -> None:
    still = moving(seed, num_frames=1)
    landmarks = still + np.arange(25)[:, None, None] * np.array([x, y])
    crops = placed(matrices_of(landmarks.astype(np.float32), maker(*variant)), landmarks.astype(np.float32))
    np.testing.assert_allclose(crops, np.repeat(crops[:1], 25, axis=0), atol=1e-2)


@pytest.mark.parametrize("points", get_args(AlignPoints))
def test_a_turn_of_constant_speed_is_followed(points: AlignPoints) -> None:
    angles = np.radians(np.arange(25) * 2.0)
    turns = np.stack([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)
    landmarks = ((template() - 112) @ turns.transpose(0, 2, 1) + 300).astype(np.float32)
    crops = placed(matrices_of(landmarks, maker(points, "track")), landmarks)
    np.testing.assert_allclose(crops, np.repeat(template()[None], 25, axis=0), atol=0.1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_neither_scale_nor_smoothing_crosses_a_cut(variant: tuple[AlignPoints, AlignScale]) -> None:
    """A cut to a close-up: each shot is aligned as if the other were not there."""
    far = [[face(40 + i, 40, side=30)] for i in range(15)]
    near = [[face(30, 20 + i, side=60)] for i in range(20)]
    made = maker(*variant)

    def aligned(track: Track) -> AffineMatrices:
        return made.matrices(made.smoothed(track.boxes, track.landmarks))

    both = link(far + near, iou=0.3, max_gap_frames=12, cuts=[15])
    alone = [track for shot in (far, near) for track in link(shot, iou=0.3, max_gap_frames=12)]
    assert [len(track) for track in both] == [15, 20]
    for track, other in zip(both, alone, strict=True):
        np.testing.assert_array_equal(aligned(track), aligned(other))
    assert scales(aligned(both[0])).min() > 1.8 * scales(aligned(both[1])).max()


def test_the_usual_alignment_is_the_least_squares_one_of_each_frame() -> None:
    landmarks = moving(5)
    made = maker("all", "frame")
    smoothed = made.smoothed(np.zeros((len(landmarks), 4), np.float32), landmarks)[:, :5]
    wanted = np.stack([similarity(row, template()) for row in smoothed])
    np.testing.assert_array_equal(matrices_of(landmarks, made), wanted)
