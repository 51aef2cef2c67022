"""LSTPNet computed in the order of the paper and its authors' code: the reference of tests and benchmarks.

An independent implementation of the description (docs of `lstpnet`, Lu et al., IVC 142, 2024). Its parameters have the
same names as those of `lstpnet.LSTPNet`, so that one state dict fits both. The computation differs: the TCE expands to
all its maps before it convolves over time, each branch separately; the last TCE makes the gated map before it pools;
attention is written out; nothing is channels_last.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.lstformer import Attention, LSTformer
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.tce import TCE


def plain_gate(tce: TCE, x: Tensor, num_frames: int) -> Tensor:
    """Return the gates (B*T, C) of maps (B*T, C, H, W), branch by branch, in the order of the paper."""
    maps, channels = tce.expand.out_channels, x.shape[1]
    scores = torch.zeros_like(x[:, :, 0, 0])
    for pooled in (F.adaptive_max_pool2d(x, 1), F.adaptive_avg_pool2d(x, 1)):
        expanded = tce.expand(pooled.reshape(-1, 1, channels))  # (N, R, C)
        clips = expanded.reshape(-1, num_frames, maps, channels)  # (B, T, R, C)
        series = clips.permute(0, 2, 3, 1).reshape(-1, channels, num_frames)  # (B*R, C, T)
        mixed = tce.over_time(series).reshape(-1, maps, channels, num_frames)  # (B, R, C, T)
        frames = mixed.permute(0, 3, 1, 2).reshape(-1, maps, channels)  # (N, R, C)
        scores = scores + tce.merge(F.relu(frames))[:, 0]
    return 2 * torch.sigmoid(scores)


class PlainTCE(TCE):
    """The TCE in the order of the paper."""

    def gate(self, x: Tensor, num_frames: int) -> Tensor:
        """Return the gates; see Excitation."""
        return plain_gate(self, x, num_frames)

    def pooled(self, x: Tensor, num_frames: int) -> Tensor:
        """Make the gated map, then return its mean."""
        return F.adaptive_avg_pool2d(self.excite(x, num_frames), 1).flatten(1)


class PlainAttention(Attention):
    """Attention as explicit matrix products."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        value = self._heads(x)[2]
        out = self.weights(x) @ value  # (B, heads, T, D / heads)
        mixed: Tensor = self.to_out(out.transpose(1, 2).flatten(2))
        return mixed


def plain_lstpnet(num_classes: int = 7, *, width_multiplier: float = 1.0) -> LSTPNet:
    """Return the network in its plain form."""
    model = LSTPNet(num_classes, width_multiplier=width_multiplier)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, TCE):
                setattr(module, name, _with_parameters_of(PlainTCE(child.channels), child))
            elif isinstance(child, Attention):
                plain = PlainAttention(child.to_out.in_features, num_heads=child.num_heads)
                setattr(module, name, _with_parameters_of(plain, child))
    assert isinstance(model.backbone.excitation, PlainTCE)
    assert isinstance(model.head, LSTformer)
    return model


def _with_parameters_of(plain: nn.Module, original: nn.Module) -> nn.Module:
    plain.load_state_dict(original.state_dict())
    return plain
