"""Read and write checkpoints of the authors' code (LLFabiann/LSTPNet, commit 6d8364d), strictly.

Paper: Lu, Jiang, Fu, Zhao, Yang, Image and Vision Computing 142 (2024) 104915; first version PRCV 2023, doi
10.1007/978-981-99-8469-5_14. Their checkpoints have the form
{"model_state_dict": {"module.KEY": tensor}}, with 226 keys, of which 8 repeat a tensor under a second name. The loader
of the authors ignores keys that do not match; this one reports every fault and loads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lstpnet.errors import CheckpointError
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.network_config import NetworkConfig

_WRAPPER = "module."
# From our names to the authors', applied in this order. Names that no rule changes are the same (fc, conv1, bn1...).
_RENAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
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
)
# The convolution and the norm that all layers share are repeated under each layer.
_ALIASES = {
    f"t_former.spatial_transformer.layers.{layer}.{position}.{kind}": f"t_former.spatial_transformer.{name}.{kind}"
    for layer in (0, 1)
    for position, name in ((0, "TC"), (1, "norm"))
    for kind in ("weight", "bias")
}


def reference_name(name: str) -> str:
    """Return the authors' name, without `module.`, of a parameter or buffer of LSTPNet."""
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    return name


def reference_to_ours(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors from the authors' names (without `module.`) to ours; drop repeated and unknown ones."""
    with torch.device("meta"):
        our_names = {reference_name(name): name for name in LSTPNet().state_dict()}
    return {our_names[name]: tensor for name, tensor in tensors.items() if name in our_names}


def load_reference(state_dict: Mapping[str, Any]) -> LSTPNet:
    """Return an LSTPNet with the authors' weights, in eval mode, on the CPU.

    Args:
        state_dict: the 226 tensors by the authors' names, with or without `module.`, or a checkpoint that holds them
            under "model_state_dict". `fc.weight` sets the number of classes. The model shares no memory with it.

    Raises:
        CheckpointError: lists every tensor that is missing, unexpected, of another shape or dtype, not finite, or
            different from the tensor that it should repeat.
    """
    if not isinstance(state_dict, Mapping):
        raise CheckpointError(
            f"a {type(state_dict).__name__} is not a state dict; pass the dict that torch.load returned"
        )
    tensors, faults = _unwrap(state_dict.get("model_state_dict", state_dict))
    with torch.device("meta"):
        model = LSTPNet(_num_classes(tensors.get("fc.weight")))
    our_names = {reference_name(name): name for name in model.state_dict()}
    expected = {reference_name(name): tensor for name, tensor in model.state_dict().items()}
    expected |= {alias: expected[original] for alias, original in _ALIASES.items()}
    faults += _faults(tensors, expected)
    if faults:
        count = len(faults)
        raise CheckpointError(
            f"not a checkpoint of the authors' LSTPNet (LLFabiann/LSTPNet), {count} fault{'s' if count > 1 else ''}",
            faults,
        )
    model.to_empty(device="cpu")
    model.load_state_dict({name: tensors[their_name] for their_name, name in our_names.items()})
    return model.eval()


def export_reference(model: LSTPNet) -> dict[str, Tensor]:
    """Return copies of the model's tensors by the authors' names, without `module.`, including the 8 repeated ones.

    Raises:
        CheckpointError: the model differs from the only architecture in the authors' code.
    """
    paper = NetworkConfig().network
    if differences := [f"{key} {value}" for key, value in model.config.network.items() if value != paper[key]]:
        raise CheckpointError(
            f"an LSTPNet with {', '.join(differences)} has no counterpart in the authors' code, which has "
            f"{', '.join(f'{key} {value}' for key, value in paper.items())}"
        )
    tensors = {reference_name(name): tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return tensors | {alias: tensors[original].clone() for alias, original in _ALIASES.items()}


def _unwrap(state_dict: Mapping[str, Any]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors without DataParallel's name prefix, and the faults: non-tensors and duplicate names."""
    tensors: dict[str, Tensor] = {}
    faults = []
    for key, value in state_dict.items():
        name = str(key).removeprefix(_WRAPPER)
        if not isinstance(value, Tensor):
            faults.append(f"{key} is a {type(value).__name__}, not a tensor")
        elif name in tensors:
            faults.append(f"{name} appears twice, with and without {_WRAPPER!r}")
        else:
            tensors[name] = value
    return tensors, faults


def _num_classes(weight: Tensor | None) -> int:
    """Return the rows of the classifier's weight; 7 if it is missing or misshapen, which `_faults` reports."""
    return weight.shape[0] if weight is not None and weight.ndim == 2 and len(weight) else 7


def _faults(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield the faults of `tensors`; `expected` has a tensor of the right shape and dtype for each name."""
    yield from (f"{name} is missing" for name in expected if name not in tensors)
    yield from (f"{name} is unexpected" for name in tensors if name not in expected)
    for name in (name for name in expected if name in tensors):
        tensor, expected_tensor = tensors[name], expected[name]
        original = _ALIASES.get(name, name)
        if tensor.shape != expected_tensor.shape:
            yield f"{name} has shape {tuple(tensor.shape)}, not {tuple(expected_tensor.shape)}"
        elif tensor.dtype != expected_tensor.dtype:
            yield f"{name} is {tensor.dtype}, not {expected_tensor.dtype}"
        elif not bool(torch.isfinite(tensor).all()):
            yield f"{name} holds NaN or infinity"
        elif original in tensors and not torch.equal(tensor, tensors[original]):
            yield f"{name} differs from {original}, which it should repeat"
