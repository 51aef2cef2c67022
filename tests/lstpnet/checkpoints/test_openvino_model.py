"""LSTPNet and exported graphs by OpenVINO: the logits of torch and onnxruntime up to rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from dfer_data.errors import UsageError
from lstpnet.checkpoints.onnx_model import ExportedModel
from lstpnet.checkpoints.openvino_model import OpenVinoModel, _resolved
from lstpnet.models.lstpnet import LSTPNet


@pytest.fixture(scope="module")
def network() -> LSTPNet:
    """A narrow LSTPNet whose batch norms have statistics, so that folding them matters."""
    torch.manual_seed(0)
    model = LSTPNet(num_classes=5, width_multiplier=0.125)
    with torch.no_grad():
        for _ in range(2):
            model.train()(torch.rand(2, 16, 3, 48, 48))
    return model.eval()


@pytest.fixture(scope="module")
def computed(network: LSTPNet) -> OpenVinoModel:
    return OpenVinoModel(network, precision="f32")


def clips(number: int, *, size_px: int = 48) -> torch.Tensor:
    return torch.rand(number, 16, 3, size_px, size_px, generator=torch.Generator().manual_seed(number))


def test_float32_gives_the_logits_of_torch_also_within_autocast(network: LSTPNet, computed: OpenVinoModel) -> None:
    x = clips(3)
    with torch.inference_mode():
        expected = network(x)
        with torch.autocast("cpu", torch.bfloat16):  # as `predicting` calls it
            torch.testing.assert_close(computed(x), expected, atol=1e-4, rtol=0)
    assert computed.precision == "f32"


def test_logits_do_not_depend_on_the_batch_and_the_call(computed: OpenVinoModel) -> None:
    x = clips(3)
    together = computed(x)
    assert torch.equal(together, computed(x))
    assert torch.equal(together, torch.cat([computed(clip[None]) for clip in x]))


def exported(path: Path) -> ExportedModel:
    """A graph that maps clips to their mean red, green and blue."""
    shape: list[str | int | None] = ["batch", "frames", 3, "height", "width"]
    axes = numpy_helper.from_array(np.array([1, 3, 4]), "axes")
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["clips", "axes"], ["logits"], keepdims=0)],
        "mean",
        [helper.make_tensor_value_info("clips", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 3])],
        [axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save_model(model, path)
    return ExportedModel(path)


def test_an_exported_graph_gives_the_logits_of_onnxruntime(tmp_path: Path) -> None:
    model = exported(tmp_path / "m.onnx")
    computed = OpenVinoModel(model, precision="f32")
    for x in (clips(2), clips(2, size_px=32)):  # each shape is compiled on its own
        torch.testing.assert_close(computed(x), model(x), atol=1e-5, rtol=0)


def test_auto_computes_in_what_the_cpu_has(tmp_path: Path) -> None:
    model = exported(tmp_path / "m.onnx")
    computed, x = OpenVinoModel(model, precision="auto"), clips(1)
    assert computed.precision in ("f32", "bf16")
    torch.testing.assert_close(computed(x), model(x), atol=1e-2, rtol=0)


def test_other_models_are_refused() -> None:
    with pytest.raises(UsageError, match="openvino computes LSTPNet and exported models; use --runtime torch"):
        OpenVinoModel(nn.Linear(1, 1), precision="f32")


class _Core:
    """An OpenVINO on a CPU that computes in these formats."""

    def __init__(self, *formats: str) -> None:
        self._formats = formats

    def get_property(self, device: str, name: str) -> tuple[str, ...]:
        assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
        return self._formats


def test_the_precision_is_the_recipes_where_the_cpu_has_it() -> None:
    old, new = _Core("FP32", "INT8"), _Core("FP32", "BF16")
    assert [_resolved(name, new) for name in ("auto", "bf16", "f32", "tf32")] == ["bf16", "bf16", "f32", "f32"]
    assert [_resolved(name, old) for name in ("auto", "f32", "tf32")] == ["f32"] * 3
    with pytest.raises(UsageError, match="this CPU does not support bf16"):
        _resolved("bf16", old)
    with pytest.raises(UsageError, match="f32 or bf16, not in precision f16; use --runtime torch"):
        _resolved("f16", new)
