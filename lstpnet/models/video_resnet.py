"""R3D-18, MC3-18 and R(2+1)D-18: residual networks with convolutions over space and time.

Paper: Tran, Wang, Torresani, Ray, LeCun, Paluri, "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
CVPR 2018. Parameter names are torchvision's (torchvision/models/video/resnet.py, 0.28, BSD-3-Clause), so that its
Kinetics files load by name; torchvision itself is not imported. Outputs equal its own (float64: 1e-10).

Shapes: B clips, T frames, H x W pixels, C channels. Strides halve T, H and W in the stages 2 to 4; MC3 keeps T there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.clip_network import ClipNetwork, channels_before_time, exact_gradients, scaled
from lstpnet.models.convolutions import OverFrames3d, Pointwise3d

_WIDTHS = (64, 128, 256, 512)
_STEM_MID = 45
_DEPTH = 2
_Conv = Callable[[int, int, int, int], nn.Module]
_Stride = tuple[int, int, int]


def _spatiotemporal(in_channels: int, out_channels: int, mid: int, stride: int) -> nn.Module:
    return nn.Conv3d(in_channels, out_channels, 3, stride, padding=1, bias=False)


def _spatial(in_channels: int, out_channels: int, mid: int, stride: int) -> nn.Module:
    return nn.Conv3d(in_channels, out_channels, (1, 3, 3), (1, stride, stride), padding=(0, 1, 1), bias=False)


def _factored(in_channels: int, out_channels: int, mid: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(in_channels, mid, (1, 3, 3), (1, stride, stride), padding=(0, 1, 1), bias=False),
        nn.BatchNorm3d(mid),
        nn.ReLU(inplace=True),
        OverFrames3d(mid, out_channels, stride=stride),
    )


_CONVOLUTIONS: dict[str, tuple[_Conv, _Conv]] = {
    "r3d_18": (_spatiotemporal, _spatiotemporal),
    "mc3_18": (_spatiotemporal, _spatial),
    "r2plus1d_18": (_factored, _factored),
}
"""Name -> convolution of stage 1, and of the later stages."""


class VideoBlock(nn.Module):
    """Two convolutions with a shortcut: (B, C_in, T, H, W) to (B, C_out, T/s, H/s, W/s).

    Args:
        conv: builds a convolution from its channels, those between its two parts, and its stride.
        in_channels: C_in.
        out_channels: C_out.
        stride: s; 1, or 2 in the first block of a stage.
    """

    def __init__(self, conv: _Conv, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        mid = in_channels * out_channels * 27 // (in_channels * 9 + 3 * out_channels)
        self.conv1 = nn.Sequential(
            conv(in_channels, out_channels, mid, stride), nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(conv(out_channels, out_channels, mid, 1), nn.BatchNorm3d(out_channels))
        strides: _Stride = (1 if conv is _spatial else stride, stride, stride)
        is_identity = stride == 1 and in_channels == out_channels
        self.downsample = (
            None
            if is_identity
            else nn.Sequential(Pointwise3d(in_channels, out_channels, strides), nn.BatchNorm3d(out_channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, T, H, W) to (B, C_out, T/s, H/s, W/s)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.conv2(self.conv1(x))
        return F.relu_(out.add_(shortcut))


class VideoResNet(ClipNetwork):
    """A stem, four stages of two blocks, the mean over time and space, and a linear classifier.

    Initial weights are torchvision's: convolutions Kaiming normal (fan out), batch norms the identity, classifier
    normal with deviation 0.01 and bias 0.

    Args:
        name: `r3d_18`, `mc3_18` or `r2plus1d_18`.
        num_classes: number of logits.
        width_multiplier: factor on the channels, 64 to 512.
        depth: blocks per stage; 0: the published 2.
    """

    def __init__(self, name: str, num_classes: int = 7, *, width_multiplier: float = 1.0, depth: int = 0) -> None:
        super().__init__(name, num_classes, {"width_multiplier": width_multiplier, "depth": depth})
        self.stem, *stages = video_trunk(name, width_multiplier=width_multiplier, depth=depth)
        for number, stage in enumerate(stages, start=1):
            self.add_module(f"layer{number}", stage)
        self.fc = nn.Linear(scaled(_WIDTHS[-1], width_multiplier), num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the means of the last maps, (B, 512) at full width, of clips (B, T, 3, H, W)."""
        with exact_gradients(x):
            x = self.stem(channels_before_time(x))  # (B, 64, T, H/2, W/2)
            for number in (1, 2, 3, 4):
                x = self.get_submodule(f"layer{number}")(x)  # (B, 512, T/8, H/16, W/16) after the last
        return x.mean(dim=(2, 3, 4))


def video_trunk(name: str, *, width_multiplier: float = 1.0, depth: int = 0) -> list[nn.Sequential]:
    """Return the stem and the four stages, which map (B, 3, T, H, W) to (B, 512, T/8, H/16, W/16) at full width.

    Arguments and initial weights are those of `VideoResNet`.
    """
    first, later = _CONVOLUTIONS[name]
    widths = [scaled(channels, width_multiplier) for channels in _WIDTHS]
    trunk = [_factored_stem(widths[0], width_multiplier) if first is _factored else _stem(widths[0])]
    in_channels = widths[0]
    for number, out_channels in enumerate(widths):
        conv, stride = (later, 2) if number else (first, 1)
        blocks = [VideoBlock(conv, in_channels, out_channels, stride=stride)]
        blocks += [VideoBlock(conv, out_channels, out_channels, stride=1) for _ in range((depth or _DEPTH) - 1)]
        trunk.append(nn.Sequential(*blocks))
        in_channels = out_channels
    for part in trunk:
        for module in part.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return trunk


def _stem(channels: int) -> nn.Sequential:
    conv = nn.Conv3d(3, channels, (3, 7, 7), (1, 2, 2), padding=(1, 3, 3), bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(channels), nn.ReLU(inplace=True))


def _factored_stem(channels: int, width_multiplier: float) -> nn.Sequential:
    mid = scaled(_STEM_MID, width_multiplier)
    return nn.Sequential(
        nn.Conv3d(3, mid, (1, 7, 7), (1, 2, 2), padding=(0, 3, 3), bias=False),
        nn.BatchNorm3d(mid),
        nn.ReLU(inplace=True),
        OverFrames3d(mid, channels),
        nn.BatchNorm3d(channels),
        nn.ReLU(inplace=True),
    )
