"""Convolutions that are computed in another form where a library computes theirs slowly or wrongly.

oneDNN's gradients of strided 1 x 1 convolutions with few channels are wrong or crash on x86 CPUs
(uxlfoundation/oneDNN#6035), so these subsample the pixels themselves. cuDNN computes a convolution over three channels
at a twelfth of the rate of one over 64 (docs/benchmarks.md), so on CUDA the first one reads 2 x 2 pixels at once.
With one thread, PyTorch gives oneDNN no 3-D convolution that spans no pixels unless the batch is large; so on a CPU
these are computed in two dimensions, at two to four times the rate.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FULL_BLOCK = 16
"""Channels per block of oneDNN's widest kernels."""


class ImageConv(nn.Conv2d):
    """The first convolution of a ResNet, 7 x 7 over pixels in RGB with stride 2 and padding 3, without a bias."""

    folds: bool | None = None
    """Whether pixels are read by squares of 2 x 2 (`folded_conv`); None: on CUDA."""

    def __init__(self, out_channels: int) -> None:
        super().__init__(3, out_channels, 7, 2, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, out_channels, H/2, W/2)."""
        folds = x.device.type == "cuda" if self.folds is None else self.folds
        if folds and x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0:
            return folded_conv(x, self.weight, self.bias)
        return super().forward(x)


def folded_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the 7 x 7 convolution with stride 2 and padding 3 as a 4 x 4 one over squares of 2 x 2 pixels.

    The same products in another order, with 109 zeros more for each 147: a square has 4 pixels of 4 channels, the
    fourth of which is zero, and the kernel begins with a row and a column of zeros.

    Args:
        x: (N, 3, H, W), H and W even; in memory best by pixel, as `channels_last`.
        weight: (out_channels, 3, 7, 7).
        bias: (out_channels,) or None.
    """
    height, width = x.shape[2] // 2, x.shape[3] // 2
    squares = x.new_zeros((len(x), height + 3, width + 3, 2, 2, 4), dtype=_computed_dtype(x))
    pixels = x.permute(0, 2, 3, 1).reshape(len(x), height, 2, width, 2, 3)
    squares[:, 2 : height + 2, 2 : width + 2, :, :, :3] = pixels.transpose(2, 3)
    inputs = squares.reshape(len(x), height + 3, width + 3, 16).permute(0, 3, 1, 2)  # (N, 16, H/2 + 3, W/2 + 3)
    kernel = F.pad(weight, (1, 0, 1, 0, 0, 1)).reshape(-1, 4, 4, 2, 4, 2)  # (D, channel, row, in square, column, ...)
    kernel = kernel.permute(0, 3, 5, 1, 2, 4).reshape(-1, 16, 4, 4)
    return F.conv2d(inputs, kernel.contiguous(memory_format=torch.channels_last), bias)


def _computed_dtype(x: Tensor) -> torch.dtype:
    """Return the type in which autocast, if it is on, has `x` convolved."""
    kind = x.device.type
    is_on = kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if is_on else x.dtype


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution over pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H/stride, W/stride)."""
        if self.in_channels >= FULL_BLOCK or self.stride == (1, 1) or not torch.is_grad_enabled():
            return super().forward(x)
        return F.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], self.weight, self.bias)


class Pointwise3d(nn.Conv3d):
    """A 1 x 1 x 1 convolution over frames and pixels, without a bias."""

    def __init__(self, in_channels: int, out_channels: int, stride: tuple[int, int, int] = (1, 1, 1)) -> None:
        super().__init__(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, T, H, W) to (B, out_channels, T/s, H/s, W/s)."""
        if self.stride != (1, 1, 1):
            if self.in_channels >= FULL_BLOCK or not torch.is_grad_enabled():
                return super().forward(x)
            frame, row, column = self.stride
            return F.conv3d(x[:, :, ::frame, ::row, ::column], self.weight)
        if not _is_flattened(x):
            return super().forward(x)
        frames = x.transpose(1, 2)  # (B, T, in_channels, H, W)
        out = F.conv2d(frames.flatten(0, 1), self.weight[:, :, 0])
        by_clip: Tensor = out.unflatten(0, frames.shape[:2])
        return by_clip.transpose(1, 2)


class OverFrames3d(nn.Conv3d):
    """A convolution over three frames, pixel by pixel, without a bias."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, (3, 1, 1), (stride, 1, 1), padding=(1, 0, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, T, H, W) to (B, out_channels, T/s, H, W)."""
        if not _is_flattened(x):
            return super().forward(x)
        out = F.conv2d(x.flatten(3), self.weight[..., 0], stride=self.stride[:2], padding=self.padding[:2])
        by_row: Tensor = out.unflatten(3, x.shape[3:])
        return by_row


def _is_flattened(x: Tensor) -> bool:
    """Return whether a convolution that spans no pixels is computed in two dimensions."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()
