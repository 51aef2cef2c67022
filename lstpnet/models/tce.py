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

_CACHED_VALUES = 2**19
"""Values of the maps that are computed at a time on a CPU: 2 MiB in float32, which stay in its cache."""
_AUTOCAST_DEVICES = ("cpu", "cuda", "mps")  # torch.compile cannot trace torch's own question


def num_reduced_channels(channels: int) -> int:
    """Return the number of maps of a TCE: an eighth of `channels`, rounded to a multiple of 8, at least 8."""
    return max(8, (channels // 8 + 4) // 8 * 8)


class TCE(ChannelAttention):
    """Gate in (0, 2) for each channel of each frame, from the maximum and the mean of the frame and its neighbours.

    The paper's order: pool, convolve 1 -> R maps along channels, convolve over time, ReLU, convolve R -> 1 maps along
    channels. Both convolutions before the ReLU are linear, so they commute: here the convolution over time runs on the
    K shifted copies of the pooled values instead of the R maps (K is 3 or 5, R is 8 to 64). The result is the same up
    to rounding, with a tenth of the multiplications; the tests use the paper's order as the reference. Both other
    convolutions are products of matrices here: libraries convolve to and from one map at a fraction of their rate.

    Shapes: B clips, T frames each, C channels, H x W pixels, R maps, K taps along channels.

    Args:
        channels: C.
    """

    scans: bool | None = None
    """Form of the maximum, see `spatial_maximum`; None: by the device."""

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
            pooled = torch.cat([spatial_maximum(x, scans=self.scans), _spatial_mean(x)])  # (2*B*T, C)
            clips = pooled.to(self.merge.weight.dtype).reshape(-1, num_frames, self.channels)  # of both branches
            responses = self._responses(clips)
            gate: Tensor = 2 * torch.sigmoid(self._scores(responses))
        return gate.to(x.dtype)

    def _responses(self, pooled: Tensor) -> Tensor:
        """Return over_time of the copies that `expand` weights: pooled (G, T, C) -> (G*T, K + 1, C)."""
        num_groups, num_frames, channels = pooled.shape
        taps = self.expand.kernel_size[0]
        shifted = F.pad(pooled, (taps // 2, taps // 2)).unfold(2, channels, 1)  # (G, T, K, C)
        copies = self.over_time(shifted.permute(0, 2, 3, 1).flatten(0, 1))  # (G*K, C, T)
        # The convolution over time also applies to the bias of `expand`, including the zero padding at both ends of the
        # clip. So the bias weights one more copy, of all ones, whose response is the same for every group.
        ones = pooled.new_ones(1, 1, num_frames)
        constant = F.conv1d(ones, self.over_time.weight.sum(dim=1, keepdim=True), padding=1)  # (1, C, T)
        parts = [copies.unflatten(0, (num_groups, taps)), constant[:, None].expand(num_groups, -1, -1, -1)]
        return torch.cat([part.permute(0, 3, 1, 2) for part in parts], dim=2).flatten(0, 1)

    def _scores(self, responses: Tensor) -> Tensor:
        """Return merge(relu(expand(copies))), summed over both branches: responses (2*N, K + 1, C) -> (N, C)."""
        expand_bias, merge_bias = self.expand.bias, self.merge.bias
        assert expand_bias is not None
        assert merge_bias is not None
        expand = torch.cat([self.expand.weight.squeeze(1), expand_bias[:, None]], dim=1)  # (R, K + 1)
        merge = self.merge.weight.squeeze(0).t()  # (K, R)
        (taps, num_maps), channels = merge.shape, responses.shape[2]
        is_cached = responses.device.type == "cpu" and not torch.compiler.is_compiling()
        num_rows = max(1, _CACHED_VALUES // (num_maps * channels))
        pieces = [_products(rows, expand, merge) for rows in (responses.split(num_rows) if is_cached else [responses])]
        products = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        summed = products.unflatten(0, (2, -1)).sum(dim=0)  # (N, K, C)
        padded = F.pad(summed, (taps // 2, taps // 2)).flatten(1)
        shifted = padded.unfold(1, channels, channels + taps)  # (N, K, C): tap k from its value k on
        return shifted.sum(dim=1) + 2 * merge_bias


def _products(responses: Tensor, expand: Tensor, merge: Tensor) -> Tensor:
    """Return merge @ relu(expand @ responses): (N, K + 1, C) -> (N, K, C).

    A product per frame: the gradients of the weights as one product over all frames are many times as slow on a CPU.
    """
    num_rows = responses.shape[0]  # `len` of a tensor would fix the number in an exported graph
    maps = torch.bmm(expand.expand(num_rows, -1, -1), responses)  # (N, R, C)
    return torch.bmm(merge.expand(num_rows, -1, -1), F.relu_(maps))


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
