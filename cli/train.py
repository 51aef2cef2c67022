"""`dfer train`: train on folds of a prepared dataset, from fresh weights to test predictions."""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.errors import UsageError
from dfer_data.settings import settings_of
from dfer_data.wording import counted
from lstpnet.recipe import Recipe
from lstpnet.training.training_settings import TrainingSettings

from ._support import console
from ._support.command_line import report_line, with_option
from ._support.options import JsonFlag, agreed, require_tensorboard, require_torch
from ._support.setting_options import SetFlag, takes_settings, with_assignments
from ._support.settings import settings_to_use
from ._support.training_lines import TrainingLines

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset
    from lstpnet.recipe_files import ResolvedRecipe
    from lstpnet.training.experiment import Experiment
    from lstpnet.training.launch import PlannedRun

_LONG_SECONDS = 2 * 3600
_MOST_DIGITS = 20
"""Of a fold or seed; Python reads no number of thousands of them."""


@takes_settings(TrainingSettings, Recipe, without_defaults=[Recipe])
def train(
    fold: Annotated[str, typer.Option(help="Fold whose test part is held out: 3, or 1,3, or all.")],
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all random numbers.", show_default="0")] = None,
    seeds: Annotated[str | None, typer.Option(help="Several seeds, one run each: 0,1,2.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run's folder and of its row in reports. [default: the recipe's]")
    ] = None,
    overrides: SetFlag = None,
    resume: Annotated[bool, typer.Option("--resume", help="Fail if there is no unfinished run to resume.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Train again from the start.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a training that takes hours on a CPU.")] = False,
    as_json: JsonFlag = False,
    *,
    given: dict[str, Any],
) -> None:
    """Train a model on folds and predict their test clips once.

    By default, it trains LSTPNet on the whole train part with a fixed schedule, and the last epoch is the result. The
    recipe sets what no option sets. Finished runs with the same settings are kept; an interrupted run resumes where it
    stopped. For several processes, use torchrun.
    """
    require_torch()
    if seed is not None and seeds is not None:
        raise UsageError("use only one of --seed and --seeds")
    from torch import set_num_threads

    from lstpnet.dataset_identity import chosen_fold_set
    from lstpnet.training.distributed import device_of_process, joined_group
    from lstpnet.training.experiment import check_trainable
    from lstpnet.training.launch import agreed_plan, plan_runs, resolve_for, with_present_state

    settings, values, is_recipe_given = _all_settings(given, overrides)
    if settings.tensorboard:
        require_tensorboard()
    root = choose_data(settings.data)
    if settings.threads:
        set_num_threads(settings.threads)
    device = device_of_process(settings.device)
    trusts = settings.trust_model or is_recipe_given
    resolved = resolve_for(root, settings.recipe, device=device, overrides=values, name=name, trust_model=trusts)
    dataset = check_trainable(root)
    fold_set = chosen_fold_set(dataset, settings.fold_set)
    plan: dict[str, Any] = {"out": settings.out or Path("runs"), "init": settings.init, "fold_set": fold_set}
    fold, note = tested_of_all(dataset, resolved, fold_set=fold_set) if fold == "all" else (fold, "")
    plan["folds_and_seeds"] = folds_and_seeds(fold, seeds or str(seed or 0))
    planned = plan_runs(root, resolved, force=force, **plan)
    if resume and not any(run.state == "begun" for run in planned):
        raise UsageError(f"--resume: there is no unfinished run with these settings ({planned[0].folder})")
    with joined_group(device) as (group, torch_device):
        planned = agreed_plan(planned, group)
        if note and group.is_first:
            console.warn(note)
        pending = [run.experiment for run in planned if run.state != "finished"]
        if pending:
            announced = functools.partial(_announce, pending, init=settings.init, device=torch_device)
            group.from_first(functools.partial(announced, yes=yes, as_json=as_json))
        summaries = []
        for number, run in enumerate(planned, start=1):
            summary = None
            run = with_present_state(run, init=settings.init, group=group)
            if len(planned) > 1 and run.state == "absent" and group.is_first:
                console.say(f"{run.folder}: run {number} of {len(planned)}", as_json=as_json)
            if run.state != "finished":
                options: dict[str, Any] = {"init": settings.init, "save_seconds": 60 * settings.save_minutes}
                options |= {"device": torch_device, "group": group, "cache": settings.cache}
                summary = _train_one(run, tensorboard=settings.tensorboard, as_json=as_json, **options)
            elif group.is_first:
                note = "already done with the same settings (--force trains again)"
                console.say(f"{run.folder}: {note}", as_json=as_json)
            summaries.append({"run": str(run.folder), "already_done": run.state == "finished", "result": summary})
        if group.is_first:
            if as_json:
                console.print_json(summaries[0] if len(summaries) == 1 else {"runs": summaries})
            console.say(f"{planned[-1].folder}   next: {report_line(settings.out)}", as_json=as_json)


