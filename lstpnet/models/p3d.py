"""P3D-63: residual blocks whose convolutions are split into one over space and one over time, three ways in turn.

Paper: Qiu, Yao, Mei, "Learning Spatio-Temporal Representation with Pseudo-3D Residual Networks", ICCV 2017. Parameter
names are those of jiangxingxun/DFEW (commit 7c1ba78, no licence stated). Written anew from its description. 24,939,975
parameters; 8.4 GMAC. It takes 16 frames of 160 x 160 px and nothing else: after the poolings over time, its last stage
reads single maps, and its last pooling 5 x 5 places.

Shapes: B clips, T frames, H x W pixels, C channels; S a convolution over space, T one over time.
"""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.bottleneck import EXPANSION, Bottleneck
from lstpnet.models.clip_network import ClipNetwork, channels_before_time, exact_gradients, scaled
from lstpnet.models.convolutions import OverFrames3d, Pointwise3d

_DEPTHS = (3, 4, 6, 3)
"""Blocks of each stage."""
_WIDTHS = (64, 128, 256, 512)
_KINDS = "ABC"
_DROPOUT = 0.5


class P3DBlock(nn.Module):
    """A bottleneck with S and T between its point-wise convolutions: (B, C_in, T, H, W) to (B, 4 C, T, H/s, W/s).

    Args:
        kind: A: T after S; B: S and T added; C: S, and T after S, added.
        in_channels: C_in.
        channels: C.
        stride: s.
    """

    def __init__(self, kind: str, in_channels: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.kind = kind
        self.conv1 = Pointwise3d(in_channels, channels, (1, stride, stride))
        self.bn1 = nn.BatchNorm3d(channels)
        self.conv2 = nn.Conv3d(channels, channels, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.bn2 = nn.BatchNorm3d(channels)
        self.conv3 = OverFrames3d(channels, channels)
        self.bn3 = nn.BatchNorm3d(channels)
        out_channels = EXPANSION * channels
        self.conv4 = Pointwise3d(channels, out_channels)
        self.bn4 = nn.BatchNorm3d(out_channels)
        self.downsample = (
            None
            if stride == 1 and in_channels == out_channels
            else nn.Sequential(
                Pointwise3d(in_channels, out_channels, (1, stride, stride)), nn.BatchNorm3d(out_channels)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, T, H, W) to (B, 4 C, T, H/s, W/s)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu_(self.bn1(self.conv1(x)))
        space = F.relu_(self.bn2(self.conv2(x)))
        time = F.relu_(self.bn3(self.conv3(x if self.kind == "B" else space)))
        out = self.bn4(self.conv4(time if self.kind == "A" else space + time))
        return F.relu_(out.add_(shortcut))


class P3D63(ClipNetwork):
    """A stem, three stages with a pooling over time after each, a stage over maps, a mean and a linear classifier.

    Initial weights: 3-D convolutions normal with variance 2 / (kT kH C_out); all others PyTorch's default.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the channels, 64 to 2048.
        depth: blocks per stage; 0: the published 3, 4, 6 and 3.
    """

    def __init__(self, num_classes: int = 7, *, width_multiplier: float = 1.0, depth: int = 0) -> None:
        super().__init__("p3d63", num_classes, {"width_multiplier": width_multiplier, "depth": depth})
        widths = [scaled(channels, width_multiplier) for channels in _WIDTHS]
        depths = (depth,) * 4 if depth else _DEPTHS
        self.conv1_custom = nn.Conv3d(3, widths[0], (1, 7, 7), (1, 2, 2), padding=(0, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(widths[0])
        self.maxpool = nn.MaxPool3d((2, 3, 3), 2, padding=(0, 1, 1))
        kinds = itertools.cycle(_KINDS)
        in_channels = widths[0]
        for number, (channels, num_blocks) in enumerate(zip(widths[:3], depths[:3], strict=True), start=1):
            stage = nn.Sequential()
            for position in range(num_blocks):
                stride = 2 if number > 1 and position == 0 else 1
                stage.append(P3DBlock(next(kinds), in_channels, channels, stride=stride))
                in_channels = EXPANSION * channels
            self.add_module(f"layer{number}", stage)
        self.maxpool_2 = nn.MaxPool3d((2, 1, 1))
        self.layer4 = nn.Sequential()
        for position in range(depths[3]):
            self.layer4.append(Bottleneck(in_channels, widths[3], stride=1 if position else 2))
            in_channels = EXPANSION * widths[3]
        self.fc = nn.Linear(in_channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                num_values = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, std=(2 / num_values) ** 0.5)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the means of the last maps, (B, 2048) at full width, of clips (B, 16, 3, 160, 160)."""
        with exact_gradients(x):
            x = F.relu_(self.bn1(self.conv1_custom(channels_before_time(x))))  # (B, 64, 16, 80, 80)
            x = self.maxpool(x)  # (B, 64, 8, 40, 40)
            for number in (1, 2, 3):
                x = self.maxpool_2(self.get_submodule(f"layer{number}")(x))  # (B, 1024, 1, 10, 10) after the last
        x = self.layer4(x.squeeze(2))  # (B, 2048, 5, 5)
        return F.dropout(x.mean(dim=(2, 3)), _DROPOUT, training=self.training)
