from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lstpnet.models.lstformer import Attention, FeedForward, LSTformer


def test_attention_mixes_values_by_its_weights() -> None:
    attention, x = Attention(32, num_heads=4).double(), torch.randn(2, 5, 32, dtype=torch.float64)
    weights = attention.weights(x)
    assert weights.shape == (2, 4, 5, 5)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 4, 5, dtype=torch.float64))
    value = (x @ attention.to_qkv.weight[64:].T).reshape(2, 5, 4, 8)  # the last third of the rows: q | k | v
    mixed = torch.einsum("bhts,bshd->bthd", weights, value).reshape(2, 5, 32)
    torch.testing.assert_close(attention(x), attention.to_out(mixed))


def test_heads_must_divide_the_dimension() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide 32"):
        Attention(32, num_heads=3)


def test_the_feed_forward_part_sees_one_frame_to_either_side() -> None:
    part, x = FeedForward(16, hidden_dim=32), torch.randn(1, 7, 16)
    changed = x.clone()
    changed[0, 3] += torch.randn(16)
    moved = (part(changed) - part(x)).abs().amax(dim=2)[0] > 1e-6
    assert moved.nonzero().flatten().tolist() == [2, 3, 4]
    assert torch.allclose(part(x).mean(dim=2), torch.zeros(1, 7), atol=1e-5)  # normed last


def test_the_layers_share_one_convolution_and_one_norm() -> None:
    net = LSTformer(16)
    assert len(net.layers) == 2
    near = [name for name in net.state_dict() if not name.startswith("layers.")]
    assert near == ["conv.weight", "conv.bias", "norm.weight", "norm.bias"]
    assert net.conv is not None
    x = torch.randn(2, 4, 16)
    wanted = x
    for layer in net.layers:
        mixed = F.conv1d(wanted.transpose(1, 2), net.conv.weight, net.conv.bias, padding=1).transpose(1, 2)
        wanted = layer(F.layer_norm(mixed + wanted, (16,), net.norm.weight, net.norm.bias, 1e-5))
    torch.testing.assert_close(net(x), wanted)


@pytest.mark.parametrize("num_frames", [1, 2, 16, 33])
def test_attention_maps_of_every_layer(num_frames: int) -> None:
    net, x = LSTformer(32, num_layers=3), torch.randn(2, num_frames, 32)
    maps = net.attention_maps(x)
    assert maps.shape == (3, 2, 8, num_frames, num_frames)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(3, 2, 8, num_frames))
    assert net(x).shape == x.shape


def test_the_order_of_frames_counts() -> None:
    net, x = LSTformer(32), torch.randn(1, 8, 32)
    assert (net(x.flip(1)).flip(1) - net(x)).abs().max() > 1e-3
