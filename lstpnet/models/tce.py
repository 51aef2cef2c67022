"""TCE, temporal channel excitation: weights each channel of each frame by the frame and its neighbours.

Paper: Lu, Jiang, Fu, Zhao, Yang, "Long Short-Term Perception Network for Dynamic Facial Expression Recognition", Image
and Vision Computing 142 (2024) 104915; first version PRCV 2023, doi 10.1007/978-981-99-8469-5_14. Reimplemented to
reproduce the outputs of the authors' code (LLFabiann/LSTPNet, commit 6d8364d). The TCE builds on ECA-Net (Wang et al.,
CVPR 2020) and ACTION-Net (Wang et al., CVPR 2021).
"""

from __future__ import annotations

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.channel_attention import ChannelAttention, kernel_size

_AUTOCAST_DEVICES = ("cpu", "cuda", "mps")  # torch.compile cannot trace torch's own question


def num_reduced_channels(channels: int) -> int:
    """Return the number of maps of a TCE: an eighth of `channels`, rounded to a multiple of 8, at least 8."""
    return max(8, (channels // 8 + 4) // 8 * 8)


class TCE(ChannelAttention):
    """Gate in (0, 2) for each channel of each frame, from the maximum and the mean of the frame and its neighbours.

    The paper's order: pool, convolve 1 -> R maps along channels, convolve over time, ReLU, convolve R -> 1 maps along
    channels. Both convolutions before the ReLU are linear, so they commute: here the convolution over time runs on the
    K shifted copies of the pooled values instead of the R maps (K is 3 or 5, R is 8 to 64). The result is the same up
    to rounding, with 6 % of the multiplications; the tests use the paper's order as the reference.

    Shapes: B clips, T frames each, C channels, H x W pixels, R maps, K taps along channels.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        maps, taps = num_reduced_channels(channels), kernel_size(channels)
        self.expand = nn.Conv1d(1, maps, taps, padding=taps // 2)
        self.over_time = nn.Conv1d(channels, channels, 3, padding=1, bias=False)
        self.merge = nn.Conv1d(maps, 1, taps, padding=taps // 2)

    def gate(self, x: Tensor, num_frames: int) -> Tensor:
        """Return the gates of feature maps; the excited maps are `x * gate[:, :, None, None]`.

        Args:
            x: (B*T, C, H, W) float feature maps; the frames of a clip are consecutive.
            num_frames: T.

        Returns:
            (B*T, C) in the type of x, 0 to 2; 1 changes nothing. Under autocast it is computed in float32 and rounded.
        """
        with _without_autocast(x):  # a gate multiplies whole maps, and is little work
            pooled = torch.cat([spatial_maximum(x), _spatial_mean(x)]).reshape(-1, num_frames, self.channels)
            maps = F.relu(self._maps(pooled.to(self.merge.weight.dtype)))  # pooled (2B, T, C)
            scores = self.merge(maps).reshape(2, -1, self.channels)  # (2, B*T, C): maximum branch, mean branch
            gate: Tensor = 2 * torch.sigmoid(scores[0] + scores[1])
        return gate.to(x.dtype)

    def _maps(self, pooled: Tensor) -> Tensor:
        """Return over_time(expand(pooled)): pooled (G, T, C) -> (G*T, R, C), with the temporal convolution first."""
        num_groups, num_frames, channels = pooled.shape
        taps = self.expand.kernel_size[0]
        padded = F.pad(pooled.transpose(1, 2), (0, 0, taps // 2, taps // 2))  # (G, C + K - 1, T)
        shifted = torch.stack([padded[:, tap : tap + channels] for tap in range(taps)], dim=1)  # (G, K, C, T)
        # The convolution over time also applies to the bias of `expand`, including the zero padding at both ends of the
        # clip. So the bias weights one more copy, of all ones, whose response is the same for every group.
        ones = torch.ones_like(shifted[:1, 0])  # (1, C, T)
        responses = self.over_time(torch.cat([shifted.flatten(0, 1), ones]))  # (G*K + 1, C, T)
        copies = responses[:-1].reshape(num_groups, taps, channels, num_frames)
        constant = responses[-1:, None].expand(num_groups, 1, channels, num_frames)
        inputs = torch.cat([copies, constant], dim=1).permute(0, 3, 1, 2)  # (G, T, K + 1, C)
        bias = self.expand.bias
        assert bias is not None
        weights = torch.cat([self.expand.weight[:, 0], bias[:, None]], dim=1)  # (R, K + 1)
        return torch.matmul(weights, inputs.flatten(0, 1))  # (G*T, R, C)


def _without_autocast(x: Tensor) -> contextlib.AbstractContextManager[None]:
    """Return a context that ends autocast, if it is on; an exported graph has none."""
    kind = x.device.type
    is_on = kind in _AUTOCAST_DEVICES and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if is_on else contextlib.nullcontext()


def spatial_maximum(x: Tensor, *, scans: bool | None = None) -> Tensor:
    """Return the maximum of each feature map, (N, C), with the gradient to the first of equal pixels alone.

    `scans`: the form that suits CUDA, where the pooling kernel runs one thread per map; the pooling is faster on CPUs.
    None: by the device. Values and gradients of both forms are equal. `amax` would split the gradient.
    """
    if x.device.type == "cuda" if scans is None else scans:
        return x.flatten(2).max(dim=2).values
    return F.adaptive_max_pool2d(x, 1).flatten(1)


def _spatial_mean(x: Tensor) -> Tensor:
    """Return the mean of each feature map, (N, C), of maps in 16 bits in float32."""
    if x.dtype in (torch.bfloat16, torch.float16):
        return x.mean(dim=(2, 3), dtype=torch.float32)
    return F.adaptive_avg_pool2d(x, 1).flatten(1)
