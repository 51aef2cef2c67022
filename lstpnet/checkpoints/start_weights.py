"""Load start weights from one of our checkpoints, the authors' files, or a ResNet-18 with torchvision's names.

    fill_from(model, path) -> which tensors it filled and which it kept; rejects a file whose backbone does not fit

Of another network than LSTPNet, everything but the classifier must fit. For LSTPNet, a ResNet-18 file (torchvision's,
or resnet18_msceleb.pth, also known as ijba_res18_naive.pth) has no biases before batch norms and no TCE. These keep the
model's initial values, and so does a classifier for other classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dfer_data.errors import UsageError
from lstpnet.checkpoints.authors_names import AUTHORS_FILES
from lstpnet.checkpoints.clip_folder import check_tower, licence_of, tower_file
from lstpnet.checkpoints.reference import reference_to_ours, whose_words
from lstpnet.checkpoints.tensor_files import read_tensors, read_weights
from lstpnet.errors import CheckpointError
from lstpnet.models.catalogue import NETWORKS
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.models.clip_vit import ClipViT
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.run_files import check_file
from lstpnet.runs import listed_facts, run_of_checkpoint

_BACKBONE = "backbone."
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Of weights; copied into float32, whole or complex numbers would become others without an error."""


@dataclass(frozen=True)
class Filled:
    """Which tensors of a model a file of start weights filled."""

    kind: str
    """`lstpnet`: our checkpoint; `authors`: the authors' checkpoint; `resnet18`: torchvision's names; or a network."""
    filled: tuple[str, ...]
    """Names of the model's tensors that the file filled."""
    kept: tuple[str, ...]
    """Names of the model's tensors that kept their initial values."""
    unused: tuple[str, ...]
    """Tensors of the file that the model does not have."""
    of_classes: tuple[str, ...] = ("fc.",)
    """Prefixes of the model's classifiers."""

    @property
    def words(self) -> str:
        """Summary in one line."""
        part_names = sorted({_part_name(name, of_classes=self.of_classes) for name in self.kept})
        kept = f"; {len(self.kept)} keep their initial values ({', '.join(part_names)})" if self.kept else ""
        unused = f"; {len(self.unused)} of the file are unused ({', '.join(self.unused[:3])})" if self.unused else ""
        return f"{self.kind}: {len(self.filled)} tensors filled{kept}{unused}"


def _part_name(name: str, *, of_classes: tuple[str, ...]) -> str:
    if name.startswith(of_classes):
        return "classifier"
    if ".lora_" in name:
        return "adapters"
    if not name.startswith(_BACKBONE):
        return {"head": "temporal part", "temporal": "temporal part"}.get(name.partition(".")[0], name)
    if ".excitation." in name or name.startswith(_BACKBONE + "excitation."):
        return "excitations"
    return "biases before batch norms" if name.endswith(".bias") else "backbone"


def read_start_weights(path: Path) -> bytes:
    """Return the bytes of a file of start weights; those of a run's checkpoint are checked against its run.json.

    `path`: the file, or a folder that transformers saved.

    Raises UsageError if the file is missing, CheckpointError if it cannot be read, CorruptDataError if it is a damaged
    checkpoint of a run.
    """
    file = tower_file(path)
    try:
        content = read_weights(file)
    except (UsageError, CheckpointError) as error:
        raise type(error)(f"--init: {error}") from None
    return check_file(file, content, listed_facts(file))


def fill_from(
    model: ClipNetwork, path: Path, content: bytes | None = None, *, class_names: Sequence[str] = ()
) -> Filled:
    """Fill every tensor of the model that the file has in the same shape.

    `content`: the bytes of the file, for a caller that has read and hashed them; None reads the file.
    `class_names`: classes of the model; the classifier of a run with other classes, or in another order, is unused.
    Raises UsageError for a missing file, CheckpointError for one that cannot be read; for LSTPNet, whose backbone does
    not fit completely; for another network, that does not fit but for the classifier, or for CLIP's tower, whose
    config.json is another's.
    """
    path = tower_file(path)
    if isinstance(model, ClipViT) and run_of_checkpoint(path) is None:
        check_tower(model.config, path)
    tensors = read_tensors(path, read_start_weights(path) if content is None else content)
    state, files = model.state_dict(), AUTHORS_FILES[model.name]
    of_classes = (f"{files.classifier}.", *files.of_classes)
    if isinstance(model, LSTPNet):
        kind, file_tensors = _by_our_names(model, tensors, path)
        required = [name for name in state if name.startswith(_BACKBONE) and _is_needed(name, kind=kind)]
    else:
        kind, file_tensors = model.name, reference_to_ours(model, tensors)
        spared = [name for name in state if name.startswith(of_classes) or files.optional.search(name)]
        required = [name for name in state if name not in spared and not name.endswith("num_batches_tracked")]
    _check_fit(model, file_tensors, required, f"--init {path} ({kind})", of_classes=of_classes, tensors=tensors)
    has_other_classes = bool(class_names) and _classes_of_run(path) not in (None, tuple(class_names))
    fitting_tensors = {
        name: file_tensors[name]
        for name in state
        if name in file_tensors
        and file_tensors[name].shape == state[name].shape
        and not (has_other_classes and name.startswith(of_classes))
    }
    with torch.no_grad():
        for name, tensor in fitting_tensors.items():
            state[name].copy_(tensor)
    kept = tuple(name for name in state if name not in fitting_tensors and not name.endswith("num_batches_tracked"))
    unused = tuple(name for name in file_tensors if name not in state)
    return Filled(kind, tuple(fitting_tensors), kept, unused, of_classes)


