"""Published WAR and UAR with their sources, from package data, and their table.

Figures are cited as printed and never merged: if two sources disagree, `conflict` holds the other source's figures.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
import io
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dfer_data.errors import UsageError
from dfer_data.render.tables import Section, per_cent
from dfer_data.wording import counted

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
"""Dataset as `dfer prepare` names it -> the test set that papers report on."""
DEFAULT_DATASETS = ("dfew", "ferv39k", "afew")
"""Datasets that a report without runs shows."""
DAGGER = "\N{DAGGER}"
"""Marks a row if another source prints different figures."""
_CLASSES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
_SHORT = ("Former-DFER", "NR-DFERNet", "M3DFEL", "LSTPNet", "DFER-CLIP", "MAE-DFER", "S2D (no", "FineCLIPER", "MSCM")
"""Prefixes of the method names that a short table shows."""


@dataclass(frozen=True)
class PublishedRow:
    """One method on one dataset, as printed by its source."""

    dataset: str
    """Name as in `dfer prepare`."""
    test_set: str
    """Test set, e.g. `AFEW7.0-val`."""
    method: str
    """Name, with its variant if the source prints several."""
    year: int
    """Year of publication."""
    venue: str
    """Venue of publication; may be empty."""
    war: float | None
    """Fraction 0..1; None if not printed."""
    uar: float | None
    """Fraction 0..1; None if not printed."""
    recall: dict[str, float | None]
    """Class name -> fraction 0..1; None if not printed."""
    source: str
    """Source of the figures."""
    mismatch: str
    """Known difference of its protocol from `all test clips, the test part chooses nothing`; empty if none is known."""
    conflict: str
    """Figures of another source for the same method; empty if none is known."""
    note: str
    """Caveats of the row; usually empty."""
    is_language_model: bool = False
    """Whether a language model of billions of parameters gives the answers; tables keep these rows apart."""

    @property
    def marked_method(self) -> str:
        """The method, with `*` if its protocol is known to differ and a dagger if sources disagree."""
        marks = "*" * bool(self.mismatch) + DAGGER * bool(self.conflict)
        return f"{self.method} {marks}".rstrip()


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
        conflict=cells["conflict"],
        note=cells["note"],
        is_language_model=cells["language_model"] == "yes",
    )


def _fraction(per_cent: str) -> float | None:
    return round(float(per_cent) / 100, 6) if per_cent else None


def published_rows(datasets: Sequence[str] = DEFAULT_DATASETS) -> tuple[PublishedRow, ...]:
    """Return the rows of datasets, in the order of `datasets`; a dataset without published results has none."""
    return tuple(row for dataset in datasets for row in _all_rows() if row.dataset == dataset)


def dataset_named(name: str) -> str:
    """Return the dataset, as `dfer prepare` names it, for a common `name`: DFEW, dfew, AFEW, AFEW7.0-val...

    Raises UsageError for a dataset without published rows.
    """
    normalised_name = name.lower().replace("-", "")
    for dataset, test_set in SETS.items():
        if normalised_name in (dataset, test_set.lower().replace("-", "")):
            return dataset
    raise UsageError(f"no published figures on {name!r}; choose one of {', '.join(SETS)}")


def published_section(rows: Sequence[PublishedRow], *, short: bool = False) -> Section:
    """Return the table of one dataset's rows; `short` selects some.

    Marks: `*` if the protocol is known to differ, a dagger if another source has different figures.
    """
    shown = [row for row in rows if row.method.startswith(_SHORT)] if short else list(rows)
    notes = ["DFEW's figures cover all five folds, as mean or pooled"] if rows[0].dataset == "dfew" else []
    notes += published_notes(shown)
    if len(shown) < len(rows):
        notes.append(f"{len(shown)} of {counted(len(rows), 'published row')}; --format md shows all, with recalls")
    return _section("published", shown, notes, has_recalls=not short)


def language_model_section(rows: Sequence[PublishedRow], *, short: bool = False) -> Section:
    """Return the table of one dataset's rows of language models; `short` omits the recalls."""
    notes = ["7 to 8 billion parameters; folds and training data differ or are not stated: no ranks among the others"]
    return _section("published language models", rows, notes + published_notes(rows), has_recalls=not short)


def _section(title: str, rows: Sequence[PublishedRow], notes: Sequence[str], *, has_recalls: bool) -> Section:
    columns = {
        "method": [row.marked_method for row in rows],
        "year": [str(row.year) for row in rows],
        "WAR": [per_cent(row.war) for row in rows],
        "UAR": [per_cent(row.uar) for row in rows],
    }
    for name in rows[0].recall if has_recalls else ():
        columns[f"recall {name}"] = [per_cent(row.recall[name]) for row in rows]
    columns["source"] = [row.source for row in rows]
    title = f"{title}, {SETS[rows[0].dataset]}: per cent"
    return Section(title, tuple(columns), tuple(zip(*columns.values(), strict=True)), tuple(notes))


def published_notes(rows: Sequence[PublishedRow]) -> list[str]:
    """Return the explanations of the rows' marks, and the rows' notes."""
    notes = [f"* {row.method}: {row.mismatch}" for row in rows if row.mismatch]
    notes += [f"{DAGGER} {row.method}: {row.conflict}" for row in rows if row.conflict]
    return notes + [f"{row.method}: {row.note}" for row in rows if row.note]
