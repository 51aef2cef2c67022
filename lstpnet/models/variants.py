"""Costs of the networks and of LSTPNet's variants: parameters, multiply-adds, time on this machine."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from dfer_data.frame_sampling import CLIP_FRAMES
from lstpnet.models.catalogue import NETWORKS, NUM_FRAMES
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.registry import build_model

VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "lstpnet": {},
        "attention=eca": {"attention": "eca"},
        "attention=se": {"attention": "se"},
        "attention=cbam": {"attention": "cbam"},
        "attention=none": {"attention": "none"},
        "temporal=transformer": {"temporal": "transformer"},
        "temporal=lstm": {"temporal": "lstm"},
        "temporal=gru": {"temporal": "gru"},
        "temporal=mean": {"temporal": "mean"},
        "near_conv=false": {"near_conv": False},
        "ffn_conv=false": {"ffn_conv": False},
        "near_conv=false ffn_conv=false": {"near_conv": False, "ffn_conv": False},
        "num_layers=1": {"num_layers": 1},
        "num_layers=3": {"num_layers": 3},
        "hidden_multiplier=4": {"hidden_multiplier": 4},
        "width_multiplier=0.5": {"width_multiplier": 0.5},
        "width_multiplier=0.25": {"width_multiplier": 0.25},
    }
)
"""Recipe settings -> arguments of LSTPNet; `dfer train --set KEY=VALUE` sets each of them."""
SIZES_PX = (224, 112, 64)


@dataclass(frozen=True)
class Cost:
    """Costs of a network for one clip."""

    name: str
    """A key of VARIANTS, or the name of a network."""
    num_parameters: int
    """Number of trainable parameters."""
    gmac: Mapping[int, float]
    """Frame height and width in pixels -> billions of multiply-adds."""
    milliseconds: Mapping[int, float]
    """Frame height and width in pixels -> forward pass of one clip on this machine, in float32; empty if not timed."""


def cost(
    name: str, *, num_frames: int = CLIP_FRAMES, sizes_px: Sequence[int] = SIZES_PX, is_timed: bool = True
) -> Cost:
    """Measure the costs of one of the VARIANTS, for seven classes."""
    build = partial(LSTPNet, 7, **VARIANTS[name])
    return _measured(name, build, num_frames=num_frames, sizes_px=sizes_px, is_timed=is_timed)


def network_cost(name: str, *, is_timed: bool = False) -> Cost:
    """Measure the costs of a network of the catalogue, for seven classes and a clip of its published size."""
    sizes_px = (NETWORKS[name].size_px,)
    build = partial(build_model, name, 7)
    return _measured(name, build, num_frames=NUM_FRAMES, sizes_px=sizes_px, is_timed=is_timed)


def network_gmac(model: ClipNetwork, *, num_frames: int, size_px: int) -> float:
    """Return the billions of multiply-adds of a network for one clip, in eval mode."""
    settings = tuple(sorted(model.settings.items()))
    return _gmac_of(model.name, model.num_classes, settings, num_frames=num_frames, size_px=size_px)


@functools.cache
def _gmac_of(
    name: str, num_classes: int, settings: tuple[tuple[str, Any], ...], *, num_frames: int, size_px: int
) -> float:
    with torch.device("meta"):
        return _gmac(build_model(name, num_classes, **dict(settings)).eval(), num_frames=num_frames, size_px=size_px)


def _measured(
    name: str, build: Callable[[], ClipNetwork], *, num_frames: int, sizes_px: Sequence[int], is_timed: bool
) -> Cost:
    with torch.device("meta"):
        model = build().eval()
        gmac = {size: _gmac(model, num_frames=num_frames, size_px=size) for size in sizes_px}
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    timed = build().eval() if is_timed else None
    times = {size: _milliseconds(timed, num_frames, size) for size in sizes_px} if timed is not None else {}
    return Cost(name, num_parameters, gmac, times)


def _gmac(model: ClipNetwork, *, num_frames: int, size_px: int) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, num_frames, 3, size_px, size_px, device="meta"))
    return float(counter.get_total_flops() / 2e9)


def _milliseconds(model: ClipNetwork, num_frames: int, size_px: int) -> float:
    """Return the fastest of three passes after one warm-up pass."""
    clip = torch.rand(1, num_frames, 3, size_px, size_px)
    seconds = []
    with torch.inference_mode():
        for _ in range(4):
            start = time.perf_counter()
            model(clip)
            seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds[1:])
