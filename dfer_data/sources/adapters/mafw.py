"""MAFW (Liu et al., ACM MM 2022): the single set of eleven emotions in five folds; videos, or the crops it ships.

Lists: `single/no_caption/set_K/{train,test}.txt`, `00025.mp4 anger`. Lists with captions have tabs, GBK and fewer
lines; they are read only if no_caption is missing. Lists of compound emotions are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dfer_data.sources.annotation import Entry, assemble, read_lines
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.catalog import not_there
from dfer_data.sources.class_labels import MAFW_NAMES, emotion
from dfer_data.sources.tree import by_clip, five_digits, of_kind, scan

_SPLITS: tuple[Split, ...] = ("train", "test")


def list_mafw(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List MAFW's single-labelled clips. See Source."""
    tree = scan(root, dataset="mafw")
    names = [(fold, split, f"set_{fold}/{split}.txt") for fold in ("1", "2", "3", "4", "5") for split in _SPLITS]
    kinds = ("single/no_caption/", "single/with_caption/")
    kind = next((kind for kind in kinds if any(tree.ending(kind + name) for _, _, name in names)), None)
    if kind is None:
        raise not_there("mafw", f"no MAFW lists below {root}")
    faults: list[str] = []
    entries: list[Entry] = []
    for fold, split, name in names:
        path = tree.ending(kind + name)
        faults += [f"{kind}{name}: missing"] if path is None else []
        entries += _entries(root, path, fold, split, faults) if path else []
    found = by_clip(tree, of_kind(tree, layout, crops=crops), five_digits, faults)
    notes = ("no_caption is missing: the lists with captions are used, which have fewer clips",) * (kind != kinds[0])
    return assemble(
        "mafw", tree, layout=layout, class_names=MAFW_NAMES, entries=entries, found=found, faults=faults, notes=notes
    )


def _entries(root: Path, path: str, fold: str, split: Split, faults: list[str]) -> Iterator[Entry]:
    for where, line in read_lines(root, path, faults):
        name, _, label = line.replace("\t", " ", 1).partition(" ")
        number, word = name.replace("\\", "/").rpartition("/")[2].removesuffix(".mp4"), label.partition("\t")[0].strip()
        if not number.isdecimal() or not word:
            faults.append(f"{where}: {line!r} is not 00025.mp4 and an emotion")
        elif emotion(word) not in MAFW_NAMES:
            faults.append(f"{where}: label {word!r} of video {number}; known: {', '.join(MAFW_NAMES)}")
        else:
            yield Entry(f"{int(number):05d}", emotion(word), fold, split, where)
