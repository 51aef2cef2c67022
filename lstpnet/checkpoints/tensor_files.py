"""Read the tensors of a weights file: safetensors, or a PyTorch file that holds only tensors and no code."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lstpnet.errors import CheckpointError

_NESTED = ("model_state_dict", "state_dict", "model")
_WRAPPERS = ("module.", "_orig_mod.")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, without the prefixes of DataParallel and torch.compile.

    A PyTorch file may hold them under `model_state_dict`, `state_dict` or `model`, where all values must be tensors.
    Raises CheckpointError: the file is missing, truncated, not a weights file, or a pickle with code, which is not run.
    """
    if not path.is_file():
        raise CheckpointError(f"no weights file at {path}")
    content = _load(path)
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not tensors by name")
    faults = [f"{name} is a {type(value).__name__}" for name, value in content.items() if not isinstance(value, Tensor)]
    if faults:
        raise CheckpointError(f"{path} holds more than tensors", faults[:5])
    return {_without_wrappers(str(name)): value for name, value in content.items()}


def _load(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles from other sources, which are rejected below
            return torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({error}); it is truncated or not a checkpoint"
        ) from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds code or objects besides tensors, which are not loaded: they could run anything. Save only "
            "its state dict, in the program that made it"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read by PyTorch ({reason}); it is truncated or not a checkpoint"
        ) from error


def _without_wrappers(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name
