"""MAFW (Liu et al., ACM MM 2022): eleven emotions, or 43 single and compound ones, in five folds; videos or crops.

Lists: `single/no_caption/set_K/{train,test}.txt`, `00025.mp4 anger`, and `compound/...`, `00025.mp4 anger_disgust`.
Those with captions have tabs, GBK and fewer lines; they are read only if no_caption is missing. The folds of compound
emotions are not those of the single ones: a quarter of the clips is in another fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dfer_data.sources.annotation import Entry, assemble, read_lines
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.catalog import not_there
from dfer_data.sources.class_labels import MAFW_COMPOUND_NAMES, MAFW_NAMES, emotion
from dfer_data.sources.tree import by_clip, five_digits, of_kind, scan

_SPLITS: tuple[Split, ...] = ("train", "test")


def list_mafw(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List MAFW's single-labelled clips. See Source."""
    return list_subset(root, "mafw", "single", MAFW_NAMES, layout=layout, crops=crops)


def list_mafw_compound(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List MAFW's clips of single and compound emotions as 43 classes. See Source."""
    return list_subset(root, "mafw-compound", "compound", MAFW_COMPOUND_NAMES, layout=layout, crops=crops)


def list_subset(
    root: Path, dataset: str, subset: str, class_names: tuple[str, ...], *, layout: Layout, crops: str | None
) -> SourceListing:
    """List the clips in the lists of `single` or `compound` emotions. Raises as a Source does."""
    tree = scan(root, dataset=dataset)
    names = [(fold, split, f"set_{fold}/{split}.txt") for fold in ("1", "2", "3", "4", "5") for split in _SPLITS]
    kinds = (f"{subset}/no_caption/", f"{subset}/with_caption/")
    kind = next((kind for kind in kinds if any(tree.ending(kind + name) for _, _, name in names)), None)
    if kind is None:
        raise not_there(dataset, f"no MAFW lists of {subset} emotions below {root}", root=root)
    faults: list[str] = []
    entries: list[Entry] = []
    for fold, split, name in names:
        path = tree.ending(kind + name)
        faults += [f"{kind}{name}: missing"] if path is None else []
        entries += _entries(root, path, fold, split, class_names, faults) if path else []
    found = by_clip(tree, of_kind(tree, layout, crops=crops), five_digits, faults)
    notes = ("no_caption is missing: the lists with captions are used, which have fewer clips",) * (kind != kinds[0])
    return assemble(
        dataset, tree, layout=layout, class_names=class_names, entries=entries, found=found, faults=faults, notes=notes
    )


def _entries(
    root: Path, path: str, fold: str, split: Split, class_names: tuple[str, ...], faults: list[str]
) -> Iterator[Entry]:
    for where, line in read_lines(root, path, faults):
        name, _, words = line.replace("\t", " ", 1).partition(" ")
        number, word = name.replace("\\", "/").rpartition("/")[2].removesuffix(".mp4"), words.partition("\t")[0].strip()
        label = "_".join(map(emotion, word.split("_")))
        if not number.isdecimal() or not word:
            faults.append(f"{where}: {line!r} is not 00025.mp4 and an emotion")
        elif label not in class_names:
            faults.append(f"{where}: label {word!r} of video {number}; known: {', '.join(class_names)}")
        else:
            yield Entry(f"{int(number):05d}", label, fold, split, where)
