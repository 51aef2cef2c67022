from __future__ import annotations

import copy

import torch
from torch.nn import functional

from lstpnet.models.lstpnet import LSTPNet
from lstpnet.training.dead_biases import freeze_dead_biases
from lstpnet.training.optim import build_optimizer
from tests.lstpnet.conftest import quick


def network() -> LSTPNet:
    """A small network whose biases before batch norms are not 0, as in the authors' checkpoints."""
    torch.manual_seed(0)
    model = LSTPNet(7, width_multiplier=0.125).double()
    for name, parameter in model.named_parameters():
        if is_dead(name):
            torch.nn.init.normal_(parameter)
    return model


def is_dead(name: str) -> bool:
    """Whether the parameter is a bias before a batch norm."""
    return name.startswith("backbone.") and name.endswith(("conv1.bias", "conv2.bias", "downsample.0.bias"))


def test_a_step_changes_every_parameter_as_before_but_the_dead_biases_not_at_all() -> None:
    clips, labels = torch.rand(2, 16, 3, 32, 32, dtype=torch.float64), torch.tensor([1, 2])
    plain = network()
    frozen = copy.deepcopy(plain)
    freeze_dead_biases(frozen)
    start = copy.deepcopy(plain.state_dict())
    for model in (plain, frozen):
        model.train()
        optimizer = build_optimizer(model, quick(optimizer="sgd", weight_decay=0.1).recipe)
        functional.cross_entropy(model(clips), labels).backward()
        optimizer.step()
    before, after = plain.state_dict(), frozen.state_dict()
    assert list(before) == list(after)
    dead = [name for name in before if is_dead(name)]
    assert len(dead) == 19  # two of each of eight blocks, and three shortcuts
    assert all(torch.equal(after[name], start[name]) for name in dead)
    for name in before.keys() - set(dead):
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-9)
