"""ResNet-LSTM: a residual network over the frames and an LSTM over their vectors, as the owners of DFEW train it.

Paper: Jiang et al., "DFEW: A Large-Scale Database for Recognizing Dynamic Facial Expressions in the Wild", ACM MM 2020.
Parameter names are those of jiangxingxun/DFEW (commit 7c1ba78, no licence stated). Written anew from its description.
17,388,871 parameters; 9.1 GMAC. They call it ResNet18+LSTM; its eight blocks are bottlenecks, so that it has 26 layers,
and the 7.8 GMAC in tables are those of another network. It takes 16 frames of 112 x 112 px and nothing else: its
classifier reads the outputs of all frames, and its pooling 4 x 4 places.

Shapes: B clips, T = 16 frames, H x W pixels, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.bottleneck import EXPANSION, Bottleneck
from lstpnet.models.clip_network import FrameNetwork, scaled
from lstpnet.models.convolutions import ImageConv

_FRAMES = 16
_WIDTHS = (64, 128, 256, 512)
_DEPTH = 2
_HIDDEN, _LAYERS = 256, 3


class ResNetLSTM(FrameNetwork):
    """A stem and four stages of two bottlenecks per frame, an LSTM of three layers, a linear classifier of all outputs.

    Initial weights: convolutions normal with variance 2 / (k k C_out); all others PyTorch's default.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the channels, 64 to 2048, and on the LSTM's 256 units.
        depth: blocks per stage; 0: the published 2.
    """

    classifier = "output"

    def __init__(self, num_classes: int = 7, *, width_multiplier: float = 1.0, depth: int = 0) -> None:
        super().__init__("reslstm", num_classes, {"width_multiplier": width_multiplier, "depth": depth})
        widths = [scaled(channels, width_multiplier) for channels in _WIDTHS]
        in_channels, hidden = widths[0], scaled(_HIDDEN, width_multiplier)
        self.conv1 = ImageConv(in_channels)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        for number, channels in enumerate(widths, start=1):
            stage = nn.Sequential()
            for position in range(depth or _DEPTH):
                stride = 2 if number > 1 and position == 0 else 1
                stage.append(Bottleneck(in_channels, channels, stride=stride))
                in_channels = EXPANSION * channels
            self.add_module(f"layer{number}", stage)
        self.lstm = nn.LSTM(in_channels, hidden, num_layers=_LAYERS, batch_first=True)
        self.output = nn.Linear(_FRAMES * hidden, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                num_values = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, std=(2 / num_values) ** 0.5)

    def features_of_frames(self, vectors: Tensor) -> Tensor:
        """Return the features (B, 4096) of `frame_features` (B, T, 2048)."""
        out: Tensor = self.lstm(vectors)[0]  # (B, T, 256)
        return out.flatten(1)

    def frame_vectors(self, x: Tensor) -> Tensor:
        """Return the vector of each frame, (B, T, 2048) at full width, of clips (B, 16, 3, 112, 112)."""
        batch = x.shape[0]
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)  # (B*T, 3, H, W)
        x = self.maxpool(F.relu_(self.bn1(self.conv1(x))))  # (B*T, 64, 28, 28)
        for number in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{number}")(x)  # (B*T, 2048, 4, 4) after the last
        vectors: Tensor = x.mean(dim=(2, 3)).unflatten(0, (batch, -1))
        return vectors
