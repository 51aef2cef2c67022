"""Temporal heads over the frame vectors: alternatives to the LSTformer, for comparison.

Each maps (B, T, D) to (B, T, D); the model then takes the mean over time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from lstpnet.models.lstformer import LSTformer


class NoHead(nn.Module):
    """Leave the frames unchanged: the model is a mean over time."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to itself."""
        return x


class Transformer(nn.Module):
    """A plain pre-norm transformer encoder with sinusoidal positions (Vaswani et al., NeurIPS 2017); no class token.

    Args:
        dim: D.
        num_layers: number of encoder layers.
        num_heads: must divide D.
        hidden_dim: width inside the feed-forward part.
    """

    def __init__(self, dim: int, *, num_layers: int, num_heads: int, hidden_dim: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            dim, num_heads, hidden_dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers, norm=nn.LayerNorm(dim), enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        out: Tensor = self.encoder(x + _positions(x))
        return out


def _positions(x: Tensor) -> Tensor:
    """Return sinusoidal position encodings (T, D) for x (B, T, D)."""
    num_frames, dim = x.shape[1:]
    rates = torch.exp(torch.arange(0, dim, 2, device=x.device) * (-math.log(10_000.0) / dim))
    angles = torch.arange(num_frames, device=x.device)[:, None] * rates  # (T, D / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).to(x.dtype)


class Recurrent(nn.Module):
    """LSTM (Hochreiter, Schmidhuber 1997) or GRU (Cho et al. 2014) over the frames, D hidden units, one direction."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], dim: int, *, num_layers: int) -> None:
        super().__init__()
        self.cells = kind(dim, dim, num_layers, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D): the hidden state after each frame."""
        out: Tensor = self.cells(x)[0]
        return out


_Build = Callable[..., nn.Module]


def _lstformer(
    dim: int, *, num_layers: int, num_heads: int, hidden_dim: int, near_conv: bool, ffn_conv: bool
) -> nn.Module:
    return LSTformer(
        dim,
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        near_conv=near_conv,
        ffn_conv=ffn_conv,
    )


def _transformer(dim: int, *, num_layers: int, num_heads: int, hidden_dim: int, **_: bool) -> nn.Module:
    return Transformer(dim, num_layers=num_layers, num_heads=num_heads, hidden_dim=hidden_dim)


def _lstm(dim: int, *, num_layers: int, **_: int | bool) -> nn.Module:
    return Recurrent(nn.LSTM, dim, num_layers=num_layers)


def _gru(dim: int, *, num_layers: int, **_: int | bool) -> nn.Module:
    return Recurrent(nn.GRU, dim, num_layers=num_layers)


def _mean(dim: int, **_: int | bool) -> nn.Module:
    return NoHead()


HEADS: Mapping[str, _Build] = MappingProxyType(
    {"lstformer": _lstformer, "transformer": _transformer, "lstm": _lstm, "gru": _gru, "mean": _mean}
)
"""Name -> (dim, num_layers, num_heads, hidden_dim, near_conv, ffn_conv) -> module; heads ignore unused arguments."""
