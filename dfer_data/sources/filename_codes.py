"""Datasets whose file names are the annotation: what is common to CREMA-D and RAVDESS."""

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
    """What a name says."""

    clip_id: str
    """Id of the clip."""
    label: str
    """Class name."""
    person: str
    """Who is seen; persons are tested in the fold that the dataset's official data name."""


Reading = Callable[[str], Named | str | None]
"""Name without extension -> what it says; a text: what is wrong with it; None: it is no clip of the dataset."""


def list_coded(
    dataset: str,
    root: Path,
    *,
    layout: Layout,
    crops: str | None,
    read: Reading,
    listed: Callable[[DatasetTree, list[str]], Iterable[tuple[str, str]]] = lambda tree, faults: (),
) -> SourceListing:
    """List a dataset by its file names; `listed` gives (`file:line`, name) of clips that ought to be there."""
    tree, facts = scan(root, dataset=dataset), official(dataset)
    faults: list[str] = []
    named: dict[str, Named] = {}
    places = {one.path: one for one in of_kind(tree, layout, crops=crops)}
    names = [(path, one.stem) for path, one in places.items()]
    for where, name in (*names, *listed(tree, faults)):
        said = read(name)
        if isinstance(said, Named) and not facts.fold_of(said.person):
            said = f"no fold tests person {said.person}"
        if isinstance(said, Named):
            named.setdefault(said.clip_id, said)
        elif said is not None:
            faults.append(f"{where}: {said}")
    found = by_clip(tree, places.values(), lambda one: _clip_id(read, one), faults)
    num_others = len(places) - len(found)
    entries: list[Entry] = held_out(
        sorted(named),
        label=lambda clip_id: named[clip_id].label,
        fold=lambda clip_id: facts.fold_of(named[clip_id].person),
        folds=facts.num_train,
        group=lambda clip_id: named[clip_id].person,
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
        notes=(f"{num_others} other {WORDS[layout]} are left out",) if num_others else (),
    )


def _clip_id(read: Reading, one: Found) -> str | None:
    said = read(one.stem)
    return said.clip_id if isinstance(said, Named) else None
