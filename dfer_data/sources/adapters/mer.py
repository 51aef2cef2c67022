"""MER2023 and MER2024 (Lian et al.): clips of Chinese film and television, six classes.

Lists have the columns `name` and `discrete`; a name is that of a file without extension. MER2023: `train-label.csv`,
and `test{1,2,3}-label.csv` of its three tracks, which are the test parts of three folds with one train part. MER2024:
`label-disdim.csv`, without folds. Clips in no list are not labelled and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dfer_data.sources.annotation import Entry, assemble
from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.catalog import not_there
from dfer_data.sources.class_labels import MER_NAMES, emotion
from dfer_data.sources.label_table import label_rows
from dfer_data.sources.tree import DatasetTree, Found, by_clip, of_kind, scan

_TRACKS = ("test1", "test2", "test3")


def list_mer2023(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List MER2023's labelled clips; each track whose list is there is the test part of a fold. See Source."""
    tree, faults = scan(root, dataset="mer2023"), list[str]()
    lists = {part: tree.named(f"{part}-label.csv") for part in ("train", *_TRACKS)}
    if lists["train"] is None:
        raise not_there("mer2023", f"no list of MER2023 below {root}", root=root)
    rows = {part: list(_rows(tree, path, part + "/", faults)) for part, path in lists.items() if path}
    folds = [part for part in _TRACKS if part in rows]
    entries = [
        Entry(clip_id, label, part[-1], "train" if clip_id.startswith("train/") else "test", where)
        for part in folds
        for clip_id, label, where in (*rows["train"], *rows[part])
    ] or [Entry(clip_id, label, "", "train", where) for clip_id, label, where in rows["train"]]
    found = by_clip(tree, of_kind(tree, layout, crops=crops), _place, faults)
    return assemble("mer2023", tree, layout=layout, class_names=MER_NAMES, entries=entries, found=found, faults=faults)


def list_mer2024(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List MER2024's labelled clips; they have no folds. See Source."""
    tree, faults = scan(root, dataset="mer2024"), list[str]()
    path = tree.named("label-disdim.csv")
    if path is None:
        raise not_there("mer2024", f"no list of MER2024 below {root}", root=root)
    entries = [Entry(clip_id, label, "", "train", where) for clip_id, label, where in _rows(tree, path, "", faults)]
    items = of_kind(tree, layout, crops=crops)
    labelled = [item for item in items if "video-labeled" in item.parts]  # other folders hold the clips without labels
    found = by_clip(tree, labelled or items, lambda item: item.stem, faults)
    return assemble("mer2024", tree, layout=layout, class_names=MER_NAMES, entries=entries, found=found, faults=faults)


def _rows(tree: DatasetTree, path: str, prefix: str, faults: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (id, class, `file:line`) per row of a list."""
    for where, row in label_rows(tree.root, path, ("name", "discrete"), faults):
        if not row["name"] or "/" in row["name"]:
            faults.append(f"{where}: {row['name']!r} is no name of a clip")
        elif emotion(row["discrete"]) not in MER_NAMES:
            faults.append(f"{where}: {row['discrete']!r}; known: {', '.join(MER_NAMES)}")
        else:
            yield prefix + row["name"], emotion(row["discrete"]), where


def _place(item: Found) -> str | None:
    """Return part/name for the nearest folder that is a part; None outside of all parts."""
    parts = [part for part in item.parts[:-1] if re.fullmatch(r"train|test[123]", part, re.IGNORECASE)]
    return f"{parts[-1].lower()}/{item.stem}" if parts else None
