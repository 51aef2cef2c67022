"""Custom models in place of dfer's networks: `package.module:build`, a callable from num_classes to a module.

A custom model is code. It runs if the caller names it; the model that a stored run names runs only if the caller trusts
it, and only from the files of the training (custom_source.py).
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dfer_data.errors import UsageError
from dfer_data.wording import counted
from lstpnet.checkpoints.checkpoint import non_finite
from lstpnet.checkpoints.custom_source import ModelSource, find_source, named_file, run_source, split_name
from lstpnet.models.catalogue import is_custom

_BUILT: dict[str, ModelSource] = {}
"""Name -> source from which it was last built in this process."""


def build_own(name: str, *, num_classes: int) -> nn.Module:
    """Call `package.module:build` with `num_classes` and return the module that it builds.

    The module maps (B, T, 3, H, W) float32, normalised as the recipe's `input_norm` says, to logits (B, num_classes).
    Raises UsageError if there is no such callable, or it returns something else.
    """
    return _build(name, find_source(name), num_classes=num_classes)


def build_stored(
    config: Mapping[str, Any], *, run: Path, num_classes: int, trust_model: bool = False, custom_model: str = ""
) -> nn.Module:
    """Build the custom model of a stored run: only if it is trusted, and only from the source of its training.

    Args:
        config: content of the run's config.json.
        run: the run's folder, for messages.
        num_classes: number of classes.
        trust_model: whether to run the code that the run names.
        custom_model: `package.module:build` that the caller names instead; it runs unchecked.

    Raises:
        UsageError: the model is not trusted, its source has changed, or it cannot be built.
    """
    if custom_model:
        return build_own(custom_model, num_classes=num_classes)
    name = str(config["settings"]["model"])
    if not trust_model:
        path, sha256 = named_file(name)
        raise UsageError(
            f"{run} runs code: model {name} in {path} (sha256 {sha256}); read it, then give --trust-model to run it"
        )
    source = find_source(name)
    if differences := _differences(source, config):
        raise UsageError(
            f"{run} was trained with another model {name}: {differences}; restore the files of the training, or give "
            f"--custom-model {name} to run the present ones"
        )
    return _build(name, source, num_classes=num_classes)


def _differences(source: ModelSource, config: Mapping[str, Any]) -> str:
    """Return how the source differs from the one that a run stores; empty if it does not."""
    stored = config.get("model_files")
    if not isinstance(stored, Mapping):  # a run of dfer 0.1 holds the hash of one file
        stored_sha256 = config["settings"].get("model_sha256")
        if source.file_sha256 and source.file_sha256 == stored_sha256:
            return ""
        return f"{source.shown_path} has sha256 {source.file_sha256}, the training had {stored_sha256}"
    words = []
    for name in sorted({*stored, *source.sha256s}):
        then, now = stored.get(name), source.sha256s.get(name)
        if now is None:
            words.append(f"{name} is missing")
        elif then is None:
            words.append(f"{name} is new (sha256 {now})")
        elif then != now:
            words.append(f"{name} has sha256 {now}, the training had {then}")
    return "; ".join(words)


def check_own(name: str, model: nn.Module, clips: torch.Tensor, *, num_classes: int) -> None:
    """Run the model on clips (B, T, 3, H, W) of the training.

    Raises UsageError if it rejects them, or returns another shape, numbers that are not finite, or probabilities.
    """
    hint = _hint(clips)
    with torch.no_grad():
        logits = _checked_logits(name, model.eval(), clips, num_classes=num_classes)
    if not bool(logits.isfinite().all()):
        raise UsageError(f"model {name} returns numbers that are not finite for clips of the training{hint}")
    num_clips = len(clips)
    if num_classes > 1 and bool((logits >= 0).all()) and torch.allclose(logits.sum(1), logits.new_ones(num_clips)):
        raise UsageError(
            f"model {name} returns probabilities: the numbers of a clip sum to 1; return logits, without the softmax"
        )


def check_trainable_model(name: str, model: nn.Module, clips: torch.Tensor, *, num_classes: int) -> None:
    """Run the model on clips (B, T, 3, H, W) in training mode; its buffers keep their values, and it ends in eval mode.

    Raises UsageError if it rejects them, returns something else than in eval mode, has nothing to train, or holds what
    no checkpoint keeps.
    """
    state = model.state_dict()
    if others := [key for key, value in state.items() if not isinstance(value, torch.Tensor)]:
        raise UsageError(f"model {name} holds {others[0]} in its state dict, and a checkpoint keeps tensors alone")
    if faults := non_finite(state):
        raise UsageError(
            f"model {name} cannot be saved: {'; '.join(faults)}; register a mask with persistent=False, or use finite "
            "numbers"
        )
    buffers = {key: buffer.clone() for key, buffer in model.named_buffers()}
    with torch.enable_grad():
        logits = _checked_logits(name, model.train(), clips, num_classes=num_classes)
    if not logits.requires_grad:
        raise UsageError(f"model {name} has nothing to train: its logits depend on no parameter with requires_grad")
    with torch.no_grad():
        for key, buffer in model.eval().named_buffers():
            if key in buffers and buffers[key].shape == buffer.shape:
                buffer.copy_(buffers[key])


def _hint(clips: torch.Tensor) -> str:
    """Return what to do about a model that does not take single frames; empty for longer clips."""
    return "" if clips.shape[1] > 1 else "; the stage on single frames needs this: frame_epochs = 0 leaves it out"


def _checked_logits(name: str, model: nn.Module, clips: torch.Tensor, *, num_classes: int) -> torch.Tensor:
    """Return the model's logits of clips. Raises UsageError for an error of its code, and for anything else."""
    mode, hint, expected_shape = " in training mode" if model.training else "", _hint(clips), (len(clips), num_classes)
    try:
        logits = model(clips)
    except Exception as error:  # it is the user's code, which may raise anything
        reason = _reason(error, built_source(name))
        shape = tuple(clips.shape)
        raise UsageError(f"model {name} does not accept clips of shape {shape}{mode}: {reason}{hint}") from error
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected_shape or not logits.is_floating_point():
        words = type(logits).__name__
        if isinstance(logits, torch.Tensor):
            words = f"{tuple(logits.shape)}" + ("" if logits.is_floating_point() else f" {logits.dtype}")
        raise UsageError(
            f"model {name} returns {words} for {counted(len(clips), 'clip')}{mode}; expected logits of shape "
            f"{expected_shape}{hint}"
        )
    return logits


