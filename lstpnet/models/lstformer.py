"""LSTformer, the long short-term transformer: mixes the vector of each frame with those of near and far frames.

Paper: Lu, Jiang, Fu, Zhao, Yang, "Long Short-Term Perception Network for Dynamic Facial Expression Recognition", Image
and Vision Computing 142 (2024) 104915; first version PRCV 2023, doi 10.1007/978-981-99-8469-5_14. Reimplemented to
reproduce the outputs of the authors' code (LLFabiann/LSTPNet, commit 6d8364d). There is no positional embedding: the
convolutions over time encode frame order.

Shapes: B clips, T frames each, D dimensions, heads of D / heads dimensions each.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _over_time(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """Apply a convolution along the frames of x (B, T, D)."""
    out: Tensor = conv(x.transpose(1, 2))  # (B, D, T)
    return out.transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention between all frames of a clip.

    Args:
        dim: D.
        num_heads: must divide D if `head_dim` is 0.
        head_dim: dimensions of each head; 0: D / num_heads. Queries and keys are scaled by its power -1/2.
    """

    def __init__(self, dim: int, *, num_heads: int, head_dim: int = 0) -> None:
        super().__init__()
        if not head_dim and dim % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {dim} dimensions")
        self.num_heads = num_heads
        inner_dim = num_heads * (head_dim or dim // num_heads)
        self.to_qkv = nn.Linear(dim, 3 * inner_dim, bias=False)
        self.to_out = nn.Linear(inner_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        query, key, value = self._heads(x)
        out = F.scaled_dot_product_attention(query, key, value)  # (B, heads, T, head_dim)
        mixed: Tensor = self.to_out(out.transpose(1, 2).flatten(2))  # (B, T, D)
        return mixed

    def weights(self, x: Tensor) -> Tensor:
        """Return the attention of each frame (row) to each (column): x (B, T, D) to (B, heads, T, T); rows sum to 1."""
        query, key, _ = self._heads(x)
        return torch.softmax(query @ key.transpose(2, 3) * query.shape[-1] ** -0.5, dim=-1)

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value, (B, heads, T, head_dim) each."""
        batch, num_frames, _ = x.shape
        qkv = self.to_qkv(x).reshape(batch, num_frames, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return query, key, value


class FeedForward(nn.Module):
    """Two linear layers with a depth-wise convolution over time between them; a layer norm follows each.

    Args:
        dim: D.
        hidden_dim: width between the two linear layers.
        has_conv: whether to include the convolution.
    """

    def __init__(self, dim: int, *, hidden_dim: int, has_conv: bool = True) -> None:
        super().__init__()
        self.widen = nn.Linear(dim, hidden_dim)
        self.norm1 = nn.LayerNorm(hidden_dim)
        self.conv = nn.Conv1d(hidden_dim, hidden_dim, 3, padding=1, groups=hidden_dim) if has_conv else None
        self.norm2 = nn.LayerNorm(hidden_dim)
        self.narrow = nn.Linear(hidden_dim, dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        hidden = self.norm1(F.gelu(self.widen(x)))  # (B, T, hidden_dim)
        if self.conv is not None:
            hidden = _over_time(self.conv, hidden) + hidden
        hidden = self.norm2(F.gelu(hidden))
        out: Tensor = self.norm3(self.narrow(hidden))
        return out


class LSTformerLayer(nn.Module):
    """Attention between all frames, then the feed-forward part; both are pre-norm and residual.

    Args:
        dim: D.
        num_heads: must divide D.
        hidden_dim: width inside the feed-forward part.
        ffn_conv: whether the feed-forward part includes the convolution over time.
    """

    def __init__(self, dim: int, *, num_heads: int, hidden_dim: int, ffn_conv: bool = True) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads=num_heads)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, hidden_dim=hidden_dim, has_conv=ffn_conv)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return out

    def attention_weights(self, x: Tensor) -> Tensor:
        """Return the attention between frames, (B, heads, T, T), for the layer's input (B, T, D)."""
        return self.attention.weights(self.attention_norm(x))


class LSTformer(nn.Module):
    """Layers of long-range attention; before each, one shared convolution and norm mix neighbouring frames.

    Weights are initialised with PyTorch's defaults; all norms have eps 1e-5.

    Args:
        dim: D.
        num_layers: number of layers.
        num_heads: must divide D; the paper uses 8, of D / 8 dimensions each.
        hidden_dim: width inside the feed-forward part; default 8 D.
        near_conv: whether to include the shared convolution; without it the norm still applies.
        ffn_conv: whether each feed-forward part includes the convolution over time.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_layers: int = 2,
        num_heads: int = 8,
        hidden_dim: int | None = None,
        near_conv: bool = True,
        ffn_conv: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, 3, padding=1) if near_conv else None
        self.norm = nn.LayerNorm(dim)
        hidden_dim = 8 * dim if hidden_dim is None else hidden_dim
        self.layers = nn.ModuleList(
            LSTformerLayer(dim, num_heads=num_heads, hidden_dim=hidden_dim, ffn_conv=ffn_conv)
            for _ in range(num_layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        for layer in self.layers:
            x = layer(self._mix_neighbours(x))
        return x

    def attention_maps(self, x: Tensor) -> Tensor:
        """Return the attention of each frame (row) to each (column): x (B, T, D) to (layers, B, heads, T, T)."""
        maps = []
        for layer in self.layers:
            assert isinstance(layer, LSTformerLayer)
            x = self._mix_neighbours(x)
            maps.append(layer.attention_weights(x))
            x = layer(x)
        return torch.stack(maps)

    def _mix_neighbours(self, x: Tensor) -> Tensor:
        """Mix each frame with the previous and the next one: (B, T, D) to (B, T, D)."""
        out: Tensor = self.norm(x if self.conv is None else _over_time(self.conv, x) + x)
        return out
