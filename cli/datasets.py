"""`dfer datasets`: the datasets that `prepare` knows: counts, terms, how to get them, expected files."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from dfer_data.errors import entry_of

from ._support import console
from ._support.completions import known_datasets
from ._support.options import JsonFlag


def datasets(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Describe this dataset.", autocompletion=known_datasets)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the datasets that dfer knows, or describe one.

    The description has: how to get it, terms, layouts, counts.
    """
    from dfer_data.sources.catalog import catalog

    if name is not None:
        entry_of(name, catalog(), what="unknown dataset")
    documents = {known: _document(known) for known in catalog() if name in (None, known)}
    if as_json:
        console.print_json({"datasets": documents})
    elif name is not None:
        _describe(name, documents[name])
    else:
        _list(documents)


def _document(name: str) -> dict[str, Any]:
    from dfer_data.sources.catalog import SHAPES, catalog
    from dfer_data.sources.official_counts import official, official_names
    from dfer_data.sources.registry import adapter

    official_facts = asdict(official(name)) if name in official_names() else None
    reads = list(adapter(name).layouts)
    return {**asdict(catalog()[name]), "reads": reads, "synth": name in SHAPES, "official": official_facts}


def _list(documents: dict[str, dict[str, Any]]) -> None:
    cells = []
    for name, facts in documents.items():
        official = facts["official"]
        counts = (
            (official["num_all"], len(official["class_names"]), len(official["num_train"])) if official else [None] * 3
        )
        counts_text = [f"{number:,}" if number else "-" for number in counts]
        cells.append((name, *counts_text, " ".join(facts["reads"]), _access(facts), facts["what"]))
    console.print_table(("dataset", "clips", "classes", "folds", "ships", "access", "what"), cells)
    console.say("`dfer datasets NAME`: how to get it, terms, layouts, counts of each fold and class")


def _access(facts: dict[str, Any]) -> str:
    """Return how to get a dataset: openly, with a signed form, or as the user's own data."""
    if facts["terms"] == "yours":
        return "your own"
    return "open" if facts["is_open"] else "form"


def _describe(name: str, facts: dict[str, Any]) -> None:
    say = console.say
    say(
        f"{facts['title']}: {facts['what']}\nget it: {facts['obtain']}\nterms: {facts['terms']}\nlayouts, at any depth:"
    )
    for place, what in facts["layouts"].items():
        say(f"  {place}\n      {what}")
    if official := facts["official"]:
        say(f"folds: {official['fold_rule']}; counts from {official['source']}")
        class_counts = [str(official["num_clips"].get(class_name, "-")) for class_name in official["class_names"]]
        cells = [("all", "", str(official["num_all"] or "-"), *class_counts)]
        for fold, size in official["num_train"].items():
            for split, total in (("train", size), ("test", official["num_test_all"][fold])):
                by_class = official["num_train_by_class" if split == "train" else "num_test"].get(fold)
                counts = by_class or ["-"] * len(official["class_names"])
                cells.append((fold, split, str(total), *map(str, counts)))
        console.print_table(("fold", "part", "clips", *official["class_names"]), cells)
        clip_lengths = official["short_clips"].items()
        short_clips = [f"{clip} ({frames})" if frames else clip for clip, frames in clip_lengths]
        say(f"clips of fewer than 16 frames: {', '.join(short_clips)}") if short_clips else None
        for fact in official["unconfirmed"]:
            say(f"not confirmed: {fact}")
        for list_name, absent in official["absent_elsewhere"].items():
            say(f"not in {list_name}: {' '.join(absent)}")
    synth = f"dfer synth {name}; " if facts["synth"] else ""
    say(f"next: {synth}dfer prepare {name}" + (" --source DIR" if facts["terms"] == "yours" else ""))
