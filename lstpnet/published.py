"""Published WAR and UAR with their sources, as package data, and their table: what one's own stands beside.

Figures are cited as they were printed, not merged: where two sources disagree there are two rows, or a word in
`source`.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
import io
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from lstpnet.tables import Section, per_cent

SETS = MappingProxyType(
    {
        "dfew": "DFEW",
        "ferv39k": "FERV39k",
        "afew": "AFEW7.0-val",
        "mafw": "MAFW-11",
        "cremad": "CREMA-D-6",
        "ravdess": "RAVDESS-8",
    }
)
"""Dataset as `dfer prepare` knows it -> the set that papers report on."""
DEFAULT_DATASETS = ("dfew", "ferv39k", "afew")
"""What a report without runs shows."""
_CLASSES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
_SHORT = ("Former-DFER", "NR-DFERNet", "M3DFEL", "LSTPNet", "DFER-CLIP", "MAE-DFER", "S2D (no", "FineCLIPER", "MSCM")
"""Beginnings of the names of the methods that a short table shows."""


@dataclass(frozen=True)
class PublishedRow:
    """One method on one dataset, as printed by its source."""

    dataset: str
    """Name as `dfer prepare` knows it."""
    test_set: str
    """What was tested on, e.g. `AFEW7.0-val`."""
    method: str
    """Name, with the variant where several were printed."""
    year: int
    """Of the publication."""
    venue: str
    """Where it was published; may be empty."""
    war: float | None
    """Fraction 0..1; None where it was not printed."""
    uar: float | None
    """Fraction 0..1; None where it was not printed."""
    recall: dict[str, float | None]
    """Class name -> fraction 0..1; None where it was not printed."""
    source: str
    """Where the figures were read."""
    mismatch: str
    """How its protocol is known to differ from `all test clips, the test part chooses nothing`; empty: not known."""
    note: str
    """What to know before using the row; mostly empty."""


@functools.cache
def _all_rows() -> tuple[PublishedRow, ...]:
    text = (importlib.resources.files("lstpnet") / "data" / "published_results.csv").read_text(encoding="utf-8")
    datasets = {test_set: dataset for dataset, test_set in SETS.items()}
    return tuple(_row(cells, dataset=datasets[cells["dataset"]]) for cells in csv.DictReader(io.StringIO(text)))


def _row(cells: dict[str, str], *, dataset: str) -> PublishedRow:
    return PublishedRow(
        dataset=dataset,
        test_set=cells["dataset"],
        method=cells["method"],
        year=int(cells["year"]),
        venue=cells["venue"],
        war=_fraction(cells["war"]),
        uar=_fraction(cells["uar"]),
        recall={name: _fraction(cells[name]) for name in _CLASSES},
        source=cells["source"],
        mismatch=cells["mismatch"],
        note=cells["note"],
    )


def _fraction(per_cent: str) -> float | None:
    return round(float(per_cent) / 100, 6) if per_cent else None


def published_rows(datasets: Sequence[str] = DEFAULT_DATASETS) -> tuple[PublishedRow, ...]:
    """Return the rows of some datasets in the order of the names given; a dataset nobody reported on has none."""
    return tuple(row for dataset in datasets for row in _all_rows() if row.dataset == dataset)


def published_section(rows: Sequence[PublishedRow], *, short: bool = False) -> Section:
    """Return the table of one dataset's rows, `*` where the protocol is known to differ; `short`: a selection."""
    shown = [row for row in rows if row.method.startswith(_SHORT)] if short else list(rows)
    columns = {
        "method": [f"{row.method} *" if row.mismatch else row.method for row in shown],
        "year": [str(row.year) for row in shown],
        "WAR": [per_cent(row.war) for row in shown],
        "UAR": [per_cent(row.uar) for row in shown],
    }
    for name in () if short else rows[0].recall:
        columns[f"recall {name}"] = [per_cent(row.recall[name]) for row in shown]
    columns["source"] = [row.source for row in shown]
    notes = ["DFEW's figures are of all five folds, mean or pooled"] if rows[0].dataset == "dfew" else []
    notes += [f"* {row.method}: {row.mismatch}" for row in shown if row.mismatch]
    notes += [f"{row.method}: {row.note}" for row in shown if row.note]
    if len(shown) < len(rows):
        notes.append(f"{len(shown)} of {len(rows)} published rows; --format md shows all, with recalls")
    title = f"published, {SETS[rows[0].dataset]}: per cent"
    return Section(title, tuple(columns), tuple(zip(*columns.values(), strict=True)), tuple(notes))
