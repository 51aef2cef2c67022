"""`dfer sweep`: one `dfer train` per combination of settings, folds and seeds."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import Annotated

import typer

from dfer_data.errors import DferError, UsageError

from ._support import console
from ._support.options import require_torch
from ._support.subprocess import run_line


def sweep(
    recipe: Annotated[str, typer.Argument(help="Shipped recipe, or a .toml.")],
    fold: Annotated[str, typer.Option(help="Official folds: 3, or 1,3, or all.")],
    overrides: Annotated[list[str] | None, typer.Option("--set", help="KEY=A,B,C: values to try, repeatable.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds: 0,1,2.")] = "0",
    data: Annotated[str | None, typer.Option(help="Prepared dataset, as for `dfer train`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs, as for `dfer train`.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu, as for `dfer train`.")] = None,
    prints: Annotated[
        bool, typer.Option("--print", help="Only print the command of each run, for an array of tasks.")
    ] = False,
) -> None:
    """Train every combination of settings, folds and seeds, each as its own run.

    Run the same command again after an interruption: finished runs are kept, interrupted runs resume.
    """
    require_torch()
    lines = _commands(recipe, fold, overrides or [], seeds, data=data, out=out, device=device)
    if prints:
        for line in lines:
            console.say(shlex.join(["dfer", *line]))
        return
    for number, line in enumerate(lines, start=1):
        console.say(f"\n[{number}/{len(lines)}] $ {shlex.join(['dfer', *line])}")
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
    data: str | None,
    out: Path | None,
    device: str | None,
) -> list[list[str]]:
    """Return the arguments of each `dfer train`. Raises UsageError for what all of them would refuse."""
    from dfer_data.loading.prepared import open_dataset
    from dfer_data.settings import parse_assignments
    from lstpnet.recipe_files import resolve_recipe

    from ._support.settings import load_settings
    from .train import choose_data, folds_and_seeds

    root = choose_data(data or load_settings().get("train", {}).get("data"), fold=fold)
    pairs = folds_and_seeds(fold, seeds, known=list(open_dataset(root).document["counts"]["folds"]))
    settings = []
    for text in overrides:
        key, separator, values = text.partition("=")
        if not separator or not values:
            raise UsageError(f"--set {text}: expected KEY=A,B,C, for example --set attention=tce,eca,none")
        settings.append([f"{key.strip()}={value.strip()}" for value in values.split(",")])
    shared_options = {"--data": data, "--out": out, "--device": device}
    shared = [word for option, value in shared_options.items() if value is not None for word in (option, str(value))]
    lines = []
    for combination in itertools.product(*settings):
        resolve_recipe(recipe, overrides=parse_assignments(combination))  # report faults before any training
        name = ",".join([Path(recipe).stem if recipe.endswith(".toml") else recipe, *combination]).replace("/", "-")
        set_options = [word for setting in combination for word in ("--set", setting)]
        for fold_number, seed in pairs:
            run_options = ["--fold", str(fold_number), "--seed", str(seed)]
            lines.append(["train", "--recipe", recipe, "--name", name, *set_options, *run_options, *shared, "--yes"])
    return lines
