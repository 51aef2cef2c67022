from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from dfer_data.detect.retinaface import _BACKBONES, RetinaFace
from dfer_data.detect.torch_backend import TorchGraph, torch_network
from dfer_data.errors import UsageError
from dfer_data.extras import install_command
from dfer_data.types import Floats, Image
from tests.dfer_data.tiny import real_pictures

WITHIN_PX = 0.05


@pytest.fixture(scope="module")
def images(real_videos: dict[str, Path]) -> list[Image]:
    return [
        *real_pictures(real_videos["single_face.mp4"], stop=3, width_px=320),
        *real_pictures(real_videos["carphone_pristine.mp4"], stop=2, width_px=176),
    ]


def landmarks(detector: RetinaFace, images: list[Image]) -> Floats:
    found = detector.detect(images)
    assert [len(faces) for faces in found] == [1] * len(images)
    return np.stack([faces[0].landmarks for faces in found])


def test_the_graph_in_pytorch_gives_the_same_landmarks(
    retinaface_weights: Path, images: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = RetinaFace(retinaface_weights, long_side_px=320)
    ported = RetinaFace(retinaface_weights, long_side_px=320)
    monkeypatch.setattr(ported, "_network", torch_network(retinaface_weights.read_bytes(), device="cpu"))
    np.testing.assert_allclose(landmarks(ported, images), landmarks(reference, images), atol=WITHIN_PX)


def test_pictures_of_a_fixed_batch_have_the_candidates_of_single_ones(
    retinaface_weights: Path, images: list[Image]
) -> None:
    """As on a GPU, where every batch is filled up: each picture keeps its own anchors, in order."""
    network = torch_network(retinaface_weights.read_bytes(), device="cpu")
    three, wanted = np.stack(images[:3]), _BACKBONES["mobilenet0.25"].format
    height, width = (-(-side // 32) * 32 for side in three.shape[1:3])
    found = network(three, (4, 3, height, width), wanted, least_score=0.1)
    assert len(found) == 3
    for picture, candidates in zip(three, found, strict=True):
        (alone,) = network(picture[None], (1, 3, height, width), wanted, least_score=0.1)
        assert len(candidates.anchors) > 1
        np.testing.assert_array_equal(candidates.anchors, alone.anchors)
        np.testing.assert_allclose(candidates.landmarks, alone.landmarks, atol=1e-4)
        np.testing.assert_allclose(candidates.scores, alone.scores, atol=1e-5)
    nothing = network(three, (4, 3, height, width), wanted, least_score=2)
    assert [len(candidates.anchors) for candidates in nothing] == [0, 0, 0]


def test_an_operation_that_is_not_known_is_named(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Tan", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph), tmp_path / "tan.onnx")
    with pytest.raises(ValueError, match="unsupported operations: Tan"):
        TorchGraph((tmp_path / "tan.onnx").read_bytes(), device="cpu", dtype=__import__("torch").float32)


def test_bf16_stays_near_or_says_that_the_cpu_has_none(retinaface_weights: Path, images: list[Image]) -> None:
    try:
        fast = RetinaFace(retinaface_weights, long_side_px=320, precision="bf16")
    except UsageError as error:
        assert "this CPU does not support bf16" in str(error)  # noqa: PT017
        return
    reference = landmarks(RetinaFace(retinaface_weights, long_side_px=320), images)
    eyes = np.linalg.norm(reference[:, 0] - reference[:, 1], axis=1)
    off = np.linalg.norm(landmarks(fast, images) - reference, axis=2).mean(axis=1) / eyes
    assert off[:3].max() < 0.02
    alone = np.stack([fast.detect([image])[0][0].landmarks for image in images])
    np.testing.assert_array_equal(alone, landmarks(fast, images))  # whatever its neighbours in the batch are


def test_no_gpu_is_told_in_one_line(retinaface_weights: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UsageError, match="--device cuda: PyTorch finds no CUDA GPU; leave --device out"):
        RetinaFace(retinaface_weights, device="cuda")


def test_a_missing_package_names_its_extra(retinaface_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    message = f"--precision bf16 needs a package that is not installed: {install_command('openvino')}"
    with pytest.raises(UsageError, match=re.escape(message)):
        RetinaFace(retinaface_weights, precision="bf16")
    assert importlib.util.find_spec("onnxruntime")
