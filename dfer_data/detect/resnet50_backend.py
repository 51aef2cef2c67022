"""Run RetinaFace's ResNet-50: the network of retinaface-pytorch 0.0.7, with weights read only as tensors.

The package's own prediction takes one picture at a time, pads it to a square and truncates landmarks to whole pixels.
Only the package's network is used; `dfer_data.detect.retinaface` prepares its input and decodes its output.
"""

from __future__ import annotations

import importlib
import io
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dfer_data.config import Device, Precision
from dfer_data.detect.base import Network
from dfer_data.detect.cuda_float32 import float32_products
from dfer_data.errors import UsageError
from dfer_data.types import Floats

_LAYERS = {"layer2": 1, "layer3": 2, "layer4": 3}  # strides 8, 16 and 32
_MAX_BYTES = 2**30  # of an unpacked file; the network has 110 MB of weights


def resnet50_network(weights: Path, content: bytes, *, device: Device, precision: Precision = "f32") -> Network:
    """Load the network on a GPU or on one CPU thread from the content of the file `weights`.

    Raises UsageError if the file has other weights.
    """
    model = build()
    fill(model, read_resnet50(weights, content), name=str(weights))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = model.eval().to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def compute(batch: Floats) -> tuple[Floats, Floats, Floats]:
        products = float32_products(device, is_tf32=precision == "tf32")
        with torch.inference_mode(), products, _one_thread():
            pictures = torch.from_numpy(batch).to(device, dtype).contiguous(memory_format=torch.channels_last)
            boxes, scores, landmarks = model(pictures)
            return _array(boxes), _array(scores.float().softmax(dim=-1)), _array(landmarks)

    return compute


def build() -> nn.Module:
    """Build retinaface-pytorch's network with untrained weights, as the package's own prediction does."""
    package = importlib.import_module("retinaface.network")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package uses old names of torchvision's parameters
        model = package.RetinaFace(
            "Resnet50", pretrained=False, return_layers=_LAYERS, in_channels=256, out_channels=256
        )
    assert isinstance(model, nn.Module)
    return model


def fill(model: nn.Module, tensors: Mapping[str, Tensor], *, name: str) -> None:
    """Load exactly these tensors into a network; raise UsageError with the number of tensors that do not fit."""
    expected = model.state_dict()
    optional = {key for key in expected if key.endswith("num_batches_tracked")}  # used only in training
    missing, unknown = expected.keys() - tensors.keys() - optional, tensors.keys() - expected.keys()
    mismatched = [key for key in expected.keys() & tensors.keys() if expected[key].shape != tensors[key].shape]
    if missing or unknown or mismatched:
        first = min(missing or unknown or mismatched)
        raise UsageError(
            f"{name} does not hold the weights of RetinaFace's ResNet-50: tensors missing: {len(missing)}, "
            f"unknown: {len(unknown)}, of another shape: {len(mismatched)} ({first}); use the released file"
        )
    model.load_state_dict(dict(tensors), strict=False)


def read_resnet50(path: Path, content: bytes) -> dict[str, Tensor]:
    """Read the tensors of a safetensors or PyTorch file, or of the only PyTorch file in a zip, without running code.

    `path`: name of the file with this content, for its ending and for messages.
    Raises UsageError if the file is truncated, is of another kind, or holds more than tensors.
    """
    try:
        tensors = _tensors(path, content)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{path} holds code or objects besides tensors, which are not loaded: they could do anything; use a file "
            "with only the state dict"
        ) from error
    except Exception as error:  # zipfile, torch and safetensors have no common public base class
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(
            f"{path} is not a weights file that PyTorch can read ({reason}); it may be truncated"
        ) from error
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UsageError(f"{path} holds something other than named tensors; use the released file")
    return {str(key).removeprefix("module."): value for key, value in tensors.items()}


def _tensors(path: Path, content: bytes) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load

        return load(content)
    if zipfile.is_zipfile(io.BytesIO(content)):  # PyTorch itself writes zips of many members
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) == 1:
                return _loaded(_unpacked(archive, members[0]))
    return _loaded(io.BytesIO(content))


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> io.BytesIO:
    if member.file_size > _MAX_BYTES:
        raise ValueError(f"{member.filename} unpacks to {member.file_size} bytes")
    return io.BytesIO(archive.read(member))


def _loaded(file: io.BytesIO) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickles of other programs, which are refused
        return torch.load(file, map_location="cpu", weights_only=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one CPU thread, as every detector does, because there is one process per core."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _array(tensor: Tensor) -> Floats:
    return tensor.float().cpu().numpy()
