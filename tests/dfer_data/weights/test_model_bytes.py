"""A model file is read once: the bytes that were hashed are the bytes that compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from dfer_data.config import PrepareConfig
from dfer_data.detect.backends import onnxruntime_network, openvino_network
from dfer_data.detect.registry import build_detector
from dfer_data.detect.torch_backend import torch_network
from dfer_data.errors import UsageError, WeightsError
from dfer_data.storage.files import sha256_file
from dfer_data.weights.fetch import weights_file
from dfer_data.weights.model_bytes import read_model_file

_BACKBONES = {"retinaface": "mobilenet0.25", "dlib": "hog-5pt"}


@pytest.mark.parametrize(
    ("detector", "weights"), [("retinaface", "retinaface-mobilenet0.25"), ("dlib", "dlib-5-landmarks")]
)
def test_a_model_file_that_is_replaced_after_its_hash_is_refused(detector: str, weights: str, tmp_path: Path) -> None:
    original = weights_file(weights)
    path = tmp_path / original.name
    path.write_bytes(original.read_bytes())
    config = PrepareConfig(
        dataset="folder", detector=detector, backbone=_BACKBONES[detector], weights_sha256=sha256_file(path)
    )
    assert build_detector(config, weights=path) is not None
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match="was replaced during the run"):
        build_detector(config, weights=path)


@pytest.mark.parametrize(
    ("detector", "name"), [("retinaface", "retinaface-mobilenet0.25"), ("dlib", "dlib-5-landmarks")]
)
def test_a_model_file_is_opened_once(detector: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file disappears as soon as it is read, and the detector is built all the same."""
    original = weights_file(name)
    path = tmp_path / original.name
    path.write_bytes(original.read_bytes())
    config = PrepareConfig(
        dataset="folder", detector=detector, backbone=_BACKBONES[detector], weights_sha256=sha256_file(path)
    )
    read_bytes = Path.read_bytes

    def read_and_remove(self: Path) -> bytes:
        content = read_bytes(self)
        if self == path:
            self.unlink()
        return content

    monkeypatch.setattr(Path, "read_bytes", read_and_remove)
    assert build_detector(config, weights=path) is not None
    assert not path.exists()


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a model file"):
        read_model_file(tmp_path)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "torch"])
def test_tensors_in_other_files_are_refused(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even those of the working folder are read: no hash covers them."""
    (tmp_path / "other").write_bytes(bytes(16))
    monkeypatch.chdir(tmp_path)
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "other", "offset": "0", "length": "16"}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "graph", [x], [y], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    load: dict[str, Callable[[bytes], object]] = {
        "onnxruntime": onnxruntime_network,
        "openvino": openvino_network,
        "torch": lambda content: torch_network(content, device="cpu"),
    }
    with pytest.raises(Exception, match=r"External data path|tensors in other files"):
        load[runtime](model.SerializeToString())
