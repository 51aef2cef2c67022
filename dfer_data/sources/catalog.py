"""Facts about each dataset that need no file of it: what it is, how to get it, its terms, its layouts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from dfer_data.errors import UsageError

SHAPES = (
    *("dfew", "ferv39k", "afew", "mafw", "mafw-compound", "mafw-multi", "cremad", "ravdess"),
    *("enterface05", "caer", "meld", "mer2023", "mer2024"),
)
"""Datasets whose shape `dfer synth` can render."""


@dataclass(frozen=True)
class DatasetFacts:
    """Description of one dataset."""

    title: str
    """Name as papers write it."""
    what: str
    """Content of the dataset, in one line."""
    is_open: bool
    """Whether it is available without a signed form."""
    obtain: str
    """How to get it."""
    terms: str
    """Terms of use, as far as known; `yours` for the user's data."""
    licence: str
    """Terms in Hugging Face's vocabulary of licences: `other` for a signed form, `unknown` for the user's data."""
    home: str
    """The owners' page about it; empty if none is known."""
    layouts: Mapping[str, str]
    """Path pattern of files -> what they are."""


@cache
def catalog() -> Mapping[str, DatasetFacts]:
    """Return the facts of all datasets by adapter name."""
    text = resources.files("dfer_data").joinpath("data", "datasets.json").read_text(encoding="utf-8")
    return MappingProxyType({name: DatasetFacts(**facts) for name, facts in json.loads(text).items()})


def not_there(dataset: str, fact: str, *, root: Path | None = None) -> UsageError:
    """Return the error for a dataset that was not found, with how to get it and which files its folder must hold.

    `root`: the folder that was searched; the error says so if it looks like a part of the dataset.
    """
    facts = catalog()[dataset]
    patterns = ", ".join(facts.layouts)
    if facts.terms == "yours":
        return UsageError(f"{fact}; {facts.obtain}; it is read in these forms: {patterns}")
    whole = _folder_above(root, patterns) if root is not None else None
    if whole is not None:
        fact = f"{fact}; {root} looks like a part of it: give {whole}"
    synth = f"; `dfer synth {dataset}` renders a small synthetic one" if dataset in SHAPES else ""
    return UsageError(
        f"{fact}; {facts.title}: {facts.obtain}; its unzipped folder holds, at any depth, {patterns}; give the folder "
        f"with --source DIR{synth}"
    )


def _folder_above(root: Path, patterns: str) -> Path | None:
    """Return the folder above the folders of a dataset that a path ends with; None if it ends with none of them."""
    names = {name.strip() for name in re.split("[/{},]", patterns) if "." not in name} - {"", "data"}
    above = root
    while above.name in names:
        above = above.parent
    return above if above != root else None
