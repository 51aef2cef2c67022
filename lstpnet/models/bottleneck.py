"""The bottleneck of deep residual networks, over single maps, with its stride on the first convolution.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016. torchvision's has it on the second.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.convolutions import Pointwise

EXPANSION = 4
"""Channels of a block's output over those of its middle convolution."""


class Bottleneck(nn.Module):
    """Three convolutions with a shortcut; the first has the stride: (N, C_in, H, W) to (N, 4 C, H/s, W/s)."""

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = Pointwise(in_channels, channels, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        out_channels = EXPANSION * channels
        self.conv3 = Pointwise(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = (
            None
            if stride == 1 and in_channels == out_channels
            else nn.Sequential(
                Pointwise(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, 4 C, H/s, W/s)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu_(self.bn1(self.conv1(x)))
        x = F.relu_(self.bn2(self.conv2(x)))
        return F.relu_(self.bn3(self.conv3(x)).add_(shortcut))
