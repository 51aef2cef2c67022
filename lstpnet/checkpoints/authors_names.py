"""How the published files of each network name their tensors, and what their shapes say of the network.

Parameter names of the networks are the authors' where these are readable; LSTPNet and Former-DFER have their own, and
rules that translate them. VideoMAE's files come with the authors' names or with transformers' (4 and 5).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

Renames = tuple[tuple[re.Pattern[str], str], ...]
Tensors = Mapping[str, Tensor]
_STEP = 8
"""Widths are read in eighths."""


def _rules(*pairs: tuple[str, str]) -> Renames:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


@dataclass(frozen=True, kw_only=True)
class AuthorsFiles:
    """The published files of one network."""

    source: str
    """Whose files, for messages."""
    classifier: str = "fc"
    """Our name of the classifier's module."""
    of_classes: tuple[str, ...] = ()
    """Our prefixes of further tensors whose shapes depend on the number of classes."""
    renames: Renames = ()
    """From our names to the authors', applied in this order; names that no rule changes are the same."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Names under which their files repeat a tensor -> its name."""
    optional: re.Pattern[str] = re.compile(r"(?!)")
    """Finds our names of tensors that start weights need not have."""
    spelled: Callable[[Tensors], dict[str, Tensor]] = dict
    """Returns the tensors of a file by the authors' names, whichever spelling the file has."""
    settings: Callable[[Tensors], dict[str, Any]] = lambda tensors: {}
    """Returns the settings of the network that the shapes state; {} if they state none."""

    def authors_name(self, name: str) -> str:
        """Return the authors' name of a parameter or buffer."""
        for pattern, replacement in self.renames:
            name = pattern.sub(replacement, name)
        return name


_LSTPNET_RENAMES = _rules(
    (r"^backbone\.excitation\.", "s_former.eca."),
    (r"^backbone\.", "s_former.ir_back."),
    (r"\.excitation\.", ".eca."),
    (r"\.expand\.", ".eca_conv_1.0."),
    (r"\.over_time\.", ".action_p2_conv1."),
    (r"\.merge\.", ".eca_conv_2.0."),
    (r"^head\.conv\.", "t_former.spatial_transformer.TC."),
    (r"^head\.", "t_former.spatial_transformer."),
    (r"\.attention_norm\.", ".2.fn.norm."),
    (r"\.attention\.to_qkv\.", ".2.fn.fn.to_qkv."),
    (r"\.attention\.to_out\.", ".2.fn.fn.to_out.0."),
    (r"\.feed_forward_norm\.", ".3.fn.norm."),
    (r"\.feed_forward\.widen\.", ".3.fn.fn.linear1.0."),
    (r"\.feed_forward\.norm1\.", ".3.fn.fn.linear1.2."),
    (r"\.feed_forward\.conv\.", ".3.fn.fn.TC."),
    (r"\.feed_forward\.norm2\.", ".3.fn.fn.norm."),
    (r"\.feed_forward\.narrow\.", ".3.fn.fn.linear2.0."),
    (r"\.feed_forward\.norm3\.", ".3.fn.fn.linear2.1."),
)
# The convolution and the norm that all layers share are repeated under each layer.
_LSTPNET_ALIASES = {
    f"t_former.spatial_transformer.layers.{layer}.{position}.{kind}": f"t_former.spatial_transformer.{name}.{kind}"
    for layer in (0, 1)
    for position, name in ((0, "TC"), (1, "norm"))
    for kind in ("weight", "bias")
}
_M3DFEL_RENAMES = _rules((r"^backbone\.", "features."))
_R3D_TO_M3DFEL = _rules((r"^stem\.", "features.0."), (r"^layer", "features."))
_I3D_RENAMES = _rules((r"^head\.", "logits."))
_P3D_RENAMES = _rules(
    (r"^(layer4\.\d+)\.(conv|bn)2\.", r"\1.\2_normal."),
    (r"^(layer4\.\d+)\.(conv|bn)3\.", r"\1.\g<2>4."),
)
_RESLSTM_RENAMES = _rules((r"^lstm\.", "LSTM."))
_FORMER_LAYER_RENAMES = _rules(
    (r"\.attention_norm\.", ".0.fn.norm."),
    (r"\.attention\.to_qkv\.", ".0.fn.fn.to_qkv."),
    (r"\.attention\.to_out\.", ".0.fn.fn.to_out.0."),
    (r"\.feed_forward_norm\.", ".1.fn.norm."),
    (r"\.widen\.", ".1.fn.fn.net.0."),
    (r"\.narrow\.", ".1.fn.fn.net.3."),
)
_FORMER_RENAMES = (
    *_rules(
        (r"^spatial\.", "s_former."),
        (r"^temporal\.", "t_former."),
        (r"\.transformer\.(\d+)\.", r".spatial_transformer.layers.\1."),
    ),
    *_FORMER_LAYER_RENAMES,
)
_DYNAMIC_STATIC_RENAMES = (
    *_FORMER_LAYER_RENAMES,
    *_rules(
        (r"^(layer\d)\.", r"\1.0."),
        (r"^embedding\.", "patch_embedding."),
        (r"^transformer\.", "temporal_transformer.layers."),
    ),
)
_BUT_CLASSIFIER = (r"^(?!fc)", "s_former.")
_GCA_RENAMES = (
    *_rules(
        (r"\.gate\.context\.", ".gc.0."),
        (r"\.gate\.narrow\.", ".fc1.0."),
        (r"\.gate\.widen\.", ".fc2.0."),
        (r"\.auxiliary\.", ".AUX_fc."),
    ),
    *_DYNAMIC_STATIC_RENAMES,
    *_rules(
        (r"^static_positions$", "pos_embedding_pos"),
        (r"^static_transformer\.", "pos_transformer.layers."),
        (r"^dynamic\.", "layer4."),
        (r"^positions$", "pos_embedding"),
        _BUT_CLASSIFIER,
        (r"^fc\.", "fc_f."),
    ),
)
_NR_DFERNET_RENAMES = (
    *_DYNAMIC_STATIC_RENAMES,
    *_rules(
        (r"^static_positions$", "pos_embedding_static"),
        (r"^static_transformer\.", "s_branch.layers."),
        (r"^dynamic\.", "d_branch."),
        (r"^positions$", "temporal_pos_embedding"),
        _BUT_CLASSIFIER,
    ),
)


