"""`dfer datasets`: what `prepare` knows of each dataset: counts, terms, how to get it, where its files lie."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from dfer_data.errors import UsageError

from ._support import console
from ._support.options import JsonFlag


def datasets(
    name: Annotated[str | None, typer.Argument(help="One dataset, with everything known of it.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the datasets that `dfer prepare` knows, or say all about one: how to get it, terms, layouts, counts."""
    from dfer_data.sources.catalog import catalog

    if name is not None and name not in catalog():
        raise UsageError(f"unknown dataset {name!r}; known: {', '.join(catalog())}")
    documents = {one: _document(one) for one in catalog() if name in (None, one)}
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

    known = asdict(official(name)) if name in official_names() else None
    reads = list(adapter(name).layouts)
    return {**asdict(catalog()[name]), "reads": reads, "synth": name in SHAPES, "official": known}


def _list(documents: dict[str, dict[str, Any]]) -> None:
    cells = []
    for name, facts in documents.items():
        known = facts["official"]
        counts = (sum(known["num_clips"].values()), len(known["class_names"]), len(known["num_train"])) if known else ()
        words = [f"{number:,}" for number in counts] or ["-"] * 3
        cells.append((name, *words, " ".join(facts["reads"]), _access(facts), facts["what"]))
    console.print_table(("dataset", "clips", "classes", "folds", "ships", "access", "what"), cells)
    console.say("`dfer datasets NAME`: how to get it, terms, layouts, counts of each fold and class")


def _access(facts: dict[str, Any]) -> str:
    """Return how a dataset is had: freely, after a signed form, or because it is one's own."""
    if facts["terms"] == "yours":
        return "your own"
    return "open" if facts["is_open"] else "form"


def _describe(name: str, facts: dict[str, Any]) -> None:
    say = console.say
    say(
        f"{facts['title']}: {facts['what']}\nget it: {facts['obtain']}\nterms: {facts['terms']}\nlayouts, however deep:"
    )
    for place, what in facts["layouts"].items():
        say(f"  {place}\n      {what}")
    if known := facts["official"]:
        say(f"folds: {known['fold_rule']}; counts from {known['source']}")
        cells = [("all", "", str(sum(known["num_clips"].values())), *map(str, known["num_clips"].values()))]
        for fold, size in known["num_train"].items():
            for split, total in (("train", size), ("test", known["num_test_all"][fold])):
                by_class = known["num_train_by_class" if split == "train" else "num_test"].get(fold)
                counts = by_class or ["-"] * len(known["class_names"])
                cells.append((fold, split, str(total), *map(str, counts)))
        console.print_table(("fold", "part", "clips", *known["class_names"]), cells)
        short = known["short_clips"].items()
        words = [f"{clip} ({frames})" if frames else clip for clip, frames in short]
        say(f"clips of fewer than 16 frames, by name: {', '.join(words)}") if words else None
        for whose, absent in known["absent_elsewhere"].items():
            say(f"not in {whose}: {' '.join(absent)}")
    synth = f"dfer synth {name}; " if facts["synth"] else ""
    say(f"next: {synth}dfer prepare {name}" + (" --source DIR" if facts["terms"] == "yours" else ""))
