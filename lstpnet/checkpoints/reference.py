"""Read the authors' checkpoints of a network, strictly, and write LSTPNet's back.

LSTPNet: Lu, Jiang, Fu, Zhao, Yang, Image and Vision Computing 142 (2024) 104915; first version PRCV 2023, doi
10.1007/978-981-99-8469-5_14. Its checkpoints (LLFabiann/LSTPNet, commit 6d8364d) have the form {"model_state_dict":
{"module.KEY": tensor}}, with 226 keys, of which 8 repeat a tensor under a second name. The other networks' files:
authors_names.py. The loaders of the authors ignore keys that do not match; this one reports every fault and loads
nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, overload

import torch
from torch import Tensor

from dfer_data.errors import UsageError
from dfer_data.wording import counted
from lstpnet.checkpoints.authors_names import AUTHORS_FILES, AuthorsFiles
from lstpnet.errors import CheckpointError
from lstpnet.models.catalogue import DEFAULT_MODEL, NETWORKS, model_fault
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.network_config import NetworkConfig
from lstpnet.models.registry import build_model

_WRAPPER = "module."
_NESTED = ("model_state_dict", "state_dict", "model", "module")


def reference_to_ours(model: ClipNetwork, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the authors' tensors of a network (without `module.`) to its own names; others keep their names.

    Repeated tensors are dropped.
    """
    files = AUTHORS_FILES[model.name]
    our_names = {files.authors_name(name): name for name in model.state_dict()}
    spelled = files.spelled(tensors)
    return {our_names.get(name, name): tensor for name, tensor in spelled.items() if name not in files.aliases}


@overload
def load_reference(name: Literal["lstpnet"], state_dict: Mapping[str, Any]) -> LSTPNet: ...
@overload
def load_reference(name: str, state_dict: Mapping[str, Any]) -> ClipNetwork: ...
def load_reference(name: str, state_dict: Mapping[str, Any]) -> ClipNetwork:
    """Return a network with the authors' weights, in eval mode, on the CPU.

    Args:
        name: name of the network, such as `lstpnet` or `videomae-b16`.
        state_dict: the tensors by the authors' names, with or without `module.`, or a checkpoint that holds them under
            `model_state_dict`, `state_dict`, `model` or `module`. Their shapes set the number of classes, width and
            depth. The model shares no memory with it.

    Raises:
        UsageError: there is no such network.
        CheckpointError: lists every tensor that is missing, unexpected, of another shape or dtype, not finite, or
            different from the tensor that it should repeat.
    """
    if name not in NETWORKS:
        raise UsageError(model_fault(str(name)))
    if not isinstance(state_dict, Mapping):
        raise CheckpointError(
            f"a {type(state_dict).__name__} is not a state dict; pass the dict that torch.load returned"
        )
    files = AUTHORS_FILES[name]
    tensors, faults = _unwrap(_nested(state_dict))
    tensors = files.spelled(tensors)
    model, expected = _network_of(name, tensors)
    faults += _faults(tensors, expected, aliases=files.aliases)
    if faults:
        count = len(faults)
        summary = f"not a checkpoint of {name} ({files.source}), {counted(count, 'fault')}"
        raise CheckpointError(summary, faults, hint=whose_words(tensors))
    model.to_empty(device="cpu")
    model.load_state_dict({ours: tensors[files.authors_name(ours)] for ours in model.state_dict()})
    return model.eval()


def _network_of(name: str, tensors: Mapping[str, Tensor]) -> tuple[ClipNetwork, dict[str, Tensor]]:
    """Return the network that the shapes of `tensors` state, and what its file has by the authors' names.

    Neither has memory. `tensors`: by the authors' names.
    """
    files = AUTHORS_FILES[name]
    with torch.device("meta"):
        num_classes = _num_classes(tensors.get(files.authors_name(f"{files.classifier}.weight")))
        model = build_model(name, num_classes, **_settings(files, tensors))
    expected = {files.authors_name(ours): tensor for ours, tensor in model.state_dict().items()}
    return model, expected | {alias: expected[original] for alias, original in files.aliases.items()}


def whose_words(tensors: Mapping[str, Tensor]) -> str:
    """Return a sentence that names the networks whose files have these names and shapes; empty if none has."""
    fitting = []
    for name, files in AUTHORS_FILES.items():
        if NETWORKS[name].needs_start_weights:  # no file of a whole one is published
            continue
        spelled = files.spelled(tensors)
        with contextlib.suppress(UsageError):  # no network has the settings that the shapes state
            _, expected = _network_of(name, spelled)
            fitting += [name] if _shapes(spelled) == _shapes(expected) else []
    return f"its tensors are those of {' or '.join(fitting)}" if fitting else ""


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def export_reference(model: LSTPNet) -> dict[str, Tensor]:
    """Return copies of the model's tensors by the authors' names, without `module.`, including the 8 repeated ones.

    Raises:
        CheckpointError: the model differs from the only architecture in the authors' code.
    """
    paper, files = NetworkConfig().network, AUTHORS_FILES[DEFAULT_MODEL]
    if differences := [f"{key} {value}" for key, value in model.config.network.items() if value != paper[key]]:
        raise CheckpointError(
            f"an LSTPNet with {', '.join(differences)} has no counterpart in the authors' code, which has "
            f"{', '.join(f'{key} {value}' for key, value in paper.items())}"
        )
    tensors = {files.authors_name(name): tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return tensors | {alias: tensors[original].clone() for alias, original in files.aliases.items()}


def _nested(state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state dict that a checkpoint holds, or the argument if it is one itself."""
    for key in _NESTED:
        if isinstance(nested := state_dict.get(key), Mapping):
            return nested
    return state_dict


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
    return weight.shape[0] if weight is not None and weight.ndim >= 2 and len(weight) else 7


def _settings(files: AuthorsFiles, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the settings that the shapes state; those of a deformed file are left to `_faults`, which names it."""
    return {key: value for key, value in files.settings(tensors).items() if value}


def _faults(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, aliases: Mapping[str, str]
) -> Iterator[str]:
    """Yield the faults of `tensors`; `expected` has a tensor of the right shape and dtype for each name."""
    yield from (f"{name} is missing" for name in expected if name not in tensors)
    yield from (f"{name} is unexpected" for name in tensors if name not in expected)
    for name in (name for name in expected if name in tensors):
        tensor, expected_tensor = tensors[name], expected[name]
        original = aliases.get(name, name)
        if tensor.shape != expected_tensor.shape:
            yield f"{name} has shape {tuple(tensor.shape)}, not {tuple(expected_tensor.shape)}"
        elif tensor.dtype != expected_tensor.dtype:
            yield f"{name} is {tensor.dtype}, not {expected_tensor.dtype}"
        elif not bool(torch.isfinite(tensor).all()):
            yield f"{name} holds NaN or infinity"
        elif original in tensors and not torch.equal(tensor, tensors[original]):
            yield f"{name} differs from {original}, which it should repeat"
