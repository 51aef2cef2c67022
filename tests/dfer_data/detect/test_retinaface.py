from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.detect.retinaface import (
    RetinaFace,
    decode_boxes,
    decode_landmarks,
    non_maximum_suppression,
)
from dfer_data.errors import UsageError
from dfer_data.types import Detection, Floats, Image
from tests.dfer_data.tiny import pictures, real_pictures

WITHIN_PX = 1e-3


@pytest.fixture(scope="module")
def detector(retinaface_weights: Path) -> RetinaFace:
    return RetinaFace(retinaface_weights, long_side_px=160)


@pytest.fixture(scope="module")
def mixed(real_videos: dict[str, Path]) -> list[Image]:
    """Pictures of three sizes with one face each or none, in no order."""
    single = real_pictures(real_videos["single_face.mp4"], stop=8)
    passenger = real_pictures(real_videos["carphone_pristine.mp4"], stop=6, width_px=176)
    nobody = real_pictures(real_videos["no_face.mp4"], stop=4)
    return [*single[:3], *passenger[:4], *nobody[:2], single[3], passenger[4], *single[4:], *nobody[2:], passenger[5]]


def assert_same(found: Sequence[Sequence[Detection]], wanted: Sequence[Sequence[Detection]]) -> None:
    assert [len(one) for one in found] == [len(one) for one in wanted]
    for a, b in zip((d for one in found for d in one), (d for one in wanted for d in one), strict=True):
        np.testing.assert_allclose(a.box, b.box, atol=WITHIN_PX)
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=WITHIN_PX)
        assert a.score == pytest.approx(b.score, abs=1e-4)


@pytest.mark.parametrize("batch", [2, 5, 16, 18])
def test_a_batch_finds_what_single_pictures_give(detector: RetinaFace, mixed: list[Image], batch: int) -> None:
    alone = [detector.detect([image])[0] for image in mixed]
    assert {len(found) for found in alone} == {0, 1}
    together = [
        found for start in range(0, len(mixed), batch) for found in detector.detect(mixed[start : start + batch])
    ]
    assert_same(together, alone)


def test_more_pictures_than_a_batch_of_the_network_holds(detector: RetinaFace, mixed: list[Image]) -> None:
    assert_same(detector.detect(mixed[:1] * 20), detector.detect(mixed[:1]) * 20)


def test_detections_are_in_pixels_of_the_source(detector: RetinaFace, mixed: list[Image]) -> None:
    """Doubling every pixel and averaging them back gives the network the same picture."""
    for image in (mixed[0], mixed[4]):
        small = detector.detect([image])[0]
        doubled = detector.detect([image.repeat(2, axis=0).repeat(2, axis=1)])[0]
        height, width = image.shape[:2]
        assert width == 176 or (height, width) == (90, 160)
        assert len(small) == len(doubled) == 1
        tolerance = WITHIN_PX if width == 160 else 0.25  # 176 is resized to 160: not the same picture any more
        np.testing.assert_allclose((doubled[0].landmarks + 0.5) / 2 - 0.5, small[0].landmarks, atol=tolerance)
        np.testing.assert_allclose((doubled[0].box + 0.5) / 2 - 0.5, small[0].box, atol=tolerance)


def test_the_landmarks_lie_where_eyes_nose_and_mouth_are(detector: RetinaFace, mixed: list[Image]) -> None:
    (found,) = detector.detect(mixed[:1])[0]
    left, top, right, bottom = found.box
    assert (left < found.landmarks[:, 0]).all()
    assert (found.landmarks[:, 0] < right).all()
    assert (top < found.landmarks[:, 1]).all()
    assert (found.landmarks[:, 1] < bottom).all()
    eye, other_eye, nose, mouth, other_mouth = found.landmarks
    assert eye[0] < nose[0] < other_eye[0]
    assert mouth[0] < other_mouth[0]
    assert max(eye[1], other_eye[1]) < nose[1] < min(mouth[1], other_mouth[1])