def _all_settings(given: dict[str, Any], overrides: list[str] | None) -> tuple[TrainingSettings, dict[str, Any], bool]:
    """Return the settings of the training, the recipe's keys that options replace, and whether options name the recipe.

    A recipe that dfer.toml names may be someone else's.
    """
    values = with_assignments(given, overrides, (TrainingSettings, Recipe))
    if values.get("select") == "val-best":
        values.setdefault("val", "blocks")
    own = {key: values.pop(key) for key in settings_of(TrainingSettings) if key in values}
    return TrainingSettings(**(settings_to_use("train", own) | own)), values, "recipe" in own


def tested_of_all(dataset: PreparedDataset, resolved: ResolvedRecipe, *, fold_set: str) -> tuple[str, str]:
    """Return the folds that `--fold all` means, as `--fold` names them, and a note on those that are left out, if any.

    A fold may have lost its test clips: its person was removed. Raises UsageError if no fold has one.
    """
    from dfer_data.render.tables import listed
    from lstpnet.training.experiment import tested_folds

    names, tested = dataset.fold_names(fold_set), tested_folds(dataset, resolved, fold_set=fold_set)
    length = f" of {resolved.recipe.least_frames} or more frames" if resolved.recipe.least_frames else ""
    if not tested:
        raise UsageError(f"{dataset.root}: no fold has a test clip{length}; cut them anew with `dfer folds --anew`")
    left_out = [name for name in names if name not in tested]
    folds = f"fold{'s' if len(left_out) > 1 else ''} {listed(left_out)} {'have' if len(left_out) > 1 else 'has'}"
    note = f"{folds} no test clip{length} and cannot be tested: left out of --fold all" if left_out else ""
    return ",".join(tested), note


def folds_and_seeds(folds: str, seeds: str) -> list[tuple[int, int]]:
    """Return every pair of a fold and a seed. Raises one UsageError that lists all values that are not numbers."""
    faults = []
    numbers: list[list[int]] = []
    for option, text in (("--fold", folds), ("--seeds", seeds)):
        words = [word.strip() for word in text.split(",")]
        are_numbers = {word: word.isdecimal() and len(word) <= _MOST_DIGITS for word in words}
        faults += [
            f"{option} {word!r} is not a whole number" for word, is_number in are_numbers.items() if not is_number
        ]
        numbers.append(sorted({int(word) for word, is_number in are_numbers.items() if is_number}))
    if faults:
        raise UsageError("; ".join(faults) + "; expected as in --fold 3, --fold 1,3, --fold all, --seeds 0,1,2")
    return [(fold, seed) for fold in numbers[0] for seed in numbers[1]]


def _announce(pending: list[Experiment], *, init: Path | None, device: Any, yes: bool, as_json: bool) -> None:
    """Print what will be trained and the estimated time; ask before hours on a CPU."""
    from dfer_data.render.tables import duration, listed
    from lstpnet.checkpoints.start_weights import read_start_weights
    from lstpnet.dataset_identity import fold_words
    from lstpnet.device import are_cores_taken
    from lstpnet.run_files import facts_of
    from lstpnet.training.initial_model import estimate_seconds, initial_model

    first = pending[0]
    content = None if init is None else read_start_weights(init)
    weights_report = initial_model(first, init=init, content=content)[1]
    seconds = estimate_seconds(first, device=device) * len(pending)
    run_count = f"; {len(pending)} runs" if len(pending) > 1 else ""
    load_note = "; other programs keep the cores busy: --threads 1 may be faster" if are_cores_taken(device) else ""
    words = f"device {device}; about {duration(seconds)}{run_count}{load_note}; recipe {first.recipe.name}"
    console.say(words, as_json=as_json)
    if first.resolved.choice:
        console.say(f"recipe {first.recipe.name}: {first.resolved.choice}", as_json=as_json)
    _announce_changes(first, as_json=as_json)
    for experiment in pending:
        console.say(f"protocol: {experiment.protocol()}", as_json=as_json)
        if experiment.faceless_test_ids:
            console.say(f"test clips without a face: {listed(experiment.faceless_test_ids)}", as_json=as_json)
    named = [(fold_words(item.fold, item.fold_set), item.untrained_classes) for item in pending]
    untrained = {(fold, name): number for fold, classes in named for name, number in classes.items()}
    for (fold, name), number in untrained.items():
        console.warn(
            f"{fold}: train has no clip of {name}: its {counted(number, 'test clip')} will be predicted wrongly"
        )
    recipe = first.recipe
    if recipe.warmup_epochs >= recipe.epochs:
        few = f"warmup_epochs = {recipe.warmup_epochs} leaves none of the epochs = {recipe.epochs}"
        console.warn(f"{few} to train at the full learning_rate: it only rises")
    if content is not None:
        console.say(f"start weights: {weights_report}; sha256 {facts_of(content).sha256}", as_json=as_json)
    if device.type == "cpu" and seconds > _LONG_SECONDS and not yes:
        _confirm_training(seconds)


