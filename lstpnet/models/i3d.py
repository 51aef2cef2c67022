"""I3D: Inception-v1 with convolutions over space and time, as the owners of DFEW train it.

Paper: Carreira, Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017. Parameter
names are those of jiangxingxun/DFEW (commit 7c1ba78, no licence stated), which are piergiaj/pytorch-i3d's (commit
05783d1, Apache-2.0). Written anew from the description. 12,294,439 parameters; 27.8 GMAC. It takes 16 frames of 224 x
224 px and nothing else, because its last pooling reads 2 x 7 x 7 places; the 7 GMAC in tables would be those of 112 px.

Shapes: B clips, T frames, H x W pixels, C channels. Padding is TensorFlow's: where it is odd, one more at the end.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.clip_network import ClipNetwork, channels_before_time, exact_gradients, scaled
from lstpnet.models.convolutions import Pointwise3d

_STEM = (64, 64, 192)
_MIXED = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}
"""Mixed block -> channels of its six convolutions."""
_STEM_PADDING = (2, 3) * 3
_EPS, _MOMENTUM, _DROPOUT = 1e-3, 0.01, 0.5


class ConvUnit(nn.Module):
    """A convolution, a batch norm and ReLU: (B, C_in, T, H, W) to (B, C_out, T/s, H/s, W/s)."""

    def __init__(self, in_channels: int, out_channels: int, size: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv3d = (
            Pointwise3d(in_channels, out_channels)
            if size == 1
            else nn.Conv3d(in_channels, out_channels, size, stride, padding=padding, bias=False)
        )
        self.bn = nn.BatchNorm3d(out_channels, eps=_EPS, momentum=_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, T, H, W) to (B, C_out, T/s, H/s, W/s)."""
        return F.relu_(self.bn(self.conv3d(x)))


class Mixed(nn.Module):
    """Four branches, one after another along the channels: (B, C_in, T, H, W) to (B, C_out, T, H, W).

    A point-wise convolution, two convolutions of 3 x 3 x 3 after one, and one after a pooling.
    """

    def __init__(self, in_channels: int, widths: list[int]) -> None:
        super().__init__()
        self.b0 = ConvUnit(in_channels, widths[0], 1)
        self.b1a = ConvUnit(in_channels, widths[1], 1)
        self.b1b = ConvUnit(widths[1], widths[2], 3, padding=1)
        self.b2a = ConvUnit(in_channels, widths[3], 1)
        self.b2b = ConvUnit(widths[3], widths[4], 3, padding=1)
        self.b3a = nn.MaxPool3d(3, 1, padding=1)
        self.b3b = ConvUnit(in_channels, widths[5], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, T, H, W) to (B, C_out, T, H, W)."""
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x)))
        return torch.cat(branches, dim=1)


class Classifier(nn.Module):
    """A linear layer whose weight is stored as that of a point-wise convolution."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C) to (B, num_classes)."""
        return F.linear(x, self.conv3d.weight.flatten(1), self.conv3d.bias)


class I3D(ClipNetwork):
    """Three convolutions, nine mixed blocks, five poolings, the mean of the last maps and a linear classifier.

    Initial weights: PyTorch's default.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the channels.
    """

    classifier = "head"

    def __init__(self, num_classes: int = 7, *, width_multiplier: float = 1.0) -> None:
        super().__init__("i3d", num_classes, {"width_multiplier": width_multiplier})
        first, second, channels = (scaled(width, width_multiplier) for width in _STEM)
        self.Conv3d_1a_7x7 = ConvUnit(3, first, 7, stride=2)
        self.MaxPool3d_2a_3x3 = nn.MaxPool3d((1, 3, 3), (1, 2, 2), ceil_mode=True)
        self.Conv3d_2b_1x1 = ConvUnit(first, second, 1)
        self.Conv3d_2c_3x3 = ConvUnit(second, channels, 3, padding=1)
        self.MaxPool3d_3a_3x3 = nn.MaxPool3d((1, 3, 3), (1, 2, 2), ceil_mode=True)
        for name, published in _MIXED.items():
            widths = [scaled(width, width_multiplier) for width in published]
            self.add_module(f"Mixed_{name}", Mixed(channels, widths))
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        self.MaxPool3d_4a_3x3 = nn.MaxPool3d(3, 2, ceil_mode=True)
        self.MaxPool3d_5a_2x2 = nn.MaxPool3d(2)
        self.head = Classifier(channels, num_classes)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the means of the last maps, (B, 1024) at full width, of clips (B, 16, 3, 224, 224)."""
        with exact_gradients(x):
            x = self.Conv3d_1a_7x7(F.pad(channels_before_time(x), _STEM_PADDING))  # (B, 64, 8, 112, 112)
            x = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(self.MaxPool3d_2a_3x3(x)))  # (B, 192, 8, 56, 56)
            x = self._mixed(self.MaxPool3d_3a_3x3(x), "3b", "3c")  # (B, 480, 8, 28, 28)
            x = self._mixed(self.MaxPool3d_4a_3x3(x), "4b", "4c", "4d", "4e", "4f")  # (B, 832, 4, 14, 14)
            x = self._mixed(self.MaxPool3d_5a_2x2(x), "5b", "5c")  # (B, 1024, 2, 7, 7)
        return F.dropout(x.mean(dim=(2, 3, 4)), _DROPOUT, training=self.training)

    def _mixed(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = self.get_submodule(f"Mixed_{name}")(x)
        return x
