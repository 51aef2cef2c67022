"""Lists of the field: text files of `path num_frames label` (Former-DFER and relatives) or `path label` (VideoMAE).

Their paths are absolute paths of another machine, their label numbers mean different emotions from list to list, and
their frame counts are often wrong. So paths are matched by their ends, classes.txt names the numbers, and frames are
counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dfer_data.sources.annotation import read_lines
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.catalog import not_there
from dfer_data.sources.class_names import CLASSES_NAME
from dfer_data.sources.listed_paths import ListedPath, list_lines
from dfer_data.sources.tree import scan

_LINE = re.compile(r"(?P<path>.+?)[ \t,]+(?:(?P<frames>\d+)[ \t,]+)?(?P<label>[^\s,]+)")
_SPLITS: dict[str, Split] = {"train": "train", "test": "test", "val": "test"}


def list_lists(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List the clips that the lists below `root` name; the path of a list gives its split and fold. See Source."""
    tree = scan(root, dataset="lists")
    names = [path for path in tree.files if path.lower().endswith((".txt", ".csv")) and CLASSES_NAME not in path]
    faults: list[str] = []
    splits = {name: (fold, split) for name in names for fold, split in _fold_and_split(name)}
    if not splits:
        raise not_there("lists", f"{root} holds no list with train, test or val in its name")
    by_fold: dict[str, set[str]] = {}
    for fold, split in splits.values():
        by_fold.setdefault(fold, set()).add(split)
    faults += [f"fold {fold}: no list of {w}" for fold, s in by_fold.items() for w in ("train", "test") if w not in s]
    lines = [line for name, (fold, split) in splits.items() for line in _lines(root, name, fold, split, faults)]
    return list_lines("lists", tree, lines, layout=layout, crops=crops, faults=faults, fold_rule="as the lists say")


def _fold_and_split(name: str) -> Iterator[tuple[str, Split]]:
    """Yield fold and split of a list if its path contains them: `set_2_test.txt`, `test/set_2.csv`."""
    words = re.findall("train|test|val", name.lower())
    numbers = re.findall(r"\d+", name.rpartition(".")[0])
    if words:
        yield str(int(numbers[-1])) if numbers else "1", _SPLITS[words[-1]]


def _lines(root: Path, name: str, fold: str, split: Split, faults: list[str]) -> Iterator[ListedPath]:
    for where, text in read_lines(root, name, faults):
        match = _LINE.fullmatch(text.strip())
        if match is None:
            faults.append(f"{where}: {text!r} is not a path, optionally a number of frames, and a label")
            continue
        frames = match["frames"]
        yield ListedPath(match["path"], match["label"], fold, split, where, None, int(frames) if frames else None)
