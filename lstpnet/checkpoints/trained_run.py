"""Load the model of a finished run: its network with the weights of a checkpoint, and the run's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dfer_data.errors import CorruptDataError, UsageError
from lstpnet.checkpoints.checkpoint import load_checkpoint
from lstpnet.checkpoints.custom_model import build_stored
from lstpnet.models.catalogue import DEFAULT_MODEL, is_custom
from lstpnet.models.network_config import settings_for
from lstpnet.models.registry import build_model
from lstpnet.run_files import NEXT_STEP
from lstpnet.runs import CHECKPOINTS_FOLDER, CONFIG_NAME, RUN_NAME, RunInfo, read_config, read_run


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """The model of a finished run, and its settings."""

    model: nn.Module
    """In eval mode, on the CPU; a network of the catalogue, or the run's custom model."""
    info: RunInfo
    """Content of run.json."""
    settings: Mapping[str, Any]
    """The resolved recipe, and data, fold and seed."""


def custom_model_of(folder: Path) -> str:
    """Return the name of a run's custom model, without running it; empty for a network of the catalogue.

    Raises UsageError for a folder that is not a run, CorruptDataError for damaged settings.
    """
    model = str(read_config(folder, read_run(folder)).get("settings", {}).get("model", ""))
    return model if is_custom(model) else ""


def load_trained(
    folder: Path, *, checkpoint: str = "last", trust_model: bool = False, custom_model: str | None = None
) -> TrainedRun:
    """Load a checkpoint of a finished run.

    `trust_model`: whether to run the custom model that the run names, from the source of its training.
    `custom_model`: `package.module:build` to run as the run's custom model instead.
    Raises UsageError for a folder that is not a finished run or has no such checkpoint, and for a custom model that is
    not trusted or has changed; CheckpointError and CorruptDataError for damaged files.
    """
    info = read_run(folder)
    if not info.finished:
        raise UsageError(f"{folder} has not finished; resume its training first")
    if checkpoint not in info.checkpoints:
        raise UsageError(f"{folder} has no checkpoint {checkpoint!r}; it has: {', '.join(info.checkpoints)}")
    try:
        config = read_config(folder, info)
        settings = dict(config["settings"])
        model_name = str(settings.get("model") or DEFAULT_MODEL)
        network = {} if is_custom(model_name) else settings_for(model_name, settings)
    except KeyError as error:
        path = folder / CONFIG_NAME
        raise CorruptDataError(f"{path} is missing or damaged ({error!r}); {NEXT_STEP}") from error
    num_classes = len(info.class_names)
    if custom_model and not is_custom(model_name):
        raise UsageError(f"--custom-model {custom_model}: {folder} is a run of {model_name}; leave the option out")
    name = f"{CHECKPOINTS_FOLDER}/{checkpoint}.safetensors"
    if not info.is_unverified and name not in info.files:
        raise CorruptDataError(f"{folder / RUN_NAME} does not list {name}; {NEXT_STEP}")
    model: nn.Module
    if is_custom(model_name):
        options: dict[str, Any] = {"trust_model": trust_model, "custom_model": custom_model or ""}
        model = build_stored(config, run=folder, num_classes=num_classes, **options)
    else:
        model = build_model(model_name, num_classes, **network)
    load_checkpoint(model, folder / name, facts=info.files.get(name))
    return TrainedRun(model.eval(), info, settings)