def test_two_faces_come_with_the_better_score_first(detector: RetinaFace, mixed: list[Image]) -> None:
    face_picture = mixed[0]
    pair = np.concatenate([face_picture[:, 20:120], face_picture[:, 20:120][:, ::-1] // 2], axis=1)
    found = detector.detect([pair])[0]
    assert len(found) == 2
    assert found[0].score >= found[1].score
    assert abs(found[0].box[0] - found[1].box[0]) > 50


def test_a_stricter_threshold_finds_less(retinaface_weights: Path, mixed: list[Image]) -> None:
    assert RetinaFace(retinaface_weights, long_side_px=160, score_threshold=1.0).detect(mixed[:1]) == [[]]


def test_no_pictures_and_odd_ones(detector: RetinaFace) -> None:
    assert detector.detect([]) == []
    odd = [pictures(1, width_px=width, height_px=height)[0] for width, height in [(1, 1), (1, 300), (700, 2)]]
    assert detector.detect(odd) == [[], [], []]


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x07" * 50])
def test_a_file_that_is_no_graph_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"mine\.onnx is not a RetinaFace ONNX graph"):
        RetinaFace(path)


def _odd_network(batch: Floats) -> tuple[Floats, Floats, Floats]:
    """Stand in for the network and answer with fixed regressions: a size of e^60 or NaN at three anchors."""
    num_pictures, _, height, width = batch.shape
    num_anchors = sum(2 * (height // stride) * (width // stride) for stride in (8, 16, 32))
    boxes = np.zeros((num_pictures, num_anchors, 4), np.float32)
    scores = np.zeros((num_pictures, num_anchors, 2), np.float32)
    landmarks = np.zeros((num_pictures, num_anchors, 10), np.float32)
    scores[:, [0, 50, 100, 150], 1] = 0.9
    boxes[:, 50, 0] = np.nan
    landmarks[:, 100, 3] = np.nan
    boxes[:, 150, 2] = 1e5  # exp overflows
    return boxes, scores, landmarks


@pytest.mark.filterwarnings("ignore:.*(overflow|invalid).*:RuntimeWarning")
def test_detections_that_are_not_finite_are_dropped(retinaface_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = RetinaFace(retinaface_weights, long_side_px=160)
    monkeypatch.setattr(detector, "_network", _odd_network)
    (found,) = detector.detect(pictures(1, width_px=160, height_px=160))
    assert len(found) == 1
    np.testing.assert_allclose(found[0].box, [-4, -4, 12, 12])  # the first anchor: 16 px about (4, 4)


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(0, 1000))
def test_regressions_decode_as_published(num_anchors: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    anchors = rng.uniform(8, 200, (num_anchors, 4)).astype(np.float32)
    boxes = rng.normal(0, 1, (num_anchors, 4)).astype(np.float32)
    points = rng.normal(0, 1, (num_anchors, 10)).astype(np.float32)
    for i, (x, y, width, height) in enumerate(anchors.tolist()):
        dx, dy, dw, dh = boxes[i].tolist()
        centre = (x + 0.1 * dx * width, y + 0.1 * dy * height)
        size = (width * math.exp(0.2 * dw), height * math.exp(0.2 * dh))
        wanted = [centre[0] - size[0] / 2, centre[1] - size[1] / 2, centre[0] + size[0] / 2, centre[1] + size[1] / 2]
        np.testing.assert_allclose(decode_boxes(boxes, anchors)[i], wanted, rtol=1e-4, atol=1e-3)
        wanted_points = [
            [x + 0.1 * points[i, 2 * k] * width, y + 0.1 * points[i, 2 * k + 1] * height] for k in range(5)
        ]
        np.testing.assert_allclose(decode_landmarks(points, anchors)[i], wanted_points, rtol=1e-4, atol=1e-3)


def _iou(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(0.0, width) * max(0.0, height)
    return intersection / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection)


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 30)] * 2), max_size=12))
def test_suppression_keeps_what_no_better_kept_box_covers(numbers: list[tuple[int, int, int, int]]) -> None:
    boxes = [[float(x), float(y), float(x + w), float(y + h)] for x, y, w, h in numbers]
    kept: list[int] = []
    iou = 0.41421356  # no ratio of small whole numbers, so float32 and float64 never disagree at the limit
    for i, box in enumerate(boxes):
        if all(_iou(box, boxes[k]) <= iou for k in kept):
            kept.append(i)
    assert non_maximum_suppression(np.array(boxes, np.float32).reshape(-1, 4), iou=iou) == kept
