"""Former-DFER: a transformer over the places of each frame, inside a ResNet-18, and one over the frames.

Paper: Zhao, Liu, "Former-DFER: Dynamic Facial Expression Recognition Transformer", ACM MM 2021. Reproduces the outputs
of zengqunzhao/Former-DFER (commit 1b5ad6f, MIT; float64: 1e-10); `lstpnet.checkpoints.reference` reads its checkpoints.
18,031,943 parameters; 8.3 GMAC for 16 frames of 112 px.

Shapes: B clips, T = 16 frames, N = h * w places of a map, D dimensions. The position codes are learned, for 16 frames
and at most 7 x 7 places (112 px); a smaller map takes the first N of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.clip_network import FrameNetwork, scaled
from lstpnet.models.convolutions import ImageConv
from lstpnet.models.lstformer import Attention
from lstpnet.models.resnet import Stage

_FRAMES, _PLACES = 16, 49
_HEADS = 8
_DEPTH = 3


class FormerLayer(nn.Module):
    """Attention and a feed-forward part, each pre-norm and residual: (B, N, D) to (B, N, D).

    Args:
        dim: D.
        num_heads: attention heads.
        head_dim: dimensions of each; 0: D / num_heads.
        hidden_dim: width inside the feed-forward part; 0: 2 D.
    """

    def __init__(self, dim: int, *, num_heads: int = _HEADS, head_dim: int = 0, hidden_dim: int = 0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads=num_heads, head_dim=head_dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        hidden_dim = hidden_dim or 2 * dim
        self.widen = nn.Linear(dim, hidden_dim)
        self.narrow = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        x = x + self.attention(self.attention_norm(x))
        hidden = F.gelu(self.widen(self.feed_forward_norm(x)), approximate="tanh")  # (B, N, hidden_dim)
        out: Tensor = x + self.narrow(hidden)
        return out


class SpatialFormer(nn.Module):
    """ResNet-18 with a transformer layer over the places of stage 3's maps: (B*T, 3, H, W) to (B*T, D)."""

    def __init__(self, width_multiplier: float) -> None:
        super().__init__()
        first, second, third, self.dim = (scaled(channels, width_multiplier) for channels in (64, 128, 256, 512))
        self.conv1 = ImageConv(first)
        self.bn1 = nn.BatchNorm2d(first)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = Stage(first, first, stride=1, has_biases=False)
        self.layer2 = Stage(first, second, stride=2, has_biases=False)
        self.layer3 = Stage(second, third, stride=2, has_biases=False)
        self.layer4 = Stage(third, self.dim, stride=2, has_biases=False)
        self.pos_embedding = nn.Parameter(torch.randn(1, _PLACES, third))
        self.transformer = nn.ModuleList([FormerLayer(third)])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Map (B*T, 3, H, W) to (B*T, D)."""
        x = x.contiguous(memory_format=torch.channels_last)  # the convolutions keep this format and run faster
        x = self.maxpool(F.relu_(self.bn1(self.conv1(x))))  # (B*T, 64, H/4, W/4)
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x, num_frames)  # (B*T, 256, H/16, W/16) after the last
        height, width = x.shape[2:]
        tokens = x.flatten(2).transpose(1, 2)  # (B*T, N, 256)
        tokens = tokens + self.pos_embedding[:, : height * width]
        for layer in self.transformer:
            tokens = layer(tokens)
        x = tokens.transpose(1, 2).unflatten(2, (height, width))  # (B*T, 256, h, w)
        x = self.layer4(x, num_frames)  # (B*T, 512, H/32, W/32)
        return x.mean(dim=(2, 3))


class TemporalFormer(nn.Module):
    """A transformer over a class token and the frames: (B, T, D) to (B, D), the class token.

    Args:
        dim: D.
        depth: number of layers.
        head_dim, hidden_dim: as for FormerLayer.
    """

    def __init__(self, dim: int, *, depth: int, head_dim: int = 0, hidden_dim: int = 0) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.pos_embedding = nn.Parameter(torch.randn(1, _FRAMES + 1, dim))
        self.transformer = nn.ModuleList(
            FormerLayer(dim, head_dim=head_dim, hidden_dim=hidden_dim) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, D)."""
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embedding  # (B, 1 + T, D)
        for layer in self.transformer:
            x = layer(x)
        return x[:, 0]


class FormerDFER(FrameNetwork):
    """The spatial transformer on each frame, the temporal one over them, and a linear classifier.

    Initial weights: convolutions Kaiming normal (fan out), batch norms the identity, tokens and position codes normal,
    all others PyTorch's default.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the channels, 64 to 512; a multiple of 1/8.
        depth: layers of the temporal transformer; 0: the published 3.
    """

    def __init__(self, num_classes: int = 7, *, width_multiplier: float = 1.0, depth: int = 0) -> None:
        super().__init__("former-dfer", num_classes, {"width_multiplier": width_multiplier, "depth": depth})
        self.spatial = SpatialFormer(width_multiplier)
        self.temporal = TemporalFormer(self.spatial.dim, depth=depth or _DEPTH)
        self.fc = nn.Linear(self.spatial.dim, num_classes)

    def features_of_frames(self, vectors: Tensor) -> Tensor:
        """Return the features (B, 512) of `frame_features` (B, T, 512)."""
        out: Tensor = self.temporal(vectors)
        return out

    def frame_vectors(self, x: Tensor) -> Tensor:
        """Return the vector of each frame, (B, T, 512) at full width, of clips (B, T, 3, H, W)."""
        batch, num_frames = x.shape[:2]
        vectors: Tensor = self.spatial(x.flatten(0, 1), num_frames)  # (B*T, 512)
        return vectors.reshape(batch, num_frames, -1)
