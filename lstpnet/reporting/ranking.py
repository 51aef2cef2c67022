"""Rank a report's own lines among a dataset's published rows by WAR, with the reasons why they do not compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dfer_data.errors import UsageError
from dfer_data.render.tables import Section, listed, per_cent
from dfer_data.shards.identity import OFFICIAL_SET
from dfer_data.sources.official_counts import official
from dfer_data.wording import counted
from lstpnet.reporting.published_results import SETS, PublishedRow, published_notes
from lstpnet.reporting.rows import Row, is_complete, protocol_notes

if TYPE_CHECKING:
    from lstpnet.reporting.types import Report

OWN = ">"
"""Marks a line of the report itself."""


@dataclass(frozen=True)
class OwnLine:
    """One line of the report."""

    name: str
    """Name of its system, or of the file of predictions."""
    row: Row


def own_lines(report: Report) -> list[OwnLine]:
    """Return the headline row of each system, or the row of external predictions."""
    if report.systems:
        return [OwnLine(system.name, system.row) for system in report.systems]
    return [OwnLine(row.run, row) for row in report.rows]


def against_section(rows: Sequence[PublishedRow], lines: Sequence[OwnLine], *, short: bool = False) -> Section:
    """Return the table of one dataset's published rows and the report's lines on it, the highest WAR first.

    `short` omits the recalls. Lines on other datasets are left out. A line without test clips of some class follows
    all others, whatever its WAR.
    """
    dataset_lines = [line for line in lines if line.row.dataset == rows[0].dataset]
    classes = list(dict.fromkeys([*rows[0].recall, *(name for line in dataset_lines for name in line.row.recall)]))
    header = ["method", "year", "WAR", "UAR", *(f"recall {name}" for name in classes if not short), "n", "source"]
    ranked: list[tuple[bool, float, list[str]]] = []
    for row in rows:
        recalls = [per_cent(row.recall.get(name)) for name in classes if not short]
        cells = [row.marked_method, str(row.year), per_cent(row.war), per_cent(row.uar), *recalls, "-", row.source]
        ranked.append((False, -(row.war or 0.0), cells))
    for line in dataset_lines:
        recalls = [per_cent(line.row.recall.get(name)) for name in classes if not short]
        name = f"{OWN} {line.name}" + " *" * bool(own_mismatch(line.row))
        cells = [name, "-", per_cent(line.row.war), per_cent(line.row.uar), *recalls, str(line.row.n), line.row.run]
        ranked.append((not is_complete(line.row), -line.row.war, cells))
    ranked.sort(key=lambda item: item[:2])
    notes = [f"{OWN}: this report"] if dataset_lines else ["this report has no line on this dataset"]
    notes += [
        f"* {OWN} {line.name}: {'; '.join(own_mismatch(line.row))}" for line in dataset_lines if own_mismatch(line.row)
    ]
    notes += protocol_notes([(f"{OWN} {line.name}", line.row.protocol) for line in dataset_lines])
    title = f"among published results, {SETS[rows[0].dataset]}: per cent"
    return Section(title, tuple(header), tuple(tuple(cells) for *_, cells in ranked), (*notes, *published_notes(rows)))


def own_mismatch(row: Row) -> list[str]:
    """Return the reasons why a row does not compare with figures on all official test clips; empty if none is known."""
    reasons = [row.note] if row.note else []
    if not is_complete(row) and "incomplete mean" not in row.note:
        reasons.append(f"no test clips of {listed([name for name, recall in row.recall.items() if recall is None])}")
    try:
        counts = official(row.dataset)
    except UsageError:
        return reasons
    if row.fold_set != OFFICIAL_SET:
        return [*reasons, f"folds of {row.fold_set}, not the official ones"]
    missing = [fold for fold in counts.num_test_all if int(fold) not in row.folds]
    if missing and len(counts.num_test_all) > 1:
        reasons.append(f"official folds {', '.join(missing)} are missing")
    num_official = sum(number for fold, number in counts.num_test_all.items() if int(fold) in row.folds)
    if num_official and row.n != num_official:
        reasons.append(f"{counted(row.n, 'test clip')} instead of the official {num_official:,}")
    return reasons
