"""`dfer folds`: own sets of folds of a prepared dataset, beside the official ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from dfer_data.errors import UsageError
from dfer_data.preparation.amendments import OwnFolding

from ._support import console
from ._support.options import JsonFlag

_DEFAULTS = OwnFolding()


def folds(
    data: Annotated[str, typer.Argument(help="Folder or URL of a prepared dataset.")],
    num_folds: Annotated[
        int | None, typer.Option("--folds", min=2, max=100, help="Make this many folds; each clip is tested in one.")
    ] = None,
    group_by: Annotated[
        str, typer.Option(help="What a fold keeps together: subject, folder, clip, or a column.")
    ] = _DEFAULTS.group_by,
    name: Annotated[str, typer.Option(help="Name of the set.")] = "own",
    table: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="CSV with clip_id and the column to group by.")
    ] = None,
    stratify: Annotated[bool, typer.Option("--stratify", help="Spread each class evenly over the folds.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order in which groups are assigned.")] = _DEFAULTS.seed,
    anew: Annotated[bool, typer.Option("--anew", help="Replace the set of this name.")] = False,
    remove: Annotated[str | None, typer.Option(metavar="NAME", help="Remove an own set.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make own folds of a prepared dataset, or list its sets; no picture changes, and official folds stay.

    Train on them with `dfer train --fold-set NAME`.
    """
    from dfer_data.changes.folds import make_fold_set, remove_fold_set

    if remove is not None:
        if num_folds is not None:
            raise UsageError("--remove removes a set, --folds makes one: use them one after the other")
        remove_fold_set(data, remove)
        console.say(f"{data}: the set {remove} is removed", as_json=as_json)
    elif num_folds is not None:
        folding = replace(_DEFAULTS, num_folds=num_folds, group_by=group_by, stratify=stratify, seed=seed)
        make_fold_set(data, folding, name=name, table=table, anew=anew)
    _list_sets(data, as_json=as_json)


def _list_sets(data: str, *, as_json: bool) -> None:
    """Print each set with its rule and sizes."""
    from dfer_data.loading.prepared import open_dataset
    from dfer_data.shards.identity import OFFICIAL_SET

    dataset = open_dataset(data)
    sets = {}
    for name in dataset.fold_sets:
        document = dataset.document
        is_official = name == OFFICIAL_SET
        rule = document.get("fold_rule", "the dataset's owners") if is_official else document["fold_sets"][name]["rule"]
        sizes = document["counts"]["folds"] if is_official else document["fold_sets"][name]["folds"]
        sets[name] = {"rule": rule, "folds": sizes}
    if as_json:
        console.print_json({"data": data, "fold_sets": sets})
        return
    rows = [
        (name, facts["rule"], fold, str(facts["folds"][fold].get("train", 0)), str(facts["folds"][fold].get("test", 0)))
        for name, facts in sets.items()
        for fold in dataset.fold_names(name)
    ]
    if rows:
        console.print_table(("set", "made by", "fold", "train", "test"), rows)
    else:
        console.say(f"{data} has no folds; make some: dfer folds {data} --folds 5")
