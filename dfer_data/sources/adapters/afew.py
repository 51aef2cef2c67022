"""AFEW 7.0 (Dhall et al., EmotiW): Train and Val by emotion; papers test on Val, the last split with public labels.

The folders are the annotation: `Train_AFEW/Angry/000046280.avi`, or a folder of crops of that name. The organisers'
crops, `AlignedFaces_LBPTOP_Points*/Faces/000046280`, are in no folder of an emotion and take it from the videos.
"""

from __future__ import annotations

import re
from pathlib import Path

from dfer_data.sources.annotation import Entry, assemble
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.catalog import not_there
from dfer_data.sources.class_labels import DFEW_NAMES, emotion
from dfer_data.sources.tree import Found, by_clip, of_kind, scan

_SPLITS: dict[str, Split] = {"train": "train", "val": "test"}


def list_afew(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List AFEW's Train and Val. See Source."""
    tree = scan(root, dataset="afew")
    faults: list[str] = []
    entries: dict[tuple[str, str, Split], Entry] = {}
    for item in (*tree.videos, *tree.pictures):
        split, clip_id, folder = _split(item), _clip_id(item), ("", *item.parts)[-2]
        if split is None or (item.num_pictures and emotion(folder) not in DFEW_NAMES):
            continue
        if emotion(folder) not in DFEW_NAMES:
            faults.append(f"{item.path}: its folder {folder!r} is no emotion; known: {', '.join(DFEW_NAMES)}")
        elif clip_id is None:
            faults.append(f"{item.path}: its name is not nine digits")
        else:
            entry = Entry(clip_id, emotion(folder), "1", split, item.path)
            entries.setdefault((clip_id, emotion(folder), split), entry)
    if not entries and not faults:
        raise not_there("afew", f"no clips of AFEW below {root}", root=root)
    splits = {split for _, _, split in entries}
    faults += [
        f"{name}_AFEW: no clips in it" for name, split in (("Train", "train"), ("Val", "test")) if split not in splits
    ]
    items = of_kind(tree, layout, crops=crops)
    found = by_clip(tree, (item for item in items if _split(item)), _clip_id, faults)
    return assemble(
        "afew", tree, layout=layout, class_names=DFEW_NAMES, entries=list(entries.values()), found=found, faults=faults
    )


def _split(item: Found) -> Split | None:
    """Return the split that the nearest matching folder names; None for clips in Test or outside of all splits."""
    words = [word for part in item.parts[:-1] for word in re.findall("train|val|test", part.lower())]
    return _SPLITS.get(words[-1]) if words else None


def _clip_id(item: Found) -> str | None:
    """Return the nine digits at the end of a name; third-party crops have more numbers before them."""
    match = re.fullmatch(r"(?:\d+_)*(\d{9})", item.stem)
    return match and match[1]
