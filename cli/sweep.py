"""`dfer sweep`: one `dfer train` per combination of settings, folds and seeds."""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from dfer_data.errors import DferError, UsageError

from ._support import console
from ._support.completions import shipped_recipes
from ._support.options import require_torch
from ._support.subprocess import run_line


def sweep(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Shipped recipe, or a .toml.", autocompletion=shipped_recipes)
    ],
    fold: Annotated[str, typer.Option(help="Folds: 3, or 1,3, or all.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=A,B,C", help="Values to try; repeatable.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds: 0,1,2.")] = "0",
    data: Annotated[str | None, typer.Option(help="Prepared dataset, as for `dfer train`.")] = None,
    fold_set: Annotated[str | None, typer.Option(help="Set of folds, as for `dfer train`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs, as for `dfer train`.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu, as for `dfer train`.")] = None,
    prints: Annotated[
        bool, typer.Option("--print", help="Only print the command of each run, for an array of tasks.")
    ] = False,
) -> None:
    """Train every combination of settings, folds and seeds.

    Each is its own run. Run the same command again after an interruption: finished runs are kept, interrupted ones
    resume.
    """
    require_torch()
    from dfer_data.render.tables import duration

    options: dict[str, Any] = {"data": data, "fold_set": fold_set, "out": out, "device": device}
    lines = _commands(recipe, fold, overrides or [], seeds, options=options)
    if prints:
        for line in lines:
            console.say(shlex.join(["dfer", *line]))
        return
    start = time.monotonic()
    for number, line in enumerate(lines, start=1):
        seconds = (time.monotonic() - start) / (number - 1) * (len(lines) - number + 1) if number > 1 else 0.0
        left = f", about {duration(seconds)} left" if number > 1 else ""
        console.say(f"\n[{number}/{len(lines)}{left}] $ {shlex.join(['dfer', *line])}")
        if code := run_line(line):
            raise DferError(
                f"run {number} of {len(lines)} ended with exit code {code}, see the lines above for the cause; "
                "finished runs are kept: run the sweep again to resume"
            )
    console.say("\nnext: dfer report")


def _commands(
    recipe: str,
    fold: str,
    overrides: list[str],
    seeds: str,
    *,
    options: Mapping[str, Any],
) -> list[list[str]]:
    """Return the arguments of each `dfer train`. Raises UsageError for what all of them would refuse.

    `options`: those of each `dfer train`, by the name of the setting.
    """
    from dfer_data.settings import parse_assignments
    from lstpnet.dataset_identity import chosen_fold_set
    from lstpnet.recipe_files import resolve_recipe
    from lstpnet.training.experiment import check_trainable

    from ._support.settings import load_settings
    from .train import choose_data, folds_and_seeds

    in_file = load_settings().get("train", {})
    dataset = check_trainable(choose_data(options["data"] or in_file.get("data"), fold=fold))
    fold_set = chosen_fold_set(dataset, options["fold_set"] or in_file.get("fold_set"))
    pairs = folds_and_seeds(fold, seeds, known=dataset.fold_names(fold_set))
    settings = []
    for text in overrides:
        key, separator, values = text.partition("=")
        if not separator or not values:
            raise UsageError(f"--set {text}: expected KEY=A,B,C, for example --set attention=tce,eca,none")
        settings.append([f"{key.strip()}={value.strip()}" for value in values.split(",")])
    given = {"--" + name.replace("_", "-"): value for name, value in options.items() if value is not None}
    shared = [word for option, value in given.items() for word in (option, str(value))]
    lines = []
    for combination in itertools.product(*settings):
        resolve_recipe(recipe, overrides=parse_assignments(combination))  # report faults before any training
        name = ",".join([Path(recipe).stem if recipe.endswith(".toml") else recipe, *combination]).replace("/", "-")
        set_options = [word for setting in combination for word in ("--set", setting)]
        for fold_number, seed in pairs:
            run_options = ["--fold", str(fold_number), "--seed", str(seed)]
            lines.append(["train", "--recipe", recipe, "--name", name, *set_options, *run_options, *shared, "--yes"])
    return lines
