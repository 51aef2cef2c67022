"""What computes a model: chosen by name, refused in one line where it cannot, and recorded."""

from __future__ import annotations

import re
import sys

import pytest
import torch

from dfer_data.errors import UsageError
from dfer_data.extras import install_command
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.checkpoints.openvino_model import OpenVinoModel
from lstpnet.evaluation.computation import Computation, computation, with_runtime
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.recipe import Recipe

CPU = torch.device("cpu")


def opened(precision: str = "f32") -> OpenedModel:
    model = LSTPNet(num_classes=2, width_multiplier=0.125)
    return OpenedModel(model, ("a", "b"), Recipe(name="demo", precision=precision))  # type: ignore[arg-type]


def test_torch_leaves_the_model_as_it_is() -> None:
    model = opened()
    assert with_runtime(model, "torch", device="cpu") == (model, CPU)
    assert computation(model, CPU) == Computation("torch", "f32")
    assert computation(model, CPU).is_plain
    assert computation(opened("bf16"), CPU) == Computation("torch", "bf16")
    assert computation(opened("tf32"), CPU) == Computation("torch", "f32")  # a CPU has no TF32
    assert computation(opened("tf32"), torch.device("cuda")) == Computation("torch", "tf32")


def test_openvino_computes_on_the_cpu_in_the_precision_of_the_recipe() -> None:
    computed, device = with_runtime(opened(), "openvino")
    assert isinstance(computed.model, OpenVinoModel)
    assert device == CPU
    assert computation(computed, device) == Computation("openvino", "f32")
    assert not computation(computed, device).is_plain
    with pytest.raises(UsageError, match="openvino computes on the CPU; leave out --device cuda"):
        with_runtime(opened(), "openvino", device="cuda")


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    message = f"--runtime openvino needs a package that is not installed: {install_command('openvino')}"
    with pytest.raises(UsageError, match=re.escape(message)):
        with_runtime(opened(), "openvino")
