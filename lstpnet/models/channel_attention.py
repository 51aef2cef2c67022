"""Channel attention: the base class of the TCE, and modules of other papers that replace it and use single frames.

Feature maps are (B*T, C, H, W); the frames of a clip are consecutive.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_REDUCTION = 16  # of SE and CBAM, as in their papers
_SPATIAL_TAPS = 7


def kernel_size(channels: int) -> int:
    """Return the kernel size of the convolutions along the channel axis: odd, about log2(channels) / 2, at least 3."""
    half = int(abs(math.log2(channels) + 1) / 2)
    return max(3, half if half % 2 else half + 1)


class ChannelAttention(nn.Module):
    """Base class; subclasses implement `gate`, or `excite` and `pooled` if they weight more than channels."""

    def gate(self, x: Tensor, num_frames: int) -> Tensor:
        """Return the channel weights (B*T, C) of feature maps."""
        raise NotImplementedError

    def excite(self, x: Tensor, num_frames: int) -> Tensor:
        """Return the weighted feature maps (B*T, C, H, W)."""
        return x * self.gate(x, num_frames)[:, :, None, None]

    def pooled(self, x: Tensor, num_frames: int) -> Tensor:
        """Return the spatial mean of the weighted maps, (B*T, C), without computing the maps."""
        return self.gate(x, num_frames) * x.mean(dim=(2, 3))

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Return the weighted feature maps (B*T, C, H, W)."""
        return self.excite(x, num_frames)


class NoAttention(ChannelAttention):
    """Leave every channel unchanged: the backbone without attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def excite(self, x: Tensor, num_frames: int) -> Tensor:
        """See ChannelAttention."""
        return x

    def pooled(self, x: Tensor, num_frames: int) -> Tensor:
        """See ChannelAttention."""
        return x.mean(dim=(2, 3))


class ECA(ChannelAttention):
    """Efficient channel attention: a convolution along the channels of the spatial mean. Gates in (0, 1).

    Wang et al., "ECA-Net", CVPR 2020: the kernel size is the odd number nearest to (log2 C + 1) / 2, here at least 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = kernel_size(channels)
        self.conv = nn.Conv1d(1, 1, taps, padding=taps // 2, bias=False)

    def gate(self, x: Tensor, num_frames: int) -> Tensor:
        """See ChannelAttention."""
        scores: Tensor = self.conv(x.mean(dim=(2, 3))[:, None])  # (B*T, 1, C)
        return torch.sigmoid(scores[:, 0])


class SE(ChannelAttention):
    """Squeeze and excitation: two linear layers on the spatial mean. Gates in (0, 1).

    Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018; reduction 16, at least one hidden channel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = _bottleneck(channels)

    def gate(self, x: Tensor, num_frames: int) -> Tensor:
        """See ChannelAttention."""
        scores: Tensor = self.mlp(x.mean(dim=(2, 3)))
        return torch.sigmoid(scores)


class CBAM(ChannelAttention):
    """Channel attention from mean and maximum, then spatial attention. Weights in (0, 1).

    Woo et al., "CBAM", ECCV 2018; reduction 16, a 7 x 7 convolution with batch norm for the spatial attention.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = _bottleneck(channels)
        self.conv = nn.Conv2d(2, 1, _SPATIAL_TAPS, padding=_SPATIAL_TAPS // 2, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def gate(self, x: Tensor, num_frames: int) -> Tensor:
        """Return the channel weights alone, (B*T, C)."""
        scores: Tensor = self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3)))
        return torch.sigmoid(scores)

    def excite(self, x: Tensor, num_frames: int) -> Tensor:
        """See ChannelAttention."""
        x = x * self.gate(x, num_frames)[:, :, None, None]
        spatial = torch.stack([x.amax(dim=1), x.mean(dim=1)], dim=1)  # (B*T, 2, H, W)
        return x * torch.sigmoid(self.norm(self.conv(spatial)))

    def pooled(self, x: Tensor, num_frames: int) -> Tensor:
        """See ChannelAttention."""
        return self.excite(x, num_frames).mean(dim=(2, 3))


def _bottleneck(channels: int) -> nn.Sequential:
    hidden = max(1, channels // _REDUCTION)
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