def _numbers(tensors: Tensors, pattern: str) -> int:
    """Return how many numbers from 0 on, without a gap, names that match a pattern with one group have there."""
    numbers = {match[1] for name in tensors if (match := re.match(pattern, name))}
    return next(count for count in itertools.count() if str(count) not in numbers)


def _width(tensor: Tensor | None, axis: int, published: int) -> dict[str, Any]:
    """Return the width of a network, in eighths of the published one, from the size of a tensor."""
    if tensor is None or tensor.ndim <= axis:
        return {}
    eighths = round(_STEP * tensor.shape[axis] / published)
    return {"width_multiplier": max(1, eighths) / _STEP}


def _resnet_settings(tensors: Tensors) -> dict[str, Any]:
    depth = _numbers(tensors, r"layer1\.(\d+)\.")
    return _width(tensors.get("fc.weight"), 1, 512) | ({"depth": depth} if depth else {})


def _c3d_settings(tensors: Tensors) -> dict[str, Any]:
    return _width(tensors.get("fc8.weight"), 1, 4096)


def _former_settings(tensors: Tensors) -> dict[str, Any]:
    depth = _numbers(tensors, r"t_former\.spatial_transformer\.layers\.(\d+)\.")
    return _width(tensors.get("fc.weight"), 1, 512) | ({"depth": depth} if depth else {})


def _m3dfel_settings(tensors: Tensors) -> dict[str, Any]:
    depth = _numbers(tensors, r"features\.1\.(\d+)\.")
    return _width(tensors.get("fc.weight"), 1, 1024) | ({"depth": depth} if depth else {})


