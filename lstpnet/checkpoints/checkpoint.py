"""Save and load model weights: a safetensors file with a JSON file next to it, both written atomically."""

from __future__ import annotations

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
    """Write `path` (.safetensors) and its facts (.json) next to it; a crash leaves the last good pair."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part_path = path.with_name(path.name + ".part")
    save_model(model, str(part_path))
    with part_path.open("r+b") as file:
        os.fsync(file.fileno())
    part_path.replace(path)
    write_atomically(path.with_suffix(".json"), canonical_json(dict(facts)), work=path.parent)


def load_checkpoint(model: nn.Module, path: Path) -> None:
    """Load every tensor of a model from a file that `save_checkpoint` wrote.

    Raises CheckpointError for a missing, truncated or foreign file, and names the tensors that do not fit.
    """
    try:
        load_model(model, str(path), strict=True)
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}; train the run first, or name another file") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({error}); it is truncated or not a checkpoint"
        ) from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path} does not fit this recipe's network: {reason}") from error
