"""Rates of parts and of steps."""

from __future__ import annotations

import math

import pytest
import torch

from lstpnet.models.lstpnet import LSTPNet
from lstpnet.training.optim import build_optimizer, build_schedule, parts_of
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
