"""Parts of VideoMAE that its golden figures do not show."""

from __future__ import annotations

import torch

from lstpnet.models.videomae import VideoMAE, ViTBlock, sine_positions


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


def test_a_dropped_path_leaves_some_clips_out_and_scales_the_others() -> None:
    torch.manual_seed(0)
    block = ViTBlock(8, drop_path=0.5).train()
    kept = block._kept(torch.ones(400, 2, 8))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert 0.4 < (kept[:, 0, 0] > 0).float().mean() < 0.6
    assert torch.equal(block.eval()._kept(kept), kept)


def test_the_rate_rises_from_zero_and_the_classifier_starts_small() -> None:
    torch.manual_seed(0)
    model = VideoMAE(width_multiplier=0.125, depth=3, drop_path=0.2, head_scale=0.001)
    assert [block.drop_path for block in model.blocks] == [0.0, 0.1, 0.2]
    assert model.head.weight.abs().max() < 1e-4
