"""State of an unfinished training on disk: written atomically, with only tensors and plain values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lstpnet.errors import CheckpointError

FOLDER = "state"


def state_path(folder: Path, name: str) -> Path:
    """Return the path, in a run's folder, of the training state of the checkpoint `name`."""
    return folder / FOLDER / f"{name}.pt"


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state atomically; a crash leaves the previous one intact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part_path = path.with_name(path.name + ".part")
    with part_path.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    part_path.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """Return a state, on the CPU; None if there is none. Raises CheckpointError if it is damaged."""
    if not path.is_file():
        return None
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch's reader raises almost any exception on junk
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise CheckpointError(f"{path} is damaged ({reason}); --force trains from the start") from error
