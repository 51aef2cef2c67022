"""How DFEW's ten annotators voted: `Annotation/annotation.xlsx`, a line a clip, the single-labelled ones among them."""

from __future__ import annotations

import re
from pathlib import Path

from dfer_data.errors import AnnotationError
from dfer_data.sources.class_labels import DFEW_NAMES, DFEW_NUMBERS
from dfer_data.sources.spreadsheet import read_rows

Votes = tuple[tuple[int, ...] | None, str]
NO_VOTES: Votes = (None, "")


def read_votes(root: Path) -> tuple[dict[str, Votes], list[str]]:
    """Return clip id -> votes in the order of DFEW_NAMES, and the label they led to; none without annotation.xlsx."""
    path = next((path for path in sorted(root.rglob("annotation.xlsx")) if path.is_file()), None)
    if path is None:
        return {}, []
    name = path.relative_to(root).as_posix()
    try:
        (_, header), *rows = list(read_rows(path, name)) or [(1, ())]
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
                f"{name}:{number}: {','.join(words)!r} are not seven numbers of votes, a clip and a label 0 to 7"
            )
        elif (clip_id := f"{int(clip):05d}") in votes:
            faults.append(f"{name}:{number}: clip {clip} stands there twice")
        else:
            votes[clip_id] = tuple(map(int, counts)), DFEW_NUMBERS.get(int(label), "")
    return votes, faults


def _vote_columns(header: tuple[str, ...], name: str) -> tuple[list[int], list[str]]:
    """Return the columns of the seven classes, of the clip and of its label; headers are seen in two spellings."""
    wanted = [*(rf"\d?\s*{emotion}" for emotion in DFEW_NAMES), "order|clip_?name|video_?name", "label|annotation"]
    places = [[i for i, word in enumerate(header) if re.fullmatch(pattern, word, re.IGNORECASE)] for pattern in wanted]
    if all(len(place) == 1 for place in places):
        return [place[0] for place in places], []
    needed = f"{', '.join(DFEW_NAMES)}, order (or clip_name), label (or annotation)"
    return [], [f"{name}:1: the columns are {', '.join(header)!r}; wanted {needed}"]
