"""Section on equal numbers: of deterministic trainings, stopped and resumed ones too, and of compiled steps."""

from __future__ import annotations

import contextlib
import math
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.check import Check
from benchmarks.gpu.pipeline import write_crops
from lstpnet.device import autocast_dtype
from lstpnet.evaluation.clip_logits import predict_clips
from lstpnet.recipe_files import resolve_recipe
from lstpnet.training.events import EpochDone
from lstpnet.training.experiment import Experiment, make_experiment
from lstpnet.training.initial_model import initial_model
from lstpnet.training.trainer import fit

_PRECISIONS = ("f32", "bf16")
_COMPILE_SECONDS = 120.0  # minimum time left to compile


class _Stopped(Exception):
    """Stops a training, as a kill does."""


def repeats(check: Check) -> dict[str, bool]:
    """Return whether a second and a resumed training have the weights and logits of the first, bit for bit.

    And whether compiled steps of two batches each have the loss of plain ones: their gradients are summed.
    """
    equal: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = write_crops(Path(folder), num_clips=20, size_px=64)
        for precision in _PRECISIONS:
            experiment = _experiment(check, data, precision=precision)
            expected = _numbers(check, experiment, Path(folder) / f"{precision}-first")
            again = _numbers(check, experiment, Path(folder) / f"{precision}-again")
            resumed = _numbers(check, experiment, Path(folder) / f"{precision}-resumed", stops=True)
            equal[f"{precision}: the second training"] = _are_equal(expected, again)
            equal[f"{precision}: the resumed training"] = _are_equal(expected, resumed)
        if check.is_cuda and check.seconds_left > _COMPILE_SECONDS:
            plain, compiled = (
                _loss(check, data, Path(folder) / f"compiled-{word}", compile=word) for word in (False, True)
            )
            equal["f32: compiled steps of two batches"] = math.isclose(plain, compiled, rel_tol=1e-3)
    return equal


def _experiment(check: Check, data: Path, *, precision: str) -> Experiment:
    changes: dict[str, Any] = {"size_px": 64, "batch_size": 4, "epochs": 2, "frame_epochs": 1, "deterministic": True}
    changes |= {"width_multiplier": 0.25, "precision": precision, "mixup": 0.2, "crop": 0.7, "ema": 0.9}
    return make_experiment(data, resolve_recipe("dfew", overrides=changes), fold=1, seed=0)


def _numbers(check: Check, experiment: Experiment, folder: Path, *, stops: bool = False) -> list[torch.Tensor]:
    """Return weights and test logits of a training; `stops`: it is stopped after its first epoch, and resumed."""
    (folder / "checkpoints").mkdir(parents=True)

    def stop(event: EpochDone) -> None:
        raise _Stopped

    if stops:
        with contextlib.suppress(_Stopped):
            fit(experiment, initial_model(experiment, init=None)[0], folder=folder, device=check.device, on_event=stop)
    model = initial_model(experiment, init=None)[0]
    trained = fit(experiment, model, folder=folder, device=check.device, on_event=lambda event: None).model
    recipe = experiment.recipe
    options: dict[str, Any] = {"recipe": recipe, "device": check.device, "dtype": autocast_dtype(recipe, check.device)}
    logits = predict_clips(trained, experiment.data, experiment.seen_test_ids, **options)
    return [*(tensor.cpu() for tensor in trained.state_dict().values()), torch.from_numpy(logits)]


def _loss(check: Check, data: Path, folder: Path, *, compile: bool) -> float:
    """Return the loss of the second epoch of a training that sums the gradients of two batches."""
    changes: dict[str, Any] = {"size_px": 64, "batch_size": 4, "epochs": 2, "frame_epochs": 0, "accumulate": 2}
    changes |= {"width_multiplier": 0.25, "precision": "f32", "learning_rate": 1e-4, "compile": compile}
    experiment = make_experiment(data, resolve_recipe("dfew", overrides=changes), fold=1, seed=0)
    (folder / "checkpoints").mkdir(parents=True)
    events: list[EpochDone] = []
    model = initial_model(experiment, init=None)[0]
    fit(experiment, model, folder=folder, device=check.device, on_event=events.append)
    return events[-1].loss


def _are_equal(expected: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(expected, others, strict=True))
