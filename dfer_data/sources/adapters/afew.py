"""AFEW 7.0 (Dhall et al., EmotiW): Train and Val by emotion; papers test on Val, the last part with public labels.

The folders are the annotation: `Train_AFEW/Angry/000046280.avi`, or a folder of crops of that name. The organisers'
own crops, `AlignedFaces_LBPTOP_Points*/Faces/000046280`, lie beside the emotions and take theirs from the videos.
"""

from __future__ import annotations

import re
from pathlib import Path

from dfer_data.sources.annotation import Entry, assemble
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.catalog import not_there
from dfer_data.sources.class_labels import DFEW_NAMES, emotion
from dfer_data.sources.tree import Found, by_clip, of_kind, scan


def list_afew(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List AFEW's Train and Val. See Source."""
    tree = scan(root, dataset="afew")
    faults: list[str] = []
    entries: dict[tuple[str, str, Split], Entry] = {}
    for one in (*tree.videos, *tree.pictures):
        split, clip_id, folder = _split(one), _clip_id(one), ("", *one.parts)[-2]
        if split is None or (one.num_pictures and emotion(folder) not in DFEW_NAMES):
            continue
        if emotion(folder) not in DFEW_NAMES:
            faults.append(f"{one.path}: its folder {folder!r} is no emotion; known: {', '.join(DFEW_NAMES)}")
        elif clip_id is None:
            faults.append(f"{one.path}: its name is not nine digits")
        else:
            entry = Entry(clip_id, emotion(folder), "1", split, one.path)
            entries.setdefault((clip_id, emotion(folder), split), entry)
    if not entries and not faults:
        raise not_there("afew", f"no clips of AFEW below {root}")
    parts = {split for _, _, split in entries}
    faults += [
        f"{name}_AFEW: no clips in it" for name, split in (("Train", "train"), ("Val", "test")) if split not in parts
    ]
    wanted = of_kind(tree, layout, crops=crops)
    found = by_clip(tree, (one for one in wanted if _split(one)), _clip_id, faults)
    return assemble(
        "afew", tree, layout=layout, class_names=DFEW_NAMES, entries=list(entries.values()), found=found, faults=faults
    )


def _split(one: Found) -> Split | None:
    """Return the part that a clip is in, by the nearest folder that says so; None elsewhere, in Test too."""
    words = [word for part in one.parts[:-1] for word in re.findall("train|val|test", part.lower())]
    return {"train": "train", "val": "test"}.get(words[-1]) if words else None  # type: ignore[return-value]


def _clip_id(one: Found) -> str | None:
    """Return the nine digits that a name ends with; other people's crops have numbers before them."""
    match = re.fullmatch(r"(?:\d+_)*(\d{9})", one.stem)
    return match and match[1]
