"""`dfer train`: one fold of a prepared dataset, from fresh weights to test predictions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dfer_data.errors import UsageError

from . import _console, _settings
from ._options import JsonFlag, require_torch

_LONG_SECONDS = 2 * 3600


def train(
    fold: Annotated[int, typer.Option(help="Official fold whose test part is held out.")],
    data: Annotated[
        str | None,
        typer.Option(help="Prepared dataset, a folder or URL.", show_default="the only one with folds under prepared/"),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Shipped recipe, or a .toml.", show_default="the dataset's own")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs.", show_default="runs")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Start of all randomness.")] = 0,
    protocol: Annotated[
        str | None, typer.Option(help="default, lstpnet, former-dfer, dfer-clip or mae-dfer: what a paper's code does.")
    ] = None,
    val: Annotated[
        str | None, typer.Option(help="none, blocks, groups or random: hold out a tenth of train, report `best` too.")
    ] = None,
    select: Annotated[
        str | None, typer.Option(help="last, val-best, or test-best: as several papers do, and marked so.")
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Then train on all of train for the epochs that --val chose.")
    ] = False,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the recipe, repeatable.")] = None,
    init: Annotated[
        Path | None, typer.Option(help="Start weights: a run's .safetensors, the authors' file, a ResNet-18.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu.", show_default="the best there is")] = None,
    force: Annotated[bool, typer.Option("--force", help="Train again what is there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before hours on a CPU.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train LSTPNet on a fold and predict its test clips once, at the end.

    By default on the whole train part with a fixed schedule; the last epoch is the result.
    """
    require_torch()
    from dfer_data.manifest import read_document
    from lstpnet.config import parse_overrides, resolve_recipe
    from lstpnet.experiment import check_trainable, make_experiment
    from lstpnet.tables import listed
    from lstpnet.train import find_finished, train_run
    from lstpnet.trainer import estimate_seconds, initial_model, pick_device

    settings = _settings.load().train
    root = _choose_data(data or settings.data, fold=fold)
    check_trainable(root)
    document = read_document(root)
    wanted = recipe or settings.recipe or str(document["recipe"])
    val = val or ("blocks" if select == "val-best" else None)
    flags = {"protocol": protocol, "val": val, "select": select, "refit": refit or None}
    values = parse_overrides(overrides or []) | {key: value for key, value in flags.items() if value is not None}
    resolved = resolve_recipe(wanted, overrides=values, dataset=str(document["dataset"]))
    experiment = make_experiment(root, resolved, fold=fold, seed=seed)
    folder = experiment.run_folder(out or settings.out or Path("runs"))
    if not force and find_finished(folder, experiment, init=init):
        _console.say(f"{folder}: already done with the same settings (--force trains again)", as_json=as_json)
        _finish(folder, None, as_json=as_json)
        return
    chosen = pick_device(device)
    seconds = estimate_seconds(experiment, device=chosen)
    _console.say(f"device {chosen}; about {_duration(seconds)}; recipe {experiment.recipe.name}", as_json=as_json)
    _console.say(f"protocol: {experiment.protocol()}", as_json=as_json)
    if experiment.faceless_test_ids:
        _console.say(f"test clips without a face: {listed(experiment.faceless_test_ids)}", as_json=as_json)
    if init is not None:
        _console.say(f"start weights: {initial_model(experiment, init=init)[1]}", as_json=as_json)
    if chosen.type == "cpu" and seconds > _LONG_SECONDS and not yes:
        _ask(seconds)
    with _console.progress("training", unit="epochs") as advance:
        total = experiment.recipe.frame_epochs + experiment.recipe.epochs
        num_done = 0

        def on_event(event: Any) -> None:
            nonlocal num_done
            num_done += 1
            advance(num_done, total)

        summary = train_run(experiment, folder, device=chosen, init=init, on_event=on_event)
    _finish(folder, summary, as_json=as_json)


def _choose_data(given: Path | str | None, *, fold: int) -> Path:
    """Return the prepared dataset to train on: the one named, else the only one with folds under prepared/."""
    from dfer_data.remote import located

    if given is not None:
        return located(given)[0]
    found = sorted(path.parent for path in Path("prepared").glob("*/dataset.json"))
    if not found:
        raise UsageError("no prepared dataset under prepared/; make one with `dfer prepare dfew --detector retinaface`")
    with_folds = [path for path in found if any((path / "folds").glob("fold-*.csv"))]
    if len(with_folds) > 1:
        lines = "; ".join(f"dfer train --fold {fold} --data {path}" for path in with_folds)
        raise UsageError(f"{len(with_folds)} prepared datasets under prepared/, name one: {lines}")
    return (with_folds or found)[0]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _ask(seconds: float) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"training would take about {_duration(seconds)} on this CPU; add --yes to go ahead")
    if not typer.confirm(f"about {_duration(seconds)} on this CPU; go ahead?", err=True):
        raise typer.Exit(2)


def _finish(folder: Path, summary: dict[str, Any] | None, *, as_json: bool) -> None:
    if as_json:
        _console.print_json({"run": str(folder), "already_done": summary is None, "result": summary})
    elif summary is not None:
        for row in summary["results"]:
            mark = "  (chosen on the test clips)" if row["checkpoint"] == "test-best" else ""
            figures = f"WAR {100 * row['war']:.2f}  UAR {100 * row['uar']:.2f}  n {row['n']}"
            _console.say(f"{row['checkpoint']}: {figures}{mark}")
    _console.say(f"{folder}   next: dfer report", as_json=as_json)
