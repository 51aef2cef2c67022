"""3D ResNet-18 of Hara, Kataoka and Satoh: the "3D ResNet18" of 8.3 GMAC in the tables of this field.

Paper: "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", CVPR 2018. Parameter names are those
of kenshohara/3D-ResNets-PyTorch (commit 540a0ea, MIT; `generate_model(18)`, shortcut B). torchvision's `r3d_18` is
another network with 40.7 GMAC: its stem reads 3 frames instead of 7 and does not pool.

Shapes: B clips, T frames, H x W pixels, C channels. The pooling and the stages 2 to 4 halve T, H and W.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.clip_network import ClipNetwork, channels_before_time, exact_gradients, scaled
from lstpnet.models.convolutions import Pointwise3d

_DEPTH = 2


class HaraBlock(nn.Module):
    """Two 3 x 3 x 3 convolutions with a shortcut: (B, C_in, T, H, W) to (B, C_out, T/s, H/s, W/s)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(out_channels)
        self.downsample = (
            None
            if stride == 1 and in_channels == out_channels
            else nn.Sequential(
                Pointwise3d(in_channels, out_channels, (stride, stride, stride)), nn.BatchNorm3d(out_channels)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, T, H, W) to (B, C_out, T/s, H/s, W/s)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu_(self.bn1(self.conv1(x)))
        return F.relu_(self.bn2(self.conv2(out)).add_(shortcut))


class HaraResNet18(ClipNetwork):
    """A stem of 7 x 7 x 7 with pooling, four stages of two blocks, the mean over time and space, a linear classifier.

    Initial weights: convolutions Kaiming normal (fan out), batch norms the identity, classifier PyTorch's default.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the channels, 64 to 512.
        depth: blocks per stage; 0: the published 2.
    """

    def __init__(self, num_classes: int = 7, *, width_multiplier: float = 1.0, depth: int = 0) -> None:
        super().__init__("hara-r3d18", num_classes, {"width_multiplier": width_multiplier, "depth": depth})
        widths = [scaled(channels, width_multiplier) for channels in (64, 128, 256, 512)]
        in_channels = widths[0]
        self.conv1 = nn.Conv3d(3, in_channels, 7, (1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(in_channels)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        for number, out_channels in enumerate(widths, start=1):
            blocks = [HaraBlock(in_channels, out_channels, stride=1 if number == 1 else 2)]
            blocks += [HaraBlock(out_channels, out_channels, stride=1) for _ in range((depth or _DEPTH) - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            in_channels = out_channels
        self.fc = nn.Linear(in_channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def pooled(self, x: Tensor) -> Tensor:
        """Return the means of the last maps, (B, 512) at full width, of clips (B, T, 3, H, W)."""
        with exact_gradients(x):
            x = F.relu_(self.bn1(self.conv1(channels_before_time(x))))  # (B, 64, T, H/2, W/2)
            x = self.maxpool(x)  # (B, 64, T/2, H/4, W/4)
            for number in (1, 2, 3, 4):
                x = self.get_submodule(f"layer{number}")(x)  # (B, 512, T/16, H/32, W/32) after the last
        return x.mean(dim=(2, 3, 4))