def _announce_changes(experiment: Experiment, *, as_json: bool) -> None:
    """Print what a network that the recipe was not written for changes in it."""
    origins, recipe = experiment.resolved.origins, experiment.recipe
    network = "a custom model" if ":" in recipe.model else f"model {recipe.model}"
    if origins["frame_epochs"] in ("custom model", f"model {recipe.model}"):
        console.say(f"no stage on single frames for {network}; --frame-epochs N trains one", as_json=as_json)
    if origins["size_px"] == f"model {recipe.model}":
        console.say(f"{network} reads frames of {recipe.size_px} px, as published", as_json=as_json)


def _train_one(run: PlannedRun, *, tensorboard: bool, as_json: bool, **options: Any) -> dict[str, Any]:
    """Train a run, print its scores and return the summary of `train_planned`, which takes the options."""
    from lstpnet.runs import SYNTHETIC_DATA_NOTE
    from lstpnet.training.launch import train_planned
    from lstpnet.training.tensorboard_log import board

    if run.state == "begun" and options["group"].is_first:
        console.say(f"{run.folder}: resuming where it stopped", as_json=as_json)
    with contextlib.ExitStack() as stack:
        advance = stack.enter_context(console.progress("training", unit="batches", has_lines=False))
        lines = TrainingLines(run.experiment.recipe, advance=advance)
        write = stack.enter_context(board(run.folder)) if tensorboard and options["group"].is_first else None
        summary = train_planned(run, on_event=write or (lambda event: None), on_step=lines.show, **options)
    if summary["results"] and run.experiment.data.document["synthetic"]:
        console.warn(f"{run.experiment.prepared} shows {SYNTHETIC_DATA_NOTE}")
    for row in summary["results"]:
        warning = "  (chosen on the test clips)" if row["checkpoint"] == "test-best" else ""
        figures = f"WAR {100 * row['war']:.2f}  UAR {100 * row['uar']:.2f}  n {row['n']}"
        console.say(f"{row['checkpoint']}: {figures}{warning}", as_json=as_json)
    return summary


def choose_data(given: Path | str | None) -> Path:
    """Return the prepared dataset to train on: `given`, else the only one with folds under prepared/."""
    from dfer_data.storage.url_cache import located
    from dfer_data.storage.walk import entries_of, matching

    if given is not None:
        return located(given)[0]
    folders = [path.parent for path in matching("prepared/*/dataset.json")]
    if not folders:
        raise UsageError("no prepared dataset under prepared/; make one with `dfer prepare dfew --detector retinaface`")
    with_folds = [path for path in folders if any(entries_of(path / "folds"))]
    if len(with_folds) > 1:
        commands = "; ".join(with_option("--data", str(path)) for path in with_folds)
        raise UsageError(f"{len(with_folds)} prepared datasets under prepared/, use one: {commands}")
    return (with_folds or folders)[0]


def _confirm_training(seconds: float) -> None:
    from dfer_data.render.tables import duration

    if not sys.stdin.isatty():
        raise UsageError(f"training would take about {duration(seconds)} on this CPU; add --yes to start it")
    question = f"training takes about {duration(seconds)} on this CPU; start it?"
    if not agreed(question, otherwise="nothing was trained"):
        raise typer.Exit(2)
