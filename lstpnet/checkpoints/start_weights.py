"""Start weights from a file: one of our checkpoints, the authors' LSTPNet, or a ResNet-18 with torchvision's names.

    fill_from(model, path) -> what was filled and what stayed; refuses a file whose backbone does not fit whole

A ResNet-18 file (torchvision's, or resnet18_msceleb.pth, also known as ijba_res18_naive.pth) has no biases before batch
norms and no TCE: these keep the start that the model gives them, and so does a classifier for other classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lstpnet.checkpoints.reference import reference_to_ours
from lstpnet.checkpoints.tensor_files import read_tensors
from lstpnet.errors import CheckpointError
from lstpnet.models.lstpnet import LSTPNet

_BACKBONE = "backbone."


@dataclass(frozen=True)
class Filled:
    """What a file of start weights did to a model."""

    kind: str
    """`lstpnet`: one of ours; `authors`: theirs; `resnet18`: a backbone by torchvision's names."""
    filled: tuple[str, ...]
    """Tensors of the model that it filled."""
    kept: tuple[str, ...]
    """Tensors of the model that stayed as they were."""
    unused: tuple[str, ...]
    """Tensors of the file that have no place in the model."""

    @property
    def words(self) -> str:
        """One line."""
        parts = sorted({_part(name) for name in self.kept})
        kept = f"; {len(self.kept)} keep their own start ({', '.join(parts)})" if self.kept else ""
        unused = f"; {len(self.unused)} of the file have no place ({', '.join(self.unused[:3])})" if self.unused else ""
        return f"{self.kind}: {len(self.filled)} tensors filled{kept}{unused}"


def _part(name: str) -> str:
    if not name.startswith(_BACKBONE):
        return {"fc": "classifier", "head": "temporal part"}.get(name.partition(".")[0], name)
    if ".excitation." in name or name.startswith(_BACKBONE + "excitation."):
        return "excitations"
    return "biases before batch norms" if name.endswith(".bias") else "backbone"


def fill_from(model: LSTPNet, path: Path) -> Filled:
    """Fill what fits. Raises CheckpointError for a file that cannot be read, or whose backbone does not fit whole."""
    tensors = read_tensors(path)
    own = model.state_dict()
    kind, named = _by_our_names(tensors, path)
    wanted = [name for name in own if name.startswith(_BACKBONE) and _is_needed(name, kind=kind)]
    faults = [f"{name} is missing" for name in wanted if name not in named]
    faults += [
        f"{name} has shape {tuple(named[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in named and named[name].shape != own[name].shape and not name.startswith("fc.")
    ]
    faults += [
        f"{name} holds NaN or infinity" for name, tensor in named.items() if name in own and not _is_finite(tensor)
    ]
    if faults:
        some = faults[:5] + ([f"and {len(faults) - 5} more"] if len(faults) > 5 else [])
        raise CheckpointError(
            f"--init {path} ({kind}) does not fit this network (width_multiplier "
            f"{model.settings['width_multiplier']:g})",
            some,
        )
    fitting = {name: named[name] for name in own if name in named and named[name].shape == own[name].shape}
    with torch.no_grad():
        for name, tensor in fitting.items():
            own[name].copy_(tensor)
    kept = tuple(name for name in own if name not in fitting and not name.endswith("num_batches_tracked"))
    return Filled(kind, tuple(fitting), kept, tuple(name for name in named if name not in own))


def _by_our_names(tensors: Mapping[str, Tensor], path: Path) -> tuple[str, dict[str, Tensor]]:
    """Recognise a file by its names and return its tensors by ours."""
    if any(name.startswith(_BACKBONE) for name in tensors):
        return "lstpnet", dict(tensors)
    if any(name.startswith("s_former.") for name in tensors):
        return "authors", reference_to_ours(tensors)
    if "conv1.weight" in tensors and "layer1.0.conv1.weight" in tensors:
        return "resnet18", {_BACKBONE + name: tensor for name, tensor in tensors.items()}
    some = ", ".join(list(tensors)[:3])
    raise CheckpointError(
        f"--init {path} holds neither an LSTPNet nor a ResNet-18 by torchvision's names (its tensors: {some}...)"
    )


def _is_needed(name: str, *, kind: str) -> bool:
    """Whether the backbone does not fit without this tensor: its convolutions and norms do, the rest may be new."""
    if name.endswith("num_batches_tracked") or ".excitation." in name or name.startswith(_BACKBONE + "excitation."):
        return False
    is_bias_before_norm = name.endswith(("conv1.bias", "conv2.bias", "downsample.0.bias"))
    return kind != "resnet18" or not is_bias_before_norm


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
