"""What tables and lists of one's own have in common: lines that name a video or a folder, its class and its part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dfer_data.sources.annotation import WORDS, Entry, assemble
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.class_names import named_classes
from dfer_data.sources.path_matching import Places, plain
from dfer_data.sources.tree import DatasetTree, by_clip, of_kind

SPLITS: dict[str, Split] = {"train": "train", "training": "train", "test": "test", "testing": "test"}
VALIDATION = ("val", "valid", "validation", "dev")


@dataclass(frozen=True)
class ListedPath:
    """One line of a user's annotation."""

    path: str
    """As written."""
    label: str
    """As written."""
    fold: str
    """Number of the fold; empty: in none."""
    split: Split
    """Part of the fold."""
    where: str
    """File and line."""
    group: str | None = None
    """Who or what the clip belongs with."""
    num_frames: int | None = None
    """As written."""


def list_lines(
    dataset: str,
    tree: DatasetTree,
    lines: Iterable[ListedPath],
    *,
    layout: Layout,
    crops: str | None,
    faults: list[str],
    fold_rule: str,
) -> SourceListing:
    """Make the listing of lines whose paths may be somebody else's. Raises as `assemble`.

    A clip's id is the path of what was found for it, below the root.
    """
    there = of_kind(tree, layout, crops=crops)
    places, entries, num_frames = Places(there), list[Entry](), dict[str, int]()
    first: dict[str, str] = {}
    lines = list(lines)
    for line in lines:
        first.setdefault(line.label, line.where)
    class_names, names = named_classes(tree, first, faults) if first else ((), {})
    for line in lines:
        place = places.find(line.path)
        if isinstance(place, list):
            both = f"{place[0].path} and {place[1].path}"
            faults.append(f"{line.where}: {line.path} fits {both} alike; write more of the path")
            continue
        clip_id = plain(place.path if place else line.path)
        entries.append(Entry(clip_id, names.get(line.label), line.fold, line.split, line.where, line.group))
        if line.num_frames is not None:
            num_frames[clip_id] = line.num_frames
    clips = {entry.clip_id for entry in entries}
    found = by_clip(tree, there, lambda one: plain(one.path), faults)
    extra = len(found.keys() - clips)
    others = [i for i, n in num_frames.items() if i in found and found[i].num_pictures not in (0, n)]
    notes = [f"{extra} {WORDS[layout]} stand in no line and are left out"] * bool(extra)
    notes += (
        [f"{len(others)} clips have another number of frames than their line says ({others[0]}...)"] if others else []
    )
    return assemble(
        dataset,
        tree,
        layout=layout,
        class_names=class_names,
        entries=entries,
        found={clip_id: one for clip_id, one in found.items() if clip_id in clips},
        faults=faults,
        wanted=f"{WORDS[layout]} that the lines name",
        fold_rule=fold_rule,
        notes=tuple(notes),
    )
