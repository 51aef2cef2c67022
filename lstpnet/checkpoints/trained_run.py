"""Load the model of a finished run: its network with the weights of a checkpoint, and the run's settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dfer_data.errors import CorruptDataError, UsageError
from lstpnet.checkpoints.checkpoint import load_checkpoint
from lstpnet.checkpoints.custom_model import build_own
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.network_config import network_of
from lstpnet.runs import CONFIG_NAME, RunInfo, read_run


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """The model of a finished run, and its settings."""

    model: nn.Module
    """In eval mode, on the CPU; LSTPNet, or the run's custom model."""
    info: RunInfo
    """Content of run.json."""
    settings: Mapping[str, Any]
    """The resolved recipe, and data, fold and seed."""


def load_trained(folder: Path, *, checkpoint: str = "last") -> TrainedRun:
    """Load a checkpoint of a finished run.

    Raises UsageError for a folder that is not a finished run or has no such checkpoint, CheckpointError and
    CorruptDataError for damaged files.
    """
    info = read_run(folder)
    if not info.finished:
        raise UsageError(f"{folder} has not finished; resume its training first")
    if checkpoint not in info.checkpoints:
        raise UsageError(f"{folder} has no checkpoint {checkpoint!r}; it has: {', '.join(info.checkpoints)}")
    try:
        settings = dict(json.loads((folder / CONFIG_NAME).read_bytes())["settings"])
        custom_model, network = str(settings.get("model", "")), network_of(settings)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(
            f"{folder / CONFIG_NAME} is missing or damaged ({error!r}); retrain the run with --force"
        ) from error
    num_classes = len(info.class_names)
    model = build_own(custom_model, num_classes=num_classes) if custom_model else LSTPNet(num_classes, **network)
    load_checkpoint(model, folder / "checkpoints" / f"{checkpoint}.safetensors")
    return TrainedRun(model.eval(), info, settings)
