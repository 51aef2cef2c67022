"""LGI-Former, the network of MAE-DFER: attention within regions of a clip, between them, and from tubes to regions.

Paper: Sun, Lian, Liu, Tao, "MAE-DFER: Efficient Masked Autoencoder for Self-supervised Dynamic Facial Expression
Recognition", ACM MM 2023. Parameter names are those of `modeling_finetune.py` in sunlicai/MAE-DFER (commit 80b651d,
MIT); outputs equal its own (float64: 1e-10). Written anew from the description. 84,878,343 parameters; 49.7 GMAC. It
takes 16 frames of 160 x 160 px and nothing else, which make eight regions. The last block's attention from tubes to
regions changes nothing that the classifier reads; its parameters are kept, so that checkpoints load, and are not
trained.

Shapes: B clips, T = 16 frames, H x W pixels, tubes of 2 frames x 16 x 16 pixels, R = 8 regions of K = 100 tubes each, N
= R K tokens, D = 512 dimensions in heads of 64. Each region has one learned token before those of its tubes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.clip_network import ClipNetwork, scaled
from lstpnet.models.drop_path import DropPath, drop_path_rates
from lstpnet.models.videomae import FeedForwardGelu, TubeEmbedding, init_linear_layers, sine_positions

_DIM, _HEAD_DIM, _DEPTH = 512, 64, 16
_GRID = (4, 2, 2, 5, 1, 10)
"""Regions and tubes per region along time, height and width, in turn."""
_REGIONS = 8
_EPS = 1e-6
_STD = 0.02


class CrossAttention(nn.Module):
    """Attention from tokens to a context; queries and values have biases, keys have none."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.num_heads = max(1, dim // _HEAD_DIM)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.q = nn.Linear(dim, dim, bias=False)
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map (B, N, D) to (B, N, D); `context`: (B, M, D), by default `x` itself."""
        context = x if context is None else context
        query = F.linear(x, self.q.weight, self.q_bias).unflatten(2, (self.num_heads, -1))
        bias = torch.cat([torch.zeros_like(self.v_bias), self.v_bias])
        keys_and_values = F.linear(context, self.kv.weight, bias).unflatten(2, (2, self.num_heads, -1))
        key, value = keys_and_values.permute(2, 0, 3, 1, 4)  # (B, heads, M, D / heads) each
        out = F.scaled_dot_product_attention(query.transpose(1, 2), key, value)
        mixed: Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return mixed


class LGIBlock(nn.Module):
    """Attention within the regions, between them, from tubes to regions, and a feed-forward part, each residual.

    Args:
        dim: D.
        drop_path: probability that a region, or a clip, skips one of the four parts (Huang et al., ECCV 2016).
    """

    def __init__(self, dim: int, *, drop_path: float) -> None:
        super().__init__()
        self.first_attn_norm0 = nn.LayerNorm(dim, eps=_EPS)
        self.first_attn = CrossAttention(dim)
        self.second_attn_norm0 = nn.LayerNorm(dim, eps=_EPS)
        self.second_attn = CrossAttention(dim)
        self.third_attn_norm0 = nn.LayerNorm(dim, eps=_EPS)
        self.third_attn_norm1 = nn.LayerNorm(dim, eps=_EPS)
        self.third_attn = CrossAttention(dim)
        self.norm2 = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = FeedForwardGelu(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B*R, 1 + K, D) to (B*R, 1 + K, D); the first token of each region is its own."""
        x = x + self.drop_path(self.first_attn(self.first_attn_norm0(x)))
        regions = x[:, 0].unflatten(0, (-1, _REGIONS))  # (B, R, D)
        regions = regions + self.drop_path(self.second_attn(self.second_attn_norm0(regions)))
        tubes = x[:, 1:].unflatten(0, (-1, _REGIONS)).flatten(1, 2)  # (B, R*K, D)
        context = self.third_attn_norm1(regions)
        tubes = tubes + self.drop_path(self.third_attn(self.third_attn_norm0(tubes), context))
        x = torch.cat([regions.flatten(0, 1)[:, None], tubes.unflatten(1, (_REGIONS, -1)).flatten(0, 1)], dim=1)
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class LGIFormer(ClipNetwork):
    """Tubes, sixteen blocks, the mean over the regions' tokens, a layer norm and a linear classifier.

    Initial weights: linear layers and the regions' tokens truncated normal with deviation 0.02 and biases 0, the
    classifier times `head_scale`; the tubes' projection PyTorch's default.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the 512 dimensions; heads have 64 dimensions each, or all of fewer.
        depth: number of blocks; 0: the published 16.
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
        super().__init__("lgi-former", num_classes, settings | {"drop_path": drop_path, "head_scale": head_scale})
        dim, num_blocks = scaled(_DIM, width_multiplier), depth or _DEPTH
        self.lg_region_tokens = nn.Parameter(torch.empty(_REGIONS, dim))
        self.patch_embed = TubeEmbedding(dim)
        rates = drop_path_rates(drop_path, depth=num_blocks)
        *others, last = (LGIBlock(dim, drop_path=rate) for rate in rates)
        self.blocks = nn.Sequential(*others, last)
        self.fc_norm = nn.LayerNorm(dim, eps=_EPS)
        self.head = nn.Linear(dim, num_classes)
        for part in (last.third_attn_norm0, last.third_attn_norm1, last.third_attn):
            part.requires_grad_(False)  # the classifier reads the regions alone
        nn.init.trunc_normal_(self.lg_region_tokens, std=_STD)
        init_linear_layers(self, head=self.head, head_scale=head_scale)

    def no_weight_decay(self) -> set[str]:
        """Return the parameters besides biases and norms that `weight_decay_on = matrices` exempts."""
        return {"lg_region_tokens"}

    def layer_parts(self) -> list[tuple[str, ...]]:
        """Return the parts for `layer_decay`; as in VideoMAE, the last norm belongs to the classifier."""
        blocks = [(f"blocks.{number}",) for number in range(len(self.blocks))]
        return [("lg_region_tokens", "patch_embed"), *blocks, ("fc_norm", "head")]

    def pooled(self, x: Tensor) -> Tensor:
        """Return the normed mean of the regions, (B, 512) at full width, of clips (B, 16, 3, 160, 160)."""
        batch = x.shape[0]
        x = self.patch_embed(x.transpose(1, 2))  # (B, N, D)
        x = x + sine_positions(x.shape[1], x.shape[2]).to(x)
        x = x.unflatten(1, _GRID).permute(0, 1, 3, 5, 2, 4, 6, 7)  # (B, regions t h w, tubes t h w, D)
        x = x.flatten(0, 3).flatten(1, 3)  # (B*R, K, D)
        tokens = self.lg_region_tokens.expand(batch, -1, -1).flatten(0, 1)[:, None]  # (B*R, 1, D)
        x = self.blocks(torch.cat([tokens, x], dim=1))
        regions = x[:, 0].unflatten(0, (-1, _REGIONS))  # (B, R, D)
        out: Tensor = self.fc_norm(regions.mean(dim=1))
        return out
