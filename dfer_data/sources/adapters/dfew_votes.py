"""Votes of DFEW's ten annotators: `Annotation/annotation.xlsx`, one line per clip, single-labelled or not."""

from __future__ import annotations

import re

from dfer_data.errors import AnnotationError
from dfer_data.sources.class_labels import DFEW_NAMES, DFEW_NUMBERS
from dfer_data.sources.spreadsheet import read_rows
from dfer_data.sources.tree import DatasetTree

Votes = tuple[tuple[int, ...] | None, str]
NO_VOTES: Votes = (None, "")


def read_votes(tree: DatasetTree) -> tuple[dict[str, Votes], list[str]]:
    """Return clip id -> (votes in the order of DFEW_NAMES, resulting label), and faults; both empty without a sheet."""
    name = tree.named("annotation.xlsx")
    if name is None:
        return {}, []
    try:
        (_, header), *rows = list(read_rows(tree.root / name, name)) or [(1, ())]
    except AnnotationError as error:
        return {}, list(error.faults)
    columns, faults = _vote_columns(header, name)
    votes: dict[str, Votes] = {}
    for number, cells in () if faults else rows:
        words = [cells[column] if column < len(cells) else "" for column in columns]
        words[-2] = words[-2].removesuffix(".mp4")
        *counts, clip, label = words
        if (
            not all(word.isdecimal() for word in words)
            or int(label) not in (0, *DFEW_NUMBERS)
            or not any(map(int, counts))
        ):
            faults.append(
                f"{name}:{number}: {','.join(words)!r} is not seven numbers of votes, a clip and a label 0 to 7"
            )
        elif (clip_id := f"{int(clip):05d}") in votes:
            faults.append(f"{name}:{number}: clip {clip} is listed twice")
        else:
            votes[clip_id] = tuple(map(int, counts)), DFEW_NUMBERS.get(int(label), "")
    return votes, faults


def _vote_columns(header: tuple[str, ...], name: str) -> tuple[list[int], list[str]]:
    """Return the columns of the seven classes, the clip and its label, and faults; headers come in two spellings."""
    patterns = [*(rf"\d?\s*{emotion}" for emotion in DFEW_NAMES), "order|clip_?name|video_?name", "label|annotation"]
    matches = [[i for i, word in enumerate(header) if re.fullmatch(regex, word, re.IGNORECASE)] for regex in patterns]
    if all(len(indices) == 1 for indices in matches):
        return [indices[0] for indices in matches], []
    expected = f"{', '.join(DFEW_NAMES)}, order (or clip_name), label (or annotation)"
    return [], [f"{name}:1: the columns are {', '.join(header)!r}; expected {expected}"]
