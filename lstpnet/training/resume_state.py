"""The state of an unfinished training on disk: whole or not there, and tensors and plain values alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lstpnet.errors import CheckpointError

FOLDER = "state"


def state_path(folder: Path, name: str) -> Path:
    """Return where the state of training the checkpoint `name` lies in a run's folder."""
    return folder / FOLDER / f"{name}.pt"


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state; a crash leaves the last whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """Return a state, on the CPU; None where there is none, CheckpointError where it is damaged."""
    if not path.is_file():
        return None
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # junk makes torch's reader raise almost anything
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise CheckpointError(f"{path} is damaged ({reason}); --force trains from the start") from error
