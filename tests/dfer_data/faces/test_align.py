from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from dfer_data.faces.align import (
    AffineMatrix,
    eye_centres,
    landmark_template,
    reaches_outside,
    similarity,
    smooth,
    warp,
)
from dfer_data.types import Floats, Image, LandmarkScheme

SCHEMES: list[LandmarkScheme] = ["eyes-nose-mouth", "eye-corners-nose-base"]
SIZE_PX = 224


def points_of(matrix: AffineMatrix, points: Floats) -> Floats:
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)


def turn(*, scale: float, degrees: float, shift: tuple[float, float]) -> AffineMatrix:
    a, b = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return np.array([[a, -b, shift[0]], [b, a, shift[1]]])


transforms = st.builds(
    turn,
    scale=st.floats(0.05, 20),
    degrees=st.floats(-180, 180),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)


def warped_whole(image: Image, matrix: AffineMatrix) -> Image:
    """Average all of the picture down, then warp it."""
    shrink = 2 ** max(0, math.floor(-math.log2(math.hypot(matrix[0, 0], matrix[1, 0]))))
    if shrink > 1:
        height, width = (max(1, side // shrink) for side in image.shape[:2])
        ratios = image.shape[1] / width, image.shape[0] / height
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        linear, half = matrix[:, :2] * ratios, [[0.5], [0.5]]
        matrix = np.concatenate([linear, matrix[:, 2:] + linear @ half - matrix[:, :2] @ half], axis=1)
    return np.asarray(cv2.warpAffine(image, matrix, (SIZE_PX, SIZE_PX), flags=cv2.INTER_LINEAR), np.uint8)


class PartsOnly:
    """A picture that gives parts; `whole` only if its sides cannot be halved as often as needed."""

    def __init__(self, image: Image) -> None:
        self.shape = (image.shape[0], image.shape[1], 3)
        self._image = image

    def whole(self) -> Image:
        assert self.shape == (359, 640, 3)
        return self._image

    def part(self, left: int, top: int, right: int, bottom: int) -> Image:
        assert 0 <= left < right <= self.shape[1]
        assert 0 <= top < bottom <= self.shape[0]
        return self._image[top:bottom, left:right].copy()

    def sampled(self, row_step: int, column_step: int) -> Image:
        return self._image[::row_step, ::column_step]


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.07, 3),
    st.floats(-180, 180),
    st.tuples(st.floats(-400, 1000), st.floats(-300, 700)),
    st.sampled_from([(640, 360), (640, 368), (640, 359)]),
)
def test_a_warp_that_reads_a_part_of_the_picture_changes_no_value(
    scale: float, degrees: float, middle: tuple[float, float], size: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    matrix = turn(scale=scale, degrees=degrees, shift=(0, 0))
    matrix[:, 2] = SIZE_PX / 2 - matrix[:, :2] @ middle
    expected = warped_whole(image, matrix)
    np.testing.assert_array_equal(warp(image, matrix, size_px=SIZE_PX), expected)
    np.testing.assert_array_equal(warp(PartsOnly(image), matrix, size_px=SIZE_PX), expected)


@settings(max_examples=60)
@given(transforms, st.integers(0, 1000))
def test_an_exact_similarity_is_recovered(wanted: AffineMatrix, seed: int) -> None:
    source = np.random.default_rng(seed).uniform(0, 100, (5, 2)).astype(np.float32)
    found = similarity(source, points_of(wanted, source))
    np.testing.assert_allclose(found[:, :2], wanted[:, :2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, 2], wanted[:, 2], rtol=1e-4, atol=1e-2)


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_the_fit_is_the_least_squares_one_and_never_mirrors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = rng.uniform(0, 100, (2, 5, 2)).astype(np.float32)
    found = similarity(source, target)
    assert np.linalg.det(found[:, :2]) >= 0
    assert found[0, 0] == found[1, 1]
    assert found[0, 1] == -found[1, 0]
    # Reference: the same four unknowns (a, b, x, y) from the normal equations of a plain linear system.
    rows = [[[x, -y, 1, 0], [y, x, 0, 1]] for x, y in source.astype(np.float64)]
    a, b, x, y = np.linalg.lstsq(np.reshape(rows, (10, 4)), target.astype(np.float64).ravel(), rcond=None)[0]
    np.testing.assert_allclose(found, [[a, -b, x], [b, a, y]], rtol=1e-6, atol=1e-6)


def test_mirrored_landmarks_are_not_matched_by_mirroring() -> None:
    target = landmark_template("eyes-nose-mouth", size_px=SIZE_PX, scale=0.8)
    mirrored = target * np.array([-1, 1], np.float32) + np.array([SIZE_PX, 0], np.float32)
    matrix = similarity(mirrored, target)
    assert np.linalg.det(matrix[:, :2]) > 0
    assert np.abs(points_of(matrix, mirrored) - target).max() > 10


def test_coincident_landmarks_give_a_pure_shift() -> None:
    target = landmark_template("eyes-nose-mouth", size_px=SIZE_PX, scale=0.8)
    matrix = similarity(np.full((5, 2), 7, np.float32), target)
    np.testing.assert_array_equal(matrix[:, :2], np.eye(2))
    np.testing.assert_allclose(matrix[:, 2], target.mean(axis=0, dtype=np.float64) - 7)


def test_the_template_at_scale_one_is_arcfaces() -> None:
    published = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    np.testing.assert_allclose(landmark_template("eyes-nose-mouth", size_px=112, scale=1.0), published, atol=1e-4)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_template_scales_about_its_centre(scheme: LandmarkScheme) -> None:
    one, small = (landmark_template(scheme, size_px=112, scale=scale) for scale in (1.0, 0.5))
    np.testing.assert_allclose(small - 56, (one - 56) / 2, atol=1e-4)
    np.testing.assert_allclose(landmark_template(scheme, size_px=SIZE_PX, scale=1.0), one * 2, atol=1e-4)


def test_both_schemes_put_the_eyes_in_the_same_place() -> None:
    eyes = [eye_centres(landmark_template(scheme, size_px=SIZE_PX, scale=0.8), scheme) for scheme in SCHEMES]
    assert np.abs(eyes[0] - eyes[1]).max() < 4


def test_eye_centres() -> None:
    points = np.arange(20, dtype=np.float32).reshape(2, 5, 2) ** 2
    np.testing.assert_array_equal(eye_centres(points, "eyes-nose-mouth"), points[:, :2])
    middles = [(points[:, 0] + points[:, 1]) / 2, (points[:, 2] + points[:, 3]) / 2]
    np.testing.assert_array_equal(eye_centres(points, "eye-corners-nose-base"), np.stack(middles, axis=1))
    assert eye_centres(points[0], "eye-corners-nose-base").shape == (2, 2)


@settings(max_examples=30)
@given(st.integers(7, 40), st.integers(0, 1000))
def test_smoothing_is_savitzky_golay(num_frames: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(50, 20, (num_frames, 5, 2)).astype(np.float32)
    wanted = savgol_filter(values.astype(np.float64), 7, 2, axis=0, mode="interp")
    np.testing.assert_allclose(smooth(values, window_frames=7, order=2), wanted, atol=1e-4)


@pytest.mark.parametrize(("num_frames", "window"), [(6, 5), (5, 5), (4, 0), (3, 0), (2, 0), (1, 0)])
def test_short_clips_take_the_widest_odd_window_that_smooths(num_frames: int, window: int) -> None:
    values = np.random.default_rng(num_frames).normal(50, 20, (num_frames, 5, 2)).astype(np.float32)
    found = smooth(values, window_frames=7, order=2)
    wanted = savgol_filter(values.astype(np.float64), window, 2, axis=0, mode="interp") if window else values
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_window_one_switches_smoothing_off() -> None:
    values = np.random.default_rng(0).normal(50, 20, (20, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(smooth(values, window_frames=1, order=2), values)


def dotted(landmarks: Floats, *, width_px: int, height_px: int, radius_px: float) -> Image:
    """A grey picture with five bright discs whose centres of mass are the landmarks."""
    y, x = np.mgrid[:height_px, :width_px].astype(np.float64)
    light = np.zeros((height_px, width_px))
    for centre_x, centre_y in landmarks.astype(np.float64):
        light = np.maximum(light, np.clip(radius_px + 0.5 - np.hypot(x - centre_x, y - centre_y), 0, 1))
    return np.repeat((light * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def centroids(picture: Image, near: Floats, *, reach_px: int) -> Floats:
    light = picture[:, :, 0].astype(np.float64)
    found = []
    for x, y in near.round().astype(int):
        part = light[y - reach_px : y + reach_px + 1, x - reach_px : x + reach_px + 1]
        rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
        found.append([(part * grid).sum() / part.sum() for grid in (columns, rows)] + np.array([x, y]) - reach_px)
    return np.array(found, np.float32)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("face_px", "degrees"),
    [(224, 0), (224, 30), (80, -20), (300, 5), (700, 0), (700, 45), (1500, -12)],
    ids=["same", "turned", "enlarged", "reduced", "halved twice", "halved and turned", "halved three times"],
)
def test_a_warp_puts_the_landmarks_onto_the_template(scheme: LandmarkScheme, face_px: int, degrees: float) -> None:
    target = landmark_template(scheme, size_px=SIZE_PX, scale=0.8)
    scale = face_px / SIZE_PX
    middle = face_px * 0.9 + 3.3
    centre = np.array([SIZE_PX / 2, SIZE_PX / 2])
    place = turn(scale=scale, degrees=degrees, shift=(middle, middle))
    landmarks = points_of(place, (target - centre).astype(np.float32))
    side = round(2 * middle)
    picture = dotted(landmarks, width_px=side, height_px=side - 7, radius_px=5 * scale)
    found = warp(picture, similarity(landmarks, target), size_px=SIZE_PX)
    assert found.shape == (SIZE_PX, SIZE_PX, 3)
    # dlib's inner eye corners are 18 px apart here, so discs of 5 px and windows of 8 px do not touch
    np.testing.assert_allclose(centroids(found, target, reach_px=8), target, atol=0.12)


def test_a_strong_shrink_averages_instead_of_picking_pixels() -> None:
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = warp(stripes, turn(scale=0.1, degrees=0, shift=(0, 0)), size_px=100)
    inside = shrunk[2:-2, 2:-2]  # the edge blends with the black around it
    assert np.abs(inside.astype(int) - 127).max() <= 2


def test_outside_the_frame_is_black() -> None:
    white = np.full((50, 60, 3), 255, np.uint8)
    shifted = warp(white, turn(scale=1, degrees=0, shift=(30, 20)), size_px=64)
    assert not shifted[:19].any()
    assert not shifted[:, :29].any()
    assert (shifted[21:, 31:] == 255).all()


def test_warp_agrees_with_opencv_where_nothing_shrinks_much() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    matrix = turn(scale=0.7, degrees=13, shift=(5, 9))
    np.testing.assert_array_equal(warp(picture, matrix, size_px=64), cv2.warpAffine(picture, matrix, (64, 64)))


@pytest.mark.parametrize(
    ("matrix", "outside"),
    [
        (turn(scale=1, degrees=0, shift=(0, 0)), False),
        (turn(scale=1, degrees=0, shift=(-20, -10)), False),
        (turn(scale=1, degrees=0, shift=(0.6, 0)), True),
        (turn(scale=1, degrees=0, shift=(-21, 0)), True),
        (turn(scale=1, degrees=0, shift=(0, -11)), True),
        (turn(scale=2, degrees=0, shift=(-20, -20)), False),
        (turn(scale=0.5, degrees=0, shift=(0, 0)), True),
        (turn(scale=1, degrees=45, shift=(0, 0)), True),
    ],
)
def test_reaches_outside(matrix: AffineMatrix, outside: bool) -> None:
    assert reaches_outside(matrix, size_px=100, width_px=120, height_px=110) is outside
