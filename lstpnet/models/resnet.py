"""ResNet-18 with TCE: the frames of a clip to one vector each.

Backbone: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016; parameter names are
torchvision's, so that its ResNet-18 weights fit by name. TCE blocks: Lu, Jiang, Fu, Zhao, Yang, "Long Short-Term
Perception Network for Dynamic Facial Expression Recognition", PRCV 2023, doi 10.1007/978-981-99-8469-5_14. Where the
paper's figure and the authors' code (LLFabiann/LSTPNet, commit 6d8364d) differ, the code is followed, since the
published checkpoints were trained with it: two TCEs a stage rather than one, and a shortcut which is gated in the first
block of a stage (it is convolved) and ungated in the second (it is the input itself).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lstpnet.models.channel_attention import CBAM, ECA, SE, ChannelAttention, NoAttention
from lstpnet.models.tce import TCE

MakeAttention = Callable[[int], ChannelAttention]
CHANNEL_ATTENTIONS: Mapping[str, MakeAttention] = MappingProxyType(
    {"tce": TCE, "eca": ECA, "se": SE, "cbam": CBAM, "none": NoAttention}
)
"""Name -> what is made for a number of channels at the places of the TCE."""
_FULL_BLOCK = 16  # channels that oneDNN's widest kernels take at once


def stage_channels(width_multiplier: float) -> tuple[int, int, int, int]:
    """Return the channels of the four stages: 64, 128, 256, 512 times `width_multiplier`.

    All other widths follow from these: a TCE's maps and kernel from its channels (tce.py), the LSTformer's
    dimension from the last stage, its 8 heads and its hidden width of 8 times the dimension from that.

    Raises:
        ValueError: the first stage would not be a multiple of 8, on which every head and TCE counts.
    """
    base = 64 * width_multiplier
    if base < 8 or base % 8:
        raise ValueError(f"width_multiplier {width_multiplier} is not a positive multiple of 1/8; try 0.25, 0.5 or 1")
    return int(base), 2 * int(base), 4 * int(base), 8 * int(base)


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution that leaves pixels out by itself where oneDNN must not be asked for gradients.

    Its gradients of strided ones with few channels are wrong or crash on x86 CPUs (uxlfoundation/oneDNN#6035).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H/stride, W/stride)."""
        if self.in_channels >= _FULL_BLOCK or self.stride == (1, 1) or not torch.is_grad_enabled():
            return super().forward(x)
        return F.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], self.weight, self.bias)


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions, its input excited where there is an `excitation`.

    The convolutions have biases, as in the authors' code; before a batch norm they do nothing but take up room.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 1, or 2 to halve the picture.
        excitation: makes what weighs the input's channels first, given their number; None: nothing does.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, excitation: MakeAttention | None = None
    ) -> None:
        super().__init__()
        self.excitation = excitation(in_channels) if excitation is not None else None
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        is_identity = stride == 1 and in_channels == out_channels
        self.downsample = (
            None
            if is_identity
            else nn.Sequential(Pointwise(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))
        )

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Map (B*T, in_channels, H, W) to (B*T, out_channels, H/stride, W/stride); `num_frames` is T."""
        gated = x if self.excitation is None else self.excitation(x, num_frames)
        shortcut = x if self.downsample is None else self.downsample(gated)
        out = F.relu_(self.bn1(self.conv1(gated)))
        return F.relu_(self.bn2(self.conv2(out)).add_(shortcut))


class Stage(nn.ModuleList):
    """Two BasicBlocks, the first with the stride.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 1, or 2 to halve the picture.
        excitation: of both blocks; see BasicBlock.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, excitation: MakeAttention | None = None
    ) -> None:
        first = BasicBlock(in_channels, out_channels, stride=stride, excitation=excitation)
        super().__init__([first, BasicBlock(out_channels, out_channels, excitation=excitation)])

    def forward(self, x: Tensor, num_frames: int, *, recomputes: bool = False) -> Tensor:
        """Map (B*T, in_channels, H, W) to (B*T, out_channels, H/stride, W/stride); `num_frames` is T."""
        for block in self:
            x = _recomputed(block, x, num_frames, norms_of=block) if recomputes else block(x, num_frames)
        return x


class TemporalResNet18(nn.Module):
    """ResNet-18 over the frames of clips, with a TCE in each block of stages 2 to 4 and one more before the pooling.

    Or with another excitation at these places.

    Convolutions start from Kaiming's normal distribution (fan out) with biases 0 and batch norms as the identity, as in
    torchvision; a TCE's from PyTorch's default for Conv1d, which puts its gates near 1.

    Args:
        width_multiplier: scales every channel count; see `stage_channels`.
        attention: name in EXCITATIONS.

    Attributes:
        recomputes: in training, keep what goes into each block alone and compute the rest once more for the gradients:
            less memory, more time (docs/models.md), and the same numbers.
    """

    def __init__(self, width_multiplier: float = 1.0, *, attention: str = "tce") -> None:
        super().__init__()
        self.recomputes = False
        first, second, third, fourth = stage_channels(width_multiplier)
        self.dim = fourth
        self.conv1 = nn.Conv2d(3, first, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        make = CHANNEL_ATTENTIONS[attention]
        self.layer1 = Stage(first, first, stride=1)
        self.layer2 = Stage(first, second, stride=2, excitation=make)
        self.layer3 = Stage(second, third, stride=2, excitation=make)
        self.layer4 = Stage(third, fourth, stride=2, excitation=make)
        self.excitation = make(fourth)
        for conv in self._convolutions():
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Return one vector a frame.

        Args:
            x: (B*T, 3, H, W) float RGB in 0..1, the frames of a clip in a row.
            num_frames: T.

        Returns:
            (B*T, dim) float.
        """
        recomputes = self.recomputes and self.training
        x = x.contiguous(memory_format=torch.channels_last)  # the convolutions keep it, and are faster for it
        x = _recomputed(self._stem, x, norms_of=self.bn1) if recomputes else self._stem(x)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x, num_frames, recomputes=recomputes)
        return self.excitation.pooled(x, num_frames)

    def _stem(self, x: Tensor) -> Tensor:
        out: Tensor = F.relu_(self.maxpool(self.bn1(self.conv1(x))))  # in this order a quarter of the work, same values
        return out

    def _convolutions(self) -> Iterator[nn.Conv2d]:
        return (module for module in self.modules() if isinstance(module, nn.Conv2d))


def _recomputed(run: Callable[..., Tensor], *inputs: Tensor | int, norms_of: nn.Module) -> Tensor:
    """Run a part whose inner values are not kept for the gradients, but computed again when they are needed."""
    out: Tensor = checkpoint(
        run,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,  # nothing is drawn at random
        context_fn=lambda: (contextlib.nullcontext(), _frozen_norms(norms_of)),
    )
    return out


@contextlib.contextmanager
def _frozen_norms(part: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norms as they are: a batch that is computed twice counts once."""
    norms = [module for module in part.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm.momentum, _count(norm).clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            _count(norm).copy_(count)


def _count(norm: nn.BatchNorm2d) -> Tensor:
    assert norm.num_batches_tracked is not None
    return norm.num_batches_tracked
