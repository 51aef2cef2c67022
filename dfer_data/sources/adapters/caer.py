"""CAER (Lee et al., ICCV 2019): clips of television shows in train, validation and test, seven emotions.

`train/Anger/0001.avi`; numbers begin anew in each folder, so an id is split/emotion/number. The split is random over
clips: train and test share shows. CAER-S, single pictures of the same clips, is no video dataset and is not read.
"""

from __future__ import annotations

import re
from pathlib import Path

from dfer_data.sources.annotation import Entry, assemble
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.catalog import not_there
from dfer_data.sources.class_labels import CAER_NAMES, emotion
from dfer_data.sources.tree import Found, by_clip, of_kind, scan
from dfer_data.wording import counted

_PLACE = re.compile(r"(?:.*/)?(train|validation|test)/([^/]+)/([^/]+)", re.IGNORECASE)
_SPLITS: dict[str, Split] = {"train": "train", "validation": "train", "test": "test"}


def list_caer(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List CAER's clips; those of validation are in the train part. See Source."""
    tree = scan(root, dataset="caer")
    faults: list[str] = []
    entries: dict[str, Entry] = {}
    items = [item for item in of_kind(tree, layout, crops=crops) if _place(item)]
    for item in items:
        part, folder, number = _place(item)
        if emotion(folder) not in CAER_NAMES:
            faults.append(f"{item.path}: its folder {folder!r} is no emotion; known: {', '.join(CAER_NAMES)}")
        elif not number.isdecimal():
            faults.append(f"{item.path}: its name is not a number")
        else:
            clip_id = "/".join(_place(item))
            entries[clip_id] = Entry(clip_id, emotion(folder), "1", _SPLITS[part], item.path)
    if not items:
        raise not_there("caer", f"no clips of CAER below {root}", root=root)
    sizes = {part: sum(clip_id.startswith(f"{part}/") for clip_id in entries) for part in _SPLITS}
    faults += [f"{part}: no clips in it" for part in ("train", "test") if not sizes[part]]
    note = f"{counted(sizes['validation'], 'clip of validation')} to train on, unless --val official holds these out"
    return assemble(
        "caer",
        tree,
        layout=layout,
        class_names=CAER_NAMES,
        entries=list(entries.values()),
        found=by_clip(tree, items, lambda item: "/".join(_place(item)), faults),
        faults=faults,
        notes=(note,) if sizes["validation"] else (),
    )


def _place(item: Found) -> tuple[str, ...]:
    """Return split, folder of the emotion, and number; empty outside of the three splits."""
    match = _PLACE.fullmatch(item.path.removesuffix(Path(item.path).suffix) if not item.num_pictures else item.path)
    return (match[1].lower(), match[2], match[3]) if match else ()
