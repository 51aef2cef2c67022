"""GCA, the network of the intensity-aware loss: global convolution-attention blocks, which weight channels per frame.

Paper: Li, Niu, Zhu, Zhao, Zhou, "Intensity-Aware Loss for Dynamic Facial Expression Recognition in the Wild", AAAI
2023. Reproduces the outputs of muse1998/IAL-for-Facial-Expression-Recognition (commit 39a24b6, MIT; float64: 1e-10),
written anew from its description; `lstpnet.checkpoints.reference` reads its checkpoints. 19,083,527 parameters; 5.6
GMAC; 5.9 are counted in the published code, as many as with both transformers computed twice.

The published network has parameters that it never uses: `bias`, and in each block `bias1`, `bias2` and `glb`; the first
block's gate and both its and the third block's auxiliary classifier. They are kept, so that checkpoints load, and are
not trained. Shapes: see dynamic_static.py.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.dynamic_static import DynamicStaticNetwork, fill_convolutions, stage_widths
from lstpnet.models.resnet import BasicBlock

_REDUCTION = 16
_EPS = 1e-5


class ClipGate(nn.Module):
    """Weights in (0, 2) for the channels of each frame, from the whole map and the mean over the clip.

    Args:
        channels: C.
        side_px: height and width of the maps.
    """

    def __init__(self, channels: int, *, side_px: int) -> None:
        super().__init__()
        hidden = max(1, channels // _REDUCTION)
        self.context = nn.Conv2d(channels, channels, side_px, groups=channels, bias=False)
        self.narrow = nn.Conv2d(channels, hidden, 1, bias=False)
        self.widen = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor, num_frames: int) -> tuple[Tensor, Tensor]:
        """Return the weights of maps (B*T, C, H, W), (B*T, C, 1, 1), and the mean context of each clip, (B, C)."""
        context = self.context(x)  # (B*T, C, 1, 1)
        weights = 2 * torch.sigmoid(self.widen(F.relu(self.narrow(context)))).unflatten(0, (-1, num_frames))
        weights = (weights * weights.mean(dim=1, keepdim=True) + _EPS).sqrt()  # (B, T, C, 1, 1)
        return weights.flatten(0, 1), context.flatten(1).unflatten(0, (-1, num_frames)).mean(dim=1)


class GCABlock(BasicBlock):
    """A residual block whose gate weights the residual, and an auxiliary classifier of the gate's context.

    Args:
        in_channels: channels of the input.
        out_channels: C, channels of the output.
        stride: 1, or 2 to halve height and width.
        side_px: height and width of the output.
        num_classes: number of auxiliary logits.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, side_px: int, num_classes: int) -> None:
        super().__init__(in_channels, out_channels, stride=stride, has_biases=False)
        self.gate = ClipGate(out_channels, side_px=side_px)
        self.auxiliary = nn.Sequential(
            nn.Linear(out_channels, 2 * out_channels, bias=False), nn.Linear(2 * out_channels, num_classes, bias=False)
        )
        self.bias1 = nn.Parameter(torch.zeros(1, out_channels, 1, 1), requires_grad=False)
        self.bias2 = nn.Parameter(torch.zeros(1, out_channels, 1, 1), requires_grad=False)
        self.glb = nn.Conv2d(out_channels, out_channels, 1, bias=False).requires_grad_(False)

    def gated(self, x: Tensor, num_frames: int) -> tuple[Tensor, Tensor]:
        """Map (B*T, in_channels, H, W) to (B*T, C, H/stride, W/stride), and return each clip's context, (B, C)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(F.relu_(self.bn1(self.conv1(x)))))
        weights, context = self.gate(out, num_frames)
        return F.relu_((out * weights).add_(shortcut)), context


class GCA(DynamicStaticNetwork):
    """Three blocks, the second and third gated, the fusion, a transformer over the steps, a linear classifier.

    Initial weights: as in DynamicStaticNetwork.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the channels, 64 to 256, on the dimensions of the heads and of the hidden layers.
        depth: layers of each transformer; 0: the published 2.
    """

    def __init__(self, num_classes: int = 7, *, width_multiplier: float = 1.0, depth: int = 0) -> None:
        super().__init__(
            "gca",
            num_classes,
            width_multiplier=width_multiplier,
            depth=depth,
            step_block=partial(BasicBlock, has_biases=False),
        )
        first, second, third = stage_widths(width_multiplier)
        self.bias = nn.Parameter(torch.zeros(1, first, 1, 1), requires_grad=False)
        self.layer1 = GCABlock(first, first, stride=1, side_px=28, num_classes=num_classes)
        self.layer2 = GCABlock(first, second, stride=2, side_px=14, num_classes=num_classes)
        self.layer3 = GCABlock(second, third, stride=2, side_px=7, num_classes=num_classes)
        for part in (self.layer1.gate, self.layer1.auxiliary, self.auxiliary, self.layer3.auxiliary):
            part.requires_grad_(False)
        fill_convolutions(self)

    @property
    def auxiliary(self) -> nn.Module:
        """The auxiliary classifier that the authors train, the second block's; a training that wants it turns it on."""
        return self.layer2.auxiliary

    def pooled(self, x: Tensor) -> Tensor:
        """Return the mean of the steps, (B, 4096) at full width, of clips (B, 16, 3, 112, 112)."""
        return self._features_and_contexts(x)[0]

    def auxiliary_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the second and the third block's auxiliary classifier, (B, num_classes) each."""
        self.check_clips(x)
        contexts = self._features_and_contexts(x)[1:]
        return self.auxiliary(contexts[0]), self.layer3.auxiliary(contexts[1])

    def with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features (B, 4096) at full width, and the logits (B, num_classes) of `auxiliary`."""
        self.check_clips(x)
        features, context, _ = self._features_and_contexts(x)
        return features, self.auxiliary(context)

    def _features_and_contexts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        num_frames = x.shape[1]
        x = self.layer1(self.stem(x), num_frames)  # (B*T, 64, 28, 28)
        x, second = self.layer2.gated(x, num_frames)  # (B*T, 128, 14, 14), (B, 128)
        x, third = self.layer3.gated(x, num_frames)  # (B*T, 256, 7, 7), (B, 256)
        vectors = self.fused(x)  # (B, S, D)
        return self.transformer(vectors + self.positions[:, : vectors.shape[1]]).mean(dim=1), second, third
