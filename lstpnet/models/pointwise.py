"""1 x 1 convolutions that subsample pixels themselves where oneDNN computes wrong gradients.

oneDNN's gradients of strided 1 x 1 convolutions with few channels are wrong or crash on x86 CPUs
(uxlfoundation/oneDNN#6035).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FULL_BLOCK = 16
"""Channels per block of oneDNN's widest kernels."""


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution over pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H/stride, W/stride)."""
        if self.in_channels >= FULL_BLOCK or self.stride == (1, 1) or not torch.is_grad_enabled():
            return super().forward(x)
        return F.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], self.weight, self.bias)


class Pointwise3d(nn.Conv3d):
    """A 1 x 1 x 1 convolution over frames and pixels, without a bias."""

    def __init__(self, in_channels: int, out_channels: int, stride: tuple[int, int, int]) -> None:
        super().__init__(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, T, H, W) to (B, out_channels, T/s, H/s, W/s)."""
        if self.in_channels >= FULL_BLOCK or self.stride == (1, 1, 1) or not torch.is_grad_enabled():
            return super().forward(x)
        frame, row, column = self.stride
        return F.conv3d(x[:, :, ::frame, ::row, ::column], self.weight)
