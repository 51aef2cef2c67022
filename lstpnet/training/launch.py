"""Plan the runs on a prepared dataset, check their state on disk, and train them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dfer_data.errors import UsageError
from dfer_data.loading.cache_places import CachePlace
from dfer_data.storage.url_cache import located
from dfer_data.wording import counted
from lstpnet.dataset_identity import fold_words
from lstpnet.device import pick_device
from lstpnet.finished_runs import Run, open_run
from lstpnet.recipe_files import ResolvedRecipe, recipe_of, renamed, resolve_recipe
from lstpnet.training.distributed import ALONE, Group
from lstpnet.training.earlier_run import Standing, remove_old_state, run_state
from lstpnet.training.events import EpochDone, OnStep
from lstpnet.training.experiment import Experiment, check_trainable, make_experiment
from lstpnet.training.run import train_run


@dataclass(frozen=True)
class PlannedRun:
    """One run to train, with its state on disk."""

    experiment: Experiment
    """Data, fold, seed and recipe."""
    folder: Path
    """Where it is written."""
    state: Standing
    """`absent`, `begun` or `finished` with the same settings."""
    is_forced: bool = False
    """Whether any run there is replaced, as if it were absent."""


def resolve_for(
    data: Path,
    recipe: str | None = None,
    *,
    device: torch.device,
    overrides: Mapping[str, Any] | None = None,
    name: str | None = None,
    trust_model: bool = True,
) -> ResolvedRecipe:
    """Return the recipe for a dataset: the given one, else the dataset's default, with `overrides` applied.

    `device`: datasets without their own recipe are trained small unless it is a GPU. `name`: name of the run's folder
    and rows. `trust_model`: whether a recipe file may name a custom model, which is code.
    Raises UsageError for an unknown recipe, such a file, and every fault of its settings.
    """
    document = check_trainable(data).document
    default = recipe_of(
        str(document["recipe"]),
        num_clips=int(document["counts"]["clips"]),
        has_gpu=device.type != "cpu",
        model=str((overrides or {}).get("model", "")),
    )
    recipe_name, choice = (recipe, "") if recipe else default
    options: dict[str, Any] = {"dataset": str(document["dataset"]), "trust_model": trust_model}
    resolved = resolve_recipe(recipe_name, overrides=overrides or {}, **options)
    resolved = dataclasses.replace(resolved, choice=choice)
    return resolved if name is None else renamed(resolved, name)


def plan_runs(
    data: Path,
    resolved: ResolvedRecipe,
    *,
    folds_and_seeds: Sequence[tuple[int, int]],
    out: Path,
    fold_set: str | None = None,
    init: Path | None = None,
    force: bool = False,
) -> list[PlannedRun]:
    """Return the run of each fold and seed, with its state on disk; `force` treats every run as absent.

    `fold_set`: as in `make_experiment`. Raises UsageError if a folder holds a run with other settings or on other data,
    or the data do not fit.
    """
    planned = []
    for fold, seed in folds_and_seeds:
        experiment = make_experiment(data, resolved, fold=fold, seed=seed, fold_set=fold_set)
        folder = experiment.run_folder(out)
        state = "absent" if force else run_state(folder, experiment, init=init)
        planned.append(PlannedRun(experiment, folder, state, force))
    return planned


_LEAST_CLIPS = 2
"""Per process: batch norm cannot train on a batch of one clip, and the loader makes none of more clips."""


def refuse_few_clips(planned: Sequence[PlannedRun], *, num_processes: int = 1) -> None:
    """Raise UsageError that names the runs to train with fewer than two training clips per process."""
    least = _LEAST_CLIPS * num_processes
    pending = [run.experiment for run in planned if run.state != "finished"]
    few = {fold_words(item.fold, item.fold_set): len(item.train_ids) for item in pending if len(item.train_ids) < least}
    if few:
        counts = ", ".join(f"{fold} has {counted(number, 'train clip')} with a face" for fold, number in few.items())
        fewer = "start fewer processes, or " if min(few.values()) >= _LEAST_CLIPS else ""
        per_process = f", {_LEAST_CLIPS} per process" if num_processes > 1 else ""
        raise UsageError(
            f"{counts}; a training needs {least} or more{per_process}; {fewer}name other folds with --fold"
        )


def agreed_plan(planned: Sequence[PlannedRun], group: Group) -> list[PlannedRun]:
    """Return the planned runs with the states that the first process found on disk, the same in every process.

    Raises UsageError, in every process, if their settings or data differ, or there are too few clips for them.
    """
    experiments = [run.experiment for run in planned]
    definitions = [(item.recipe.sha256, item.identity, item.fold_set, item.fold, item.seed) for item in experiments]
    by_rank = group.gathered(lambda: definitions)
    differing = [rank for rank, others in enumerate(by_rank) if others != by_rank[0]]
    if differing:
        raise UsageError(
            f"process {differing[0]} of this training has another recipe or other data than the first one; start all "
            "with one command, one dfer.toml and one copy of the data"
        )
    states = group.from_first(lambda: [run.state for run in planned])
    agreed = [dataclasses.replace(run, state=state) for run, state in zip(planned, states, strict=True)]
    refuse_few_clips(agreed, num_processes=group.world_size)
    return agreed


def with_present_state(planned: PlannedRun, *, init: Path | None = None, group: Group = ALONE) -> PlannedRun:
    """Return a planned run with the state of its folder now, which another training may have written since.

    What a kill has left in a finished run is removed. Raises UsageError and CorruptDataError as `run_state`, in every
    process.
    """
    if planned.is_forced:
        return planned

    def present_state() -> Standing:
        state = run_state(planned.folder, planned.experiment, init=init)
        if state == "finished":
            remove_old_state(planned.folder)
        return state

    return dataclasses.replace(planned, state=group.from_first(present_state))


def train_planned(
    planned: PlannedRun,
    *,
    device: torch.device,
    init: Path | None = None,
    save_seconds: float = 600.0,
    cache: CachePlace = "auto",
    group: Group = ALONE,
    on_event: Callable[[EpochDone], None] = lambda event: None,
    on_step: OnStep = lambda step: None,
) -> dict[str, Any]:
    """Train or resume a planned run; returns what `train_run` returns.

    Raises LockedError, besides what `train_run` raises, if another training has written the run since it was planned.
    """
    return train_run(
        planned.experiment,
        planned.folder,
        device=device,
        init=init,
        continues=planned.state == "begun",
        replaces=planned.is_forced,
        save_seconds=save_seconds,
        cache=cache,
        group=group,
        on_event=on_event,
        on_step=on_step,
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
    fold_set: str | None = None,
    on_event: Callable[[EpochDone], None] = lambda event: None,
) -> Run:
    """Train one fold of a prepared dataset and predict its test clips once, at the end.

    The same call resumes an interrupted run, and returns a run already finished with the same settings.

    Args:
        data: folder or URL of a prepared dataset.
        fold: number of the fold.
        seed: seed of all randomness.
        recipe: name of a shipped recipe, or path of a .toml file; None: the dataset's own, else `small` or `dfew`.
        overrides: settings that replace the recipe's, such as `{"epochs": 10}`.
        out: folder of the runs.
        init: start weights: a run's .safetensors, the authors' file, or a ResNet-18.
        device: `cuda`, `mps` or `cpu`; None: the best available.
        force: discard an earlier run and train from the start.
        fold_set: set of folds that `dfer folds` made; None: the official folds, else the dataset's only own set.
        on_event: receives each finished epoch.

    Returns:
        The finished run.

    Raises:
        UsageError: wrong arguments, recipe or data. DferError: training failed; saved files are kept.
    """
    root = located(data)[0]
    init_path = Path(init) if init is not None else None
    torch_device = pick_device(device)
    resolved = resolve_for(root, recipe, device=torch_device, overrides=overrides)
    options: dict[str, Any] = {"folds_and_seeds": [(fold, seed)], "fold_set": fold_set, "init": init_path}
    (planned,) = plan_runs(root, resolved, out=Path(out), force=force, **options)
    refuse_few_clips([planned])
    if planned.state == "finished":
        remove_old_state(planned.folder)
    else:
        train_planned(planned, device=torch_device, init=init_path, on_event=on_event)
    return open_run(planned.folder)
