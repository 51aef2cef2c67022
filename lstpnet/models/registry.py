"""Registry of networks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from dfer_data.errors import UsageError
from lstpnet.models.lstpnet import LSTPNet

MODELS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType({"lstpnet": LSTPNet})
"""Name -> callable (number of classes, settings of the network) -> module."""


def build_model(name: str, *, num_classes: int = 7, **settings: Any) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: a key of MODELS.
        num_classes: number of logits.
        **settings: arguments of the network, such as `width_multiplier=0.5` for LSTPNet.

    Returns:
        A module that maps clips (B, T, 3, H, W) float RGB in 0..1 to logits (B, num_classes).

    Raises:
        UsageError: the name is unknown, or the network does not accept the settings.
    """
    if name not in MODELS:
        raise UsageError(f"unknown model {name!r}; known: {', '.join(MODELS)}")
    try:
        return MODELS[name](num_classes, **settings)
    except (TypeError, ValueError, UsageError) as error:
        raise UsageError(f"model {name}: {error}") from error