def _m3dfel_spelled(tensors: Tensors) -> dict[str, Tensor]:
    """Return M3DFEL's tensors by its authors' names; those of torchvision's r3d_18 are its trunk's."""
    if "stem.0.weight" not in tensors:
        return dict(tensors)
    return {_renamed(name, _R3D_TO_M3DFEL): tensor for name, tensor in tensors.items() if not name.startswith("fc.")}


def _i3d_settings(tensors: Tensors) -> dict[str, Any]:
    return _width(tensors.get("logits.conv3d.weight"), 1, 1024)


def _p3d_settings(tensors: Tensors) -> dict[str, Any]:
    depths = [_numbers(tensors, rf"layer{number}\.(\d+)\.") for number in (1, 2, 3, 4)]
    is_published = depths == [3, 4, 6, 3]
    return _width(tensors.get("fc.weight"), 1, 2048) | ({} if is_published else {"depth": depths[0]})


def _reslstm_settings(tensors: Tensors) -> dict[str, Any]:
    depth = _numbers(tensors, r"layer1\.(\d+)\.")
    return _width(tensors.get("output.weight"), 1, 4096) | ({"depth": depth} if depth else {})


def _dynamic_static_settings(tensors: Tensors) -> dict[str, Any]:
    depth = _numbers(tensors, r"s_former\.temporal_transformer\.layers\.(\d+)\.")
    return _width(tensors.get("s_former.bn1.weight"), 0, 64) | ({"depth": depth} if depth else {})


def _frame_mean_settings(tensors: Tensors) -> dict[str, Any]:
    return _width(tensors.get("fc.weight"), 1, 512)


def _lgi_former_settings(tensors: Tensors) -> dict[str, Any]:
    depth = _numbers(tensors, r"blocks\.(\d+)\.")
    return _width(tensors.get("patch_embed.proj.weight"), 0, 512) | ({"depth": depth} if depth else {})


def _videomae_settings(tensors: Tensors) -> dict[str, Any]:
    depth = _numbers(tensors, r"blocks\.(\d+)\.")
    return _width(tensors.get("patch_embed.proj.weight"), 0, 768) | ({"depth": depth} if depth else {})


_TRANSFORMERS = _rules(
    (r"^videomae\.", ""),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.attention\.q_bias$", ".attn.q_bias"),
    (r"\.attention\.attention\.v_bias$", ".attn.v_bias"),
    (r"\.attention\.attention\.query\.bias$", ".attn.q_bias"),
    (r"\.attention\.attention\.value\.bias$", ".attn.v_bias"),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"^classifier\.", "head."),
)
_PARTS = ("query", "key", "value")
_PART = re.compile(r"^(blocks\.\d+)\.attention\.attention\.(query|key|value)\.weight$")
_PRETRAINING = _rules((r"^encoder\.", ""), (r"^backbone\.", ""))


def _videomae_spelled(tensors: Tensors) -> dict[str, Tensor]:
    """Return VideoMAE's tensors by the names of the authors' fine-tuning code."""
    if not any(".attention.attention." in name for name in tensors):
        return _of_fine_tuning(tensors)
    named: dict[str, Tensor] = {}
    parts: dict[str, dict[str, tuple[str, Tensor]]] = {}
    for name, tensor in tensors.items():
        new_name = _renamed(name, _TRANSFORMERS)
        if match := _PART.match(new_name):
            parts.setdefault(match[1], {})[match[2]] = name, tensor
        else:
            named[new_name] = tensor
    for block, weights in parts.items():
        kinds = {(tensor.ndim, tensor.shape[1:], tensor.dtype) for _, tensor in weights.values()}
        if set(weights) == set(_PARTS) and len(kinds) == 1 and kinds.pop()[0] > 0:
            named[f"{block}.attn.qkv.weight"] = torch.cat([weights[part][1] for part in _PARTS])
        else:
            named |= dict(weights.values())
    return named


def _renamed(name: str, rules: Renames) -> str:
    for pattern, replacement in rules:
        name = pattern.sub(replacement, name)
    return name


_CLIP_RENAMES = _rules((r"^tower\.", ""), (r"\.base_layer\.", "."))
_CLIP_VISION = "vision_model."


