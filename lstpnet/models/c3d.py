"""C3D with batch norms, as the owners of DFEW train it.

Paper: Tran, Bourdev, Fergus, Torresani, Paluri, "Learning Spatiotemporal Features with 3D Convolutional Networks", ICCV
2015, whose network has no batch norms. Parameter names are those of jiangxingxun/DFEW (commit 7c1ba78, no licence
stated). The network is written anew from its description; it takes 16 frames of 112 x 112 px and nothing else, because
its first linear layer reads the last maps place by place.

Shapes: B clips, T frames, H x W pixels. The first pooling halves H and W, the others T, H and W.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.clip_network import ClipNetwork, channels_before_time, exact_gradients, scaled

_LAYERS = (
    *(("1", 64), ("2", 128), ("3a", 256), ("3b", 256)),
    *(("4a", 512), ("4b", 512), ("5a", 512), ("5b", 512)),
)
"""Name and channels of each convolution."""
_PLACES = 16  # 1 x 4 x 4 places of the last maps
_HIDDEN = 4096
_DROPOUT = 0.5


class C3D(ClipNetwork):
    """Eight 3 x 3 x 3 convolutions with batch norms, five poolings, two hidden linear layers and a classifier.

    Initial weights: linear layers Kaiming normal (fan in); convolutions PyTorch's default; batch norms the identity.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the channels, 64 to 512, and on the 4096 units of the hidden layers.
    """

    classifier = "fc8"

    def __init__(self, num_classes: int = 7, *, width_multiplier: float = 1.0) -> None:
        super().__init__("c3d", num_classes, {"width_multiplier": width_multiplier})
        in_channels = 3
        for name, channels in _LAYERS:
            out_channels = scaled(channels, width_multiplier)
            self.add_module(f"conv{name}", nn.Conv3d(in_channels, out_channels, 3, padding=1))
            self.add_module(f"bn{name}", nn.BatchNorm3d(out_channels))
            in_channels = out_channels
        self.pool1 = nn.MaxPool3d((1, 2, 2))
        self.pool2, self.pool3, self.pool4 = nn.MaxPool3d(2), nn.MaxPool3d(2), nn.MaxPool3d(2)
        self.pool5 = nn.MaxPool3d(2, padding=(0, 1, 1))
        hidden = scaled(_HIDDEN, width_multiplier)
        self.fc6 = nn.Linear(in_channels * _PLACES, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, num_classes)
        for layer in (self.fc6, self.fc7, self.fc8):
            nn.init.kaiming_normal_(layer.weight)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the second hidden layer, (B, 4096) at full width, of clips (B, 16, 3, 112, 112)."""
        with exact_gradients(x):
            x = channels_before_time(x)
            x = self.pool1(self._convolved(x, "1"))  # (B, 64, 16, 56, 56)
            x = self.pool2(self._convolved(x, "2"))  # (B, 128, 8, 28, 28)
            x = self.pool3(self._convolved(x, "3a", "3b"))  # (B, 256, 4, 14, 14)
            x = self.pool4(self._convolved(x, "4a", "4b"))  # (B, 512, 2, 7, 7)
            x = self.pool5(self._convolved(x, "5a", "5b"))  # (B, 512, 1, 4, 4)
        x = self._dropped(self.fc6(x.contiguous().flatten(1)))
        return self._dropped(self.fc7(x))

    def _convolved(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = F.relu_(self.get_submodule(f"bn{name}")(self.get_submodule(f"conv{name}")(x)))
        return x

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(torch.relu(x), _DROPOUT, training=self.training)
