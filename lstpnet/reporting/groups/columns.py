"""The groups of clips that a report distinguishes: a column of a CSV file, or of a prepared dataset's clips.parquet."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dfer_data.errors import UsageError, did_you_mean
from dfer_data.shards.layout import CLIPS_NAME
from dfer_data.storage.csv_text import csv_rows, separator_of
from dfer_data.storage.files import read_regular_text
from dfer_data.wording import by_number, counted
from lstpnet.reporting.csv_faults import CsvFaults, exact_or_stripped, unknown_clip
from lstpnet.reporting.groups.settings import GroupSettings

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

NO_GROUP = "(none)"
"""Group of the clips without a value."""
MOST_NUMBERS = 12
"""A column of numbers with more different values needs `--quantiles`."""
MOST_GROUPS = 200
"""A column with more different values names clips rather than groups."""
_Key = TypeVar("_Key")
_NO_COLUMNS = frozenset({"clip_id", "votes", "labels", "shard", "row"})
"""Columns of clips.parquet that hold no groups."""


@dataclass(frozen=True)
class GroupColumn:
    """The group of each clip of a prepared dataset."""

    groups: Mapping[str, str]
    """Clip id -> group, NO_GROUP for a clip without a value."""
    order: tuple[str, ...]
    """Groups in the order of tables."""
    notes: tuple[str, ...] = ()
    """Remarks: clips without a value, ids that cannot be checked."""


def column_of_dataset(dataset: PreparedDataset, settings: GroupSettings) -> GroupColumn:
    """Return the groups of a column of clips.parquet.

    Raises UsageError for a column that is unknown or holds no groups.
    """
    import pandas.api.types

    name, clips = str(settings.by), dataset.clips
    known = [column for column in clips.columns if column not in _NO_COLUMNS]
    if name not in known:
        raise UsageError(
            f"--by {name}{did_you_mean(name, known)}: {dataset.root} has the columns {', '.join(known)}; another "
            f"column needs --groups FILE.csv, with the columns clip_id and {name}"
        )
    values = {clip_id: _text(value) for clip_id, value in zip(clips["clip_id"], clips[name], strict=True)}
    are_names = not pandas.api.types.is_numeric_dtype(clips[name])  # persons may be called 1001
    source = f"{dataset.root.resolve().name}/{CLIPS_NAME}"
    return _column(values, values.keys(), settings, source=source, are_names=are_names)


def columns_of_file(
    settings: GroupSettings, clip_ids: Mapping[_Key, Collection[str]], *, all_known: bool
) -> dict[_Key, GroupColumn]:
    """Return the groups that `settings.groups` gives, per prepared dataset.

    Args:
        settings: file and column.
        clip_ids: key of a prepared dataset -> its clips.
        all_known: whether these are all its clips, so that another id in the file is a fault.

    Raises:
        AnnotationError: every fault of the file with its line.
        UsageError: a file that cannot be read, or a column that holds no groups.
    """
    path, name = Path(str(settings.groups)), str(settings.by)
    known = {clip_id for ids in clip_ids.values() for clip_id in ids}
    values = _read_values(path, name, known, all_known=all_known)
    matched = {clip_id: value for clip_id, value in values.items() if clip_id in known}
    if not matched:
        raise UsageError(f"{path} names no test clip of these runs: compare its clip_id with predictions.parquet")
    others = len(values) - len(matched)
    notes = (
        [f"{counted(others, 'clip')} of {path.name} not among the test clips here; --data FOLDER checks the ids"]
        if others
        else []
    )
    columns = {}
    for key, ids in clip_ids.items():
        column = _column(matched, ids, settings, source=path.name)
        columns[key] = GroupColumn(column.groups, column.order, (*column.notes, *notes))
    return columns


def _read_values(path: Path, name: str, known: Collection[str], *, all_known: bool) -> dict[str, str]:
    """Return clip id -> value of the column `name`. Raises AnnotationError, UsageError."""
    try:
        text = read_regular_text(path)
        rows = list(csv_rows(text, delimiter=separator_of(text, "clip_id")))
    except OSError as error:
        raise UsageError(f"--groups {path} cannot be read: {error.strerror}; check the path") from error
    except ValueError as error:
        raise UsageError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    header, faults = [cell.strip() for cell in rows[0][1]] if rows else [], CsvFaults(path)
    for column in dict.fromkeys(("clip_id", name)):
        if header.count(column) != 1:
            words = "is listed twice" if column in header else f"is missing{did_you_mean(column, header)}"
            faults.add("header", 1, f"column {column} {words}; found: {', '.join(header) or '(empty file)'}")
    faults.raise_all()
    values, first_lines = dict[str, str](), dict[str, int]()
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            faults.add("cells", line, f"{counted(len(cells), 'cell')}, the header has {len(header)}")
            continue
        clip_id = exact_or_stripped(cells[header.index("clip_id")], known)
        if all_known and clip_id not in known:
            faults.add("unknown", line, unknown_clip(clip_id, known))
        elif clip_id in first_lines:
            faults.add("twice", line, f"clip {clip_id!r} is already in line {first_lines[clip_id]}")
        else:
            first_lines[clip_id] = line
            values[clip_id] = _text(cells[header.index(name)])
    faults.raise_all()
    return values


def _text(value: Any) -> str:
    """Return a cell in one line; empty for no value (None, NA, NaN)."""
    if value is None or (not isinstance(value, str) and not np.isscalar(value)):
        return ""  # pandas.NA is no scalar of numpy
    if isinstance(value, float) and math.isnan(value):
        return ""
    return " ".join(str(value).split())


def _column(
    values: Mapping[str, str],
    clip_ids: Collection[str],
    settings: GroupSettings,
    *,
    source: str,
    are_names: bool = False,
) -> GroupColumn:
    """Return the groups of `clip_ids`; `are_names`: numbers name their groups, so there may be many of them."""
    given = {clip_id: values[clip_id] for clip_id in clip_ids if values.get(clip_id)}
    if not given:
        raise UsageError(f"column {settings.by} of {source}: none of {counted(len(clip_ids), 'clip')} has a value")
    most_numbers = MOST_GROUPS if are_names else MOST_NUMBERS
    names, order = _names(list(given.values()), settings, source=source, most_numbers=most_numbers)
    groups = {clip_id: names[given[clip_id]] if clip_id in given else NO_GROUP for clip_id in clip_ids}
    missing = len(groups) - len(given)
    if not missing:
        return GroupColumn(groups, order)
    note = f"{NO_GROUP}: {missing} of {counted(len(groups), 'clip')}, for which {source} has no {settings.by}"
    return GroupColumn(groups, (*(name for name in order if name != NO_GROUP), NO_GROUP), (note,))


def _names(
    values: list[str], settings: GroupSettings, *, source: str, most_numbers: int
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return value -> name of its group, and the names in order. Raises UsageError for values that are no groups."""
    distinct = set(values)
    column, numbers = f"column {settings.by} of {source}", _numbers(distinct)
    if settings.quantiles is not None:
        if numbers is None:
            example = next(value for value in sorted(distinct) if _numbers({value}) is None)
            raise UsageError(f"--quantiles cuts numbers: {column} holds {example!r}")
        return _parts(numbers, values, settings.quantiles)
    if numbers is not None:
        if len(distinct) > most_numbers:
            raise UsageError(
                f"{column} holds {len(distinct)} different numbers: add --quantiles 4, or write names instead of "
                "numbers (actor-1001)"
            )
        return {value: value for value in distinct}, tuple(sorted(distinct, key=lambda value: (numbers[value], value)))
    if len(distinct) > MOST_GROUPS:
        raise UsageError(f"{column} holds {len(distinct)} different values; at most {MOST_GROUPS} make groups")
    return {value: value for value in distinct}, tuple(sorted(distinct, key=by_number))


def _numbers(distinct: Collection[str]) -> dict[str, float] | None:
    """Return the numbers that the values are; None if one is no finite number."""
    try:
        numbers = {value: float(value) for value in distinct}
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers.values())) else None


def _parts(
    numbers: Mapping[str, float], values: list[str], quantiles: int
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Cut numbers into parts with about as many clips each; equal numbers are never separated."""
    edges = np.quantile([numbers[value] for value in values], np.linspace(0, 1, quantiles + 1)[1:-1])
    members: dict[int, list[float]] = {}
    part_of = {value: int(np.searchsorted(edges, number, side="left")) for value, number in numbers.items()}
    for value, part in part_of.items():
        members.setdefault(part, []).append(numbers[value])
    ranges = {part: (min(members[part]), max(members[part])) for part in sorted(members)}
    for digits in range(6, 18):
        names = {part: _range(*limits, digits=digits) for part, limits in ranges.items()}
        if len(set(names.values())) == len(names):
            break
    return {value: names[part] for value, part in part_of.items()}, tuple(names.values())


def _range(low: float, high: float, *, digits: int) -> str:
    return f"{low:.{digits}g} to {high:.{digits}g}" if low < high else f"{low:.{digits}g}"
