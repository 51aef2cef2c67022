"""NR-DFERNet: frames and their differences, a class token made of them, and a filter of clips called neutral.

Paper: Li, Sui, Zhu, Zhao, "NR-DFERNet: Noise-Robust Network for Dynamic Facial Expression Recognition",
arXiv:2206.04975. Reproduces the outputs of muse1998/AI-DFERNet (commit 1e0c8bb, MIT), another name of it, whose
released code cannot run as it is (float64: 1e-10); written anew from its description, and
`lstpnet.checkpoints.reference` reads its checkpoints. 18,723,807 parameters; 5.6 GMAC, 5.8 with the filter; 6.7 are
counted in the published code, as many as with both transformers computed twice.

The published network has parameters that it never uses: `cls_token`, and `attn` in each block. They are kept, so that
checkpoints load, and are not trained. Shapes: see dynamic_static.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstpnet.models.dynamic_static import DynamicStaticNetwork, fill_convolutions, stage_widths
from lstpnet.models.resnet import BasicBlock

_SNIPPET_STEPS, _SNIPPET_STRIDE = 3, 2
_NEUTRAL_AT_MOST, _SURE_ABOVE = 0.03, 0.75
_RULED_OUT = -1000.0


class NoiseRobustBlock(BasicBlock):
    """A residual block without biases, with the published network's unused `attn`."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride=stride, has_biases=False)
        self.attn = nn.Sequential(nn.Conv2d(2, 1, 1, bias=False), nn.BatchNorm2d(1)).requires_grad_(False)


class NRDFERNet(DynamicStaticNetwork):
    """Three blocks, the fusion, a transformer over a class token and the steps, a linear classifier.

    The class token is the mean of the vectors that follow it. The snippet filter, in eval mode: seven snippets of three
    steps each pass through the same transformer and classifier. Where one of them is sure (above 0.75) and gives the
    neutral class 0.03 or less, the clip's neutral logit becomes -1000.

    Initial weights: as in DynamicStaticNetwork.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the channels, 64 to 256, on the dimensions of the heads and of the hidden layers.
        depth: layers of each transformer; 0: the published 2.
        neutral_class: number of the neutral class, from 0, for the snippet filter; -1: no filter.
    """

    def __init__(
        self, num_classes: int = 7, *, width_multiplier: float = 1.0, depth: int = 0, neutral_class: int = -1
    ) -> None:
        super().__init__(
            "nr-dfernet",
            num_classes,
            width_multiplier=width_multiplier,
            depth=depth,
            step_block=NoiseRobustBlock,
        )
        if not -1 <= neutral_class < num_classes:
            raise ValueError(f"neutral_class {neutral_class}: must be -1 or the number of one of {num_classes} classes")
        self.settings["neutral_class"] = self.neutral_class = neutral_class
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.fc.in_features), requires_grad=False)
        first, second, third = stage_widths(width_multiplier)
        self.layer1 = NoiseRobustBlock(first, first, stride=1)
        self.layer2 = NoiseRobustBlock(first, second, stride=2)
        self.layer3 = NoiseRobustBlock(second, third, stride=2)
        fill_convolutions(self)

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of clips, filtered in eval mode if there is a neutral class."""
        vectors = self._vectors(x)
        logits = self.classify(self._token(vectors))
        if self.training or self.neutral_class < 0:
            return logits
        return filtered(logits, self._snippet_logits(vectors), neutral_class=self.neutral_class)

    def snippet_logits(self, x: Tensor) -> Tensor:
        """Return the logits of the seven snippets, (B, 7, num_classes); `x` as in `forward`."""
        self.check_clips(x)
        return self._snippet_logits(self._vectors(x))

    def pooled(self, x: Tensor) -> Tensor:
        """Return the class token after the last layer, (B, 4096) at full width, of clips (B, 16, 3, 112, 112)."""
        return self._token(self._vectors(x))

    def _vectors(self, x: Tensor) -> Tensor:
        """Return the vectors of the steps, (B, S, D)."""
        num_frames = x.shape[1]
        x = self.stem(x)
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x, num_frames)  # (B*T, 256, 7, 7) after the last
        return self.fused(x)

    def _token(self, vectors: Tensor) -> Tensor:
        """Map (N, steps, D) to the class token after the last layer, (N, D)."""
        tokens = torch.cat([vectors.mean(dim=1, keepdim=True), vectors], dim=1)  # (N, 1 + steps, D)
        out: Tensor = self.transformer(tokens + self.positions[:, : tokens.shape[1]])
        return out[:, 0]

    def _snippet_logits(self, vectors: Tensor) -> Tensor:
        snippets = vectors.unfold(1, _SNIPPET_STEPS, _SNIPPET_STRIDE).transpose(2, 3)  # (B, 7, 3, D)
        logits: Tensor = self.classify(self._token(snippets.flatten(0, 1))).unflatten(0, snippets.shape[:2])
        return logits


def filtered(logits: Tensor, snippet_logits: Tensor, *, neutral_class: int) -> Tensor:
    """Return logits (B, classes), the neutral one -1000 where a snippet (B, 7, classes) is sure of another class."""
    chances = snippet_logits.softmax(dim=2)
    is_sure = (chances[:, :, neutral_class] <= _NEUTRAL_AT_MOST) & (chances.amax(dim=2) > _SURE_ABOVE)  # (B, 7)
    is_neutral = torch.arange(logits.shape[1], device=logits.device) == neutral_class
    return logits.masked_fill(is_sure.any(dim=1)[:, None] & is_neutral, _RULED_OUT)