def source_sha256(name: str) -> str:
    """Return the hash of the source files of `name`, which are not run; empty for a network of the catalogue."""
    return find_source(name).sha256 if is_custom(name) else ""


def built_source(name: str) -> ModelSource | None:
    """Return the source from which `name` was last built in this process; None for a name that was not."""
    return _BUILT.get(name)


def _reason(error: Exception, source: ModelSource | None) -> str:
    """Return the error of a model's code on one line, with the last place in the model's own files."""
    files = {str(module.path) for module in source.local.values()} if source is not None else set()
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    place = f" ({Path(places[-1].filename).name}, line {places[-1].lineno})" if places else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{place}"


def _build(name: str, source: ModelSource, *, num_classes: int) -> nn.Module:
    _, attribute = split_name(name)
    try:
        build = getattr(run_source(source), attribute)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"model {name}: module {error.name!r} is neither installed nor in the working folder, or not imported by "
            "a plain import statement"
        ) from error
    except AttributeError as error:
        raise UsageError(f"model {name}: {error}") from error
    except Exception as error:  # it is the user's code, which may raise anything
        raise UsageError(f"model {name}: {source.shown_path} cannot be imported: {_reason(error, source)}") from error
    if not callable(build):
        raise UsageError(f"model {name}: {attribute} is not callable")
    try:
        model = build(num_classes=num_classes)
    except Exception as error:
        call = f"{attribute}(num_classes={num_classes})"
        raise UsageError(f"model {name}: {call} fails: {_reason(error, source)}") from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"model {name} returns a {type(model).__name__}, not a torch.nn.Module")
    _BUILT[name] = source
    return model
