"""What is known of each dataset before its first file: what it is, how to get it, its terms, its layouts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from dfer_data.errors import UsageError

SHAPES = ("dfew", "ferv39k", "afew", "mafw", "cremad", "ravdess")
"""Datasets whose shape can be rendered."""


@dataclass(frozen=True)
class DatasetFacts:
    """One dataset in words."""

    title: str
    """Its name as papers write it."""
    what: str
    """One line."""
    is_open: bool
    """Whether it can be had without a signed form."""
    obtain: str
    """How to get it."""
    terms: str
    """Under which terms, as far as known."""
    licence: str
    """The same in Hugging Face's vocabulary of licences: `other` for a signed form, `unknown` for one's own."""
    home: str
    """Where its owners speak of it; empty where no such page is known."""
    layouts: Mapping[str, str]
    """Where its files lie, and what they are."""


@cache
def catalog() -> Mapping[str, DatasetFacts]:
    """Return the facts of all datasets by adapter name."""
    text = resources.files("dfer_data").joinpath("data", "datasets.json").read_text(encoding="utf-8")
    return MappingProxyType({name: DatasetFacts(**facts) for name, facts in json.loads(text).items()})


def not_there(dataset: str, fact: str) -> UsageError:
    """Return the error for a dataset that is not where it was looked for: how to get it, where its files must lie."""
    facts = catalog()[dataset]
    places = ", ".join(facts.layouts)
    if facts.terms == "yours":
        return UsageError(f"{fact}; {facts.obtain}; known: {places}")
    synth = f"; `dfer synth {dataset}` renders a small synthetic one" if dataset in SHAPES else ""
    return UsageError(
        f"{fact}; {facts.title}: {facts.obtain}; unzipped, however deep, its folder holds {places}; name its "
        f"place with --source DIR{synth}"
    )
