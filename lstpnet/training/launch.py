"""From a prepared dataset to finished runs: which runs there are to be, what stands of them, and their training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dfer_data.storage.url_cache import located
from lstpnet.device import pick_device
from lstpnet.recipe import ResolvedRecipe, recipe_of, renamed, resolve_recipe
from lstpnet.runs import Run, open_run
from lstpnet.training.distributed import ALONE, Group
from lstpnet.training.experiment import Experiment, check_trainable, make_experiment
from lstpnet.training.run import Standing, run_state, train_run
from lstpnet.training.trainer import EpochDone


@dataclass(frozen=True)
class PlannedRun:
    """One run that is wanted."""

    experiment: Experiment
    """Data, fold, seed and recipe."""
    folder: Path
    """Where it is written."""
    state: Standing
    """`absent`, `begun` or `finished` with the same settings."""


def resolve_for(
    data: Path, recipe: str | None = None, *, overrides: Mapping[str, Any] | None = None, name: str | None = None
) -> ResolvedRecipe:
    """Return the recipe for a dataset: the one named, else the dataset's own, with `overrides` on top.

    `name`: of the run's folder and rows. Raises UsageError for an unknown recipe and every fault of its settings.
    """
    document = check_trainable(data).document
    wanted = recipe or recipe_of(str(document["recipe"]))
    resolved = resolve_recipe(wanted, overrides=overrides or {}, dataset=str(document["dataset"]))
    return resolved if name is None else renamed(resolved, name)


def plan_runs(
    data: Path,
    resolved: ResolvedRecipe,
    *,
    folds_and_seeds: Sequence[tuple[int, int]],
    out: Path,
    init: Path | None = None,
    force: bool = False,
) -> list[PlannedRun]:
    """Return the run of each fold and seed, with what stands of it; nothing does with `force`.

    Raises UsageError where a folder holds a run with other settings, or the data do not fit.
    """
    planned = []
    for fold, seed in folds_and_seeds:
        experiment = make_experiment(data, resolved, fold=fold, seed=seed)
        folder = experiment.run_folder(out)
        planned.append(PlannedRun(experiment, folder, "absent" if force else run_state(folder, experiment, init=init)))
    return planned


def train_planned(
    planned: PlannedRun,
    *,
    device: torch.device,
    init: Path | None = None,
    save_seconds: float = 600.0,
    group: Group = ALONE,
    on_event: Callable[[EpochDone], None] = lambda event: None,
) -> dict[str, Any]:
    """Train a planned run, or resume it; returns what `train_run` does."""
    return train_run(
        planned.experiment,
        planned.folder,
        device=device,
        init=init,
        continues=planned.state == "begun",
        save_seconds=save_seconds,
        group=group,
        on_event=on_event,
    )


def train(
    data: Path | str,
    *,
    fold: int,
    seed: int = 0,
    recipe: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    out: Path | str = "runs",
    init: Path | str | None = None,
    device: str | None = None,
    force: bool = False,
    on_event: Callable[[EpochDone], None] = lambda event: None,
) -> Run:
    """Train one fold of a prepared dataset and predict its test clips once, at the end.

    The same call resumes what was interrupted, and returns what was finished with the same settings.

    Args:
        data: folder or URL of a prepared dataset.
        fold: number of the official fold.
        seed: start of all randomness.
        recipe: a shipped recipe by name, or a .toml; None: the dataset's own.
        overrides: settings of the recipe, such as `{"epochs": 10}`.
        out: folder of the runs.
        init: start weights: a run's .safetensors, the authors' file, or a ResNet-18.
        device: `cuda`, `mps` or `cpu`; None: the best there is.
        force: train from the start again.
        on_event: receives each finished epoch.

    Returns:
        The finished run.

    Raises:
        UsageError: of arguments, recipe or data. DferError: training failed, what was saved is kept.
    """
    root = located(data)[0]
    start = Path(init) if init is not None else None
    resolved = resolve_for(root, recipe, overrides=overrides)
    pairs = [(fold, seed)]
    (planned,) = plan_runs(root, resolved, folds_and_seeds=pairs, out=Path(out), init=start, force=force)
    if planned.state != "finished":
        train_planned(planned, device=pick_device(device), init=start, on_event=on_event)
    return open_run(planned.folder)