def _classes_of_run(path: Path) -> tuple[str, ...] | None:
    """Return the classes of the run whose checkpoint a file is; None for another file, which does not name them."""
    info = run_of_checkpoint(path)
    return None if info is None else info.class_names


def _check_fit(
    model: ClipNetwork,
    file_tensors: Mapping[str, Tensor],
    required: Sequence[str],
    subject: str,
    *,
    of_classes: tuple[str, ...],
    tensors: Mapping[str, Tensor],
) -> None:
    """Raise CheckpointError unless all required tensors are there, and those that are there fit the model.

    `of_classes`: prefixes of tensors that need not fit, because the file may be of other classes. `tensors`: the file
    with its own names, for a message that says whose it is.
    """
    state = model.state_dict()
    faults = [f"{name} is missing" for name in required if name not in file_tensors]
    faults += [
        f"{name} has shape {tuple(file_tensors[name].shape)}, not {tuple(state[name].shape)}"
        for name in state
        if name in file_tensors and file_tensors[name].shape != state[name].shape and not name.startswith(of_classes)
    ]
    fitting = {  # a small file can hold a view of any size
        name: tensor
        for name, tensor in file_tensors.items()
        if name in state and tensor.shape == state[name].shape and state[name].is_floating_point()
    }
    faults += [
        f"{name} is {tensor.dtype}, not one of {', '.join(map(str, _DTYPES))}"
        for name, tensor in fitting.items()
        if tensor.dtype not in _DTYPES
    ]
    faults += [
        f"{name} holds NaN or infinity"
        for name, tensor in fitting.items()
        if tensor.dtype in _DTYPES and not bool(torch.isfinite(tensor).all())
    ]
    if faults:
        width = f"width_multiplier {model.settings['width_multiplier']:g}"
        raise CheckpointError(f"{subject} does not fit this network ({width})", faults, hint=whose_words(tensors))


def licence_words(model: ClipNetwork, path: Path) -> str:
    """Return the licence of the network's published start weights; empty for a checkpoint of a run.

    Of CLIP it is what the folder of the weights states, since many were published.
    """
    file = tower_file(path)
    if run_of_checkpoint(file) is not None:
        return ""
    if isinstance(model, ClipViT):
        return licence_of(file.parent)
    published = NETWORKS[model.name].start_weights
    return f"published start weights: {published}" if published else ""


def _by_our_names(model: LSTPNet, tensors: Mapping[str, Tensor], path: Path) -> tuple[str, dict[str, Tensor]]:
    """Detect the kind of a file from its tensor names; return the kind and the tensors by our names."""
    if any(name.startswith(_BACKBONE) for name in tensors):
        return "lstpnet", dict(tensors)
    if any(name.startswith("s_former.") for name in tensors):
        return "authors", reference_to_ours(model, tensors)
    if "conv1.weight" in tensors and "layer1.0.conv1.weight" in tensors:
        return "resnet18", {_BACKBONE + name: tensor for name, tensor in tensors.items()}
    first_names = ", ".join(list(tensors)[:3])
    raise CheckpointError(
        f"--init {path} holds neither an LSTPNet nor a ResNet-18 with torchvision's names "
        f"(its tensors: {first_names}...)"
    )


def _is_needed(name: str, *, kind: str) -> bool:
    """Whether the file must have this tensor of the backbone: convolutions and norms; the rest may be new."""
    if name.endswith("num_batches_tracked") or ".excitation." in name or name.startswith(_BACKBONE + "excitation."):
        return False
    is_bias_before_norm = name.endswith(("conv1.bias", "conv2.bias", "downsample.0.bias"))
    return kind != "resnet18" or not is_bias_before_norm