def _clip_spelled(tensors: Tensors) -> dict[str, Tensor]:
    """Return the tensors of CLIP's tower alone, by transformers 5's names; those of a run's checkpoint as they are."""
    if any(name.startswith("tower.") for name in tensors):
        return dict(tensors)
    prefix = _CLIP_VISION if any(name.startswith(_CLIP_VISION) for name in tensors) else ""
    is_of_tower = {name: name.startswith(prefix) and not name.endswith("position_ids") for name in tensors}
    return {name.removeprefix(prefix): tensor.float() for name, tensor in tensors.items() if is_of_tower[name]}


_DFEW_OWNERS = "jiangxingxun/DFEW"


def _of_fine_tuning(tensors: Tensors) -> dict[str, Tensor]:
    """Return the tensors of an encoder by the names of the authors' fine-tuning code; pre-training's have a prefix."""
    return {_renamed(name, _PRETRAINING): tensor for name, tensor in tensors.items()}


_TORCHVISION = AuthorsFiles(source="torchvision", settings=_resnet_settings)
AUTHORS_FILES: Mapping[str, AuthorsFiles] = MappingProxyType(
    {
        "lstpnet": AuthorsFiles(source="LLFabiann/LSTPNet", renames=_LSTPNET_RENAMES, aliases=_LSTPNET_ALIASES),
        "r3d_18": _TORCHVISION,
        "r2plus1d_18": _TORCHVISION,
        "mc3_18": _TORCHVISION,
        "hara-r3d18": AuthorsFiles(source="kenshohara/3D-ResNets-PyTorch", settings=_resnet_settings),
        "c3d": AuthorsFiles(source=_DFEW_OWNERS, classifier="fc8", settings=_c3d_settings),
        "former-dfer": AuthorsFiles(
            source="zengqunzhao/Former-DFER", renames=_FORMER_RENAMES, settings=_former_settings
        ),
        "videomae-b16": AuthorsFiles(
            source="VideoMAE, by the authors' or transformers' names",
            classifier="head",
            optional=re.compile(r"^fc_norm\."),
            spelled=_videomae_spelled,
            settings=_videomae_settings,
        ),
        "m3dfel": AuthorsFiles(
            source="Tencent/TFace attribute/M3DFEL",
            renames=_M3DFEL_RENAMES,
            optional=re.compile(r"^(lstm|to_qkv|norm|pwconv)\."),
            spelled=_m3dfel_spelled,
            settings=_m3dfel_settings,
        ),
        "i3d": AuthorsFiles(
            source=_DFEW_OWNERS,
            classifier="head.conv3d",
            renames=_I3D_RENAMES,
            settings=_i3d_settings,
        ),
        "p3d63": AuthorsFiles(source=_DFEW_OWNERS, renames=_P3D_RENAMES, settings=_p3d_settings),
        "reslstm": AuthorsFiles(
            source=_DFEW_OWNERS, classifier="output", renames=_RESLSTM_RENAMES, settings=_reslstm_settings
        ),
        "gca": AuthorsFiles(
            source="muse1998/IAL-for-Facial-Expression-Recognition",
            of_classes=tuple(f"layer{number}.auxiliary.1." for number in (1, 2, 3)),
            renames=_GCA_RENAMES,
            settings=_dynamic_static_settings,
        ),
        "nr-dfernet": AuthorsFiles(
            source="muse1998/AI-DFERNet", renames=_NR_DFERNET_RENAMES, settings=_dynamic_static_settings
        ),
        "frame-mean": AuthorsFiles(source="torchvision's ResNet-18", settings=_frame_mean_settings),
        "clip-vit": AuthorsFiles(
            source="CLIP, by transformers' names",
            renames=_CLIP_RENAMES,
            optional=re.compile(r"^temporal\.|\.lora_"),
            spelled=_clip_spelled,
        ),
        "lgi-former": AuthorsFiles(
            source="sunlicai/MAE-DFER",
            classifier="head",
            optional=re.compile(r"^fc_norm\."),
            spelled=_of_fine_tuning,
            settings=_lgi_former_settings,
        ),
    }
)
"""Name of a network -> its published files."""
