"""List datasets whose file names are the annotation; shared by CREMA-D and RAVDESS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from dfer_data.sources.annotation import WORDS, Entry, assemble, held_out
from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.official_counts import official
from dfer_data.sources.tree import DatasetTree, Found, by_clip, of_kind, scan


@dataclass(frozen=True)
class Named:
    """Facts that a file name encodes."""

    clip_id: str
    label: str
    """Class name."""
    person: str
    """Id of the actor; the official counts say which fold tests each actor."""


Reading = Callable[[str], Named | str | None]
"""Name without extension -> its facts, or a text with the fault, or None if it is no clip of the dataset."""


def list_coded(
    dataset: str,
    root: Path,
    *,
    layout: Layout,
    crops: str | None,
    read: Reading,
    listed: Callable[[DatasetTree, list[str]], Iterable[tuple[str, str]]] = lambda tree, faults: (),
) -> SourceListing:
    """List a dataset by its file names; `listed` yields (`file:line`, name) per clip that should exist."""
    tree, facts = scan(root, dataset=dataset), official(dataset)
    faults: list[str] = []
    clips: dict[str, Named] = {}
    items = {item.path: item for item in of_kind(tree, layout, crops=crops)}
    names = [(path, item.stem) for path, item in items.items()]
    for where, name in (*names, *listed(tree, faults)):
        reading = read(name)
        if isinstance(reading, Named) and not facts.fold_of(reading.person):
            reading = f"no fold tests person {reading.person}"
        if isinstance(reading, Named):
            clips.setdefault(reading.clip_id, reading)
        elif reading is not None:
            faults.append(f"{where}: {reading}")
    found = by_clip(tree, items.values(), lambda item: _clip_id(read, item), faults)
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
        notes=(f"{num_ignored} other {WORDS[layout]} are left out",) if num_ignored else (),
    )


def _clip_id(read: Reading, item: Found) -> str | None:
    reading = read(item.stem)
    return reading.clip_id if isinstance(reading, Named) else None
