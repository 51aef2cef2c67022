"""Weights of a model on disk: safetensors with a JSON beside it, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from dfer_data.storage.files import canonical_json, write_atomically
from lstpnet.errors import CheckpointError


def save_checkpoint(model: nn.Module, path: Path, *, facts: Mapping[str, Any]) -> None:
    """Write `path` (.safetensors) and its facts beside it (.json); a crash leaves the last good pair."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    save_model(model, str(part))
    with part.open("r+b") as file:
        os.fsync(file.fileno())
    part.replace(path)
    write_atomically(path.with_suffix(".json"), canonical_json(dict(facts)), work=path.parent)


def load_checkpoint(model: nn.Module, path: Path) -> None:
    """Fill a model from a file that `save_checkpoint` wrote, every tensor of it.

    Raises CheckpointError for a missing, cut or foreign file, naming what does not fit.
    """
    try:
        load_model(model, str(path), strict=True)
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}; train the run first, or name another file") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({error}); it is cut or not a checkpoint"
        ) from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path} holds another network than this recipe's: {reason}") from error


def checkpoint_facts(path: Path) -> dict[str, Any]:
    """Return the JSON beside a checkpoint; CheckpointError if there is none."""
    try:
        return dict(json.loads(path.with_suffix(".json").read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path.with_suffix('.json')} is missing or damaged: {error}") from error
