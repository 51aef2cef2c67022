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
    """Name of the classifier's module, ours and theirs."""
    renames: Renames = ()
    """From our names to the authors', applied in this order; names that no rule changes are the same."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Names under which their files repeat a tensor -> its name."""
    optional: tuple[str, ...] = ()
    """Prefixes of tensors that start weights need not have."""
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
_FORMER_RENAMES = _rules(
    (r"^spatial\.", "s_former."),
    (r"^temporal\.", "t_former."),
    (r"\.transformer\.(\d+)\.", r".spatial_transformer.layers.\1."),
    (r"\.attention_norm\.", ".0.fn.norm."),
    (r"\.attention\.to_qkv\.", ".0.fn.fn.to_qkv."),
    (r"\.attention\.to_out\.", ".0.fn.fn.to_out.0."),
    (r"\.feed_forward_norm\.", ".1.fn.norm."),
    (r"\.widen\.", ".1.fn.fn.net.0."),
    (r"\.narrow\.", ".1.fn.fn.net.3."),
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
        return {_renamed(name, _PRETRAINING): tensor for name, tensor in tensors.items()}
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


_TORCHVISION = AuthorsFiles(source="torchvision", settings=_resnet_settings)
AUTHORS_FILES: Mapping[str, AuthorsFiles] = MappingProxyType(
    {
        "lstpnet": AuthorsFiles(source="LLFabiann/LSTPNet", renames=_LSTPNET_RENAMES, aliases=_LSTPNET_ALIASES),
        "r3d_18": _TORCHVISION,
        "r2plus1d_18": _TORCHVISION,
        "mc3_18": _TORCHVISION,
        "hara-r3d18": AuthorsFiles(source="kenshohara/3D-ResNets-PyTorch", settings=_resnet_settings),
        "c3d": AuthorsFiles(source="jiangxingxun/DFEW", classifier="fc8", settings=_c3d_settings),
        "former-dfer": AuthorsFiles(
            source="zengqunzhao/Former-DFER", renames=_FORMER_RENAMES, settings=_former_settings
        ),
        "videomae-b16": AuthorsFiles(
            source="VideoMAE, by the authors' or transformers' names",
            classifier="head",
            optional=("fc_norm.",),
            spelled=_videomae_spelled,
            settings=_videomae_settings,
        ),
    }
)
"""Name of a network -> its published files."""
