"""`dfer folds`: make, list and remove own sets of folds of a prepared dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dfer_data.errors import UsageError
from dfer_data.preparation.amendments import OwnFolding

from ._support import console
from ._support.options import JsonFlag
from ._support.setting_options import takes_settings


@takes_settings(OwnFolding)
def folds(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder or URL of a prepared dataset.")],
    name: Annotated[str, typer.Option(help="Name of the set of folds.")] = "own",
    table: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="CSV with clip_id and the column to group by.")
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Replace the set of this name.")] = False,
    remove: Annotated[str | None, typer.Option(metavar="NAME", help="Remove a set that you made.")] = None,
    as_json: JsonFlag = False,
    *,
    given: dict[str, Any],
) -> None:
    """Make your own folds of a prepared dataset, or list them.

    Pictures and official folds stay as they are. `--group-by audit` keeps the duplicates that `dfer audit` found, and
    the clips of each known person, together, and spreads classes evenly (--stratify). Train on your folds with `dfer
    train --fold-set NAME`.
    """
    from dfer_data.changes.folds import make_fold_set, remove_fold_set

    if remove is not None:
        if given or table is not None or anew:
            raise UsageError("--remove removes a set, and the other options make one: use them one after the other")
        remove_fold_set(data, remove)
        console.say(f"{data}: the set {remove} is removed", as_json=as_json)
    elif given or table is not None or anew:
        if "num_folds" not in given:
            raise UsageError("--folds is missing: how many folds, e.g. --folds 5")
        if given.get("group_by") == "audit":
            given.setdefault("stratify", True)
        make_fold_set(data, OwnFolding(**given), name=name, table=table, anew=anew)
    _list_sets(data, as_json=as_json)


def _list_sets(data: str, *, as_json: bool) -> None:
    """Print each set with its rule and sizes."""
    from dfer_data.loading.prepared import open_dataset
    from dfer_data.shards.identity import OFFICIAL_SET
    from dfer_data.sources.make_folds import folds_command

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
        console.say(f"{data} has no folds; make some: {folds_command(data)}")
