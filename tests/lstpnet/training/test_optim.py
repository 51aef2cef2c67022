"""Rates of parts and of steps."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch

from dfer_data.errors import UsageError
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.training.optim import build_optimizer, build_schedule, parts_of, restore_optimizer, skip_if_bad
from tests.lstpnet.conftest import quick


def rates(*, num_epochs: int = 4, steps: int = 5, **settings: object) -> list[float]:
    recipe = quick(learning_rate=1.0, **settings).recipe
    optimizer = build_optimizer(torch.nn.Linear(2, 2), recipe)
    schedule = build_schedule(optimizer, recipe, num_epochs=num_epochs, steps_per_epoch=steps)
    found = []
    for _ in range(num_epochs * steps):
        found.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    return found


def test_the_rate_climbs_and_falls_by_a_cosine() -> None:
    found = rates(schedule="cosine", warmup_epochs=1)
    assert found[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert found[5:] == pytest.approx([(1 + math.cos(math.pi * i / 15)) / 2 for i in range(15)])


def test_the_rate_falls_in_steps() -> None:
    assert rates(schedule="step", step_epochs=2, step_factor=0.5) == pytest.approx([1.0] * 10 + [0.5] * 10)


def test_warm_up_and_cosine_have_videomaes_ends() -> None:
    """Its schedules: numpy.linspace to the peak, then a cosine to the least rate."""
    changes: dict[str, Any] = {"warmup_epochs": 1, "warmup_learning_rate": 0.01, "min_learning_rate": 0.1}
    found = rates(schedule="cosine", **changes)
    assert found[:5] == pytest.approx(np.linspace(0.01, 1.0, 5).tolist())
    assert found[5:] == pytest.approx([0.1 + 0.9 * (1 + math.cos(math.pi * i / 15)) / 2 for i in range(15)])
    assert rates(schedule="cosine", num_epochs=1, steps=1, **changes) == pytest.approx([0.01])


class Small(torch.nn.Module):
    """A model with a token, a norm and a method that names what has no decay."""

    def __init__(self) -> None:
        super().__init__()
        self.token = torch.nn.Parameter(torch.zeros(1, 2, 4))
        self.blocks = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
        self.norm = torch.nn.LayerNorm(4)
        self.head = torch.nn.Linear(4, 2)

    def no_weight_decay(self) -> set[str]:
        return {"token"}


class Layered(Small):
    """The same with its own parts."""

    def layer_parts(self) -> list[tuple[str, ...]]:
        return [("token",), ("blocks.0",), ("blocks.1",), ("norm", "head")]


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_only_matrices_decay_without_tokens_norms_and_biases(layer_decay: float) -> None:
    model = Small()
    recipe = quick(weight_decay=0.3, weight_decay_on="matrices", layer_decay=layer_decay).recipe
    groups = build_optimizer(model, recipe).param_groups
    decay_of = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    decayed = {name for name, p in model.named_parameters() if decay_of[id(p)] > 0}
    assert decayed == {"blocks.0.weight", "blocks.1.weight", "head.weight"}
    assert len(decay_of) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    everything = build_optimizer(model, quick(weight_decay=0.3).recipe).param_groups
    assert [group["weight_decay"] for group in everything] == [0.3]


def test_a_model_may_name_its_parts() -> None:
    model = Layered()
    recipe = quick(learning_rate=1.0, layer_decay=0.5).recipe
    rate_of = {id(p): group["lr"] for group in build_optimizer(model, recipe).param_groups for p in group["params"]}
    named = [model.head.bias, model.norm.weight, model.blocks[1].weight, model.blocks[0].weight, model.token]
    assert [rate_of[id(parameter)] for parameter in named] == [1, 1, 0.5, 0.25, 0.125]
    model.extra = torch.nn.Linear(2, 2)
    with pytest.raises(UsageError, match=r"layer_parts of the model has extra\.weight, extra\.bias in no part"):
        parts_of(model)


def test_a_cycle_begins_low_and_ends_lower() -> None:
    found = rates(schedule="one-cycle")
    assert found[0] == pytest.approx(0.04)
    assert max(found) == pytest.approx(1, abs=0.02)
    assert found[-1] < 0.02


def test_parts_of_lstpnet_have_rates_of_their_own() -> None:
    model = LSTPNet(7, width_multiplier=0.125)
    parts = parts_of(model)
    assert sum(len(part) for part in parts) == len(list(model.parameters()))
    recipe = quick(learning_rate=1.0, layer_decay=0.5).recipe
    optimizer = build_optimizer(model, recipe)
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rate_of[id(model.fc.weight)] == 1.0
    stages = [rate_of[id(next(stage.parameters()))] for stage in (model.backbone.layer1, model.backbone.layer2)]
    assert stages[0] == stages[1] / 2
    assert rate_of[id(model.backbone.conv1.weight)] == min(rate_of.values())
    plain = build_optimizer(model, quick(learning_rate=1.0).recipe)
    assert len(plain.param_groups) == 1


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("was_fused", [False, True])
@pytest.mark.parametrize("is_fused", [False, True])
def test_a_state_is_restored_whether_or_not_its_optimizer_was_fused(name: str, was_fused: bool, is_fused: bool) -> None:
    torch.manual_seed(0)
    recipe = quick(optimizer=name, weight_decay=0.01).recipe
    first, second = (torch.nn.Linear(5, 3) for _ in range(2))
    inputs = torch.rand(4, 5)

    def step(module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        module(inputs).square().sum().backward()
        skip_if_bad(optimizer, torch.zeros(()))
        optimizer.step()
        optimizer.zero_grad()

    before = build_optimizer(first, recipe, is_fused=was_fused)
    step(first, before)
    after = build_optimizer(second, recipe, is_fused=is_fused)
    restore_optimizer(after, copy.deepcopy(before.state_dict()))
    second.load_state_dict(first.state_dict())
    assert [bool(group["fused"]) for group in after.param_groups] == [is_fused]
    step(first, before)
    step(second, after)
    torch.testing.assert_close(second.state_dict(), first.state_dict(), rtol=1e-5, atol=1e-6)
