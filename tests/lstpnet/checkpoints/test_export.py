"""The model made ready for use elsewhere gives the same logits."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lstpnet.checkpoints.export import exported_program, fold_batch_norms
from lstpnet.models.lstpnet import LSTPNet

SHAPES = [(1, 16, 3, 64, 64), (3, 9, 3, 48, 80), (2, 30, 3, 33, 50)]


@pytest.fixture(scope="module")
def model() -> LSTPNet:
    """With norms that have seen something."""
    torch.manual_seed(0)
    made = LSTPNet(5, width_multiplier=0.25).train()
    with torch.no_grad():
        for _ in range(3):
            made(torch.rand(2, 4, 3, 48, 48))
    return made.eval()


def test_folding_the_batch_norms_changes_nothing_but_rounding(model: LSTPNet) -> None:
    before = copy.deepcopy(model.state_dict())
    folded = fold_batch_norms(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    for shape in SHAPES:
        x = torch.rand(shape)
        with torch.no_grad():
            torch.testing.assert_close(folded(x), model(x), rtol=0, atol=1e-5)


def test_an_exported_program_takes_any_shape(model: LSTPNet) -> None:
    program = exported_program(model, size_px=64).module()
    for shape in SHAPES:
        x = torch.rand(shape)
        with torch.no_grad():
            torch.testing.assert_close(program(x), model(x), rtol=0, atol=1e-5)
