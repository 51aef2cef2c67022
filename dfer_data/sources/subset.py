"""Prepare a part of a dataset: a pilot of a few videos of each class, or all but those that must not be prepared."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dfer_data.errors import UsageError
from dfer_data.sources.base import SourceListing
from dfer_data.storage.csv_text import composed, csv_rows, from_spreadsheet
from dfer_data.storage.files import read_regular_text

_HEADER = "clip_id"


def read_ids(path: Path, *, flag: str, known: Container[str] = ()) -> tuple[str, ...]:
    """Return the ids in a file: one per line, or the column clip_id of a CSV.

    Lines that begin with `#` are comments; `"#1"` in quotes is an id. Spaces around an id without quotes are removed.
    A first line `clip_id` is a header; in quotes it is one where other lines have quotes that they do not need.
    Raises UsageError, also for such a line alone where `known`, the ids of the dataset, has a clip of that name.
    """
    try:
        ids, is_header_alone = _ids_in(read_regular_text(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{flag} {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except ValueError as error:
        raise UsageError(f"{flag} {path}: {error}") from error
    if is_header_alone and _HEADER in known and _HEADER not in ids:
        raise UsageError(
            f"{flag} {path} begins with {_HEADER}, a header or the clip of this name: "
            f'write "{_HEADER}" with quotes for the clip, or delete the line'
        )
    return ids


def with_ids(text: str, clip_ids: Iterable[str]) -> str:
    """Return the text of a list with these ids appended, those that it lacks; "" is an empty list.

    Raises ValueError for a text that is no list, or is a table, which has other columns too.
    """
    known, _ = _ids_in(text)
    new = [clip_id for clip_id in dict.fromkeys(clip_ids) if clip_id not in set(known)]
    longer = "\n".join([*filter(None, [text.removesuffix("\n")]), *map(line_of_id, new), ""])
    try:
        is_list = _ids_in(longer)[0] == (*known, *new)
    except ValueError:
        is_list = False
    if not is_list:
        raise ValueError("it is a table with several columns; give a file with one id per line")
    return longer


def _ids_in(text: str) -> tuple[tuple[str, ...], bool]:
    """Return the ids, and whether the first line may be one of them although it was taken for a header."""
    lines = text.split("\n")
    rows = [(lines[line - 1], line, cells) for line, cells in csv_rows(text) if not lines[line - 1].startswith("#")]
    column, is_header_alone = 0, False
    if rows and _is_header(rows):
        column, is_header_alone = rows[0][2].index(_HEADER), rows[0][0].strip() == _HEADER
        rows = rows[1:]
    elif wide := [line for _, line, cells in rows if len(cells) > 1]:
        raise ValueError(f"line {wide[0]} has several columns, and there is no header with {_HEADER}")
    if short := [line for _, line, cells in rows if len(cells) <= column]:
        raise ValueError(f"line {short[0]} has no {_HEADER}")
    values = [
        cells[column] if len(cells) == 1 and line.startswith('"') else cells[column].strip() for line, _, cells in rows
    ]
    ids = [composed(from_spreadsheet(value)) for value in values]
    return tuple(dict.fromkeys(clip_id for clip_id in ids if clip_id)), is_header_alone


def _is_header(rows: Sequence[tuple[str, int, list[str]]]) -> bool:
    """Whether the first of the rows (line, number, cells) names columns, and is no id in quotes."""
    line, _, cells = rows[0]
    if _HEADER not in cells:
        return False
    return len(cells) > 1 or not line.startswith('"') or any(_has_idle_quotes(other) for other in rows[1:])


def _has_idle_quotes(row: tuple[str, int, list[str]]) -> bool:
    line, _, cells = row
    return line.startswith('"') and not _needs_quotes(cells[0])


def line_of_id(clip_id: str) -> str:
    """Return the line of a file from which `read_ids` reads this id."""
    text = clip_id if from_spreadsheet(clip_id) == clip_id else f"'{clip_id}"
    return '"{}"'.format(text.replace('"', '""')) if _needs_quotes(text) else text


def _needs_quotes(text: str) -> bool:
    return text == _HEADER or re.search(r'[",]|^[#\s]|\s$', text) is not None


def without(listing: SourceListing, clip_ids: Container[str]) -> SourceListing:
    """Return the listing without some videos."""
    videos = tuple(video for video in listing.videos if video.clip_id not in clip_ids)
    folds = {
        fold: {video: split for video, split in splits.items() if video not in clip_ids}
        for fold, splits in listing.folds.items()
    }
    return replace(listing, videos=videos, folds=folds)


def pilot(listing: SourceListing, num_videos: int) -> SourceListing:
    """Return the listing with at most so many videos, as many of each class as there are, chosen by their ids' hash."""
    by_class: defaultdict[str, list[str]] = defaultdict(list)
    for video in listing.videos:
        by_class[video.label or ""].append(video.clip_id)
    ranked = [
        (rank, label, clip_id)
        for label, clip_ids in by_class.items()
        for rank, clip_id in enumerate(sorted(clip_ids, key=_digest))
    ]
    chosen = {clip_id for _, _, clip_id in sorted(ranked)[:num_videos]}
    return without(listing, {video.clip_id for video in listing.videos} - chosen)


def _digest(clip_id: str) -> str:
    return hashlib.sha256(clip_id.encode("utf-8", "surrogatepass")).hexdigest()
