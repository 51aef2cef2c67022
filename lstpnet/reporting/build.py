"""Build the report on runs, or on a file of external predictions.

    load (runs.py) -> build_report or report_predictions -> Report -> RENDERERS[format](report), or sections(report)
                                                                      page.py renders it as one HTML file

Figures are fractions 0..1 in rows, JSON and CSV, and per cent with two decimals in tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lstpnet.reporting.ferv39k_scenes import scene_rows, scene_rows_of_predictions
from lstpnet.reporting.paired_tests import paired_tests
from lstpnet.reporting.published_results import PublishedRow, published_rows
from lstpnet.reporting.rows import Row, row_of_predictions, rows_of_runs
from lstpnet.reporting.systems import systems_of
from lstpnet.reporting.types import Report
from lstpnet.runs import Run, UnfinishedRun, score_run

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset


def build_report(
    runs: Sequence[Run],
    unfinished: Sequence[UnfinishedRun] = (),
    *,
    against: Sequence[str] = (),
    baseline: str | None = None,
) -> Report:
    """Score runs; `against` names datasets, `baseline` the system that the others are tested against.

    Raises UsageError if two folders hold the same fold and seed of one recipe on the same data, or if the baseline is
    unknown; CorruptDataError for a damaged config.json.
    """
    scored = tuple(score_run(run) for run in runs)
    rows = rows_of_runs(scored)
    result_rows = tuple(row for row in rows if not row.control)
    systems = systems_of(result_rows, scored)
    return Report(
        rows=result_rows,
        controls=tuple(row for row in rows if row.control),
        unfinished=tuple(unfinished),
        published=_published(rows, against),
        systems=systems,
        paired=paired_tests(systems, scored, baseline=baseline),
        against=tuple(against),
        runs=scored,
        scenes=scene_rows(scored),
    )


def _published(rows: Sequence[Row], against: Sequence[str]) -> tuple[PublishedRow, ...]:
    if against:
        return published_rows(tuple(dict.fromkeys(against)))
    datasets = dict.fromkeys(row.dataset for row in rows if not row.synthetic)
    return published_rows(tuple(datasets)) if rows else published_rows()


def report_predictions(path: Path, dataset: PreparedDataset, *, fold: int, against: Sequence[str] = ()) -> Report:
    """Score a CSV of external predictions on an official fold; see `rows.row_of_predictions`."""
    row = row_of_predictions(path, dataset, fold=fold)
    scenes = scene_rows_of_predictions(path, dataset, fold=fold)
    return Report((row,), (), (), _published([row], against), against=tuple(against), scenes=scenes)
