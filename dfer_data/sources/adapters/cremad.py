"""CREMA-D (Cao et al., 2014): `VideoFlash/1001_DFA_ANG_XX.flv` is actor, sentence, emotion, level. Folds by actor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dfer_data.sources.annotation import read_lines
from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.class_labels import CREMAD_NAMES
from dfer_data.sources.filename_codes import Named, list_coded
from dfer_data.sources.tree import DatasetTree
from dfer_data.storage.csv_text import csv_rows

_CODES = dict(zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), CREMAD_NAMES, strict=True))
_LIST = "SentenceFilenames.csv"


def list_cremad(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List CREMA-D; clips that SentenceFilenames.csv names and the folder lacks are missing. See Source."""
    return list_coded("cremad", root, layout=layout, crops=crops, read=_read, listed=_listed)


def _read(name: str) -> Named | str | None:
    match = re.fullmatch(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(LO|MD|HI|XX|X)", name)
    if match is None:
        return f"{name!r} is not actor_sentence_emotion_level, as in 1001_DFA_ANG_XX"
    if match[3] not in _CODES:
        return f"emotion {match[3]!r} in {name}; known: {', '.join(_CODES)}"
    return Named(name, _CODES[match[3]], match[1])


def _listed(tree: DatasetTree, faults: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (`file:line`, name) per line of SentenceFilenames.csv: a number and a name, both in quotes."""
    path = tree.named(_LIST)
    lines = list(read_lines(tree.root, path, faults)) if path else []
    seen: dict[str, str] = {}
    for where, line in lines[1:]:
        cells = _cells(line)
        if len(cells) != 2 or not cells[0].isdecimal():
            faults.append(f"{where}: {line!r} is not a number and a file name")
        elif (first := seen.setdefault(cells[1], where)) != where:
            faults.append(f"{where}: {cells[1]} is listed twice ({first})")
        else:
            yield where, cells[1]


def _cells(line: str) -> list[str]:
    try:
        return [cell for _, cells in csv_rows(line.strip()) for cell in cells]
    except ValueError:  # an open quote
        return []
