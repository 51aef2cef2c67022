"""`dfer sweep`: every combination of some settings, folds and seeds, one `dfer train` each."""

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
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=A,B,C: values to go through, repeatable.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds: 0,1,2.")] = "0",
    data: Annotated[str | None, typer.Option(help="Prepared dataset, as for `dfer train`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs, as for `dfer train`.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu, as for `dfer train`.")] = None,
    prints: Annotated[
        bool, typer.Option("--print", help="Print the command of each run, for an array of tasks, and run none.")
    ] = False,
) -> None:
    """Train every combination of settings, folds and seeds, each a run of its own.

    Finished runs are left alone and interrupted ones go on, so that a sweep can be stopped and typed again.
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
                f"run {number} of {len(lines)} ended with exit code {code}, the lines above say why; "
                "what is finished is kept: type the sweep again to go on"
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
    """Return the arguments of each `dfer train`; UsageError for what every one of them would refuse."""
    from dfer_data.loading.prepared import open_dataset
    from lstpnet.recipe import parse_overrides, resolve_recipe

    from ._support.settings import load_settings
    from .train import choose_data, folds_and_seeds

    root = choose_data(data or load_settings().train.data, fold=fold)
    pairs = folds_and_seeds(fold, seeds, known=list(open_dataset(root).document["counts"]["folds"]))
    settings = []
    for text in overrides:
        key, separator, values = text.partition("=")
        if not separator or not values:
            raise UsageError(f"--set {text}: KEY=A,B,C is needed, for example --set attention=tce,eca,none")
        settings.append([f"{key.strip()}={value.strip()}" for value in values.split(",")])
    given = {"--data": data, "--out": out, "--device": device}
    rest = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    lines = []
    for chosen in itertools.product(*settings):
        resolve_recipe(recipe, overrides=parse_overrides(chosen))  # faults are told before anything is trained
        name = ",".join([Path(recipe).stem if recipe.endswith(".toml") else recipe, *chosen]).replace("/", "-")
        words = [word for setting in chosen for word in ("--set", setting)]
        for one_fold, one_seed in pairs:
            place = ["--fold", str(one_fold), "--seed", str(one_seed)]
            lines.append(["train", "--recipe", recipe, "--name", name, *words, *place, *rest, "--yes"])
    return lines
