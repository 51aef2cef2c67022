"""The mean over frames of a static network: this project's baseline, which shows what time adds.

ResNet-18 (He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016) on each frame alone, and the
mean of its vectors before the classifier, which is also the mean of the frames' logits. The order of the frames has no
effect. Parameter names are torchvision's, so that its ResNet-18 files load. It is no network of a paper.

Shapes: B clips, T frames, H x W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.clip_network import FrameNetwork, scaled
from lstpnet.models.convolutions import ImageConv
from lstpnet.models.resnet import Stage

_WIDTHS = (64, 128, 256, 512)


class FrameMean(FrameNetwork):
    """ResNet-18 per frame, the mean over the frames and a linear classifier.

    Initial weights: convolutions Kaiming normal (fan out), batch norms the identity, classifier PyTorch's default.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the channels, 64 to 512.
    """

    def __init__(self, num_classes: int = 7, *, width_multiplier: float = 1.0) -> None:
        super().__init__("frame-mean", num_classes, {"width_multiplier": width_multiplier})
        first, second, third, fourth = (scaled(channels, width_multiplier) for channels in _WIDTHS)
        self.conv1 = ImageConv(first)
        self.bn1 = nn.BatchNorm2d(first)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = Stage(first, first, stride=1, has_biases=False)
        self.layer2 = Stage(first, second, stride=2, has_biases=False)
        self.layer3 = Stage(second, third, stride=2, has_biases=False)
        self.layer4 = Stage(third, fourth, stride=2, has_biases=False)
        self.fc = nn.Linear(fourth, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features_of_frames(self, vectors: Tensor) -> Tensor:
        """Return the features (B, 512) of `frame_features` (B, T, 512)."""
        return vectors.mean(dim=1)

    def frame_vectors(self, x: Tensor) -> Tensor:
        """Return the vector of each frame, (B, T, 512) at full width, of clips (B, T, 3, H, W)."""
        batch, num_frames = x.shape[:2]
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)  # (B*T, 3, H, W)
        x = self.maxpool(F.relu_(self.bn1(self.conv1(x))))  # (B*T, 64, H/4, W/4)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x, num_frames)  # (B*T, 512, H/32, W/32) after the last
        return x.mean(dim=(2, 3)).reshape(batch, num_frames, -1)
