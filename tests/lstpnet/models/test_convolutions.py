"""Convolutions give the same values and gradients in the forms that suit a device."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from lstpnet.models.convolutions import ImageConv, OverFrames3d, Pointwise3d, folded_conv
from lstpnet.models.lstpnet import LSTPNet


def _random(*shape: int, make: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=make, dtype=torch.float64)


@given(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12), st.booleans(), st.integers(0, 2**16))
def test_squares_of_pixels_give_the_same_convolution(
    num_pictures: int, rows: int, columns: int, has_bias: bool, seed: int
) -> None:
    make = torch.Generator().manual_seed(seed)
    x = _random(num_pictures, 2 * rows, 2 * columns, 3, make=make).permute(0, 3, 1, 2)
    weight = _random(5, 3, 7, 7, make=make).requires_grad_()
    bias = _random(5, make=make) if has_bias else None
    expected = functional.conv2d(x, weight, bias, stride=2, padding=3)
    out = folded_conv(x, weight, bias)
    assert out.shape == expected.shape
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    above = _random(*expected.shape, make=make)
    gradients = (torch.autograd.grad(each, weight, above)[0] for each in (out, expected))
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-11)


@pytest.mark.parametrize("size", [(32, 32), (33, 32), (32, 33)])
def test_a_network_computes_the_same_by_either_form(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures with an odd side are convolved as usual."""
    torch.manual_seed(0)
    model = LSTPNet(7, width_multiplier=0.125).double()
    clips = torch.rand(2, 16, 3, *size, dtype=torch.float64, requires_grad=True)

    def outcome() -> list[torch.Tensor]:
        logits = model(clips)
        return [logits, *torch.autograd.grad(logits.square().sum(), [clips, model.backbone.conv1.weight])]

    expected = outcome()
    monkeypatch.setattr(ImageConv, "folds", True)
    for value, of_plain in zip(outcome(), expected, strict=True):
        torch.testing.assert_close(value, of_plain, rtol=1e-9, atol=1e-12)


def test_only_cuda_reads_squares() -> None:
    convolution = ImageConv(4)
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(convolution(x), functional.conv2d(x, convolution.weight, stride=2, padding=3))


def test_under_autocast_the_squares_have_its_type() -> None:
    x, weight = torch.rand(2, 3, 16, 16), torch.randn(4, 3, 7, 7)
    with torch.autocast("cpu", torch.bfloat16):
        out, expected = folded_conv(x, weight, None), functional.conv2d(x, weight, stride=2, padding=3)
    assert out.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(out, expected, rtol=2e-2, atol=2e-1)


@given(
    in_channels=st.sampled_from([2, 16, 24]),
    frames=st.integers(1, 6),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    stride=st.sampled_from([(1, 1, 1), (2, 2, 2), (1, 2, 2)]),
    is_by_pixel=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_convolutions_that_span_no_pixels_are_those_over_three_dimensions(
    in_channels: int,
    frames: int,
    rows: int,
    columns: int,
    stride: tuple[int, int, int],
    is_by_pixel: bool,
    seed: int,
) -> None:
    make = torch.Generator().manual_seed(seed)
    x = _random(2, in_channels, frames, rows, columns, make=make)
    if is_by_pixel:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    x.requires_grad_()
    for convolution in (Pointwise3d(in_channels, 5, stride), OverFrames3d(in_channels, 5, stride=stride[0])):
        inputs = [x, convolution.double().weight]
        found, expected = convolution(x), nn.Conv3d.forward(convolution, x)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        above = _random(*expected.shape, make=make)
        gradients = [torch.autograd.grad(each, inputs, above) for each in (found, expected)]
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-11)
