"""Parts of VideoMAE that its golden figures do not show."""

from __future__ import annotations

import torch

from lstpnet.models.drop_path import DropPath
from lstpnet.models.videomae import VideoMAE, sine_positions
from lstpnet.training.optim import parts_of


def test_positions_follow_the_number_of_tokens() -> None:
    table = sine_positions(4, 6)
    assert table.shape == (4, 6)
    assert torch.equal(sine_positions(2, 6), table[:2])
    assert torch.equal(table[0], torch.tensor([0.0, 1.0] * 3))
    torch.testing.assert_close(
        table[3, :2],
        torch.tensor([3.0]).sin().repeat(2) * torch.tensor([1.0, 0.0])
        + (torch.tensor([0.0, torch.tensor(3.0).cos().item()])),
    )


def test_the_rate_rises_from_zero_and_the_classifier_starts_small() -> None:
    torch.manual_seed(0)
    model = VideoMAE(width_multiplier=0.125, depth=3, drop_path=0.2, head_scale=0.001)
    assert [layer.probability for layer in model.modules() if isinstance(layer, DropPath)] == [0.0, 0.1, 0.2]
    assert model.head.weight.abs().max() < 1e-4


def test_layer_decay_has_a_part_per_block_and_the_last_norm_with_the_classifier() -> None:
    model = VideoMAE(width_multiplier=0.125, depth=2)
    parts = parts_of(model)
    assert len(parts) == 4
    expected = [*model.fc_norm.parameters(), *model.head.parameters()]
    assert [id(parameter) for parameter in parts[-1]] == [id(parameter) for parameter in expected]
