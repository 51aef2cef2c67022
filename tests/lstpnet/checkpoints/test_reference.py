from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dfer_data.errors import DferError
from lstpnet.checkpoints.reference import export_reference, load_reference
from lstpnet.errors import CheckpointError
from lstpnet.models.lstpnet import LSTPNet
from tests.golden.lstpnet_fill import entries, filled_state_dict

TC = "t_former.spatial_transformer.TC.weight"
TC_AGAIN = "t_former.spatial_transformer.layers.1.0.weight"
BIAS = "s_former.ir_back.layer2.0.downsample.0.bias"
COUNT = "s_former.ir_back.bn1.num_batches_tracked"


@pytest.fixture
def state() -> dict[str, Tensor]:
    return dict(filled_state_dict())


def changed(tensor: Tensor, value: float) -> Tensor:
    """A copy whose last element is `value`."""
    copy = tensor.clone()
    copy.view(-1)[-1] = value
    return copy


def faults_of(state_dict: Any) -> tuple[str, ...]:
    with pytest.raises(CheckpointError) as caught:
        load_reference("lstpnet", state_dict)
    assert "\n" not in str(caught.value)
    assert all(fault in str(caught.value) for fault in caught.value.faults[:5])
    return caught.value.faults


def test_reading_and_writing_give_back_every_bit(state: dict[str, Tensor]) -> None:
    wrapped = {"epoch": 32, "model_state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    model = load_reference("lstpnet", wrapped)
    assert not model.training
    exported = export_reference(model)
    assert {name: tuple(tensor.shape) for name, tensor in exported.items()} == {
        entry.name: tuple(entry.shape) for entry in entries()
    }
    assert all(
        torch.equal(tensor, state[name]) and tensor.dtype == state[name].dtype for name, tensor in exported.items()
    )
    exported["fc.bias"] += 1
    state["fc.weight"] = state["fc.weight"].clone()
    assert torch.equal(model.fc.bias, state["fc.bias"])


def test_loading_leaves_the_random_numbers_alone(state: dict[str, Tensor]) -> None:
    before = torch.get_rng_state()
    load_reference("lstpnet", state)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_number_of_classes_is_read_from_the_classifier(state: dict[str, Tensor]) -> None:
    state |= {"fc.weight": torch.zeros(3, 512), "fc.bias": torch.arange(3.0)}
    model = load_reference("lstpnet", state)
    assert model.num_classes == 3
    with torch.no_grad():
        assert model(torch.rand(1, 2, 3, 32, 32)).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda s: s.pop(BIAS), f"{BIAS} is missing"),
        (lambda s: s.pop(TC_AGAIN), f"{TC_AGAIN} is missing"),
        (lambda s: s.update(extra=torch.zeros(1)), "extra is unexpected"),
        (lambda s: s.update({"fc.weight": torch.zeros(7, 256)}), "fc.weight has shape (7, 256), not (7, 512)"),
        (lambda s: s.update({"fc.weight": torch.zeros(7)}), "fc.weight has shape (7,), not (7, 512)"),
        (lambda s: s.update({"fc.bias": torch.zeros(8)}), "fc.bias has shape (8,), not (7,)"),
        (lambda s: s.pop("fc.weight"), "fc.weight is missing"),
        (lambda s: s.update({BIAS: s[BIAS].half()}), f"{BIAS} is torch.float16, not torch.float32"),
        (lambda s: s.update({COUNT: torch.tensor(0.0)}), f"{COUNT} is torch.float32, not torch.int64"),
        (lambda s: s.update({BIAS: changed(s[BIAS], float("nan"))}), f"{BIAS} holds NaN or infinity"),
        (lambda s: s.update({BIAS: changed(s[BIAS], float("inf"))}), f"{BIAS} holds NaN or infinity"),
        (lambda s: s.update({TC_AGAIN: changed(s[TC], 0)}), f"{TC_AGAIN} differs from {TC}, which it should repeat"),
        (lambda s: s.update({f"module.{BIAS}": s[BIAS]}), f"{BIAS} appears twice, with and without 'module.'"),
        (lambda s: s.update(epoch=32), "epoch is a int, not a tensor"),
    ],
)
def test_one_fault_is_named(state: dict[str, Tensor], damage: Callable[[dict[str, Any]], object], fault: str) -> None:
    damage(state)
    assert faults_of(state) == (fault,)


def test_all_faults_are_named_at_once(state: dict[str, Tensor]) -> None:
    del state[BIAS]
    state |= {"extra": torch.zeros(1), "fc.bias": torch.full((7,), torch.nan), TC_AGAIN: changed(state[TC], 0)}
    assert faults_of(state) == (
        f"{BIAS} is missing",
        "extra is unexpected",
        "fc.bias holds NaN or infinity",
        f"{TC_AGAIN} differs from {TC}, which it should repeat",
    )


def test_something_else_altogether_is_refused() -> None:
    assert len(faults_of({})) == len(entries()) == 226
    with pytest.raises(CheckpointError, match="a list is not a state dict") as caught:
        load_reference("lstpnet", [])  # type: ignore[call-overload]
    assert isinstance(caught.value, DferError)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("arguments", [{"width_multiplier": 0.25}, {"width_multiplier": 0.125, "num_layers": 1}])
def test_a_model_that_the_authors_code_cannot_hold_is_not_exported(arguments: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="no counterpart"):
        export_reference(LSTPNet(**arguments))
