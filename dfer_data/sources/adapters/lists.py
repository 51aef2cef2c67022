"""Lists of the field: text files of `path num_frames label` (Former-DFER and relatives) or `path label` (VideoMAE).

Their paths are absolute paths of another machine, their label numbers mean different emotions from list to list, and
their frame counts are often wrong. So paths are matched by their ends, classes.txt names the numbers, and frames are
counted. The lists of one folder are of one dataset: their names may differ in split and fold alone.
"""

from __future__ import annotations

from pathlib import Path

from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.catalog import not_there
from dfer_data.sources.class_names import CLASSES_NAME
from dfer_data.sources.list_files import listed_clips
from dfer_data.sources.listed_paths import list_lines
from dfer_data.sources.tree import scan


def list_lists(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List the clips that the lists below `root` name; the path of a list gives its split and fold. See Source.

    UsageError if the folder has lists of several datasets, or several lists of one split of a fold.
    """
    tree = scan(root, dataset="lists")
    names = [path for path in tree.files if path.lower().endswith((".txt", ".csv")) and CLASSES_NAME not in path]
    faults, notes = list[str](), list[str]()
    lines = listed_clips(root, names, faults, notes)
    if lines is None:
        raise not_there("lists", f"{root} holds no list with train, test or val in its name")
    return list_lines(
        "lists", tree, lines, layout=layout, crops=crops, faults=faults, fold_rule="as the lists say", notes=notes
    )
