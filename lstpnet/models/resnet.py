"""ResNet-18 with TCE: maps each frame of a clip to one vector.

Backbone: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016; parameter names are
torchvision's, so that its ResNet-18 weights load by name. TCE blocks: Lu, Jiang, Fu, Zhao, Yang, "Long Short-Term
Perception Network for Dynamic Facial Expression Recognition", Image and Vision Computing 142 (2024) 104915; first
version PRCV 2023, doi 10.1007/978-981-99-8469-5_14. Where the paper's figure and the authors' code (LLFabiann/LSTPNet,
commit 6d8364d) differ, this follows the code, because the published checkpoints were trained with it: two TCEs per
stage rather than one, and a shortcut that is gated in the first block of a stage (where it is convolved) and ungated in
the second (where it is the input itself).
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
from lstpnet.models.convolutions import ImageConv, Pointwise
from lstpnet.models.tce import TCE

MakeAttention = Callable[[int], ChannelAttention]
CHANNEL_ATTENTIONS: Mapping[str, MakeAttention] = MappingProxyType(
    {"tce": TCE, "eca": ECA, "se": SE, "cbam": CBAM, "none": NoAttention}
)
"""Name -> callable that builds the channel attention for a number of channels."""


def stage_channels(width_multiplier: float) -> tuple[int, int, int, int]:
    """Return the channels of the four stages: 64, 128, 256, 512 times `width_multiplier`.

    All other widths follow from these: a TCE's maps and kernel size from its channels (tce.py), the LSTformer's
    dimension from the last stage, and the size of its 8 heads and its hidden width (8 times) from that dimension.

    Raises:
        ValueError: the first stage would not be a multiple of 8, which every head and TCE requires.
    """
    base = 64 * width_multiplier
    if base < 8 or base % 8:
        raise ValueError(f"width_multiplier {width_multiplier} is not a positive multiple of 1/8; try 0.25, 0.5 or 1")
    return int(base), 2 * int(base), 4 * int(base), 8 * int(base)


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions; an `excitation`, if there is one, weights its input.

    The convolutions have biases, as in the authors' code; before a batch norm they have no effect except memory use.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 1, or 2 to halve height and width.
        excitation: builds the module that weights the input's channels, given their number; None: no weighting.
        has_biases: whether the convolutions have biases; in other networks than LSTPNet they have none.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        excitation: MakeAttention | None = None,
        has_biases: bool = True,
    ) -> None:
        super().__init__()
        self.excitation = excitation(in_channels) if excitation is not None else None
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=has_biases)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=has_biases)
        self.bn2 = nn.BatchNorm2d(out_channels)
        is_identity = stride == 1 and in_channels == out_channels
        self.downsample = (
            None
            if is_identity
            else nn.Sequential(
                Pointwise(in_channels, out_channels, 1, stride, bias=has_biases), nn.BatchNorm2d(out_channels)
            )
        )

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Map (B*T, in_channels, H, W) to (B*T, out_channels, H/stride, W/stride); `num_frames` is T."""
        gated = x if self.excitation is None else self.excitation(x, num_frames)
        shortcut = x if self.downsample is None else self.downsample(gated)
        out = F.relu_(self.bn1(self.conv1(gated)))
        return F.relu_(self.bn2(self.conv2(out)).add_(shortcut))


class Stage(nn.ModuleList):
    """Two BasicBlocks; the first has the stride.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 1, or 2 to halve height and width.
        excitation: for both blocks; see BasicBlock.
        has_biases: for both blocks; see BasicBlock.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        excitation: MakeAttention | None = None,
        has_biases: bool = True,
    ) -> None:
        first = BasicBlock(in_channels, out_channels, stride=stride, excitation=excitation, has_biases=has_biases)
        super().__init__([first, BasicBlock(out_channels, out_channels, excitation=excitation, has_biases=has_biases)])

    def forward(self, x: Tensor, num_frames: int, *, recomputes: bool = False) -> Tensor:
        """Map (B*T, in_channels, H, W) to (B*T, out_channels, H/stride, W/stride); `num_frames` is T."""
        for block in self:
            x = _recomputed(block, x, num_frames, norms_of=block) if recomputes else block(x, num_frames)
        return x


class TemporalResNet18(nn.Module):
    """ResNet-18 over the frames of clips, with a TCE in each block of stages 2 to 4 and one more before the pooling.

    Another channel attention can replace the TCEs.

    Initial weights: convolutions Kaiming normal (fan out) with biases 0 and batch norms the identity, as in
    torchvision; a TCE's convolutions PyTorch's default for Conv1d, which puts its gates near 1.

    Args:
        width_multiplier: scales every channel count; see `stage_channels`.
        attention: a key of CHANNEL_ATTENTIONS.

    Attributes:
        recomputes: in training, store only the input of each block and recompute the activations for the gradients:
            less memory, more time (docs/benchmarks.md), and the same numbers.
    """

    def __init__(self, width_multiplier: float = 1.0, *, attention: str = "tce") -> None:
        super().__init__()
        self.recomputes = False
        first, second, third, fourth = stage_channels(width_multiplier)
        self.dim = fourth
        self.conv1 = ImageConv(first)
        self.bn1 = nn.BatchNorm2d(first)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        make_attention = CHANNEL_ATTENTIONS[attention]
        self.layer1 = Stage(first, first, stride=1)
        self.layer2 = Stage(first, second, stride=2, excitation=make_attention)
        self.layer3 = Stage(second, third, stride=2, excitation=make_attention)
        self.layer4 = Stage(third, fourth, stride=2, excitation=make_attention)
        self.excitation = make_attention(fourth)
        for conv in self._convolutions():
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Return one vector per frame.

        Args:
            x: (B*T, 3, H, W) float RGB in 0..1; the frames of a clip are consecutive.
            num_frames: T.

        Returns:
            (B*T, dim) float.
        """
        recomputes = self.recomputes and self.training
        x = x.contiguous(memory_format=torch.channels_last)  # the convolutions keep this format and run faster
        x = _recomputed(self._stem, x, norms_of=self.bn1) if recomputes else self._stem(x)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x, num_frames, recomputes=recomputes)
        return self.excitation.pooled(x, num_frames)

    def _stem(self, x: Tensor) -> Tensor:
        # ReLU after the pooling gives the same values for a quarter of the work.
        out: Tensor = F.relu_(self.maxpool(self.bn1(self.conv1(x))))
        return out

    def _convolutions(self) -> Iterator[nn.Conv2d]:
        return (module for module in self.modules() if isinstance(module, nn.Conv2d))


def _recomputed(run: Callable[..., Tensor], *inputs: Tensor | int, norms_of: nn.Module) -> Tensor:
    """Run a callable without storing its activations; they are recomputed for the gradients."""
    out: Tensor = checkpoint(
        run,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,  # nothing in it is random
        context_fn=lambda: (contextlib.nullcontext(), _frozen_norms(norms_of)),
    )
    return out


@contextlib.contextmanager
def _frozen_norms(block: nn.Module) -> Iterator[None]:
    """Freeze the running statistics of batch norms, so that a recomputed batch counts once."""
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
    saved_states = [(norm.momentum, _count(norm).clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, saved_states, strict=True):
            norm.momentum = momentum
            _count(norm).copy_(count)


def _count(norm: nn.BatchNorm2d) -> Tensor:
    assert norm.num_batches_tracked is not None
    return norm.num_batches_tracked
