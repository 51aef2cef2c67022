"""Read the tensors of a weights file: safetensors, or a PyTorch file that holds only tensors and no code."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from dfer_data.errors import UsageError
from lstpnet.errors import CheckpointError

_NESTED = ("model_state_dict", "state_dict", "model", "module")
_WRAPPERS = ("module.", "_orig_mod.")
MAX_WEIGHTS_BYTES = 2**31
"""Largest weights file, also unpacked; LSTPNet has 0.1 GB, VideoMAE 0.35 GB, all of CLIP ViT-L/14 1.7 GB."""


def read_weights(path: Path) -> bytes:
    """Return the bytes of a weights file; one that is too large is not read.

    Raises UsageError: the file is missing or is no regular file; CheckpointError: it is too large or cannot be read.
    """
    try:
        if not path.is_file():
            reason = "it is no regular file" if path.exists() else "no such file"
            raise UsageError(f"no weights file at {path}: {reason}")
        _check_size(path, path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"no weights file at {path}: {error.strerror or error}") from error


def _check_size(path: Path, num_bytes: int) -> None:
    if num_bytes > MAX_WEIGHTS_BYTES:
        raise CheckpointError(
            f"{path} holds {num_bytes / 1e9:.1f} GB and is not loaded: weights of these networks have at most "
            f"{MAX_WEIGHTS_BYTES / 1e9:.1f} GB"
        )


def read_tensors(path: Path, content: bytes | None = None) -> dict[str, Tensor]:
    """Return the tensors of a file by name, without the prefixes of DataParallel and torch.compile.

    `content`: the bytes of the file, for a caller that has read and hashed them; None reads the file.
    A PyTorch file may hold them under `model_state_dict`, `state_dict`, `model` or `module`, all values tensors.
    Raises UsageError: the file is missing; CheckpointError: it is truncated, not a weights file, or a pickle with code,
    which is not run.
    """
    tensors = _load(path, read_weights(path) if content is None else content)
    for key in _NESTED:
        if isinstance(tensors, Mapping) and isinstance(tensors.get(key), Mapping):
            tensors = tensors[key]
            break
    if not isinstance(tensors, Mapping) or not tensors:
        raise CheckpointError(f"{path} holds a {type(tensors).__name__}, not tensors by name")
    faults = [f"{name} is a {type(value).__name__}" for name, value in tensors.items() if not isinstance(value, Tensor)]
    if faults:
        raise CheckpointError(f"{path} holds more than tensors", faults)
    odd_layouts = [f"{name} is {value.layout}" for name, value in tensors.items() if value.layout != torch.strided]
    if odd_layouts:
        raise CheckpointError(f"{path} holds tensors that are not dense", odd_layouts)
    return {_without_wrappers(str(name)): value for name, value in tensors.items()}


def _load(path: Path, content: bytes) -> Any:
    try:
        _check_size(path, max(len(content), _unpacked_bytes(content)))
        if path.suffix == ".safetensors":
            return load(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles from other sources, which are rejected below
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({error}); it is truncated or not a checkpoint"
        ) from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds code or objects besides tensors, which are not loaded: they could run anything. Save only "
            "its state dict, in the program that made it"
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # torch's reader raises almost any exception on junk
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read by PyTorch ({reason}); it is truncated or not a checkpoint"
        ) from error


def _unpacked_bytes(content: bytes) -> int:
    """Return what the members of a PyTorch file, which is a zip, declare as their sizes; 0 for other files.

    A compressed zip can be a thousand times as large; PyTorch reads no member beyond its declared size.
    """
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return 0
    with zipfile.ZipFile(file) as archive:
        return sum(member.file_size for member in archive.infolist())


def _without_wrappers(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name
