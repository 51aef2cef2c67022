"""MAFW (Liu et al., ACM MM 2022): the single set of eleven emotions in five folds; videos, or the crops it ships.

Lists: `single/no_caption/set_K/{train,test}.txt`, `00025.mp4 anger`. Those with captions have tabs, GBK and fewer
lines; they are taken where the others are not there. Lists of compound emotions are left alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from dfer_data.catalog import not_there
from dfer_data.labels import MAFW_NAMES, emotion
from dfer_data.sources.annotation import Entry, assemble, read_lines
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.tree import Found, by_clip, of_kind, scan

_LIST = re.compile(
    r"(?:.*/)?single/(?P<kind>no|with)_caption/set_(?P<fold>\d)/(?P<split>train|test)\.txt", re.IGNORECASE
)
_FOLDS, _SPLITS = ("1", "2", "3", "4", "5"), ("train", "test")


def list_mafw(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List MAFW's single-labelled clips. See Source."""
    tree = scan(root, dataset="mafw")
    lists = {
        match.expand(r"\g<kind> \g<fold> \g<split>").lower(): match[0]
        for match in map(_LIST.fullmatch, tree.files)
        if match
    }
    if not lists:
        raise not_there("mafw", f"no MAFW lists below {root}")
    kind = "no" if any(key.startswith("no ") for key in lists) else "with"
    faults: list[str] = []
    entries: list[Entry] = []
    for fold in _FOLDS:
        for split in _SPLITS:
            path = lists.get(f"{kind} {fold} {split}")
            faults += [f"single/{kind}_caption/set_{fold}/{split}.txt: missing"] if path is None else []
            entries += _entries(root, path, fold, split, faults) if path else []  # type: ignore[arg-type]
    found = by_clip(tree, of_kind(tree, layout, crops=crops), _clip_id, faults)
    notes = ("the lists with captions are taken, which have fewer clips: no_caption is not there",) * (kind == "with")
    return assemble(
        "mafw", tree, layout=layout, class_names=MAFW_NAMES, entries=entries, found=found, faults=faults, notes=notes
    )


def _entries(root: Path, path: str, fold: str, split: Split, faults: list[str]) -> list[Entry]:
    entries = []
    for where, line in read_lines(root, path, faults):
        name, _, rest = line.replace("\t", " ", 1).partition(" ")
        word, number = (rest.split("\t")[0].strip(), name.replace("\\", "/").rpartition("/")[2].partition(".")[0])
        if not number.isdecimal() or not word:
            faults.append(f"{where}: {line!r} is not 00025.mp4 and an emotion")
        elif emotion(word) not in MAFW_NAMES:
            faults.append(f"{where}: label {word!r} of video {number}; known: {', '.join(MAFW_NAMES)}")
        else:
            entries.append(Entry(f"{int(number):05d}", emotion(word), fold, split, where))
    return entries


def _clip_id(one: Found) -> str | None:
    return f"{int(one.stem):05d}" if one.stem.isdecimal() else None
