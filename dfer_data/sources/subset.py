"""Prepare a part of a dataset: a pilot of a few videos of each class, or all but those that must not be prepared."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from dfer_data.errors import UsageError
from dfer_data.sources.base import SourceListing
from dfer_data.storage.csv_text import composed, csv_rows, from_spreadsheet
from dfer_data.storage.files import read_regular_text


def read_ids(path: Path, *, flag: str) -> tuple[str, ...]:
    """Return the ids in a file: one per line, or the column clip_id of a CSV. Raises UsageError.

    Lines that begin with `#` are comments; `"#1"` in quotes is an id. Spaces around an id without quotes are removed.
    """
    try:
        text = read_regular_text(path)
        lines = text.split("\n")
        rows = [(line, cells) for line, cells in csv_rows(text) if not lines[line - 1].startswith("#")]
    except (OSError, ValueError) as error:
        raise UsageError(f"{flag} {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    column = 0
    if rows and "clip_id" in rows[0][1]:
        column = rows[0][1].index("clip_id")
        rows = rows[1:]
    elif wide := [line for line, cells in rows if len(cells) > 1]:
        raise UsageError(f"{flag} {path}: line {wide[0]} has several columns, and there is no header with clip_id")
    if short := [line for line, cells in rows if len(cells) <= column]:
        raise UsageError(f"{flag} {path}: line {short[0]} has no clip_id")
    is_exact = [len(cells) == 1 and lines[line - 1].startswith('"') for line, cells in rows]
    values = [
        cells[column] if exact else cells[column].strip() for (_, cells), exact in zip(rows, is_exact, strict=True)
    ]
    ids = [composed(from_spreadsheet(value)) for value in values]
    return tuple(dict.fromkeys(clip_id for clip_id in ids if clip_id))


def line_of_id(clip_id: str) -> str:
    """Return the line of a file from which `read_ids` reads this id."""
    text = clip_id if from_spreadsheet(clip_id) == clip_id else f"'{clip_id}"
    needs_quotes = re.search(r'[",]|^[#\s]|\s$', text) is not None
    return '"{}"'.format(text.replace('"', '""')) if needs_quotes else text


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
