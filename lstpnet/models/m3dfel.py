"""M3DFEL: an R3D-18 on four parts of a clip, and multiple-instance learning over their vectors.

Paper: Wang, Li, Wu, Huang, Zhang, "Rethinking the Learning Paradigm for Dynamic Facial Expression Recognition", CVPR
2023. Reproduces the outputs of Tencent/TFace attribute/M3DFEL (commit 171ec14, Apache-2.0; float64: 1e-10), written
anew from its description. 46,823,384 parameters; 43.2 GMAC for 16 frames of 112 px, where the paper prints 1.65.

Shapes: B clips, 16 frames, I = 4 instances of 4 consecutive frames, D = 1024 dimensions in 8 heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.clip_network import ClipNetwork, exact_gradients, scaled
from lstpnet.models.video_resnet import video_trunk

_INSTANCES = 4
_HIDDEN, _HEADS = 512, 8
_EPS = 1e-5


class InstanceNorm(nn.Module):
    """Dynamic multi-instance normalisation (DMIN): (B, I, D) to (B, I, D).

    Subtracts a learned mixture of two means and divides by that of two deviations: of each channel over the instances,
    and of all channels together.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dim, 1))
        self.bias = nn.Parameter(torch.zeros(1, dim, 1))
        self.mean_weight = nn.Parameter(torch.ones(2))
        self.var_weight = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, I, D) to (B, I, D)."""
        variance, mean = torch.var_mean(x, dim=1, keepdim=True)  # (B, 1, D), unbiased
        mean_of_all = mean.mean(dim=2, keepdim=True)  # (B, 1, 1)
        variance_of_all = (variance + mean**2).mean(dim=2, keepdim=True) - mean_of_all**2
        means, variances = self.mean_weight.softmax(dim=0), self.var_weight.softmax(dim=0)
        mean = means[0] * mean + means[1] * mean_of_all
        variance = variances[0] * variance + variances[1] * variance_of_all
        x = (x - mean) * (variance + _EPS).rsqrt()
        return x * self.weight.transpose(1, 2) + self.bias.transpose(1, 2)


class M3DFEL(ClipNetwork):
    """R3D-18 per instance, a bidirectional LSTM over the instances, their gate, a convolution, a linear classifier.

    The gate is attention between the instances, normed and mapped to (0, 1); the convolution along the dimensions turns
    the instances into one vector.

    Initial weights: the R3D-18 as in `VideoResNet`, all others PyTorch's default.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the channels, 64 to 512, and on the LSTM's 512 units; a multiple of 1/8.
        depth: blocks per stage; 0: the published 2.
    """

    def __init__(self, num_classes: int = 7, *, width_multiplier: float = 1.0, depth: int = 0) -> None:
        super().__init__("m3dfel", num_classes, {"width_multiplier": width_multiplier, "depth": depth})
        hidden = scaled(_HIDDEN, width_multiplier)
        dim = 2 * hidden
        trunk = video_trunk("r3d_18", width_multiplier=width_multiplier, depth=depth)
        self.backbone = nn.Sequential(*trunk, nn.AdaptiveAvgPool3d(1))
        self.lstm = nn.LSTM(hidden, hidden, num_layers=2, batch_first=True, bidirectional=True)
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.norm = InstanceNorm(dim)
        self.pwconv = nn.Conv1d(_INSTANCES, 1, 3, padding=1)
        self.fc = nn.Linear(dim, num_classes)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the vector of all instances, (B, 1024) at full width, of clips (B, 16, 3, H, W)."""
        x = x.unflatten(1, (_INSTANCES, -1)).flatten(0, 1)  # (B*I, 4, 3, H, W)
        with exact_gradients(x):
            # 4 frames are computed fastest in the plain memory order, unlike 16.
            x = self.backbone(x.transpose(1, 2).contiguous())  # (B*I, 512, 1, 1, 1)
        x = x.flatten(1).unflatten(0, (-1, _INSTANCES))  # (B, I, 512)
        x = self.lstm(x)[0]  # (B, I, D)
        x = x * torch.sigmoid(self.norm(self._attended(x)))
        out: Tensor = self.pwconv(x)  # (B, 1, D)
        return out.flatten(1)

    def _attended(self, x: Tensor) -> Tensor:
        """Return the attention between the instances, (B, I, D), without a projection of the output."""
        qkv = self.to_qkv(x).unflatten(2, (3, _HEADS, -1))  # (B, I, 3, heads, D / heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
