"""eNTERFACE05 (Martin et al., ICDE Workshops 2006): 43 subjects say five sentences in each of six emotions, in English.

`subject 1/anger/sentence 1/s1_an_1.avi`, with spaces or underscores. The folders are the annotation: all files of
subject 11 are named s12, 16 of subject 3 otherwise than the rest, two sentences of subject 2 are swapped. Subject 6 is
six sessions that nobody cut into sentences. Folds by subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.class_labels import ENTERFACE05_NAMES, emotion
from dfer_data.sources.filename_codes import Named, list_coded
from dfer_data.sources.tree import DatasetTree

_PLACE = re.compile(r"(?:^|/)subject[ _](\d+)/(?:([^/]+)/)?(?:sentence[ _](\d+)(?:/|$))?", re.IGNORECASE)
_UNCUT_SUBJECT = 6
_CODES = dict(zip(ENTERFACE05_NAMES, ("an", "di", "fe", "ha", "sa", "su"), strict=True))


def list_enterface05(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List eNTERFACE05's sentences; one whose file is no video by its name (s16_su_3avi) is missing. See Source."""
    return list_coded(
        "enterface05", root, layout=layout, crops=crops, read=_read, name=lambda item: item.path, listed=_listed
    )


def _read(path: str) -> Named | str | None:
    match = _PLACE.search(path)
    if match is None or int(match[1]) == _UNCUT_SUBJECT:
        return None
    label, sentence = emotion(match[2] or ""), int(match[3] or 0)
    if label not in _CODES:
        return f"is in no folder of an emotion; known: {', '.join(ENTERFACE05_NAMES)}"
    if not 1 <= sentence <= 5:
        return "is in no folder `sentence 1` to `sentence 5`"
    subject = f"{int(match[1]):02d}"
    return Named(f"s{subject}_{_CODES[label]}_{sentence}", label, subject)


def _listed(tree: DatasetTree, faults: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (path, path) per file in a folder of a sentence: its video should exist."""
    yield from ((path, path) for path in tree.files if (match := _PLACE.search(path)) and match[3])
