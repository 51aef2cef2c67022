"""A report's own lines among the published ones of a dataset, sorted by WAR, with what keeps them from comparing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dfer_data.errors import UsageError
from dfer_data.render.tables import Section, per_cent
from dfer_data.sources.official_counts import official
from lstpnet.reporting.published_results import SETS, PublishedRow, published_notes
from lstpnet.reporting.rows import Row, protocol_notes

if TYPE_CHECKING:
    from lstpnet.reporting.types import Report

OWN = ">"
"""Stands before a line of the report itself."""


@dataclass(frozen=True)
class OwnLine:
    """One of the report's lines."""

    name: str
    """Of its system, or the file of predictions."""
    row: Row
    """Its figures."""


def own_lines(report: Report) -> list[OwnLine]:
    """Return the headline of each system, or the row of somebody's predictions."""
    if report.systems:
        return [OwnLine(system.name, system.row) for system in report.systems]
    return [OwnLine(row.run, row) for row in report.rows]


def against_section(rows: Sequence[PublishedRow], lines: Sequence[OwnLine], *, short: bool = False) -> Section:
    """Return the table of one dataset's published rows and of the lines about it, the highest WAR first.

    `short` leaves out the recalls. Raises nothing for lines on other datasets: they are left out.
    """
    mine = [line for line in lines if line.row.dataset == rows[0].dataset]
    classes = list(dict.fromkeys([*rows[0].recall, *(name for line in mine for name in line.row.recall)]))
    header = ["method", "year", "WAR", "UAR", *(f"recall {name}" for name in classes if not short), "n", "source"]
    ranked: list[tuple[float, list[str]]] = []
    for row in rows:
        recalls = [per_cent(row.recall.get(name)) for name in classes if not short]
        cells = [row.marked_method, str(row.year), per_cent(row.war), per_cent(row.uar), *recalls, "-", row.source]
        ranked.append((row.war or 0.0, cells))
    for line in mine:
        recalls = [per_cent(line.row.recall.get(name)) for name in classes if not short]
        name = f"{OWN} {line.name}" + " *" * bool(own_mismatch(line.row))
        cells = [name, "-", per_cent(line.row.war), per_cent(line.row.uar), *recalls, str(line.row.n), line.row.run]
        ranked.append((line.row.war, cells))
    ranked.sort(key=lambda item: -item[0])
    notes = [f"{OWN}: this report"] if mine else ["no line of this report is about this dataset"]
    notes += [f"* {OWN} {line.name}: {'; '.join(own_mismatch(line.row))}" for line in mine if own_mismatch(line.row)]
    notes += protocol_notes([(f"{OWN} {line.name}", line.row.protocol) for line in mine])
    title = f"beside the published, {SETS[rows[0].dataset]}: per cent"
    return Section(title, tuple(header), tuple(tuple(cells) for _, cells in ranked), (*notes, *published_notes(rows)))


def own_mismatch(row: Row) -> list[str]:
    """Return why a row does not compare with figures on all official test clips; empty if nothing is known."""
    found = [row.note] if row.note else []
    try:
        facts = official(row.dataset)
    except UsageError:
        return found
    missing = [fold for fold in facts.num_test if int(fold) not in row.folds]
    if missing and len(facts.num_test) > 1:
        found.append(f"official folds {', '.join(missing)} are missing")
    wanted = sum(sum(counts) for fold, counts in facts.num_test.items() if int(fold) in row.folds)
    if row.n != wanted:
        found.append(f"{row.n:,} test clips, official are {wanted:,}")
    return found
