"""Build networks by name; catalogue.py declares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from dfer_data.errors import UsageError
from dfer_data.extras import install_command
from lstpnet.models.c3d import C3D
from lstpnet.models.catalogue import NETWORKS, model_fault
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.models.clip_vit import ClipViT
from lstpnet.models.former_dfer import FormerDFER
from lstpnet.models.frame_mean import FrameMean
from lstpnet.models.gca import GCA
from lstpnet.models.hara_resnet import HaraResNet18
from lstpnet.models.i3d import I3D
from lstpnet.models.lgi_former import LGIFormer
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.m3dfel import M3DFEL
from lstpnet.models.network_config import AnyNetworkConfig
from lstpnet.models.nr_dfernet import NRDFERNet
from lstpnet.models.p3d import P3D63
from lstpnet.models.reslstm import ResNetLSTM
from lstpnet.models.video_resnet import VideoResNet
from lstpnet.models.videomae import VideoMAE

_BUILDERS: Mapping[str, Callable[..., ClipNetwork]] = MappingProxyType(
    {
        "lstpnet": LSTPNet,
        "r3d_18": partial(VideoResNet, "r3d_18"),
        "r2plus1d_18": partial(VideoResNet, "r2plus1d_18"),
        "mc3_18": partial(VideoResNet, "mc3_18"),
        "hara-r3d18": HaraResNet18,
        "c3d": C3D,
        "former-dfer": FormerDFER,
        "videomae-b16": VideoMAE,
        "m3dfel": M3DFEL,
        "i3d": I3D,
        "p3d63": P3D63,
        "reslstm": ResNetLSTM,
        "gca": GCA,
        "nr-dfernet": NRDFERNet,
        "lgi-former": LGIFormer,
        "frame-mean": FrameMean,
        "clip-vit": ClipViT,
    }
)


def build_model(name: str, num_classes: int = 7, *, is_dirichlet: bool = False, **settings: Any) -> ClipNetwork:
    """Build a network with fresh weights.

    Args:
        name: a name of the catalogue, such as `lstpnet` or `videomae-b16`.
        num_classes: number of logits.
        is_dirichlet: whether the logits are the logarithms of a Dirichlet's parameters; see ClipNetwork.
        **settings: arguments of the network, such as `width_multiplier=0.5` or `depth=1`.

    Returns:
        A module that maps clips (B, T, 3, H, W) float RGB to logits (B, num_classes).

    Raises:
        UsageError: the name is unknown, the network does not accept the settings, or its extra is not installed.
    """
    if fault := model_fault(name):
        raise UsageError(fault)
    facts = NETWORKS[name]
    if missing := facts.missing_packages:
        raise UsageError(
            f"model {name} needs {' and '.join(missing)}, not installed here: {install_command(facts.extra)}"
        )
    if unknown := sorted(settings.keys() - set(facts.settings)):
        raise UsageError(f"model {name} has no setting {', '.join(unknown)}; it has {', '.join(facts.settings)}")
    try:
        AnyNetworkConfig(**settings)  # reports every wrong value
        model = _BUILDERS[name](num_classes, **settings)
    except (TypeError, ValueError, UsageError) as error:
        raise UsageError(f"model {name}: {error}") from error
    model.is_dirichlet = is_dirichlet
    return model
