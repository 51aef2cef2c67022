from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lstpnet.models.channel_attention import ChannelAttention
from lstpnet.models.resnet import BasicBlock, TemporalResNet18, stage_channels


class Closed(ChannelAttention):
    """A gate that lets nothing through."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def gate(self, x: Tensor, num_frames: int) -> Tensor:
        return torch.zeros_like(x[:, :, 0, 0])


def closed_block(in_channels: int, out_channels: int, stride: int) -> BasicBlock:
    return BasicBlock(in_channels, out_channels, stride=stride, excitation=Closed).eval()


def test_a_convolved_shortcut_is_gated_and_an_identity_is_not() -> None:
    x, other = torch.rand(2, 2, 8, 6, 6)
    first, second = closed_block(8, 16, 2), closed_block(8, 8, 1)
    assert torch.equal(first(x, 2), first(other, 2))
    constant = second(torch.zeros_like(x), 2)
    assert constant.min() >= 0
    torch.testing.assert_close(second(x + 10, 2) - second(x + 9, 2), torch.ones_like(x))


@pytest.mark.parametrize(("multiplier", "base"), [(1, 64), (0.5, 32), (0.25, 16), (0.125, 8), (1.5, 96), (2, 128)])
def test_channels_scale_with_the_width(multiplier: float, base: int) -> None:
    assert stage_channels(multiplier) == (base, 2 * base, 4 * base, 8 * base)


@pytest.mark.parametrize("multiplier", [0, -1, 0.1, 0.2, 0.0625, 1.01, float("nan"), float("inf")])
def test_other_widths_are_refused(multiplier: float) -> None:
    with pytest.raises(ValueError, match="multiple of 1/8"):
        stage_channels(multiplier)


def test_parameter_names_are_those_of_torchvision() -> None:
    names = {name for name, _ in TemporalResNet18(0.125).named_parameters()}
    extra = {
        name
        for name in names
        if "excitation." in name or name.endswith(("conv1.bias", "conv2.bias", "downsample.0.bias"))
    }
    norms = [f"bn{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")]
    wanted = {"conv1.weight", "bn1.weight", "bn1.bias"}
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            wanted |= {f"layer{stage}.{block}.{name}" for name in ("conv1.weight", "conv2.weight", *norms)}
        if stage > 1:
            wanted |= {f"layer{stage}.0.downsample.{name}" for name in ("0.weight", "1.weight", "1.bias")}
    assert names - extra == wanted


def test_all_convolutions_but_the_stem_start_with_a_bias_of_zero() -> None:
    convolutions = [module for module in TemporalResNet18(0.125).modules() if isinstance(module, nn.Conv2d)]
    biases = [conv.bias for conv in convolutions if conv.bias is not None]
    assert (len(convolutions), len(biases)) == (20, 19)
    assert convolutions[0].bias is None
    assert not any(bias.any() for bias in biases)


def test_every_stage_works_in_channels_last() -> None:
    net, layouts = TemporalResNet18(0.25).eval(), []
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        stage.register_forward_hook(
            lambda module, inputs, out: layouts.append(out.is_contiguous(memory_format=torch.channels_last))
        )
    with torch.no_grad():
        net(torch.rand(4, 3, 64, 64), 2)
    assert layouts == [True] * 4


def test_the_narrowest_network_has_right_gradients_on_large_pictures(tmp_path: Path) -> None:
    """In a process of its own: a strided 1 x 1 convolution of oneDNN with eight channels crashed here."""
    script = """
import torch
from lstpnet.models.resnet import TemporalResNet18
torch.manual_seed(0)
torch.set_num_threads(1)
net = TemporalResNet18(0.125).eval()
frames = torch.rand(4, 3, 224, 224)
gradients = []
for mkldnn in (True, False):
    torch.backends.mkldnn.set_flags(mkldnn)
    net.zero_grad()
    net(frames, 1).square().sum().backward()
    gradients.append(net.layer2[0].downsample[0].weight.grad.clone())
torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-4 * float(gradients[1].abs().max()))
print("equal")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "equal\n"), done.stderr
