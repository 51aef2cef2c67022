"""A rule's name decides how pictures shrink; enlarging is the same under all of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dfer_data.types import Image
from dfer_data.video.resize import resized
from dfer_data.video.resize_rules import ResizeRule

RULES: tuple[ResizeRule, ...] = ("auto", "area", "linear")


def picture(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def by_opencv(image: Image, size_px: int, method: int) -> Image:
    return np.asarray(cv2.resize(image, (size_px, size_px), interpolation=method), np.uint8)


@pytest.mark.parametrize(
    ("rule", "size_px", "is_averaged"),
    [
        ("area", 31, True),
        ("area", 16, True),
        ("linear", 31, False),
        ("linear", 8, False),
        ("auto", 31, False),
        ("auto", 17, False),
        ("auto", 16, True),
        ("auto", 8, True),
    ],
)
def test_a_shrink_averages_or_interpolates_by_its_rule(rule: ResizeRule, size_px: int, is_averaged: bool) -> None:
    image = picture(32, 32)
    averaged, interpolated = (by_opencv(image, size_px, method) for method in (cv2.INTER_AREA, cv2.INTER_LINEAR))
    assert np.array_equal(resized(image, size_px=size_px, rule=rule), averaged if is_averaged else interpolated)
    if size_px in (31, 17):  # OpenCV computes a shrink by whole numbers alike
        assert not np.array_equal(averaged, interpolated)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_enlarges_alike_and_leaves_a_picture_of_this_size_alone(rule: ResizeRule) -> None:
    image = picture(32, 32)
    assert np.array_equal(resized(image, size_px=40, rule=rule), by_opencv(image, 40, cv2.INTER_LINEAR))
    assert resized(image, size_px=32, rule=rule) is image


@pytest.mark.parametrize("size_px", [16, 24, 32, 40])
def test_a_result_is_written_where_it_is_wanted(size_px: int) -> None:
    image, out = picture(32, 36 if size_px == 24 else 32), np.zeros((size_px, size_px, 3), np.uint8)
    assert np.shares_memory(resized(image, size_px=size_px, rule="auto", out=out), out)
    assert np.array_equal(out, resized(image, size_px=size_px, rule="auto"))
