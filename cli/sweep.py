"""`dfer sweep`: one `dfer train` per combination of settings, folds and seeds, and a report on them."""

from __future__ import annotations

import functools
import itertools
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dfer_data.errors import DferError, UsageError

from ._support import console
from ._support.command_line import report_line
from ._support.completions import shipped_recipes
from ._support.options import refuse_targets, require_torch
from ._support.subprocess import run_line
from .report import ENDINGS


@dataclass(frozen=True)
class _Training:
    """One run of a sweep."""

    line: list[str]
    """Arguments of its `dfer train`."""
    folder: Path
    """Where that writes the run."""


def sweep(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Shipped recipe, or a .toml.", autocompletion=shipped_recipes)
    ],
    fold: Annotated[str, typer.Option(help="Folds: 3, or 1,3, or all.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=A,B,C", help="Values to try; repeatable. model=all: every network."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds: 0,1,2.")] = "0",
    data: Annotated[str | None, typer.Option(help="Prepared dataset, as for `dfer train`.")] = None,
    fold_set: Annotated[str | None, typer.Option(help="Set of folds, as for `dfer train`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs, as for `dfer train`.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu, as for `dfer train`.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the report on these runs, as `dfer report --out`."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="SYSTEM", help="In the report, test the others against this row.")
    ] = None,
    prints: Annotated[
        bool, typer.Option("--print", help="Only print the command of each run, for an array of tasks.")
    ] = False,
) -> None:
    """Train every combination of settings, folds and seeds.

    Each is its own run. Run the same command again after an interruption: finished runs are kept, interrupted ones
    resume.
    """
    require_torch()
    if report is not None and prints:
        raise UsageError("--report and --print: the report follows the runs; use `dfer report` once all have finished")
    options: dict[str, Any] = {"data": data, "fold_set": fold_set, "out": out, "device": device}
    trainings = _trainings(recipe, fold, overrides or [], seeds, options=options)
    _check_report(report, baseline, trainings)
    if prints:
        for run in trainings:
            console.say(shlex.join(["dfer", *run.line]))
        return
    _run_all(trainings)
    if report is None:
        console.say(f"\nnext: {report_line(out)}")
        return
    line = ["report", *(str(run.folder) for run in trainings), "--out", str(report)]
    if code := run_line(line + ([] if baseline is None else ["--baseline", baseline])):
        raise DferError(f"the report ended with exit code {code}, see the lines above for the cause; all runs are kept")


def _check_report(report: Path | None, baseline: str | None, trainings: Sequence[_Training]) -> None:
    """Raise UsageError for what the report would refuse after all trainings."""
    if report is None:
        if baseline is not None:
            raise UsageError("--baseline needs --report")
        return
    if report.suffix.lower() not in ENDINGS:
        raise UsageError(f"--report {report}: unknown file ending; use one of {' '.join(ENDINGS)}")
    refuse_targets(report, force=True)
    names = dict.fromkeys(run.folder.parent.parent.name for run in trainings)
    row = (baseline or "").rpartition("/")[
        2
    ]  # the report may add the folder before a name, and the checkpoint after it
    if baseline is not None and not any(row == name or row.startswith(f"{name} ") for name in names):
        raise UsageError(f"--baseline {baseline}: no system of this sweep; there are: {', '.join(names)}")


def _run_all(trainings: list[_Training]) -> None:
    """Run each training in its own process. Raises DferError for one that fails."""
    from dfer_data.render.tables import duration

    start = time.monotonic()
    for number, run in enumerate(trainings, start=1):
        seconds = (time.monotonic() - start) / (number - 1) * (len(trainings) - number + 1) if number > 1 else 0.0
        left = f", about {duration(seconds)} left" if number > 1 else ""
        console.say(f"\n[{number}/{len(trainings)}{left}] $ {shlex.join(['dfer', *run.line])}")
        if code := run_line(run.line):
            raise DferError(
                f"run {number} of {len(trainings)} ended with exit code {code}, see the lines above for the cause; "
                "finished runs are kept: run the sweep again to resume"
            )


def _trainings(
    recipe: str,
    fold: str,
    overrides: list[str],
    seeds: str,
    *,
    options: Mapping[str, Any],
) -> list[_Training]:
    """Return the runs of a sweep. Raises UsageError for what all of them would refuse.

    `options`: those of each `dfer train`, by the name of the setting.
    """
    from dfer_data.settings import parse_assignments
    from lstpnet.dataset_identity import chosen_fold_set
    from lstpnet.recipe_files import renamed, resolve_recipe
    from lstpnet.training.experiment import check_trainable, run_folder

    from ._support.settings import load_settings
    from .train import choose_data, folds_and_seeds, tested_of_all

    in_file = load_settings().get("train", {})
    dataset = check_trainable(choose_data(options["data"] or in_file.get("data")))
    fold_set = chosen_fold_set(dataset, options["fold_set"] or in_file.get("fold_set"))
    notes: list[str] = []
    given = {"--" + name.replace("_", "-"): value for name, value in options.items() if value is not None}
    shared = [word for option, value in given.items() for word in (option, str(value))]
    runs = Path(options["out"] or in_file.get("out") or "runs")
    trainings = []
    for combination in itertools.product(*map(_values, overrides)):
        # report faults before any training
        resolved = resolve_recipe(recipe, overrides=parse_assignments(combination))
        name = ",".join([Path(recipe).stem if recipe.endswith(".toml") else recipe, *combination]).replace("/", "-")
        label = renamed(resolved, name).recipe.label
        folder_of = functools.partial(run_folder, runs, dataset, label, fold_set=fold_set)
        set_options = [word for setting in combination for word in ("--set", setting)]
        folds, note = tested_of_all(dataset, resolved, fold_set=fold_set) if fold == "all" else (fold, "")
        notes += [note]
        for fold_number, seed in folds_and_seeds(folds, seeds):
            run_options = ["--fold", str(fold_number), "--seed", str(seed)]
            line = ["train", "--recipe", recipe, "--name", name, *set_options, *run_options, *shared, "--yes"]
            trainings.append(_Training(line, folder_of(fold=fold_number, seed=seed)))
    for note in dict.fromkeys(filter(None, notes)):
        console.warn(note)
    return trainings


def _values(text: str) -> list[str]:
    """Return the assignments of a `--set KEY=A,B,C`, one per value; `model=all`: all that need no `--init`."""
    from lstpnet.models.catalogue import NETWORKS

    key, separator, values = (part.strip() for part in text.partition("="))
    if not separator or not values:
        raise UsageError(f"--set {text}: expected KEY=A,B,C, for example --set attention=tce,eca,none")
    if (key, values) == ("model", "all"):
        values = ",".join(name for name, facts in NETWORKS.items() if not facts.needs_start_weights)
    return list(dict.fromkeys(f"{key}={value.strip()}" for value in values.split(",")))
