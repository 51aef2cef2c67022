from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.detect.base import box_iou, resize, scaling_to_long_side
from dfer_data.types import Detection
from tests.dfer_data.tiny import face, pictures

corners = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 30), st.integers(0, 30))


@settings(max_examples=60)
@given(corners, st.lists(corners, min_size=1, max_size=5))
def test_overlap_is_that_of_counted_cells(one: tuple[int, ...], others: list[tuple[int, ...]]) -> None:
    def cells(x: int, y: int, width: int, height: int) -> set[tuple[int, int]]:
        return {(column, row) for column in range(x, x + width) for row in range(y, y + height)}

    def box(x: int, y: int, width: int, height: int) -> list[int]:
        return [x, y, x + width, y + height]

    found = box_iou(np.array(box(*one), np.float32), np.array([box(*other) for other in others], np.float32))
    for share, other in zip(found, others, strict=True):
        a, b = cells(*one), cells(*other)
        assert share == pytest.approx(len(a & b) / len(a | b) if a | b else 0.0)


@pytest.mark.parametrize(("width_px", "height_px"), [(200, 100), (100, 200), (64, 64), (33, 17), (1, 500)])
@pytest.mark.parametrize("long_side_px", [32, 160, 640])
def test_a_picture_is_scaled_to_its_long_side_and_points_come_back(
    width_px: int, height_px: int, long_side_px: int
) -> None:
    image = pictures(1, width_px=width_px, height_px=height_px)[0]
    scaling = scaling_to_long_side(image, long_side_px=long_side_px)
    resized = resize(image, scaling)
    assert resized.shape == (scaling.height_px, scaling.width_px, 3)
    assert max(resized.shape[:2]) == long_side_px
    # The outer corners of a picture are (-0.5, -0.5) and (side - 0.5) at every size.
    corners = np.array([[-0.5, -0.5], [scaling.width_px - 0.5, scaling.height_px - 0.5]], np.float32)
    wanted = [[-0.5, -0.5], [width_px - 0.5, height_px - 0.5]]
    np.testing.assert_allclose(scaling.to_source(corners), wanted, atol=1e-3)


@pytest.mark.parametrize(
    ("box", "score", "is_finite"),
    [
        ([0, 0, 10, 10], 0.5, True),
        ([0, 0, 10, np.nan], 0.5, False),
        ([0, 0, np.inf, 10], 0.5, False),
        ([0, 0, 10, 10], np.nan, False),
        ([10, 0, 10, 10], 0.5, False),
        ([0, 10, 10, 5], 0.5, False),
    ],
)
def test_a_detection_knows_whether_it_can_be_used(box: list[float], score: float, is_finite: bool) -> None:
    landmarks = face(0, 0).landmarks
    assert Detection(np.array(box, np.float32), score, landmarks).is_finite is is_finite
    assert not Detection(np.array(box, np.float32), score, landmarks * np.float32(np.nan)).is_finite


def test_a_detection_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"box \(5,\)"):
        Detection(np.zeros(5, np.float32), 0.5, face(0, 0).landmarks)
