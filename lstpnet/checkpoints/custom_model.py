"""Models of one's own in the place of LSTPNet: `package.module:build`, a callable from num_classes to a module."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dfer_data.errors import UsageError
from dfer_data.storage.files import sha256_file


def build_own(name: str, *, num_classes: int) -> nn.Module:
    """Call `package.module:build` with `num_classes` and return the module it makes.

    The module takes (B, T, 3, H, W) float32 in 0..1 and gives (B, num_classes). The working folder is looked in first.
    Raises UsageError where there is no such callable, or it makes something else.
    """
    made = _callable(name)(num_classes=num_classes)
    if not isinstance(made, nn.Module):
        raise UsageError(f"model {name} makes a {type(made).__name__}, not a torch.nn.Module")
    return made


def check_own(name: str, model: nn.Module, *, num_classes: int, size_px: int) -> None:
    """Try two clips of random pixels; UsageError where the model does not take them or gives another shape."""
    clips = torch.rand(2, 16, 3, size_px, size_px)
    wanted = (2, num_classes)
    try:
        with torch.no_grad():
            found = model.eval()(clips)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"model {name} does not take clips of shape {tuple(clips.shape)}: {reason}") from error
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != wanted:
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise UsageError(f"model {name} gives {shape} for two clips; logits of shape {wanted} are needed")


def source_sha256(name: str) -> str:
    """Return the hash of the file that `name` comes from; empty for LSTPNet."""
    if not name:
        return ""
    path = inspect.getsourcefile(inspect.unwrap(_callable(name)))
    return sha256_file(Path(path)) if path else ""


def _callable(name: str) -> Callable[..., Any]:
    module_name, separator, attribute = name.partition(":")
    if not (module_name and separator and attribute):
        raise UsageError(f"model {name!r}: package.module:build is needed, such as my_models:build")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise UsageError(f"model {name}: there is no module {error.name!r} here or installed") from error
    except AttributeError as error:
        raise UsageError(f"model {name}: {error}") from error
    if not callable(found):
        raise UsageError(f"model {name}: {attribute} cannot be called")
    return found  # type: ignore[no-any-return]
