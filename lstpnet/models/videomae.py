"""VideoMAE ViT-B/16: a plain vision transformer over tubes of 2 frames x 16 x 16 pixels, joint over space and time.

Paper: Tong, Song, Wang, Wang, "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video
Pre-Training", NeurIPS 2022. Parameter names are those of `modeling_finetune.py` in MCG-NJU/VideoMAE (commit 14ef8d8, CC
BY-NC 4.0) and sunlicai/MAE-DFER (commit 80b651d, MIT); `lstpnet.checkpoints.reference` also reads transformers' names.
Written anew from the description. 86,232,583 parameters; 80.7 GMAC for 16 frames of 160 px, 180.3 at 224 px.

Shapes: B clips, T frames, H x W pixels, N = T/2 * H/16 * W/16 tokens, D = 768 dimensions, heads of 64 dimensions each.
Positions are a fixed table over the tokens in the order time, row, column, without parameters: it follows the input.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.clip_network import ClipNetwork, exact_gradients, scaled
from lstpnet.models.drop_path import DropPath, drop_path_rates

_DIM, _HEAD_DIM, _DEPTH = 768, 64, 12
_TUBE = (2, 16, 16)
_EPS = 1e-6
_STD = 0.02


class TubeEmbedding(nn.Module):
    """One vector per tube: (B, 3, T, H, W) to (B, N, D)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, dim, _TUBE, _TUBE)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, T, H, W) to (B, N, D)."""
        with exact_gradients(x):
            out: Tensor = self.proj(x)  # (B, D, T/2, H/16, W/16)
        return out.flatten(2).transpose(1, 2)


class JointAttention(nn.Module):
    """Self-attention between all tokens of a clip; queries and values have biases, keys have none."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.num_heads = max(1, dim // _HEAD_DIM)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias).unflatten(2, (3, self.num_heads, -1))  # (B, N, 3, heads, D / heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, N, D / heads) each
        out = F.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return mixed


class FeedForwardGelu(nn.Module):
    """Two linear layers, four times as wide between them, with exact GELU: (B, N, D) to (B, N, D)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class ViTBlock(nn.Module):
    """Attention and a feed-forward part, each pre-norm and residual; in training, both are left out now and then.

    Args:
        dim: D.
        drop_path: probability that a clip skips one of the two parts (Huang et al., ECCV 2016).
    """

    def __init__(self, dim: int, *, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=_EPS)
        self.attn = JointAttention(dim)
        self.norm2 = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = FeedForwardGelu(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class VideoMAE(ClipNetwork):
    """Tubes, twelve blocks, the mean over the tokens, a layer norm and a linear classifier.

    Initial weights: linear layers truncated normal with deviation 0.02 and biases 0, the classifier times
    `head_scale`; the tubes' projection PyTorch's default.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the 768 dimensions; heads have 64 dimensions each, or all of fewer.
        depth: number of blocks; 0: the published 12.
        drop_path: probability of leaving out a part of the last block; it rises from 0 at the first block.
        head_scale: factor on the classifier's initial weights.
    """

    classifier = "head"

    def __init__(
        self,
        num_classes: int = 7,
        *,
        width_multiplier: float = 1.0,
        depth: int = 0,
        drop_path: float = 0.0,
        head_scale: float = 1.0,
    ) -> None:
        settings = {"width_multiplier": width_multiplier, "depth": depth}
        super().__init__("videomae-b16", num_classes, settings | {"drop_path": drop_path, "head_scale": head_scale})
        dim, num_blocks = scaled(_DIM, width_multiplier), depth or _DEPTH
        self.patch_embed = TubeEmbedding(dim)
        rates = drop_path_rates(drop_path, depth=num_blocks)
        self.blocks = nn.ModuleList(ViTBlock(dim, drop_path=rate) for rate in rates)
        self.fc_norm = nn.LayerNorm(dim, eps=_EPS)
        self.head = nn.Linear(dim, num_classes)
        init_linear_layers(self, head=self.head, head_scale=head_scale)

    def layer_parts(self) -> list[tuple[str, ...]]:
        """Return the parts for `layer_decay`; as in the authors' code, the last norm belongs to the classifier."""
        blocks = [(f"blocks.{number}",) for number in range(len(self.blocks))]
        return [("patch_embed",), *blocks, ("fc_norm", "head")]

    def pooled(self, x: Tensor) -> Tensor:
        """Return the normed mean of the tokens, (B, 768) at full width, of clips (B, T, 3, H, W)."""
        x = self.patch_embed(x.transpose(1, 2))  # (B, N, D)
        x = x + sine_positions(x.shape[1], x.shape[2]).to(x)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.fc_norm(x.mean(dim=1))
        return out


def init_linear_layers(model: nn.Module, *, head: nn.Linear, head_scale: float) -> None:
    """Draw the weights of all linear layers, truncated normal with biases 0, and scale those of the classifier."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        head.weight.mul_(head_scale)


def sine_positions(num_tokens: int, dim: int) -> Tensor:
    """Return the sine and cosine codes of the tokens' numbers, (num_tokens, dim) float32, on the CPU.

    Sine at even dimensions, cosine at odd ones, with 10000 ** (2 * (d // 2) / dim) as the period of dimension d
    (Vaswani et al., NeurIPS 2017); computed in float64, as the authors' table.
    """
    exponents = 2 * torch.arange(dim, dtype=torch.float64, device="cpu").div(2, rounding_mode="floor") / dim
    angles = torch.arange(num_tokens, dtype=torch.float64, device="cpu")[:, None] / 10_000.0**exponents
    return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=2).flatten(1).float()
