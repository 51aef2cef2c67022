"""The settings of the networks, declared once for networks, recipes and stored runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Interval, MultipleOf

from dfer_data.settings import setting, settings_of, validate
from lstpnet.models.catalogue import NETWORKS, facts_of_network, input_faults, is_custom, model_fault

AttentionName = Literal["tce", "eca", "se", "cbam", "none"]
Temporal = Literal["lstformer", "transformer", "lstm", "gru", "mean"]
ClipTower = Literal["b16", "l14"]
DIRICHLET = "dirichlet-multinomial"
"""Value of the setting `votes_loss` with which a network computes the parameters of a Dirichlet."""
_MODEL = "Model"


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Settings of LSTPNet; the defaults are the paper's. Raises one UsageError with every wrong value."""

    width_multiplier: Annotated[float, Interval(gt=0), MultipleOf(0.125)] = setting(
        1.0, "Factor on the network's channel counts; 1 is the paper's.", panel=_MODEL, is_rare=True
    )
    attention: AttentionName = setting(
        "tce",
        "Attention module where the paper has the TCE; none and other papers' modules are for comparison.",
        panel=_MODEL,
    )
    temporal: Temporal = setting(
        "lstformer", "Temporal head over the frames' vectors; the others are for comparison.", panel=_MODEL
    )
    num_layers: Annotated[int, Interval(ge=1)] = setting(2, "Layers of the temporal head.", panel=_MODEL, is_rare=True)
    num_heads: Annotated[int, Interval(ge=1)] = setting(
        8, "Attention heads of the temporal head.", panel=_MODEL, is_rare=True
    )
    hidden_multiplier: Annotated[int, Interval(ge=1)] = setting(
        8,
        "Width of the temporal head's feed-forward part, as a multiple of the head's own width.",
        panel=_MODEL,
        is_rare=True,
    )
    near_conv: bool = setting(
        True, "LSTformer's shared convolution over neighbouring frames.", panel=_MODEL, is_rare=True
    )
    ffn_conv: bool = setting(
        True, "LSTformer's convolution over time in its feed-forward parts.", panel=_MODEL, is_rare=True
    )

    def network_rules(self) -> Iterator[str]:
        """Yield the faults between settings."""
        num_dims = 512 * self.width_multiplier
        if self.num_heads > num_dims or (self.num_heads > 0 and num_dims % self.num_heads):
            yield f"num_heads = {self.num_heads}: must divide {num_dims:g} dimensions"

    def __post_init__(self) -> None:
        """Check all settings."""
        validate(self, rules=self.network_rules())

    @property
    def network(self) -> dict[str, Any]:
        """The settings of the network, by name."""
        return network_of({name: getattr(self, name) for name in settings_of(NetworkConfig)})


def network_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the network among those of a run. Raises KeyError if one is missing."""
    return {name: settings[name] for name in settings_of(NetworkConfig)}


@dataclass(frozen=True, kw_only=True)
class OtherNetworkConfig:
    """Settings of other networks than LSTPNet; each takes those that catalogue.py names."""

    depth: Annotated[int, Interval(ge=0)] = setting(
        0, "Blocks per stage, or layers, of a network other than LSTPNet; 0: as published.", panel=_MODEL, is_rare=True
    )
    drop_path: Annotated[float, Interval(ge=0, lt=1)] = setting(
        0.0,
        "Probability that a training clip skips a part of VideoMAE's or LGI-Former's last block; it rises from 0 at "
        "the first.",
        panel=_MODEL,
        is_rare=True,
    )
    head_scale: Annotated[float, Interval(gt=0)] = setting(
        1.0, "Factor on the initial weights of VideoMAE's or LGI-Former's classifier.", panel=_MODEL, is_rare=True
    )
    clip_tower: ClipTower = setting(
        "b16", "CLIP's tower in clip-vit: ViT-B/16 or ViT-L/14.", panel=_MODEL, is_rare=True
    )
    adapter_rank: Annotated[int, Interval(ge=1)] = setting(
        8, "Rank of the adapters in clip-vit's tower.", panel=_MODEL, is_rare=True
    )
    neutral_class: Annotated[int, Interval(ge=-1)] = setting(
        -1,
        "Number, from 0, of the neutral class for NR-DFERNet's snippet filter of test clips; -1: no filter. DFEW: 2.",
        panel=_MODEL,
        is_rare=True,
    )


@dataclass(frozen=True, kw_only=True)
class AnyNetworkConfig(OtherNetworkConfig, NetworkConfig):
    """Settings of all networks. Raises one UsageError with every wrong value."""


def settings_for(model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `build_model` among the settings of a run. Raises KeyError if one is missing."""
    network = {name: settings[name] for name in facts_of_network(model).settings}
    return network | {"is_dirichlet": settings.get("votes_loss") == DIRICHLET}  # earlier runs have no votes_loss


def _setting_faults(model: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings of other networks that differ from their defaults, which this one would ignore."""
    own = facts_of_network(model).settings
    defaults = {**settings_of(NetworkConfig), **settings_of(OtherNetworkConfig)}
    for name, item in defaults.items():
        if name not in own and settings[name] != item.default:
            yield f"{name} = {settings[name]!r}: model {model} takes only {', '.join(own)}"


def model_faults(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the faults between a recipe's network and its clips and settings. Raises KeyError if one is missing."""
    model = settings["model"]
    if is_custom(model):
        if ":" not in model:
            yield model_fault(model)
        if settings["auxiliary"] > 0:
            yield "auxiliary works only with networks of `dfer model list`"
        return
    yield from input_faults(model, num_frames=settings["num_frames"], sizes_px=(settings["size_px"],))
    if settings["frame_epochs"] and list(input_faults(model, num_frames=1, sizes_px=())):
        yield f"frame_epochs = {settings['frame_epochs']}: model {model} takes no single frames"
    yield from _setting_faults(model, settings)
    if settings["auxiliary"] > 0 and not facts_of_network(model).has_auxiliary:
        names = ", ".join(name for name, facts in NETWORKS.items() if facts.has_auxiliary)
        yield f"auxiliary needs a network with an auxiliary classifier: model = {names!r}"
