"""Custom models in place of LSTPNet: `package.module:build`, a callable from num_classes to a module."""

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
    """Call `package.module:build` with `num_classes` and return the module that it builds.

    The module maps (B, T, 3, H, W) float32, normalised as the recipe's `input_norm` says, to logits (B, num_classes).
    The working folder is searched first.
    Raises UsageError if there is no such callable, or it returns something else.
    """
    model = _callable(name)(num_classes=num_classes)
    if not isinstance(model, nn.Module):
        raise UsageError(f"model {name} returns a {type(model).__name__}, not a torch.nn.Module")
    return model


def check_own(name: str, model: nn.Module, clips: torch.Tensor, *, num_classes: int) -> None:
    """Run the model on clips (B, T, 3, H, W) of the training.

    Raises UsageError if it rejects them, or returns another shape or numbers that are not finite.
    """
    num_clips, num_frames = clips.shape[:2]
    expected_shape = (num_clips, num_classes)
    hint = "" if num_frames > 1 else "; the stage on single frames needs this: frame_epochs = 0 leaves it out"
    try:
        with torch.no_grad():
            logits = model.eval()(clips)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"model {name} does not accept clips of shape {tuple(clips.shape)}: {reason}{hint}") from error
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected_shape:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise UsageError(
            f"model {name} returns {shape} for {num_clips} clips; expected logits of shape {expected_shape}{hint}"
        )
    if not bool(logits.isfinite().all()):
        raise UsageError(f"model {name} returns numbers that are not finite for clips of the training{hint}")


def source_sha256(name: str) -> str:
    """Return the sha256 of the source file of `name`; empty for LSTPNet."""
    if not name:
        return ""
    path = inspect.getsourcefile(inspect.unwrap(_callable(name)))
    return sha256_file(Path(path)) if path else ""


def _callable(name: str) -> Callable[..., Any]:
    module_name, separator, attribute = name.partition(":")
    if not (module_name and separator and attribute):
        raise UsageError(f"model {name!r}: expected package.module:build, such as my_models:build")
    working_folder = str(Path.cwd())
    if working_folder not in sys.path:
        sys.path.insert(0, working_folder)
    try:
        build = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"model {name}: module {error.name!r} is neither in the working folder nor installed"
        ) from error
    except AttributeError as error:
        raise UsageError(f"model {name}: {error}") from error
    if not callable(build):
        raise UsageError(f"model {name}: {attribute} is not callable")
    return build  # type: ignore[no-any-return]
