"""List datasets whose names of files or folders are the annotation, with folds by person."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from dfer_data.sources.annotation import WORDS, Entry, assemble, held_out
from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.official_counts import official
from dfer_data.sources.tree import DatasetTree, Found, by_clip, of_kind, scan
from dfer_data.wording import counted


@dataclass(frozen=True)
class Named:
    """Facts that a name encodes."""

    clip_id: str
    label: str
    """Class name."""
    person: str
    """Id of the actor; the official counts say which fold tests each actor."""


Reading = Callable[[str], Named | str | None]
"""Name -> its facts, or a text with the fault, or None if it is no clip of the dataset."""


def list_coded(
    dataset: str,
    root: Path,
    *,
    layout: Layout,
    crops: str | None,
    read: Reading,
    name: Callable[[Found], str] = lambda item: item.stem,
    listed: Callable[[DatasetTree, list[str]], Iterable[tuple[str, str]]] = lambda tree, faults: (),
) -> SourceListing:
    """List a dataset by names, those without extension unless `name` returns others.

    `listed` yields (`file:line`, name) per clip that should exist.
    """
    tree, facts = scan(root, dataset=dataset), official(dataset)
    faults: list[str] = []
    clips: dict[str, Named] = {}
    items = {item.path: item for item in of_kind(tree, layout, crops=crops)}
    names = [(path, name(item)) for path, item in items.items()]
    for where, word in (*names, *listed(tree, faults)):
        reading = read(word)
        if isinstance(reading, Named) and not facts.fold_of(reading.person):
            reading = f"no fold tests person {reading.person}"
        if isinstance(reading, Named):
            clips.setdefault(reading.clip_id, reading)
        elif reading is not None:
            faults.append(f"{where}: {reading}")
    found = by_clip(tree, items.values(), lambda item: _clip_id(read(name(item))), faults)
    num_ignored = len(items) - len(found)
    entries: list[Entry] = held_out(
        sorted(clips),
        label=lambda clip_id: clips[clip_id].label,
        fold=lambda clip_id: facts.fold_of(clips[clip_id].person),
        folds=facts.num_train,
        group=lambda clip_id: clips[clip_id].person,
    )
    return assemble(
        dataset,
        tree,
        layout=layout,
        class_names=facts.class_names,
        entries=entries,
        found=found,
        faults=faults,
        fold_rule=facts.fold_rule,
        notes=(f"left out: {counted(num_ignored, f'other {WORDS[layout]}')}",) if num_ignored else (),
    )


def _clip_id(reading: Named | str | None) -> str | None:
    return reading.clip_id if isinstance(reading, Named) else None
