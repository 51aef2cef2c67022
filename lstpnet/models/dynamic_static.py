"""What GCA and NR-DFERNet share: a residual network over the frames, and a fusion of frames with their differences.

Papers: Li, Sui, Zhu, Zhao, "NR-DFERNet: Noise-Robust Network for Dynamic Facial Expression Recognition",
arXiv:2206.04975; Li, Niu, Zhu, Zhao, Zhou, "Intensity-Aware Loss for Dynamic Facial Expression Recognition in the
Wild", AAAI 2023. Written anew from a description of their code (muse1998). It takes 16 frames of 112 x 112 px and
nothing else: position codes are learned for as many frames and places.

Shapes: B clips, T = 16 frames, S = T - 1 steps from one frame to the next, N = 4 x 4 places of a step's maps, C = 256
channels, D = N C = 4096 dimensions of a step's vector.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.clip_network import ClipNetwork, scaled
from lstpnet.models.former_dfer import FormerLayer
from lstpnet.models.resnet import BasicBlock

_FRAMES, _PLACES = 16, 16
_WIDTHS = (64, 128, 256)
_HEADS, _HEAD_DIM = 4, 32
_HIDDEN = 512
_DEPTH = 2
_DYNAMIC_BLOCKS = 3
MakeBlock = Callable[..., BasicBlock]


class DynamicStaticNetwork(ClipNetwork):
    """Residual blocks per frame, the fusion into one vector per step, and a transformer over the steps.

    A subclass adds the blocks, and computes the features of a clip from the vectors and the transformer. Initial
    weights: convolutions Kaiming normal (fan out; `fill_convolutions`), batch norms the identity, position codes
    normal, all others PyTorch's default.

    Args:
        name: name of the network in the catalogue.
        num_classes: number of logits.
        width_multiplier: factor on the channels, 64 to 256, on the dimensions of the heads and of the hidden layers.
        depth: layers of each transformer; 0: the published 2.
        step_block: builds a block over the differences of frames, from in_channels, out_channels and stride.
    """

    def __init__(
        self,
        name: str,
        num_classes: int,
        *,
        width_multiplier: float,
        depth: int,
        step_block: MakeBlock,
    ) -> None:
        super().__init__(name, num_classes, {"width_multiplier": width_multiplier, "depth": depth})
        first, _, channels = stage_widths(width_multiplier)
        head_dim, num_layers, dim = scaled(_HEAD_DIM, width_multiplier), depth or _DEPTH, _PLACES * channels
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, first, 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, first, 3, padding=1, bias=False),
        )
        self.bn1 = nn.BatchNorm2d(first)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.embedding = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 2, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )
        self.static_positions = nn.Parameter(torch.randn(1, _PLACES, channels))
        self.static_transformer = nn.Sequential(
            *(
                FormerLayer(channels, num_heads=_HEADS, head_dim=head_dim, hidden_dim=channels)
                for _ in range(num_layers)
            )
        )
        self.dynamic = nn.ModuleList(
            step_block(channels, channels, stride=1 if position else 2) for position in range(_DYNAMIC_BLOCKS)
        )
        hidden_dim = scaled(_HIDDEN, width_multiplier)
        self.positions = nn.Parameter(torch.randn(1, _FRAMES, dim))
        self.transformer = nn.Sequential(
            *(FormerLayer(dim, num_heads=_HEADS, head_dim=head_dim, hidden_dim=hidden_dim) for _ in range(num_layers))
        )
        self.fc = nn.Linear(dim, num_classes)

    def stem(self, x: Tensor) -> Tensor:
        """Map clips (B, T, 3, 112, 112) to the input of the first stage, (B*T, 64, 28, 28) at full width."""
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)  # (B*T, 3, 112, 112)
        out: Tensor = self.maxpool(F.relu_(self.bn1(self.conv1(x))))
        return out

    def fused(self, maps: Tensor) -> Tensor:
        """Map the maps of the frames, (B*T, C, 7, 7), to one vector per step, (B, S, D)."""
        maps = maps.unflatten(0, (-1, _FRAMES))  # (B, T, C, 7, 7)
        static = self.embedding(maps[:, :-1].flatten(0, 1))  # (B*S, C, 4, 4)
        tokens = static.flatten(2).transpose(1, 2) + self.static_positions  # (B*S, N, C)
        static = self.static_transformer(tokens).transpose(1, 2)  # (B*S, C, N)
        dynamic = (maps[:, 1:] - maps[:, :-1]).flatten(0, 1)  # (B*S, C, 7, 7)
        for block in self.dynamic:
            dynamic = block(dynamic, _FRAMES - 1)  # (B*S, C, 4, 4)
        vectors: Tensor = (static + dynamic.flatten(2)).flatten(1).unflatten(0, (-1, _FRAMES - 1))
        return vectors


def stage_widths(width_multiplier: float) -> tuple[int, int, int]:
    """Return the channels of the three blocks over frames: 64, 128, 256 times `width_multiplier`."""
    first, second, third = (scaled(width, width_multiplier) for width in _WIDTHS)
    return first, second, third


def fill_convolutions(network: DynamicStaticNetwork) -> None:
    """Fill the convolutions with their initial weights."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
